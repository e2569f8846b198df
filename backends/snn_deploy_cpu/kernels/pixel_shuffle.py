"""Depth-to-space, compiled: the phases of a transposed convolution are channels (u_y, u_x, o) until they are written."""

from __future__ import annotations

import numba
import numpy as np

from snn_deploy_cpu.kernels.simd import GROUP

compiled = numba.njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")


@compiled
def group_offsets(sums, phases, columns, channels):  # type: ignore[no-untyped-def]
    """Offsets (sums / GROUP,) int64 of groups of ``sums`` (u_y, u_x, o) from a position's first pixel; -1 beyond the last.

    Rows have ``columns`` pixels of ``channels`` numbers. Empty where pixels do not consist of whole groups: their sums
    go through :func:`scatter_pixel`.
    """
    if channels % GROUP != 0:
        return np.empty(0, np.int64)
    offsets = np.full(sums // GROUP, -1)
    # a group never crosses a pixel, because channels are a multiple of it
    for group in range(phases[0] * phases[1] * channels // GROUP):
        phase, channel = divmod(group * GROUP, channels)
        offsets[group] = (phase // phases[1] * columns + phase % phases[1]) * channels + channel
    return offsets


@compiled
def scatter_pixel(sums, tile, line, pixel, phases, overwrite, out, slot):  # type: ignore[no-untyped-def]
    """Write tile ``tile`` of a position's ``sums`` (L,) float32 to those of its pixels that lie in ``out[slot]``.

    ``out`` is (n_slots, rows, W, C) float32, written where ``overwrite``, added to otherwise; the position's first pixel
    is (``line``, ``pixel``).
    """
    _, lines, columns, channels = out.shape
    index, size, last = 0, sums.size, channels * phases[0] * phases[1]
    while index < size and tile * size + index < last:
        phase, channel = divmod(tile * size + index, channels)
        count = min(channels - channel, size - index)
        y, x = line + phase // phases[1], pixel + phase % phases[1]
        if 0 <= y < lines and 0 <= x < columns:
            target = out[slot, y, x]
            for i in range(count):
                there = np.float32(0) if overwrite else target[channel + i]
                target[channel + i] = there + sums[index + i]
        index += count
