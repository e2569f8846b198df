"""Populations that pass every sum on, in integers: pooling and fixed resampling without a membrane.

A neuron with threshold 1 that starts at 0 sends ``floor(v) = v``, all of its input, as long as no limit of payload or
count can bind (:func:`snn_deploy_cpu.conv.exactness.passes_through`); its membrane is 0 after every step.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from snn_deploy.arrays import Array
from snn_deploy.network.kernels import SpatialKernel
from snn_deploy_cpu.conv.geometry import Convolution, Maps, padded_crop
from snn_deploy_cpu.kernels.arguments import PAYLOAD_FORMATS, Currents, PackedTaps, address_of, format_of
from snn_deploy_cpu.kernels.library import select_kernels
from snn_deploy_cpu.kernels.packing import pack_taps
from snn_deploy_cpu.neurons.protocol import Integers


class PassThrough(Protocol):
    """Payloads (N, H, W, C) to payloads ``out`` (N, H', W', C), both integers."""

    @property
    def copies_pixels(self) -> bool:
        """Whether every pixel that is passed on equals one that arrives."""
        ...

    def __call__(self, x: Maps, out: Integers, threads: int = 1) -> None:
        """Write the sums into ``out``, on up to so many threads."""
        ...


class SumPooling:
    """A depthwise convolution."""

    copies_pixels = False

    def __init__(self, conv: Convolution, exponent: int) -> None:
        self._conv = conv
        self._taps = conv.weight[:, 0].transpose(1, 2, 0).astype(np.int32) << exponent
        self._packed = pack_taps(conv.weight.astype(np.int32) << exponent)

    @property
    def kernel(self) -> tuple[Convolution, Array]:
        """The geometry, and the weights in its layout times the scale."""
        return self._conv, self._taps.transpose(2, 0, 1)[:, None]

    def __call__(self, x: Maps, out: Integers, threads: int = 1) -> None:
        """Write the sums into ``out``; compiled kernels on up to so many threads."""
        conv, (_, height, width, _) = self._conv, out.shape
        kernels = select_kernels()
        if kernels is not None and {x.dtype, out.dtype} <= PAYLOAD_FORMATS.keys():
            weights, places = self._packed
            packed = PackedTaps(address_of(weights), address_of(places), len(weights), format_of(out.dtype))
            kernels.convolve((x,), (packed,), conv.geometry, Currents.of(out, 0, 1.0, overwrite=True), None, threads)
            return
        part = padded_crop(x, conv.input_window(0, 0, height), conv.input_window(1, 0, width))
        total = np.zeros(out.shape, np.int32)
        for h, w in np.ndindex(self._taps.shape[:2]):
            total += conv.tap_view(part, (h, w), (height, width)) * self._taps[h, w]
        out[...] = total


class PixelCopy:
    """A pixel map in which every pixel is one source pixel times one weight that all share."""

    def __init__(self, kernel: SpatialKernel, exponent: int) -> None:
        self._indices = kernel.indices
        self._weight = int(kernel.data[0]) << exponent

    @property
    def entries(self) -> tuple[Array, Array, Array]:
        """Pixel of the target, pixel of the source and weight of every entry."""
        return np.arange(self._indices.size), self._indices, np.full(self._indices.size, self._weight)

    @property
    def copies_pixels(self) -> bool:
        """Whether every pixel that is passed on equals one that arrives."""
        return self._weight == 1

    @staticmethod
    def covers(kernel: SpatialKernel) -> bool:
        """Whether ``kernel`` is of this kind."""
        return bool(np.all(np.diff(kernel.indptr) == 1) and np.all(kernel.data == kernel.data[0]))

    @staticmethod
    def upsampling_factor(kernel: SpatialKernel) -> int | None:
        """How often ``kernel`` repeats every pixel each way, ``None`` where it does anything else."""
        (height, width), (rows, columns) = kernel.input_size, kernel.output_size
        factor = rows // height
        if (rows, columns) != (factor * height, factor * width) or not PixelCopy.covers(kernel) or kernel.data[0] != 1:
            return None
        pixels = np.arange(height * width).reshape(height, width)
        repeated = pixels.repeat(factor, axis=0).repeat(factor, axis=1)
        return factor if np.array_equal(kernel.indices, repeated.reshape(-1)) else None

    def __call__(self, x: Maps, out: Integers, threads: int = 1) -> None:  # noqa: ARG002 - a copy is short
        """Write the sums into ``out``."""
        count, height, width, channels = x.shape
        pixels, target = x.reshape(count, height * width, channels), out.reshape(count, -1, channels)
        same, kernels = self._weight == 1 and pixels.dtype == target.dtype, select_kernels()
        if same and kernels is not None:
            kernels.gather_pixels(pixels, self._indices, target)
        elif same:
            # mode="clip" lets NumPy write into out without a buffer; all indices are valid
            np.take(pixels, self._indices, axis=1, out=target, mode="clip")
        else:
            target[...] = pixels[:, self._indices].astype(np.int32) * self._weight
