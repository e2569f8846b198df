"""Kernels: int8 weights and the geometry in which they are shared; :mod:`snn_deploy.network.dynamics` computes with them.

Axis order is (C, H, W) for maps, (C_out, C_in / groups, K_h, K_w) for convolutions and (C_in, C_out / groups, K_h,
K_w) for transposed ones, as ONNX has them (https://onnx.ai/onnx/operators/onnx__Conv.html,
onnx__ConvTranspose.html). Both slide the kernel unflipped (cross-correlation). ``pads`` are (top, left, bottom,
right).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np

from snn_deploy.arrays import Int8, Int64, freeze
from snn_deploy.errors import NetworkError
from snn_deploy.shapes import Pads, Pair, Shape

MAX_GEOMETRY = 4096
"""Largest stride, dilation and pad: a file from a stranger must not ask for a map that no memory holds."""


def _check_window(weight: Int8, strides: Pair, pads: Pads, dilations: Pair, groups: int) -> None:
    if weight.ndim != 4 or 0 in weight.shape:
        raise NetworkError(f"weight {weight.shape} is not (channels, channels, K_h, K_w)")
    if min(*strides, *dilations, groups) < 1:
        raise NetworkError(f"strides {strides}, dilations {dilations} and groups {groups} must be at least 1")
    if max(*strides, *dilations, *map(abs, pads)) > MAX_GEOMETRY:
        raise NetworkError(f"strides {strides}, dilations {dilations} or pads {pads} exceed {MAX_GEOMETRY}")


def _check_crop(size: Pair, pads: Pads) -> None:
    """A crop must leave a part of the map, so that padding never stands where a crop went past the far edge."""
    top, left, bottom, right = (max(-pad, 0) for pad in pads)
    if size[0] - top - bottom < 1 or size[1] - left - right < 1:
        raise NetworkError(f"pads {pads} leave nothing of {size[0]}x{size[1]}")


@dataclass(frozen=True, eq=False)
class ConvKernel:
    """``out[o, y, x] = sum_{i, h, w} weight[o, i, h, w] * padded[g(o) * I + i, y * s_y + h * d_y, x * s_x + w * d_x]``.

    ``weight`` (O, I, K_h, K_w) int8, with I the channels of one group. ``pads`` add zeros around the input; a
    negative pad cuts rows or columns off.
    """

    weight: Int8
    strides: Pair = (1, 1)
    pads: Pads = (0, 0, 0, 0)
    dilations: Pair = (1, 1)
    groups: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", freeze(self.weight, np.int8))
        _check_window(self.weight, self.strides, self.pads, self.dilations, self.groups)
        if self.weight.shape[0] % self.groups:
            raise NetworkError(f"{self.weight.shape[0]} output channels do not split into {self.groups} groups")

    def workspace(self, shape: Shape) -> int:
        """Values of the padded input of ``shape``."""
        channels, height, width = shape
        top, left, bottom, right = (max(pad, 0) for pad in self.pads)
        return channels * (height + top + bottom) * (width + left + right)

    def output_shape(self, shape: Shape) -> Shape:
        """Shape (C, H, W) that an input of ``shape`` is mapped to."""
        channels, height, width = shape
        if channels != self.weight.shape[1] * self.groups:
            raise NetworkError(f"kernel reads {self.weight.shape[1] * self.groups} channels, not {channels}")
        _check_crop((height, width), self.pads)
        top, left, bottom, right = self.pads
        rows = (height + top + bottom - self.dilations[0] * (self.weight.shape[2] - 1) - 1) // self.strides[0] + 1
        columns = (width + left + right - self.dilations[1] * (self.weight.shape[3] - 1) - 1) // self.strides[1] + 1
        if rows < 1 or columns < 1:
            raise NetworkError(f"kernel {self.weight.shape[2:]} does not fit into a map of {height}x{width}")
        return self.weight.shape[0], rows, columns


@dataclass(frozen=True, eq=False)
class TransposedKernel:
    """``full[o, y * s_y + h * d_y, x * s_x + w * d_x] += weight[i, o, h, w] * in[i, y, x]``, then cut by ``pads``.

    ``weight`` (I, O, K_h, K_w) int8, with O the output channels of one group. A negative bottom or right pad appends
    zeros: ONNX's ``output_padding`` p is ``pads[2] - p``, ``pads[3] - p``.
    """

    weight: Int8
    strides: Pair = (1, 1)
    pads: Pads = (0, 0, 0, 0)
    dilations: Pair = (1, 1)
    groups: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", freeze(self.weight, np.int8))
        _check_window(self.weight, self.strides, self.pads, self.dilations, self.groups)
        if self.weight.shape[0] % self.groups:
            raise NetworkError(f"{self.weight.shape[0]} input channels do not split into {self.groups} groups")

    def full_size(self, height: int, width: int) -> Pair:
        """Rows and columns before ``pads`` cut them."""
        return (
            (height - 1) * self.strides[0] + self.dilations[0] * (self.weight.shape[2] - 1) + 1,
            (width - 1) * self.strides[1] + self.dilations[1] * (self.weight.shape[3] - 1) + 1,
        )

    def workspace(self, shape: Shape) -> int:
        """Values of the output of an input of ``shape`` before ``pads`` cut it, or after they enlarged it."""
        rows, columns = self.full_size(*shape[1:])
        top, left, bottom, right = (max(-pad, 0) for pad in self.pads)
        return self.weight.shape[1] * self.groups * (rows + top + bottom) * (columns + left + right)

    def output_shape(self, shape: Shape) -> Shape:
        """Shape (C, H, W) that an input of ``shape`` is mapped to."""
        channels, height, width = shape
        if channels != self.weight.shape[0]:
            raise NetworkError(f"kernel reads {self.weight.shape[0]} channels, not {channels}")
        rows, columns = self.full_size(height, width)
        top, left, bottom, right = self.pads
        _check_crop((rows, columns), (-top, -left, -bottom, -right))
        return self.weight.shape[1] * self.groups, rows - top - bottom, columns - left - right


@dataclass(frozen=True, eq=False)
class SpatialKernel:
    """One sparse map of pixels shared by all channels: ``out[c, p] = sum_j data[j] * in[c, indices[j]]`` over row p.

    Compressed sparse rows: ``indptr`` (H_out * W_out + 1,) int64, ``indices`` int64 into H_in * W_in, ``data``
    int8, all in C order. It stands for interpolation, reflection and other fixed resampling that no convolution
    expresses.
    """

    input_size: Pair
    output_size: Pair
    indptr: Int64
    indices: Int64
    data: Int8

    def __post_init__(self) -> None:
        object.__setattr__(self, "indptr", freeze(self.indptr, np.int64))
        object.__setattr__(self, "indices", freeze(self.indices, np.int64))
        object.__setattr__(self, "data", freeze(self.data, np.int8))
        rows, columns = self.output_size[0] * self.output_size[1], self.input_size[0] * self.input_size[1]
        # Neighbours are compared, not subtracted: the difference of two int64 may not fit int64.
        if self.indptr.shape != (rows + 1,) or self.indptr[0] != 0 or np.any(self.indptr[1:] < self.indptr[:-1]):
            raise NetworkError(f"row pointers do not describe {rows} rows")
        if self.indices.shape != self.data.shape or self.indices.shape != (int(self.indptr[-1]),):
            raise NetworkError(
                f"{self.indices.size} column indices, {self.data.size} weights, {self.indptr[-1]} promised"
            )
        if self.indices.size and not 0 <= self.indices.min() <= self.indices.max() < columns:
            raise NetworkError(f"column indices leave 0..{columns - 1}")

    @cached_property
    def rows(self) -> Int64:
        """Output pixel of each entry of ``data``."""
        return np.repeat(np.arange(self.indptr.size - 1, dtype=np.int64), np.diff(self.indptr))

    def workspace(self, shape: Shape) -> int:
        """Values of the output of an input of ``shape``."""
        return shape[0] * self.output_size[0] * self.output_size[1]

    def output_shape(self, shape: Shape) -> Shape:
        """Shape (C, H, W) that an input of ``shape`` is mapped to."""
        if shape[1:] != self.input_size:
            raise NetworkError(f"the pixel map reads {self.input_size}, not {shape[1:]}; convert again for this size")
        return shape[0], *self.output_size


Kernel: TypeAlias = ConvKernel | TransposedKernel | SpatialKernel


def identity(channels: int, weight: int = 1) -> ConvKernel:
    """The kernel that passes each channel on, times ``weight``."""
    return ConvKernel(np.full((channels, 1, 1, 1), weight), groups=channels)
