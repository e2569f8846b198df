"""Where sums of a position of a kernel go, compiled: phases of a transposed convolution are channels until here."""

from __future__ import annotations

import numba
import numpy as np

from snn_deploy_cpu.kernels.simd import TOGETHER

compiled = numba.njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")


@compiled
def handed_out(lanes, up, columns, depth):  # type: ignore[no-untyped-def]
    """Where groups of lanes go from the first pixel of a position on, none for those beyond (u_y, u_x, o).

    Nothing where pixels do not consist of whole groups.
    """
    if depth % TOGETHER != 0:
        return np.empty(0, np.int64)
    offsets = np.full(lanes // TOGETHER, -1)
    for group in range(up[0] * up[1] * depth // TOGETHER):
        phase, channel = divmod(group * TOGETHER, depth)
        offsets[group] = (phase // up[1] * columns + phase % up[1]) * depth + channel
    return offsets


@compiled
def spread(sums, tile, line, pixel, up, new, out, m):  # type: ignore[no-untyped-def]
    """Hand out one position's sums, those of channels (u_y, u_x, o), to the pixels of map m that they belong to."""
    _, lines, columns, depth = out.shape
    lane, lanes, last = 0, sums.size, depth * up[0] * up[1]
    while lane < lanes and tile * lanes + lane < last:
        phase, channel = divmod(tile * lanes + lane, depth)
        size = min(depth - channel, lanes - lane)
        y, x = line + phase // up[1], pixel + phase % up[1]
        if 0 <= y < lines and 0 <= x < columns:
            goal = out[m, y, x]
            for index in range(size):
                there = np.float32(0) if new else goal[channel + index]
                goal[channel + index] = there + sums[lane + index]
        lane += size
