"""Direct convolution, compiled: every payload times every weight, a tile of sums in registers until it is complete.

Rows of the input are copied into a ring buffer with zeros beside them, so that no position asks where the map ends.
"""

from __future__ import annotations

import numba
import numpy as np

from snn_deploy_cpu.kernels.arguments import ConvGeometry, RowRing
from snn_deploy_cpu.kernels.pixel_shuffle import group_offsets, scatter_pixel
from snn_deploy_cpu.kernels.register_tile import (
    KR_BYTES,
    MR,
    fma_word,
    vectors_per_tile,
    widen_accumulate,
    zero_partial,
    zero_tile,
)
from snn_deploy_cpu.kernels.simd import GROUP, black_box, load, scatter_scaled
from snn_deploy_cpu.kernels.threshold import step_rows

compiled = numba.njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")

# accumulators that a real call returned would pass through memory, and named tuples must not enter a cached signature
inlined = numba.njit(inline="always")


@inlined
def accumulate_run(total, weights, word, stop, depth, payloads, offset, pitch):  # type: ignore[no-untyped-def]
    """The tile ``total`` plus records ``word .. stop`` of ``weights`` times the words from byte ``offset`` of ``payloads`` on.

    At most ``depth`` words are summed before partial sums are widened. Positions stand ``pitch`` bytes apart.
    """
    while word < stop:
        partial, end = zero_partial(weights), min(stop, word + depth)
        while word < end:
            partial = fma_word(partial, weights, word, payloads, offset, pitch)
            word, offset = black_box(word + 1), offset + KR_BYTES
        total = widen_accumulate(total, partial)
    return total


@compiled
def copy_row(line, bits, channels, row, begin, pitch):  # type: ignore[no-untyped-def]
    """Write the ``bits`` of a ``line`` (W * C) of payloads into ``row`` from ``begin`` on, ``pitch`` numbers for each pixel."""
    # one loop over the row is vectorized across pixels
    if pitch == channels:
        target = row[begin : begin + line.size]
        for i in range(line.size):
            target[i] = line[i] & bits
        return
    for x in range(line.size // channels):
        target = row[begin + x * pitch : begin + x * pitch + channels]
        for channel in range(channels):
            target[channel] = line[x * channels + channel] & bits


@inlined
def fill_ring(x, n, row, bits, geometry, ring, present, pitch):  # type: ignore[no-untyped-def]
    """Bring the input rows of map ``n`` that positions ``row`` read into ``ring``; ``present`` (slots,) are those there.

    ``pitch`` numbers for each pixel: its channels, filled up to whole words.
    """
    _, height, width, channels = x.shape
    row_size = ring.values.size // ring.slots
    for h in range(geometry.kernel[0]):
        y = row * geometry.strides[0] - geometry.pads[0] + h * geometry.dilations[0]
        if 0 <= y < height and present[y % ring.slots] != y:
            begin = y % ring.slots * row_size + ring.left * pitch
            copy_row(x[n, y].reshape(width * channels), bits, channels, ring.values, begin, pitch)
            present[y % ring.slots] = y


@inlined
def list_runs(row, height, words, geometry, ring, runs):  # type: ignore[no-untyped-def]
    """The runs of neighbouring words that a row of positions reads; returns how many numbers of ``runs`` they fill.

    Two numbers for each: its first record of weights in a tile, and the byte where its payloads begin for position 0. A
    run is a row of the kernel, or a single tap where columns are dilated. ``words`` belong to a pixel.
    """
    kernel, dilations = geometry.kernel, geometry.dilations
    row_bytes = ring.values.size // ring.slots * ring.values.itemsize
    taps, end = kernel[1] if dilations[1] == 1 else 1, 0
    for h in range(kernel[0]):
        y = row * geometry.strides[0] - geometry.pads[0] + h * dilations[0]
        for w in range(0, kernel[1] if 0 <= y < height else 0, taps):
            pixel = ring.left - geometry.pads[1] + w * dilations[1]
            runs[end] = (h * kernel[1] + w) * words
            runs[end + 1] = y % ring.slots * row_bytes + pixel * words * KR_BYTES
            end += 2
    return end


@compiled
def tile_offsets(offsets, vectors, pitch):  # type: ignore[no-untyped-def]
    """``offsets`` of a position's groups repeated for the positions of a tile, ``pitch`` apart: (tile, position, vector)."""
    out = np.empty(offsets.size * MR, np.int64)
    for entry in range(out.size):
        vector, position = entry % vectors, entry // vectors % MR
        offset = offsets[entry // (vectors * MR) * vectors + vector]
        out[entry] = offset + position * pitch if offset >= 0 else -1
    return out


@compiled
def scatter_positions(sums, positions, tile, line, pixel, phases, overwrite, out, slot):  # type: ignore[no-untyped-def]
    """Write the ``sums`` (MR * L,) of a tile's first ``positions`` to those of their pixels that lie in ``out[slot]``."""
    size = sums.size // MR
    for position in range(positions):
        part = sums[position * size : (position + 1) * size]
        scatter_pixel(part, tile, line, pixel + position * phases[1], phases, overwrite, out, slot)


@compiled
def convolve(x, bits, weights, depth, geometry, ring, target, neurons):  # type: ignore[no-untyped-def]
    """Currents of ``target`` (:class:`snn_deploy_cpu.kernels.arguments.CurrentRows`) from ``x`` (N, H, W, C) integers.

    ``bits`` mask the payloads, a scalar of ``x``'s format. ``weights`` are those of
    :func:`snn_deploy_cpu.kernels.register_tile.pack_tiles`, int8 for a ``ring`` of uint8 payloads, int16 for int16. At most
    ``depth`` words are summed before they are widened. ``ring.values`` are zeros. ``neurons``
    (:class:`snn_deploy_cpu.kernels.arguments.FusedNeurons`), if any, step when their row is complete; returns how many
    membranes left 24 bits.

    Exact: partial sums stay within 16 bits for ``depth`` words (:class:`snn_deploy_cpu.conv.direct.DirectConv`), currents
    within ``2**23 - 1`` (:func:`snn_deploy_cpu.conv.exactness.fits_float32`), so int32 sums do not wrap and float32 holds them.
    """
    geometry, ring, (out, row_begin, scale, overwrite) = ConvGeometry(*geometry), RowRing(*ring), target
    strides, phases, crop = geometry.strides, geometry.phases, geometry.crop
    (count, height, _, channels), (n_slots, lines, columns, out_channels) = x.shape, out.shape
    per_word, vectors, payloads = KR_BYTES // ring.values.itemsize, vectors_per_tile(weights), ring.values
    words = -(-channels // per_word)
    records, pitch = geometry.kernel[0] * geometry.kernel[1] * words, strides[1] * words * KR_BYTES
    run_words = words * geometry.kernel[1] if geometry.dilations[1] == 1 else words
    tiles, first, last = weights.size // records, crop[1] // phases[1], -(-(columns + crop[1]) // phases[1])
    present, runs = np.empty(ring.slots, np.int64), np.empty(2 * records // words, np.int64)
    tile_size, flat = MR * vectors * GROUP, out.reshape(out.size)
    sums, aside = np.empty(tile_size, np.float32), np.arange(0, tile_size, GROUP)
    groups = group_offsets(tiles * vectors * GROUP, phases, columns, out_channels)
    offsets = tile_offsets(groups, vectors, phases[1] * out_channels)
    saturated = np.int64(0)
    for n in range(count):
        present[:] = -1
        slot = n % n_slots
        for row in range((row_begin + crop[0]) // phases[0], -(-(row_begin + lines + crop[0]) // phases[0])):
            line = row * phases[0] - crop[0] - row_begin
            fill_ring(x, n, row, bits, geometry, ring, present, words * per_word)
            end = list_runs(row, height, words, geometry, ring, runs)
            for tile in range(tiles):
                for column in range(first, last, MR):
                    total = zero_tile(weights)
                    for j in range(0, end, 2):
                        word, offset = tile * records + load(runs, j), load(runs, j + 1) + column * pitch
                        total = accumulate_run(total, weights, word, word + run_words, depth, payloads, offset, pitch)
                    pixel, beyond = column * phases[1] - crop[1], (column + MR) * phases[1] - crop[1]
                    if 0 <= line <= lines - phases[0] and pixel >= 0 and beyond <= columns and offsets.size > 0:
                        base = ((slot * lines + line) * columns + pixel) * out_channels
                        scatter_scaled(total, flat, base, offsets, tile * MR * vectors, scale, overwrite)
                    else:  # pixels at the edge, or not of whole groups, go one by one
                        scatter_scaled(total, sums, 0, aside, 0, scale, True)
                        positions = min(MR, last - column)
                        scatter_positions(sums, positions, tile, line, pixel, phases, overwrite, out, slot)
            saturated += step_rows(neurons, out, slot, line, phases[0], n, row_begin)
    return saturated
