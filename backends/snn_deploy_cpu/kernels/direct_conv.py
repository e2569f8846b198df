"""The direct convolution compiled: every payload times every weight, sums of a few positions in registers until they are done.

:mod:`snn_deploy_cpu.conv.direct` describes the arguments. Rows of the input are held with zeros beside them, so that no
position asks where the map ends.
"""

from __future__ import annotations

import numba
import numpy as np

from snn_deploy_cpu.kernels.pixel_shuffle import handed_out, spread
from snn_deploy_cpu.kernels.register_tile import POSITIONS, WORD, add_word, moved, no_part, no_sums, vectors_of
from snn_deploy_cpu.kernels.simd import TOGETHER, opaque, peek, put
from snn_deploy_cpu.kernels.threshold import fire_rows

compiled = numba.njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")


@compiled
def hold(line, bits, channels, held, first, pitch):  # type: ignore[no-untyped-def]
    """Write the ``bits`` of a row (W * C) of payloads into ``held`` from ``first`` on, ``pitch`` numbers for each pixel."""
    if pitch == channels:
        goal = held[first : first + line.size]
        for place in range(line.size):
            goal[place] = line[place] & bits
        return
    for x in range(line.size // channels):
        goal = held[first + x * pitch : first + x * pitch + channels]
        for channel in range(channels):
            goal[channel] = line[x * channels + channel] & bits


@compiled
def tiled(groups, vectors, pitch):  # type: ignore[no-untyped-def]
    """``groups``, for the vectors of one position, repeated for those of a tile, ``pitch`` apart: (block, position, vector)."""
    out = np.empty(groups.size * POSITIONS, np.int64)
    for entry in range(out.size):
        vector, position = entry % vectors, entry // vectors % POSITIONS
        group = groups[entry // (vectors * POSITIONS) * vectors + vector]
        out[entry] = group + position * pitch if group >= 0 else -1
    return out


@compiled
def outline(row, height, words, kernel, taps, strides, dilations, before, slots, left, room, run):  # type: ignore[no-untyped-def]
    """The runs of words that neighbour each other and that a row of positions reads; returns how many numbers they are.

    Two numbers for each: its first weights of a block, and the byte where its payloads begin for position 0.
    """
    found = 0
    for h in range(kernel[0]):
        y = row * strides[0] - before[0] + h * dilations[0]
        for w in range(0, kernel[1] if 0 <= y < height else 0, taps):
            run[found] = (h * kernel[1] + w) * words
            run[found + 1] = y % slots * room + (left - before[1] + w * dilations[1]) * words * WORD
            found += 2
    return found


@compiled
def convolve(  # type: ignore[no-untyped-def]
    maps, bits, weights, at_once, numbers, first, scale, new, slots, left, held, out, neurons
):
    """Sums of rows ``first ...`` of the target, written into ``out`` where it is ``new`` and added there otherwise.

    ``held``, zeros, has room for ``slots`` rows of the input, each with ``left`` pixels before the map's. No more than
    ``at_once`` words of payloads are summed before the sums are moved. Everything else is as in
    :func:`snn_deploy_cpu.kernels.sparse_conv.convolve`.
    """
    kernel, strides, dilations, before, up, cut = numbers
    count, height, width, channels = maps.shape
    held_maps, lines, columns, depth = out.shape
    fold = WORD // held.itemsize
    words, vectors, room = -(-channels // fold), vectors_of(weights), held.size // slots
    block, step = kernel[0] * kernel[1] * words, strides[1] * words * WORD
    taps = kernel[1] if dilations[1] == 1 else 1
    blocks, begin, last = weights.size // block, cut[1] // up[1], -(-(columns + cut[1]) // up[1])
    present, run = np.empty(slots, np.int64), np.empty(2 * kernel[0] * kernel[1], np.int64)
    lanes = vectors * TOGETHER
    sums, aside, flat = (
        np.empty(POSITIONS * lanes, np.float32),
        np.arange(0, POSITIONS * lanes, TOGETHER),
        out.reshape(out.size),
    )
    groups = tiled(handed_out(blocks * lanes, up, columns, depth), vectors, up[1] * depth)
    limited = np.int64(0)
    for m in range(count):
        present[:] = -1
        target = m % held_maps
        for row in range((first + cut[0]) // up[0], -(-(first + lines + cut[0]) // up[0])):
            line = row * up[0] - cut[0] - first
            for h in range(kernel[0]):
                y = row * strides[0] - before[0] + h * dilations[0]
                if 0 <= y < height and present[y % slots] != y:
                    start = y % slots * room + left * words * fold
                    hold(maps[m, y].reshape(width * channels), bits, channels, held, start, words * fold)
                    present[y % slots] = y
            found = outline(
                row, height, words, kernel, taps, strides, dilations, before, slots, left, room * held.itemsize, run
            )
            for tile in range(blocks):
                for column in range(begin, last, POSITIONS):
                    total = no_sums(weights)
                    for j in range(0, found, 2):
                        word, place = tile * block + peek(run, j), peek(run, j + 1) + column * step
                        stop = word + taps * words
                        while word < stop:
                            part, end = no_part(weights), min(stop, word + at_once)
                            while word < end:
                                part = add_word(part, weights, word, held, place, step)
                                word, place = opaque(word + 1), place + WORD
                            total = moved(total, part)
                    pixel, beyond = column * up[1] - cut[1], (column + POSITIONS) * up[1] - cut[1]
                    if 0 <= line <= lines - up[0] and pixel >= 0 and beyond <= columns and groups.size > 0:
                        base = ((target * lines + line) * columns + pixel) * depth
                        put(total, flat, base, groups, tile * POSITIONS * vectors, scale, new)
                        continue
                    put(total, sums, 0, aside, 0, scale, True)
                    for position in range(min(POSITIONS, last - column)):
                        part_of_sums = sums[position * lanes : (position + 1) * lanes]
                        spread(part_of_sums, tile, line, pixel + position * up[1], up, new, out, target)
            limited += fire_rows(neurons, out, target, line, up[0], m, first)
    return limited
