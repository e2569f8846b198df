"""The synapses of a kernel, counted one by one without walking them: non-zero weights at targets that exist.

The number of synapses behind neuron (c, y, x) is its *fan-out*

    fan_out[c, y, x] = sum_{h, w} nonzero[c, h, w] * meets_y[h, y] * meets_x[w, x]

where ``nonzero`` counts the non-zero weights of channel c under tap (h, w) and ``meets`` says whether tap h of row y
lands on a row of the target. Padding, stride, dilation, groups and transposition all live in these two.
"""

from __future__ import annotations

import numpy as np

from snn_deploy.arrays import Int64
from snn_deploy.errors import NetworkError
from snn_deploy.network.kernels import ConvKernel, Kernel, SpatialKernel
from snn_deploy.shapes import Pair, Shape


def count_fan_out(kernel: Kernel, shape: Shape) -> Int64:
    """Synapses (C, H, W) int64 behind each neuron of a source of ``shape``: non-zero weights at existing targets."""
    if isinstance(kernel, SpatialKernel):
        kernel.output_shape(shape)
        pixels = np.bincount(kernel.indices[kernel.data != 0], minlength=shape[1] * shape[2]).astype(np.int64)
        return np.broadcast_to(pixels.reshape(1, *shape[1:]), shape)
    rows, columns = _meets(kernel, shape)
    partial = np.tensordot(count_nonzero_taps(kernel), columns, (2, 0)).astype(np.float64)
    # whole numbers below 2**53: exact, and BLAS computes them
    synapses: Int64 = np.matmul(rows.T.astype(np.float64), partial).astype(np.int64)
    return synapses


def count_synapses(kernel: Kernel, shape: Shape) -> int:
    """Sum of :func:`count_fan_out` in closed form: synapses of a chip that shares no weights, MACs of an ANN."""
    if isinstance(kernel, SpatialKernel):
        return int(np.count_nonzero(kernel.data)) * shape[0]
    rows, columns = _meets(kernel, shape)
    return int(np.einsum("chw,h,w->", count_nonzero_taps(kernel), rows.sum(1), columns.sum(1)))


def _meets(kernel: Kernel, shape: Shape) -> tuple[Int64, Int64]:
    rows, columns = locate_targets(kernel, shape)
    return (rows >= 0).astype(np.int64), (columns >= 0).astype(np.int64)


def count_dense_macs(kernel: Kernel, shape: Shape) -> int:
    """Multiplications as ANN counters have them: every weight, zero or not, at every position, padding included."""
    if isinstance(kernel, SpatialKernel):
        return kernel.data.size * shape[0]
    _, rows, columns = kernel.output_shape(shape)
    places = rows * columns if isinstance(kernel, ConvKernel) else shape[1] * shape[2]
    return kernel.weight.size * places


def count_nonzero_taps(kernel: Kernel) -> Int64:
    """Non-zero weights (C_in, K_h, K_w) int64 that leave each source channel under each tap."""
    if isinstance(kernel, SpatialKernel):
        raise NetworkError("a pixel map has no taps")
    used = kernel.weight != 0
    if not isinstance(kernel, ConvKernel):
        return np.asarray(np.count_nonzero(used, axis=1), np.int64)
    outputs, inputs, rows, columns = used.shape
    grouped = used.reshape(kernel.groups, outputs // kernel.groups, inputs, rows, columns)
    return np.asarray(np.count_nonzero(grouped, axis=1), np.int64).reshape(kernel.groups * inputs, rows, columns)


def locate_targets(kernel: Kernel, shape: Shape, sizes: Pair | None = None) -> tuple[Int64, Int64]:
    """Target row of each tap and source row (K_h, H) int64, target column (K_w, W) int64; -1 where there is none.

    ``sizes``: rows and columns of the target, if it has more than the kernel's output.
    """
    if isinstance(kernel, SpatialKernel):
        raise NetworkError("a pixel map has no taps")
    extents = kernel.output_shape(shape)[1:] if sizes is None else sizes
    targets = []
    for axis in range(2):
        taps = np.arange(kernel.weight.shape[2 + axis])[:, None] * kernel.dilations[axis]
        places = np.arange(shape[1 + axis])[None, :]
        if isinstance(kernel, ConvKernel):
            scaled = places + kernel.pads[axis] - taps
            target = np.where(scaled % kernel.strides[axis] == 0, scaled // kernel.strides[axis], -1)
        else:
            target = places * kernel.strides[axis] + taps - kernel.pads[axis]
        targets.append(np.where((target >= 0) & (target < extents[axis]), target, -1).astype(np.int64))
    return targets[0], targets[1]


def is_dense(kernel: Kernel, shape: Shape) -> bool:
    """Whether every place of the source has weights of its own: the kernel meets the map in one position only."""
    return isinstance(kernel, ConvKernel) and kernel.output_shape(shape)[1:] == (1, 1) and kernel.groups == 1
