"""What a connection adds to its target, computed for any rows of it at all steps and images of a block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from snn_deploy.network.kernels import SpatialKernel
from snn_deploy_cpu.conv.exactness import Plane
from snn_deploy_cpu.conv.float_conv import Primitive, Real
from snn_deploy_cpu.conv.geometry import Convolution, Maps, cut_out
from snn_deploy_cpu.conv.int8_conv import OneDnn
from snn_deploy_cpu.conv.row_band import Views

Floats = npt.NDArray[Any]


class Current(Protocol):
    """Payloads (M, H, W, C) to currents (M, last - first, W', C'), floats, of rows ``first..last`` of the target."""

    def __call__(self, maps: Maps, first: int, last: int) -> Floats:
        """The currents."""
        ...


class FloatCurrent:
    """A convolution in floats."""

    def __init__(
        self, form: Convolution, exponent: int, width: int, library: Callable[[Convolution], Primitive]
    ) -> None:
        self._views = Views(form, width)
        self._scale = 2**exponent
        self._primitive = library(form)

    def __call__(self, maps: Maps, first: int, last: int) -> Floats:
        """The currents."""
        view = self._views.of(maps, first, last)
        out = view.convolve(self._primitive, maps)
        if self._scale != 1:
            out *= self._scale
        return view.interleave(out)


class PlaneCurrent:
    """A convolution of one plane of the payloads in 8 bits, scaled by its power of two, exactly."""

    def __init__(self, form: Convolution, exponent: int, width: int, library: OneDnn, plane: Plane) -> None:
        self._views = Views(form, width)
        self._plane = plane
        self._primitive = library.convolution(form, float(2 ** (exponent + plane.shift)), plane.zero)

    def __call__(self, maps: Maps, first: int, last: int) -> Floats:
        """The currents."""
        view = self._views.of(maps, first, last)
        if maps.dtype == np.uint8 and self._plane.mask is None and not self._plane.shift:
            return view.interleave(view.convolve(self._primitive, maps))
        part = self._plane.stored(cut_out(maps, view.rows, view.columns))
        return view.interleave(self._primitive(part, (0, 0)))


class DepthwiseCurrent:
    """Each channel by itself (pooling, relays): a multiplication and a sum for each tap, over all pixels at once."""

    def __init__(self, form: Convolution, exponent: int, width: int, real: Real) -> None:
        self._form, self._width, self._real = form, width, real
        taps: Floats = form.weight[:, 0].transpose(1, 2, 0).astype(real)
        self._taps = taps * 2.0**exponent

    def __call__(self, maps: Maps, first: int, last: int) -> Floats:
        """The currents."""
        form, (step_y, step_x), (gap_y, gap_x) = self._form, self._form.strides, self._form.dilations
        rows, columns = form.window(0, first, last), form.window(1, 0, self._width)
        part = cut_out(maps, rows, columns)
        out: Floats = np.zeros((maps.shape[0], last - first, self._width, maps.shape[3]), self._real)
        for h, w in np.ndindex(self._taps.shape[:2]):
            window = part[
                :,
                h * gap_y : h * gap_y + (rows.outputs - 1) * step_y + 1 : step_y,
                w * gap_x : w * gap_x + (columns.outputs - 1) * step_x + 1 : step_x,
            ]
            out += window * self._taps[h, w]
        return out


class PixelCurrent:
    """A sparse map of pixels: rows padded with zero weights to equal length, gathered entry by entry."""

    def __init__(self, kernel: SpatialKernel, exponent: int, real: Real) -> None:
        lengths = np.diff(kernel.indptr)
        self._width, self._real = kernel.output_size[1], real
        self._indices = np.zeros((max(int(lengths.max(initial=0)), 1), lengths.size), np.int64)
        self._weights: Floats = np.zeros(self._indices.shape, real)
        place = np.arange(kernel.indices.size) - kernel.indptr[kernel.rows]
        self._indices[place, kernel.rows] = kernel.indices
        self._weights[place, kernel.rows] = kernel.data
        self._weights *= 2.0**exponent

    def __call__(self, maps: Maps, first: int, last: int) -> Floats:
        """The currents."""
        count, height, width, channels = maps.shape
        pixels = slice(first * self._width, last * self._width)
        flat = maps.reshape(count, height * width, channels)
        out: Floats = np.zeros((count, (last - first) * self._width, channels), self._real)
        for indices, weights in zip(self._indices, self._weights, strict=True):
            out += flat[:, indices[pixels]] * weights[pixels, None]
        return out.reshape(count, last - first, self._width, channels)
