"""Linear nodes of NIR as kernels over maps (C, H, W): Linear, Affine, Conv1d, Conv2d, SumPool2d, AvgPool2d.

A vector (N) is a map (N, 1, 1), a sequence (C, N) a map (C, 1, N). A linear node reads the whole map, in C order, whether or not
a Flatten stands before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from snn_deploy.arrays import Float64, Int8
from snn_deploy.errors import NetworkError
from snn_deploy.network.kernels import ConvKernel
from snn_deploy.shapes import Pads, Pair, Shape

WEIGHTED = ("Linear", "Affine", "Conv1d", "Conv2d")

POOLS = ("SumPool2d", "AvgPool2d")


@dataclass(frozen=True, eq=False)
class Linear:
    """Real weights (C_out, C_in / groups, K_h, K_w), their geometry as of :class:`ConvKernel`, and a real bias (C_out,)."""

    weight: Float64
    bias: Float64
    strides: Pair = (1, 1)
    pads: Pads = (0, 0, 0, 0)
    dilations: Pair = (1, 1)
    groups: int = 1

    def with_weights(self, weight: Int8) -> ConvKernel:
        """The kernel of this geometry with 8-bit ``weight``."""
        return ConvKernel(weight, self.strides, self.pads, self.dilations, self.groups)


def read_map(name: str, shape: Any) -> Shape:
    """(C, H, W) of a shape of one to three axes."""
    numbers = [] if shape is None else [int(number) for number in np.asarray(shape).reshape(-1)]
    if not 1 <= len(numbers) <= 3:
        raise NetworkError(f"{name}: shape {numbers}; vectors (N), sequences (C, N) and maps (C, H, W) are supported")
    channels, *rest = numbers
    height, width = [1] * (2 - len(rest)) + rest
    return channels, height, width


def read_linear(name: str, node: Any, source: Shape) -> Linear:
    """A weighted node that reads a map of shape ``source``."""
    kind, weight = type(node).__name__, read_real(name, "weight", node.weight)
    bias = read_real(name, "bias", node.bias) if kind != "Linear" else np.zeros(weight.shape[0])
    if bias.reshape(-1).shape != weight.shape[:1]:
        raise NetworkError(f"{name}: {bias.size} biases for {weight.shape[0]} outputs")
    bias = bias.reshape(-1)
    if kind in ("Linear", "Affine"):
        if weight.ndim != 2 or weight.shape[1] != prod(source):
            raise NetworkError(
                f"{name}: weights {weight.shape} do not fit a map {source}; (outputs, {prod(source)}) do"
            )
        return Linear(weight.reshape(-1, *source), bias)
    axes = 1 if kind == "Conv1d" else 2
    if weight.ndim != axes + 2:
        raise NetworkError(f"{name}: weights {weight.shape} of a {kind}, which has {axes + 2} axes")
    stride, dilation = (_per_axis(name, entry, getattr(node, entry), axes) for entry in ("stride", "dilation"))
    weight = weight.reshape(*weight.shape[:2], *([1] * (2 - axes)), *weight.shape[2:])
    pads = _pads(name, node.padding, axes, weight.shape[2:], dilation, stride)
    return Linear(weight, bias, stride, pads, dilation, int(node.groups))


def read_pool(name: str, node: Any, channels: int) -> tuple[Linear, float]:
    """The sum over the windows of a pool, and the factor that makes the result of it: 1, or 1 / window of an average."""
    size, stride, padding = (
        _per_axis(name, entry, getattr(node, entry), 2) for entry in ("kernel_size", "stride", "padding")
    )
    window = Linear(np.ones((channels, 1, *size)), np.zeros(channels), stride, (*padding, *padding), (1, 1), channels)
    return window, 1.0 if type(node).__name__ == "SumPool2d" else 1 / prod(size)


def copy(channels: int) -> Linear:
    """An edge between neurons, without weights."""
    return Linear(np.ones((channels, 1, 1, 1)), np.zeros(channels), groups=channels)


def read_real(name: str, entry: str, values: Any) -> Float64:
    """Finite real numbers."""
    array = np.asarray(values)
    if array.dtype.kind not in "iuf":
        raise NetworkError(f"{name}: {entry} holds {array.dtype} values, which are not real numbers")
    if not np.all(np.isfinite(array)):
        raise NetworkError(f"{name}: {entry} holds values that are not finite; train it again")
    return array.astype(np.float64)


def _per_axis(name: str, entry: str, value: Any, axes: int) -> Pair:
    """(y, x) of a number for both axes, or one for each; the y axis of a sequence has length 1."""
    numbers = [int(number) for number in np.asarray(value).reshape(-1)]
    if len(numbers) == 1:
        return (numbers[0], numbers[0]) if axes == 2 else ({"padding": 0}.get(entry, 1), numbers[0])
    if len(numbers) != 2 or axes == 1:
        raise NetworkError(f"{name}: {entry} {numbers}; one number for each of {axes} axes is supported")
    return numbers[0], numbers[1]


def _pads(name: str, padding: Any, axes: int, size: tuple[int, ...], dilation: Pair, stride: Pair) -> Pads:
    """(top, left, bottom, right); ``same`` puts an odd zero at the end, as PyTorch does."""
    text = padding.decode() if isinstance(padding, bytes) else padding
    if not isinstance(text, str):
        top, left = _per_axis(name, "padding", padding, axes)
        return top, left, top, left
    if text == "valid":
        return 0, 0, 0, 0
    if text != "same" or stride != (1, 1):
        raise NetworkError(f"{name}: padding {text!r} with stride {stride}; give numbers")
    high, wide = (spread * (length - 1) for spread, length in zip(dilation, size, strict=True))
    return high // 2, wide // 2, high - high // 2, wide - wide // 2
