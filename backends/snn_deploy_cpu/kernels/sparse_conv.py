"""The event-driven convolution compiled: sums of weight rows that never leave the registers until they are done.

:mod:`snn_deploy_cpu.conv.sparse` describes the arguments. For each row of the input the places of its events are listed once;
an output pixel then adds, for each row of the kernel, the weight rows of one run of that list. What is silent is not
in the list.
"""

from __future__ import annotations

import numba
import numpy as np

from snn_deploy_cpu.kernels.pixel_shuffle import handed_out, spread
from snn_deploy_cpu.kernels.simd import TOGETHER, opaque, peek, put
from snn_deploy_cpu.kernels.sparse_rows import add_products, bytes_of, lanes_of, note, zeros
from snn_deploy_cpu.kernels.threshold import fire_rows

compiled = numba.njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")


@compiled
def enlist(maps, m, y, bits, orders, step, slot, room, places, factors, starts):  # type: ignore[no-untyped-def]
    """List row y of map m: places ``(x C + c) step`` and payloads of its events, and where those of each pixel start.

    Every pixel lists an even number, the last of them with a payload of 0 where need be.
    """
    _, _, width, channels = maps.shape
    line, whole = maps[m, y].reshape(width * channels), channels - channels % TOGETHER
    found = slot * room
    for x in range(width):
        starts[slot * (width + 1) + x] = found
        for place in range(x * channels, x * channels + whole, TOGETHER):
            found = note(line, place, bits, orders, step, places, factors, found)
        for place in range(x * channels + whole, (x + 1) * channels):
            places[found], factors[found] = place * step, line[place] & bits
            found += line[place] & bits != 0
        places[found], factors[found] = x * channels * step, 0
        found += found & 1
    starts[slot * (width + 1) + width] = found


@compiled
def outline(  # type: ignore[no-untyped-def]
    row, tile, height, width, channels, kernel, at_once, strides, dilations, before, slots, run, parts
):
    """Runs of listed events that a row of positions adds, three numbers each, and how many numbers each part ends with.

    Where the pixels' starts stand, the first column from that of position 0 on, and the row of weights of place 0. A
    run is as many columns as neighbour each other in the part, one in a dilated kernel.
    """
    taps, found, ended = at_once[1] if dilations[1] == 1 else 1, 0, 0
    for h in range(kernel[0]):
        y = row * strides[0] - before[0] + h * dilations[0]
        for w in range(0, kernel[1], taps):
            if 0 <= y < height:
                run[found], run[found + 1] = y % slots * (width + 1), w * dilations[1] - before[1]
                run[found + 2] = ((tile * kernel[0] + h) * kernel[1] + w) * channels
                found += 3
            if (w + taps) % at_once[1] == 0 and (h + 1) % at_once[0] == 0:
                parts[ended] = found
                ended += 1
    return ended


@compiled
def convolve(  # type: ignore[no-untyped-def]
    maps, bits, orders, rows, at_once, numbers, first, scale, new, slots, factors, out, neurons
):
    """Sums of rows ``first ...`` of the target, written into ``out`` where it is ``new`` and added there otherwise.

    ``neurons``, where there are any, fire when a row is done (:func:`snn_deploy_cpu.kernels.threshold.fire_rows`), and ``out``
    may have room for the rows of one map only. ``numbers`` are those of :class:`snn_deploy_cpu.conv.geometry.Convolution`.
    Returns how many membranes were limited.
    """
    kernel, strides, dilations, before, up, cut = numbers
    count, height, width, channels = maps.shape
    held_maps, lines, columns, depth = out.shape
    lanes, step, room, pitch_starts = lanes_of(rows), bytes_of(rows), factors.size // slots, width + 1
    tiles = rows.size // (kernel[0] * kernel[1] * channels)
    taps = at_once[1] if dilations[1] == 1 else 1
    places = np.empty(factors.size, np.int32)
    starts = np.empty(slots * pitch_starts, np.int64)
    held = np.empty(slots, np.int64)
    run, parts = np.empty(3 * kernel[0] * kernel[1], np.int64), np.empty(kernel[0] * kernel[1], np.int64)
    sums, flat = np.empty(lanes, np.float32), out.reshape(out.size)
    limited = np.int64(0)
    aside, groups = np.arange(0, lanes, TOGETHER), handed_out(tiles * lanes, up, columns, depth)
    for m in range(count):
        held[:] = -1
        target = m % held_maps
        for tile in range(tiles):
            for row in range((first + cut[0]) // up[0], -(-(first + lines + cut[0]) // up[0])):
                line = row * up[0] - cut[0] - first
                events = np.int64(0)
                for h in range(kernel[0]):
                    y = row * strides[0] - before[0] + h * dilations[0]
                    if 0 <= y < height:
                        if held[y % slots] != y:
                            enlist(maps, m, y, bits, orders, step, y % slots, room, places, factors, starts)
                            held[y % slots] = y
                        events += starts[y % slots * pitch_starts + width] - starts[y % slots * pitch_starts]
                ended = outline(
                    row, tile, height, width, channels, kernel, at_once, strides, dilations, before, slots, run, parts
                )
                last = -(-(columns + cut[1]) // up[1]) if events > 0 or new else 0
                for column in range(cut[1] // up[1], last):
                    pixel, j = column * up[1] - cut[1], 0
                    inside = 0 <= line <= lines - up[0] and 0 <= pixel <= columns - up[1] and groups.size > 0
                    base = ((target * lines + line) * columns + pixel) * depth if inside else 0
                    goal, offsets = (flat, groups) if inside else (sums, aside)
                    lane, fresh = (tile * (lanes // TOGETHER), new) if inside else (0, True)
                    for part in range(ended):
                        total, stop = zeros(rows), peek(parts, part)
                        while j < stop:
                            begin, x = peek(run, j), column * strides[1] + peek(run, j + 1)
                            event = peek(starts, begin + min(max(x, 0), width))
                            end = peek(starts, begin + min(max(x + taps, 0), width))
                            weight = (peek(run, j + 2) - x * channels) * step
                            while event < end:
                                total = add_products(total, rows, weight, places, factors, event)
                                event = opaque(event + 2)
                            j += 3
                        put(total, goal, base, offsets, lane, scale, fresh)
                        fresh = False
                    if not inside:
                        spread(sums, tile, line, pixel, up, new, out, target)
                if tile == tiles - 1:
                    limited += fire_rows(neurons, out, target, line, up[0], m, first)
    return limited
