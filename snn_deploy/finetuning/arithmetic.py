"""Kernels on integer-valued float32 maps in torch: exact, and with torch's gradients.

Every product and partial sum of what :mod:`snn_deploy.network.bounds` proves is an integer of at most 2**23 - 1, and float32 holds
all integers up to 2**24: whatever the order of a sum, its result is that of int64. Algorithms that compute with fractions
(Winograd's, Fourier's) and shorter formats would spoil it, so :func:`exact_sums` turns off the libraries that choose them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional

from snn_deploy.network.kernels import ConvKernel, Kernel, SpatialKernel
from snn_deploy.shapes import Pads


@contextmanager
def exact_sums() -> Iterator[None]:
    """Convolutions as plain sums of float32 products, on CPUs and GPUs."""
    with torch.backends.nnpack.flags(enabled=False), torch.backends.cudnn.flags(enabled=False, allow_tf32=False):
        yield


def apply_kernel(kernel: Kernel, weight: Tensor, maps: Tensor) -> Tensor:
    """``kernel`` with the values of ``weight``, in the shape of its own, on ``maps`` (B, C, H, W); all float32."""
    if isinstance(kernel, SpatialKernel):
        return _resample(kernel, weight, maps)
    if isinstance(kernel, ConvKernel):
        top, left, bottom, right = kernel.pads
        inner = (top, left) if (top, left) == (bottom, right) and min(top, left) >= 0 else None
        given = maps if inner else _pad(maps, kernel.pads)
        return functional.conv2d(given, weight, None, kernel.strides, inner or 0, kernel.dilations, kernel.groups)
    full = functional.conv_transpose2d(maps, weight, None, kernel.strides, 0, 0, kernel.groups, kernel.dilations)
    top, left, bottom, right = kernel.pads
    return _pad(full, (-top, -left, -bottom, -right))


def _pad(maps: Tensor, pads: Pads) -> Tensor:
    """Zeros around the last two axes (top, left, bottom, right); negative numbers cut."""
    top, left, bottom, right = pads
    return functional.pad(maps, (left, right, top, bottom)) if any(pads) else maps


def _resample(kernel: SpatialKernel, weight: Tensor, maps: Tensor) -> Tensor:
    indices, rows = (torch.tensor(part, device=maps.device) for part in (kernel.indices, kernel.rows))
    weighted = maps.flatten(2)[:, :, indices] * weight
    out = maps.new_zeros(*maps.shape[:2], kernel.indptr.size - 1).index_add(2, rows, weighted)
    return out.unflatten(2, kernel.output_size)
