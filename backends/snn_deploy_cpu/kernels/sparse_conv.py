"""Sparse convolution, compiled: payloads that are 0 cost nothing, every other one adds one row of weights to each position.

The payloads of an input row that are not 0 are listed once; a position then adds, for each row of the kernel, the rows of
weights of one run of that list, in accumulators that stay in registers until they are complete.
"""

from __future__ import annotations

import numba
import numpy as np

from snn_deploy_cpu.kernels.arguments import ConvGeometry, RowRing
from snn_deploy_cpu.kernels.pixel_shuffle import group_offsets, scatter_pixel
from snn_deploy_cpu.kernels.simd import GROUP, black_box, compress_nonzero, load, scatter_scaled
from snn_deploy_cpu.kernels.sparse_rows import axpy2, row_bytes, row_width, zero_row
from snn_deploy_cpu.kernels.threshold import step_rows

compiled = numba.njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")

# accumulators that a real call returned would pass through memory, and named tuples must not enter a cached signature
inlined = numba.njit(inline="always")


@inlined
def accumulate_events(total, rows, base, offsets, payloads, event, end):  # type: ignore[no-untyped-def]
    """``total`` plus the rows of weights of events ``event .. end`` of a list, an even number, times their payloads."""
    while event < end:
        total = axpy2(total, rows, base, offsets, payloads, event)
        event = black_box(event + 2)
    return total


@compiled
def list_row(x, n, y, bits, table, pitch, payloads, offsets, starts, slots):  # type: ignore[no-untyped-def]
    """List what is not 0 in row y of map n, each pixel filled up to an even number of entries with a payload of 0.

    An entry is one of ``payloads``, uint8 or int16, and one of ``offsets``, int32: ``(x C + c) * pitch``, ``pitch`` being the
    bytes of a row of weights. ``starts`` (slots, W + 1) are the first entries of each pixel. ``table`` is
    :func:`snn_deploy_cpu.kernels.simd.compress_table`.
    """
    _, _, width, channels = x.shape
    slot, line, whole = y % slots, x[n, y].reshape(width * channels), channels - channels % GROUP
    end = slot * (payloads.size // slots)
    for pixel in range(width):
        starts[slot * (width + 1) + pixel] = end
        for index in range(pixel * channels, pixel * channels + whole, GROUP):
            end = compress_nonzero(line, index, bits, table, pitch, offsets, payloads, end)
        for index in range(pixel * channels + whole, (pixel + 1) * channels):
            offsets[end], payloads[end] = index * pitch, line[index] & bits
            end += line[index] & bits != 0
        # axpy2 takes two at a time; a row of weights times 0 fills up an odd pixel
        offsets[end], payloads[end] = pixel * channels * pitch, 0
        end += end & 1
    starts[slot * (width + 1) + width] = end


@inlined
def list_rows(x, n, row, bits, table, pitch, geometry, payloads, offsets, starts, listed):  # type: ignore[no-untyped-def]
    """List the input rows of map n that positions ``row`` read; returns how many entries they have together.

    ``listed`` (slots,) are the rows whose lists are there.
    """
    _, height, width, _ = x.shape
    slots, entries = listed.size, np.int64(0)
    for h in range(geometry.kernel[0]):
        y = row * geometry.strides[0] - geometry.pads[0] + h * geometry.dilations[0]
        if 0 <= y < height:
            slot = y % slots
            if listed[slot] != y:
                list_row(x, n, y, bits, table, pitch, payloads, offsets, starts, slots)
                listed[slot] = y
            entries += starts[slot * (width + 1) + width] - starts[slot * (width + 1)]
    return entries


@inlined
def list_runs(row, tile, shape, depth, geometry, slots, runs, parts):  # type: ignore[no-untyped-def]
    """Runs of listed events that a row of positions adds, three numbers each, and how many numbers each part ends with.

    The numbers: where the ``starts`` of its row stand, the first column from that of position 0 on, and the row of weights
    of input 0 there. A run is as many columns as neighbour each other in a part, one where columns are dilated. A part
    is ``depth`` (rows, columns) of the kernel, whose sums are written before the next. Returns how many parts there are.
    """
    (_, height, width, channels), (kernel, strides, dilations, pads, _, _) = shape, geometry
    taps, end, ended = depth[1] if dilations[1] == 1 else 1, 0, 0
    for h in range(kernel[0]):
        y = row * strides[0] - pads[0] + h * dilations[0]
        for w in range(0, kernel[1], taps):
            if 0 <= y < height:
                runs[end], runs[end + 1] = y % slots * (width + 1), w * dilations[1] - pads[1]
                runs[end + 2] = ((tile * kernel[0] + h) * kernel[1] + w) * channels
                end += 3
            if (w + taps) % depth[1] == 0 and (h + 1) % depth[0] == 0:
                parts[ended] = end
                ended += 1
    return ended


@compiled
def convolve(x, bits, table, rows, depth, geometry, ring, target, neurons):  # type: ignore[no-untyped-def]
    """Currents of ``target`` (:class:`snn_deploy_cpu.kernels.arguments.CurrentRows`) from ``x`` (N, H, W, C) integers.

    ``bits`` mask the payloads, a scalar of ``x``'s format; ``rows`` are those of
    :func:`snn_deploy_cpu.kernels.sparse_rows.pack_rows`, int8 for a ``ring`` of uint8 payloads, int16 for int16; ``table`` is
    :func:`snn_deploy_cpu.kernels.simd.compress_table`. ``ring.values`` hold the lists of its slots. ``neurons``
    (:class:`snn_deploy_cpu.kernels.arguments.FusedNeurons`), if any, step when their row is complete; returns how many
    membranes left 24 bits.

    Exact: sums over a part of the kernel, ``depth`` (rows, columns), stay within int16 or int32
    (:class:`snn_deploy_cpu.conv.sparse.SparseConv`) and their sums in ``target`` below 2**24, which float32 holds.
    """
    geometry, ring, (out, row_begin, scale, overwrite) = ConvGeometry(*geometry), RowRing(*ring), target
    kernel, strides, dilations, _, phases, crop = geometry
    (count, _, width, channels), (n_slots, lines, columns, out_channels) = x.shape, out.shape
    size, pitch, taps = row_width(rows), row_bytes(rows), depth[1] if dilations[1] == 1 else 1
    tiles = rows.size // (kernel[0] * kernel[1] * channels)
    first, last = crop[1] // phases[1], -(-(columns + crop[1]) // phases[1])
    payloads, offsets = ring.values, np.empty(ring.values.size, np.int32)
    starts, listed = np.empty(ring.slots * (width + 1), np.int64), np.empty(ring.slots, np.int64)
    runs, parts = np.empty(3 * kernel[0] * kernel[1], np.int64), np.empty(kernel[0] * kernel[1], np.int64)
    sums, aside, flat = np.empty(size, np.float32), np.arange(0, size, GROUP), out.reshape(out.size)
    groups = group_offsets(tiles * size, phases, columns, out_channels)
    saturated = np.int64(0)
    for n in range(count):
        listed[:] = -1
        slot = n % n_slots
        for tile in range(tiles):
            for row in range((row_begin + crop[0]) // phases[0], -(-(row_begin + lines + crop[0]) // phases[0])):
                line = row * phases[0] - crop[0] - row_begin
                entries = list_rows(x, n, row, bits, table, pitch, geometry, payloads, offsets, starts, listed)
                ended = list_runs(row, tile, x.shape, depth, geometry, ring.slots, runs, parts)
                for column in range(first, last if entries > 0 or overwrite else first):
                    pixel, j = column * phases[1] - crop[1], 0
                    inside = 0 <= line <= lines - phases[0] and 0 <= pixel <= columns - phases[1] and groups.size > 0
                    base = ((slot * lines + line) * columns + pixel) * out_channels if inside else 0
                    place, places = (flat, groups) if inside else (sums, aside)
                    group, fresh = (tile * (size // GROUP), overwrite) if inside else (0, True)
                    for part in range(ended):
                        total, stop = zero_row(rows), load(parts, part)
                        while j < stop:
                            begin, left = load(runs, j), column * strides[1] + load(runs, j + 1)
                            event = load(starts, begin + min(max(left, 0), width))
                            end = load(starts, begin + min(max(left + taps, 0), width))
                            weight = (load(runs, j + 2) - left * channels) * pitch
                            total = accumulate_events(total, rows, weight, offsets, payloads, event, end)
                            j += 3
                        scatter_scaled(total, place, base, places, group, scale, fresh)
                        fresh = False
                    if not inside:
                        scatter_pixel(sums, tile, line, pixel, phases, overwrite, out, slot)
                if tile == tiles - 1:
                    saturated += step_rows(neurons, out, slot, line, phases[0], n, row_begin)
    return saturated
