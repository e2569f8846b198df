"""Every convolution of the package as one form that the libraries know, and the windows it reads.

A transposed convolution of stride s is an ordinary one that computes all s_y * s_x output phases as channels, followed
by a rearrangement of channels into pixels. With ``Y`` the output row before ``pads`` cut it, tap h of input row r lands
on ``Y = r * s + h * d``; so phase ``Y mod s`` sees the taps with ``h * d mod s`` equal to it, at
``r = Y // s - h * d // s``.

Maps are (M, H, W, C) here, channels last, with M running over steps and images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from snn_deploy.network.kernels import ConvKernel, TransposedKernel
from snn_deploy.shapes import Pair

Maps: TypeAlias = npt.NDArray[Any]
Int8: TypeAlias = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Window:
    """Rows (or columns) ``start..stop`` of the input, perhaps outside of it, for ``outputs`` positions of the kernel.

    ``skip`` positions of the result come before the wanted ones once phases are interleaved.
    """

    start: int
    stop: int
    outputs: int
    skip: int


@dataclass(frozen=True)
class Fold:
    """How products of pixels with every tap (h, w, o) of a ``kernel`` add up to the currents from a map that repeats the pixels.

    With every pixel repeated ``factor`` times each way, row Y of the target sees tap h of row ``(Y - before + h) // factor``;
    columns alike. There is nothing to see beyond the map.
    """

    factor: int
    kernel: Pair
    before: Pair

    @property
    def numbers(self) -> tuple[int, Pair, Pair, int]:
        """What compiled loops take of it: its fields, and the pixels left of a map that are seen."""
        return self.factor, self.kernel, self.before, self._left

    @property
    def _left(self) -> int:
        return max(-(-self.before[1] // self.factor), 0)

    @property
    def rows(self) -> int:
        """Rows that one row of the target sees at most."""
        return (self.kernel[0] - 2) // self.factor + 2

    def pixels(self, width: int, columns: int) -> int:
        """Pixels of a row that has room for ``width`` and for what ``columns`` of the target see beside it."""
        last = (columns - 1 - self.before[1] + self.kernel[1] - 1) // self.factor
        return self._left + max(last + 1, width)


@dataclass(frozen=True, eq=False)
class Convolution:
    """``weight`` (O * u_y * u_x, I / groups, K_h, K_w) slid over the input, then channels rearranged into pixels.

    ``up`` are the phases (u_y, u_x), 1 for an ordinary convolution. Kernel position q reads input rows
    ``q * stride + h * dilation - before``; output row y is row ``y + cut`` of the interleaved result.
    """

    weight: Int8
    strides: Pair
    dilations: Pair
    groups: int
    up: Pair
    before: Pair
    cut: Pair

    @classmethod
    def of(cls, kernel: ConvKernel | TransposedKernel) -> Convolution:
        """The form of ``kernel``."""
        top, left, _, _ = kernel.pads
        if isinstance(kernel, ConvKernel):
            return cls(kernel.weight, kernel.strides, kernel.dilations, kernel.groups, (1, 1), (top, left), (0, 0))
        weight = _phases(kernel)
        before = (weight.shape[2] - 1, weight.shape[3] - 1)
        return cls(weight, (1, 1), (1, 1), kernel.groups, kernel.strides, before, (top, left))

    @property
    def numbers(self) -> tuple[Pair, ...]:
        """What compiled loops take of it: kernel size, strides, dilations, before, up and cut."""
        height, width = self.weight.shape[2:]
        return (height, width), self.strides, self.dilations, self.before, self.up, self.cut

    def folded(self, factor: int) -> tuple[Convolution, Fold] | None:
        """The same currents from a map of which this one's input repeats every pixel ``factor`` times each way.

        The first form multiplies single pixels by every tap, once for all of their repetitions; what it finds is then
        folded. ``None`` where this one is not plain enough.
        """
        if (self.strides, self.dilations, self.up, self.cut, self.groups) != ((1, 1), (1, 1), (1, 1), (0, 0), 1):
            return None
        _, inputs, height, width = self.weight.shape
        taps = np.ascontiguousarray(self.weight.transpose(2, 3, 0, 1)).reshape(-1, inputs, 1, 1)
        form = Convolution(taps, (1, 1), (1, 1), 1, (1, 1), (0, 0), (0, 0))
        return form, Fold(factor, (height, width), self.before)

    @property
    def depthwise(self) -> bool:
        """Whether each output channel reads the input channel of the same index and no other."""
        return self.weight.shape[1] == 1 and self.groups == self.weight.shape[0] and self.up == (1, 1)

    def window(self, axis: int, first: int, last: int) -> Window:
        """What output rows (axis 0) or columns (axis 1) ``first..last`` read."""
        up, stride, before = self.up[axis], self.strides[axis], self.before[axis]
        low, high = first + self.cut[axis], last + self.cut[axis]
        position, end = low // up, -(-high // up)
        stop = (end - 1) * stride + self.reach(axis) - before
        return Window(position * stride - before, stop, end - position, low - position * up)

    def reach(self, axis: int) -> int:
        """Input rows (columns) that one position of the kernel spans."""
        return self.dilations[axis] * (self.weight.shape[2 + axis] - 1) + 1


def _phases(kernel: TransposedKernel) -> Int8:
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
            out[:, phase_y, phase_x, :, :, rows - 1 - row, columns - 1 - column] = weight[..., h, w].swapaxes(1, 2)
    return out.reshape(-1, inputs // groups, rows, columns)


def cut_out(maps: Maps, rows: Window, columns: Window) -> Maps:
    """The rectangle of ``maps`` (M, H, W, C) that the windows span, zeros outside; a view where possible."""
    count, height, width, channels = maps.shape
    top, left = max(-rows.start, 0), max(-columns.start, 0)
    inside = maps[
        :, max(rows.start, 0) : max(min(rows.stop, height), 0), max(columns.start, 0) : max(min(columns.stop, width), 0)
    ]
    shape = (count, rows.stop - rows.start, columns.stop - columns.start, channels)
    if inside.shape == shape:
        return inside
    out = np.zeros(shape, maps.dtype)
    out[:, top : top + inside.shape[1], left : left + inside.shape[2]] = inside
    return out
