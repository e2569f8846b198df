"""Populations that pass every sum on, in integers: pooling and fixed resampling without a membrane.

A neuron with threshold 1 that starts at 0 sends ``floor(v) = v``, all of its input, as long as no limit of payload or
count can bind (:func:`snn_deploy_cpu.conv.exactness.transparent`); its membrane is 0 after every step.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from snn_deploy.network.kernels import SpatialKernel
from snn_deploy_cpu.conv.geometry import Convolution, Maps, cut_out
from snn_deploy_cpu.kernels.dispatch import compiled_kernels

Integers = npt.NDArray[Any]


class Relay(Protocol):
    """Payloads (M, H, W, C) to payloads ``out`` (M, H', W', C)."""

    @property
    def copies(self) -> bool:
        """Whether every pixel that is passed on is one that arrives."""
        ...

    def __call__(self, maps: Maps, out: Integers) -> None:
        """Write the sums."""
        ...


class Pooling:
    """A depthwise convolution."""

    copies = False

    def __init__(self, form: Convolution, exponent: int) -> None:
        self._form = form
        self._taps = np.ascontiguousarray(form.weight[:, 0].transpose(1, 2, 0).astype(np.int32) << exponent)

    def __call__(self, maps: Maps, out: Integers) -> None:
        """Write the sums."""
        form, (_, height, width, _) = self._form, out.shape
        part = cut_out(maps, form.window(0, 0, height), form.window(1, 0, width))
        kernels = compiled_kernels()
        if kernels is not None:
            kernels.pool(part, self._taps, form.strides, form.dilations, out)
            return
        (step_y, step_x), (gap_y, gap_x) = form.strides, form.dilations
        total = np.zeros(out.shape, np.int32)
        for h, w in np.ndindex(self._taps.shape[:2]):
            window = part[
                :,
                h * gap_y : h * gap_y + (height - 1) * step_y + 1 : step_y,
                w * gap_x : w * gap_x + (width - 1) * step_x + 1 : step_x,
            ]
            total += window * self._taps[h, w]
        out[...] = total


class Copying:
    """A pixel map in which every pixel is one source pixel times one weight that all share."""

    def __init__(self, kernel: SpatialKernel, exponent: int) -> None:
        self._indices = kernel.indices
        self._weight = int(kernel.data[0]) << exponent

    @property
    def copies(self) -> bool:
        """Whether every pixel that is passed on is one that arrives."""
        return self._weight == 1

    @staticmethod
    def covers(kernel: SpatialKernel) -> bool:
        """Whether ``kernel`` is of this kind."""
        return bool(np.all(np.diff(kernel.indptr) == 1) and np.all(kernel.data == kernel.data[0]))

    @staticmethod
    def factor(kernel: SpatialKernel) -> int | None:
        """How often every pixel is repeated each way, where ``kernel`` does just that."""
        (height, width), (rows, columns) = kernel.input_size, kernel.output_size
        factor = rows // height
        if (rows, columns) != (factor * height, factor * width) or not Copying.covers(kernel) or kernel.data[0] != 1:
            return None
        pixels = np.arange(height * width).reshape(height, width)
        repeated = pixels.repeat(factor, axis=0).repeat(factor, axis=1)
        return factor if np.array_equal(kernel.indices, repeated.reshape(-1)) else None

    def __call__(self, maps: Maps, out: Integers) -> None:
        """Write the sums."""
        count, height, width, channels = maps.shape
        flat, target = maps.reshape(count, height * width, channels), out.reshape(count, -1, channels)
        kernels = compiled_kernels()
        if self._weight == 1 and kernels is not None:
            kernels.gather(flat, self._indices, target)
        elif self._weight == 1 and flat.dtype == target.dtype:
            np.take(flat, self._indices, axis=1, out=target, mode="clip")
        else:
            target[...] = flat[:, self._indices].astype(np.int32) * self._weight
