"""Every convolution of the package in one normal form that all kernels take, and the windows of input that it reads.

A transposed convolution of stride s is an ordinary one that computes all s_y * s_x output phases as channels, followed
by depth-to-space. With ``Y`` the output row before ``pads`` crop it, tap h of input row r lands on
``Y = r * s + h * d``; so phase ``Y mod s`` sees the taps with ``h * d mod s`` equal to it, at ``r = Y // s - h * d // s``.

Maps are (N, H, W, C) here, channels last, with N running over steps and images.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np

from snn_deploy.arrays import Array, Int8
from snn_deploy.network.kernels import ConvKernel, TransposedKernel
from snn_deploy.shapes import Pair
from snn_deploy_cpu.kernels.arguments import ConvGeometry, PairField, UpsampleGeometry

Maps: TypeAlias = Array


@dataclass(frozen=True)
class Window:
    """Rows (or columns) ``start..stop`` of the input, perhaps outside of it, for ``outputs`` positions of the kernel.

    ``skip`` rows of the result come before the first one asked for once phases are interleaved.
    """

    start: int
    stop: int
    outputs: int
    skip: int


@dataclass(frozen=True)
class UpsampledConv:
    """A convolution fused with the nearest-neighbour upsampling before it, computed at low resolution.

    Each low-resolution pixel is multiplied by every tap (h, w, o) of ``kernel`` once. With every pixel repeated
    ``factor`` times each way, row Y of the target then adds the products of tap h with row ``(Y - pads + h) // factor``;
    columns alike. Beyond the map there is nothing to add. ``pads`` are the zeros before the map, at high resolution.
    """

    factor: int
    kernel: Pair
    pads: Pair

    @cached_property
    def geometry(self) -> UpsampleGeometry:
        """The same as kernels take it."""
        left = max(-(-self.pads[1] // self.factor), 0)
        return UpsampleGeometry(self.factor, PairField(*self.kernel), PairField(*self.pads), left)


@dataclass(frozen=True, eq=False)
class Convolution:
    """``weight`` (O * u_y * u_x, I / groups, K_h, K_w) int8 slid over the input, then depth-to-space of the phases.

    ``phases`` (u_y, u_x) are 1 for an ordinary convolution. Kernel position q reads input rows
    ``q * stride + h * dilation - pads``; output row y is row ``y + crop`` of the interleaved result.
    """

    weight: Int8
    strides: Pair
    dilations: Pair
    groups: int
    phases: Pair
    pads: Pair
    crop: Pair

    @classmethod
    def of(cls, kernel: ConvKernel | TransposedKernel) -> Convolution:
        """The normal form of ``kernel``."""
        top, left, _, _ = kernel.pads
        if isinstance(kernel, ConvKernel):
            return cls(kernel.weight, kernel.strides, kernel.dilations, kernel.groups, (1, 1), (top, left), (0, 0))
        weight = _phase_weights(kernel)
        pads = (weight.shape[2] - 1, weight.shape[3] - 1)
        return cls(weight, (1, 1), (1, 1), kernel.groups, kernel.strides, pads, (top, left))

    @cached_property
    def geometry(self) -> ConvGeometry:
        """The same as kernels take it."""
        height, width = self.weight.shape[2:]
        return ConvGeometry.of((height, width), self.strides, self.dilations, self.pads, self.phases, self.crop)

    @property
    def depthwise(self) -> bool:
        """Whether each output channel reads the input channel of the same index and no other."""
        return self.weight.shape[1] == 1 and self.groups == self.weight.shape[0] and self.phases == (1, 1)

    def upsampled(self, factor: int) -> tuple[Convolution, UpsampledConv] | None:
        """The same currents from the map of which this one's input repeats every pixel ``factor`` times each way.

        A pointwise convolution with every tap as an output channel, and how its products add up. ``None`` where this
        convolution has strides, dilations, phases or groups.
        """
        if (self.strides, self.dilations, self.phases, self.crop, self.groups) != ((1, 1), (1, 1), (1, 1), (0, 0), 1):
            return None
        _, inputs, height, width = self.weight.shape
        taps = np.ascontiguousarray(self.weight.transpose(2, 3, 0, 1)).reshape(-1, inputs, 1, 1)
        pointwise = Convolution(taps, (1, 1), (1, 1), 1, (1, 1), (0, 0), (0, 0))
        return pointwise, UpsampledConv(factor, (height, width), self.pads)

    def input_window(self, axis: int, begin: int, end: int) -> Window:
        """What output rows (axis 0) or columns (axis 1) ``begin..end`` read."""
        phases, stride, pad = self.phases[axis], self.strides[axis], self.pads[axis]
        low, high = begin + self.crop[axis], end + self.crop[axis]
        # positions that own any of the rows; the first one may begin before them
        position, last = low // phases, -(-high // phases)
        stop = (last - 1) * stride + self.kernel_extent(axis) - pad
        return Window(position * stride - pad, stop, last - position, low - position * phases)

    def kernel_extent(self, axis: int) -> int:
        """Input rows (columns) that one position of the dilated kernel spans."""
        return self.dilations[axis] * (self.weight.shape[2 + axis] - 1) + 1

    def tap_view(self, x: Maps, tap: Pair, positions: Pair) -> Maps:
        """The pixels of ``x`` (N, H, W, ...), padded already, that ``tap`` (h, w) reads at ``positions`` (rows, columns)."""
        (top, left), (rows, columns) = (tap[axis] * self.dilations[axis] for axis in (0, 1)), positions
        (step_y, step_x) = self.strides
        return x[:, top : top + (rows - 1) * step_y + 1 : step_y, left : left + (columns - 1) * step_x + 1 : step_x]


def _phase_weights(kernel: TransposedKernel) -> Int8:
    """Weights (groups * s_y * s_x * o, i, K_h', K_w') of the phases; taps that a phase lacks are 0."""
    inputs, depth, kernel_rows, kernel_columns = kernel.weight.shape
    (step_y, step_x), (gap_y, gap_x), groups = kernel.strides, kernel.dilations, kernel.groups
    rows, columns = (kernel_rows - 1) * gap_y // step_y + 1, (kernel_columns - 1) * gap_x // step_x + 1
    weight = kernel.weight.reshape(groups, inputs // groups, depth, kernel_rows, kernel_columns)
    out = np.zeros((groups, step_y, step_x, depth, inputs // groups, rows, columns), np.int8)
    for h in range(kernel_rows):
        for w in range(kernel_columns):
            row, phase_y = divmod(h * gap_y, step_y)
            column, phase_x = divmod(w * gap_x, step_x)
            # a transposed convolution is a correlation with the kernel turned by 180 degrees
            out[:, phase_y, phase_x, :, :, rows - 1 - row, columns - 1 - column] = weight[..., h, w].swapaxes(1, 2)
    return out.reshape(-1, inputs // groups, rows, columns)


def padded_crop(x: Maps, rows: Window, columns: Window) -> Maps:
    """The rectangle of ``x`` (N, H, W, C) that the windows span, zeros outside of the map; a view where possible."""
    count, height, width, channels = x.shape
    top, left = max(-rows.start, 0), max(-columns.start, 0)
    inside = x[
        :, max(rows.start, 0) : max(min(rows.stop, height), 0), max(columns.start, 0) : max(min(columns.stop, width), 0)
    ]
    shape = (count, rows.stop - rows.start, columns.stop - columns.start, channels)
    if inside.shape == shape:
        return inside
    out = np.zeros(shape, x.dtype)
    out[:, top : top + inside.shape[1], left : left + inside.shape[2]] = inside
    return out
