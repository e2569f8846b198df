"""Operators of the float graph: frozen, shape-checked, without names of their own. Maps are (C, H, W), batch left out.

Three families. *Linear* operators (``Conv``, ``ConvTranspose``, ``Resample``, ``Affine``, ``Concat``, ``Add``,
``AveragePool``, ``Nearest``) keep sums sums. *Activations* end a layer and become populations: ``Relu`` counts 0..N,
``LeakyRelu`` -M..N with two thresholds (or is rewritten), ``Linear`` counts -N..N (a signed population), ``Relay`` passes
integer sums on exactly. ``Clip`` and ``MaxPool`` are rewritten into these by passes. *Host* operators (``Host``) run on the
host after read-out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from snn_deploy.arrays import Float64, freeze
from snn_deploy.errors import GraphError
from snn_deploy.graph.host import HostFunction
from snn_deploy.shapes import Pads, Pair, Shape


def _check_bias(name: str, bias: Float64, channels: int) -> None:
    if bias.ndim not in (1, 3) or bias.shape[0] != channels:
        raise GraphError(f"{name}: bias {bias.shape} is neither ({channels},) nor ({channels}, H, W)")


def _check_bias_map(name: str, bias: Float64, shape: Shape) -> Shape:
    if bias.ndim == 3 and bias.shape != shape:
        raise GraphError(f"{name}: bias {bias.shape} for an output {shape}")
    return shape


def _same_shapes(name: str, shapes: tuple[Shape, ...]) -> Shape:
    if not shapes or any(shape != shapes[0] for shape in shapes):
        raise GraphError(f"{name} needs inputs of one shape, not {', '.join(map(str, shapes))}")
    return shapes[0]


def _check_weight(name: str, weight: Float64) -> None:
    if weight.ndim != 4:
        raise GraphError(f"{name}: weight {weight.shape} is not (channels, channels, K_h, K_w)")


def _check_positive(name: str, *numbers: int) -> None:
    if min(numbers) < 1:
        raise GraphError(f"{name}: sizes, strides, dilations, groups and scales must be at least 1, not {min(numbers)}")


def _pooled(name: str, shape: Shape, kernel: Pair, strides: Pair, pads: Pads) -> Shape:
    channels, height, width = shape
    top, left, bottom, right = pads
    rows = (height + top + bottom - kernel[0]) // strides[0] + 1
    columns = (width + left + right - kernel[1]) // strides[1] + 1
    if rows < 1 or columns < 1:
        raise GraphError(f"{name}: window {kernel} does not fit into {height}x{width}")
    return channels, rows, columns


@dataclass(frozen=True, eq=False)
class Op:
    """Base of all operators; ``inputs`` is how many values one takes (``None``: one or more)."""

    inputs: ClassVar[int | None] = 1

    def infer(self, shapes: tuple[Shape, ...]) -> Shape:
        """Output shape (C, H, W) for input ``shapes``; :class:`GraphError` where they do not fit."""
        return shapes[0]


@dataclass(frozen=True, eq=False)
class Conv(Op):
    """Cross-correlation, weight (O, I / groups, K_h, K_w), bias (O,); https://onnx.ai/onnx/operators/onnx__Conv.html.

    ``pads`` (top, left, bottom, right) add zeros; negative ones cut. Passes may make the bias a map (O, H_out,
    W_out): a constant added before zero padding counts less at the border.
    """

    weight: Float64
    bias: Float64
    strides: Pair = (1, 1)
    pads: Pads = (0, 0, 0, 0)
    dilations: Pair = (1, 1)
    groups: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", freeze(self.weight, np.float64))
        object.__setattr__(self, "bias", freeze(self.bias, np.float64))
        _check_weight("Conv", self.weight)
        _check_positive("Conv", *self.weight.shape, *self.strides, *self.dilations, self.groups)
        _check_bias("Conv", self.bias, self.weight.shape[0])

    def infer(self, shapes: tuple[Shape, ...]) -> Shape:
        """See :meth:`Op.infer`."""
        channels, height, width = shapes[0]
        outputs, inputs, rows, columns = self.weight.shape
        if channels != inputs * self.groups or outputs % self.groups:
            raise GraphError(
                f"Conv: weight {self.weight.shape} in {self.groups} groups does not fit {channels} input channels"
            )
        top, left, bottom, right = self.pads
        height = (height + top + bottom - self.dilations[0] * (rows - 1) - 1) // self.strides[0] + 1
        width = (width + left + right - self.dilations[1] * (columns - 1) - 1) // self.strides[1] + 1
        if height < 1 or width < 1:
            raise GraphError(f"Conv: kernel {rows}x{columns} does not fit into {shapes[0][1]}x{shapes[0][2]}")
        return _check_bias_map("Conv", self.bias, (outputs, height, width))


@dataclass(frozen=True, eq=False)
class ConvTranspose(Op):
    """Transposed convolution, weight (I, O / groups, K_h, K_w), bias (O,), or a map as in :class:`Conv`.

    https://onnx.ai/onnx/operators/onnx__ConvTranspose.html. ``pads`` cut the full output; ``output_padding`` p is
    written as ``pads - p`` at the bottom and right, so these may be negative: bias-valued rows are then appended.
    """

    weight: Float64
    bias: Float64
    strides: Pair = (1, 1)
    pads: Pads = (0, 0, 0, 0)
    dilations: Pair = (1, 1)
    groups: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", freeze(self.weight, np.float64))
        object.__setattr__(self, "bias", freeze(self.bias, np.float64))
        _check_weight("ConvTranspose", self.weight)
        _check_positive("ConvTranspose", *self.weight.shape, *self.strides, *self.dilations, self.groups)
        _check_bias("ConvTranspose", self.bias, self.weight.shape[1] * self.groups)

    def infer(self, shapes: tuple[Shape, ...]) -> Shape:
        """See :meth:`Op.infer`."""
        channels, height, width = shapes[0]
        inputs, per_group, rows, columns = self.weight.shape
        if channels != inputs or inputs % self.groups:
            raise GraphError(f"ConvTranspose: weight {self.weight.shape} does not fit {channels} input channels")
        top, left, bottom, right = self.pads
        height = (height - 1) * self.strides[0] + self.dilations[0] * (rows - 1) + 1 - top - bottom
        width = (width - 1) * self.strides[1] + self.dilations[1] * (columns - 1) + 1 - left - right
        if height < 1 or width < 1:
            raise GraphError(f"ConvTranspose: pads {self.pads} leave nothing")
        return _check_bias_map("ConvTranspose", self.bias, (per_group * self.groups, height, width))


@dataclass(frozen=True, eq=False)
class Affine(Op):
    """``scale[c] * x + shift[c]``, both (C,): batch normalization at inference, or a constant factor and offset."""

    scale: Float64
    shift: Float64

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", freeze(self.scale, np.float64))
        object.__setattr__(self, "shift", freeze(self.shift, np.float64))
        if self.scale.ndim != 1 or self.scale.shape != self.shift.shape:
            raise GraphError(f"Affine: scale {self.scale.shape} and shift {self.shift.shape} must both be (C,)")

    def infer(self, shapes: tuple[Shape, ...]) -> Shape:
        """See :meth:`Op.infer`."""
        if shapes[0][0] != self.scale.shape[0]:
            raise GraphError(f"Affine: {self.scale.shape[0]} channels, not {shapes[0][0]}")
        return shapes[0]


@dataclass(frozen=True, eq=False)
class Resample(Op):
    """Separable fixed map ``out[c] = rows @ x[c] @ columns.T``: rows (H_out, H_in), columns (W_out, W_in).

    Linear interpolation, constant (zero), edge and reflect padding, cropping, and averages that do not count the
    padding are all of this form.
    """

    rows: Float64
    columns: Float64

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", freeze(self.rows, np.float64))
        object.__setattr__(self, "columns", freeze(self.columns, np.float64))
        if self.rows.ndim != 2 or self.columns.ndim != 2:
            raise GraphError("Resample: rows and columns must be matrices")

    def infer(self, shapes: tuple[Shape, ...]) -> Shape:
        """See :meth:`Op.infer`."""
        if shapes[0][1:] != (self.rows.shape[1], self.columns.shape[1]):
            raise GraphError(f"Resample reads {self.rows.shape[1]}x{self.columns.shape[1]}, not {shapes[0][1:]}")
        return shapes[0][0], self.rows.shape[0], self.columns.shape[0]


@dataclass(frozen=True, eq=False)
class AveragePool(Op):
    """Mean over windows without padding (or with padding counted): sum over the window divided by its full area."""

    kernel: Pair
    strides: Pair
    pads: Pads = (0, 0, 0, 0)

    def __post_init__(self) -> None:
        _check_positive("AveragePool", *self.kernel, *self.strides)

    def infer(self, shapes: tuple[Shape, ...]) -> Shape:
        """See :meth:`Op.infer`."""
        return _pooled("AveragePool", shapes[0], self.kernel, self.strides, self.pads)


@dataclass(frozen=True, eq=False)
class MaxPool(Op):
    """Maximum over windows; padding never wins (minus infinity)."""

    kernel: Pair
    strides: Pair
    pads: Pads = (0, 0, 0, 0)

    def __post_init__(self) -> None:
        _check_positive("MaxPool", *self.kernel, *self.strides)

    def infer(self, shapes: tuple[Shape, ...]) -> Shape:
        """See :meth:`Op.infer`."""
        return _pooled("MaxPool", shapes[0], self.kernel, self.strides, self.pads)


@dataclass(frozen=True, eq=False)
class Nearest(Op):
    """Every pixel repeated ``scale`` = (vertical, horizontal) times."""

    scale: Pair

    def __post_init__(self) -> None:
        _check_positive("Nearest", *self.scale)

    def infer(self, shapes: tuple[Shape, ...]) -> Shape:
        """See :meth:`Op.infer`."""
        return shapes[0][0], shapes[0][1] * self.scale[0], shapes[0][2] * self.scale[1]


@dataclass(frozen=True, eq=False)
class Concat(Op):
    """Channels of the inputs, one after the other, in order."""

    inputs: ClassVar[int | None] = None

    def infer(self, shapes: tuple[Shape, ...]) -> Shape:
        """See :meth:`Op.infer`."""
        if any(shape[1:] != shapes[0][1:] for shape in shapes):
            raise GraphError(f"Concat needs maps of one size, not {', '.join(map(str, shapes))}")
        return sum(shape[0] for shape in shapes), *shapes[0][1:]


@dataclass(frozen=True, eq=False)
class Add(Op):
    """Sum of inputs of one shape."""

    inputs: ClassVar[int | None] = None

    def infer(self, shapes: tuple[Shape, ...]) -> Shape:
        """See :meth:`Op.infer`."""
        return _same_shapes("Add", shapes)


@dataclass(frozen=True, eq=False)
class Relu(Op):
    """``max(x, 0)``, or ``min(max(x, 0), limit[c])``, limit (C,) above 0: becomes a population that counts 0..N."""

    limit: Float64 | None = None

    def __post_init__(self) -> None:
        if self.limit is not None:
            object.__setattr__(self, "limit", freeze(self.limit, np.float64))

    def infer(self, shapes: tuple[Shape, ...]) -> Shape:
        """See :meth:`Op.infer`."""
        if self.limit is not None and (self.limit.shape != (shapes[0][0],) or not np.all(self.limit > 0)):
            raise GraphError(
                f"Relu: limits {self.limit.shape} for {shapes[0][0]} channels, each of which must be above 0"
            )
        return shapes[0]


@dataclass(frozen=True, eq=False)
class LeakyRelu(Op):
    """``max(x, 0) + slope[c] * min(x, 0)``, slope (C,); also PRelu with one slope per channel.

    One population where neurons have a threshold of their own below zero and no slope is negative, else two.
    """

    slope: Float64

    def __post_init__(self) -> None:
        object.__setattr__(self, "slope", freeze(self.slope, np.float64))

    def infer(self, shapes: tuple[Shape, ...]) -> Shape:
        """See :meth:`Op.infer`."""
        if self.slope.shape != (shapes[0][0],):
            raise GraphError(f"LeakyRelu: {self.slope.shape} slopes for {shapes[0][0]} channels")
        return shapes[0]


@dataclass(frozen=True, eq=False)
class Clip(Op):
    """``min(max(x, low), high)``; Relu6 is ``Clip(0, 6)``."""

    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Linear(Op):
    """Identity that becomes a signed population: a linear value that must be sent as spikes (before a Concat, say)."""


@dataclass(frozen=True, eq=False)
class Relay(Op):
    """Identity that becomes a threshold-1 population: passes integer sums of its sources on without error.

    Its inputs are ``AveragePool`` (sent as sums, with a unit of one over the window's area), ``Nearest``, or
    kernels whose weights are -1, 0 and 1, all from sources of one unit. ``rectify`` keeps the count at 0 or above:
    ``max(x, 0)``.
    """

    rectify: bool = False


@dataclass(frozen=True, eq=False)
class Host(Op):
    """A function of the host after read-out (:mod:`snn_deploy.graph.host`)."""

    function: str

    def __post_init__(self) -> None:
        HostFunction.of(self.function)

    def infer(self, shapes: tuple[Shape, ...]) -> Shape:
        """See :meth:`Op.infer`."""
        return HostFunction.of(self.function).infer(shapes[0])
