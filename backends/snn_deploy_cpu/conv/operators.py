"""What a connection adds to its target: operators that compute any rows of it, at all steps and images of a block."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Protocol

import numpy as np

from snn_deploy.arrays import Array
from snn_deploy.network.kernels import SpatialKernel
from snn_deploy_cpu.conv.float_conv import Primitive, Real
from snn_deploy_cpu.conv.geometry import Convolution, Maps, padded_crop
from snn_deploy_cpu.conv.row_band import RowBands


class Operator(Protocol):
    """Payloads (N, H, W, C) to currents (N, row_end - row_begin, W', C'), floats, of those rows of the target."""

    def __call__(self, x: Maps, row_begin: int, row_end: int) -> Array:
        """The currents."""
        ...


class FloatConv:
    """A convolution in floats; ``width`` is that of the target."""

    def __init__(
        self, conv: Convolution, exponent: int, width: int, library: Callable[[], Callable[[Convolution], Primitive]]
    ) -> None:
        self._conv, self._bands = conv, RowBands(conv, width)
        self._scale = 2**exponent
        self._library = library

    @cached_property
    def _primitive(self) -> Primitive:
        # made when it is first used: most layers are left to compiled kernels
        return self._library()(self._conv)

    @property
    def kernel(self) -> tuple[Convolution, Array]:
        """The geometry, and the weights in its layout times the scale."""
        return self._bands.conv, self._primitive.weights.astype(np.float64) * self._scale

    def __call__(self, x: Maps, row_begin: int, row_end: int) -> Array:
        """The currents."""
        band = self._bands.of(x, row_begin, row_end)
        out = band.convolve(self._primitive, x)
        # a power of two: exact
        if self._scale != 1:
            out *= self._scale
        return band.depth_to_space(out)


class DepthwiseConv:
    """Each channel by itself (pooling, relays): a multiplication and a sum for each tap, over all pixels at once."""

    def __init__(self, conv: Convolution, exponent: int, width: int, real: Real) -> None:
        self._conv, self._width = conv, width
        taps: Array = conv.weight[:, 0].transpose(1, 2, 0).astype(real)
        self._taps = (taps * 2.0**exponent).astype(real)

    @property
    def kernel(self) -> tuple[Convolution, Array]:
        """The geometry, and the weights in its layout times the scale."""
        return self._conv, self._taps.transpose(2, 0, 1)[:, None]

    def __call__(self, x: Maps, row_begin: int, row_end: int) -> Array:
        """The currents."""
        rows, columns = self._conv.input_window(0, row_begin, row_end), self._conv.input_window(1, 0, self._width)
        part = padded_crop(x, rows, columns)
        # phases of 1: the windows have exactly the rows and columns that are asked for
        out: Array = np.zeros((x.shape[0], row_end - row_begin, self._width, x.shape[3]), self._taps.dtype)
        for h, w in np.ndindex(self._taps.shape[:2]):
            out += self._conv.tap_view(part, (h, w), (rows.outputs, columns.outputs)) * self._taps[h, w]
        return out


class PixelMap:
    """A sparse map of pixels: rows padded with zero weights to equal length, gathered entry by entry."""

    def __init__(self, kernel: SpatialKernel, exponent: int, real: Real) -> None:
        lengths = np.diff(kernel.indptr)
        self._width, self._real = kernel.output_size[1], real
        # transposed: one vectorized gather for each entry instead of a loop over pixels
        self._indices = np.zeros((max(int(lengths.max(initial=0)), 1), lengths.size), np.int64)
        self._weights: Array = np.zeros(self._indices.shape, real)
        entry = np.arange(kernel.indices.size) - kernel.indptr[kernel.rows]
        self._indices[entry, kernel.rows] = kernel.indices
        self._weights[entry, kernel.rows] = kernel.data
        self._weights *= 2.0**exponent

    @property
    def entries(self) -> tuple[Array, Array, Array]:
        """Pixel of the target, pixel of the source and weight of every entry."""
        targets = np.broadcast_to(np.arange(self._indices.shape[1]), self._indices.shape)
        return targets.reshape(-1), self._indices.reshape(-1), self._weights.reshape(-1)

    def __call__(self, x: Maps, row_begin: int, row_end: int) -> Array:
        """The currents."""
        count, height, width, channels = x.shape
        targets = slice(row_begin * self._width, row_end * self._width)
        pixels = x.reshape(count, height * width, channels)
        out: Array = np.zeros((count, (row_end - row_begin) * self._width, channels), self._real)
        for indices, weights in zip(self._indices, self._weights, strict=True):
            out += pixels[:, indices[targets]] * weights[targets, None]
        return out.reshape(count, row_end - row_begin, self._width, channels)
