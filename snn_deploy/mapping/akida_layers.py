"""Layers of BrainChip's Akida 2, and how kernels of a network become theirs.

A layer computes, from signed counts x of 8 bits with a shift i for each of its channels (doc.brainchipinc.com, the engine's
interface, looked up on 2026-11-30),

    y = clip((sum (x << i) w + (b << s) + half) >> n),    half = 2**(n - 1), or 0 where n is 0

with weights w and bias mantissas b of 8 bits, and a shift n for each of its own channels; the clipping is to 0..N (ReLU), to
-128..127, or, in a last layer, to 28 bits. Kernels are square and odd and centered ("same" padding as in TensorFlow: the smaller
half of it comes first), strides 1 or 2; transposed ones have stride 2 and 3 or 4 taps a side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from snn_deploy.arrays import Int8, Int64, freeze
from snn_deploy.errors import MisfitError
from snn_deploy.network.kernels import ConvKernel, TransposedKernel
from snn_deploy.shapes import Pair

Kind: TypeAlias = Literal["conv", "depthwise", "transposed", "depthwise transposed"]

SIDES = {1: (1, 3, 5, 7), 2: (1, 3)}
"""Sides of convolutions by stride."""

DEPTHWISE_SIDES = {1: (3, 5, 7), 2: (3,)}
"""Sides of those that read every channel by itself."""

TRANSPOSED_SIDES = (3, 4)
"""Sides of transposed convolutions."""

COUNT_MIN = -128
COUNT_MAX = 127
"""What a layer can send to another."""

MANTISSA_MAX = 127
"""Largest magnitude of a bias before its shift."""

SUM_BITS = 28
"""Bits of a last layer's sums."""


@dataclass(frozen=True, eq=False)
class EngineLayer:
    """One layer; ``sources`` are layers before it, or the input, whose channels it reads one after the other.

    ``weight`` int8 is (C_out, C_in, K, K) and unflipped, or (C, 1, K, K) where every channel is read by itself; that of a
    transposed one the same, so that tap q of source pixel y is added to pixel ``2 y + q - (K - 2) // 2``. ``input_shift``
    (C_in,), ``bias``, ``bias_shift`` and ``output_shift`` (C_out,) int64. Counts are limited to ``low..high``: 0 to at most
    :data:`COUNT_MAX`, all 8 bits, or (``None``) 28. ``pool``: the largest in windows of so many pixels, in steps of ``step``.
    """

    name: str
    kind: Kind
    sources: tuple[str, ...]
    weight: Int8
    input_shift: Int64
    bias: Int64
    bias_shift: Int64
    output_shift: Int64
    limits: tuple[int, int] | None
    stride: int = 1
    pool: int = 1
    step: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", freeze(self.weight, np.int8))
        for name in ("input_shift", "bias", "bias_shift", "output_shift"):
            object.__setattr__(self, name, freeze(getattr(self, name), np.int64))

    @property
    def side(self) -> int:
        """Taps a side."""
        return self.weight.shape[2]


def pad_before(side: int, stride: int, extent: int) -> int:
    """Rows of zeros before ``extent`` rows; the others come behind them."""
    return max((-(-extent // stride) - 1) * stride + side - extent, 0) // 2


def place_convolutions(kernels: Sequence[ConvKernel], size: Pair, stride: int, *, depthwise: bool) -> list[Int8]:
    """Weights (C_out, C_in, K, K) of convolutions that one layer of ``stride`` can hold, with one K for all of them.

    ``size`` is that of the sources; :class:`MisfitError` where the taps fit no kernel of the engine.
    """
    sides = (DEPTHWISE_SIDES if depthwise else SIDES)[stride]
    for side in sides:
        before = pad_before(side, stride, size[0]), pad_before(side, stride, size[1])
        offsets = [(before[0] - kernel.pads[0], before[1] - kernel.pads[1]) for kernel in kernels]
        if all(_holds(side, kernel, offset) for kernel, offset in zip(kernels, offsets, strict=True)):
            return [
                _embed(_ungroup(kernel) if not depthwise else kernel.weight, side, offset, kernel.dilations)
                for kernel, offset in zip(kernels, offsets, strict=True)
            ]
    raise MisfitError(
        f"{_describe(kernels)} is not centered in windows of {', '.join(map(str, sides))} pixels a side, as Akida's layers of"
        f" stride {stride} are"
    )


def place_transposed(kernels: Sequence[TransposedKernel], *, depthwise: bool) -> list[Int8]:
    """The same for transposed convolutions, as (C_out, C_in, K, K)."""
    for side in TRANSPOSED_SIDES:
        before = (side - 2) // 2
        offsets = [(before - kernel.pads[0], before - kernel.pads[1]) for kernel in kernels]
        if all(_holds(side, kernel, offset) for kernel, offset in zip(kernels, offsets, strict=True)):
            return [
                _embed(_turn(kernel) if not depthwise else kernel.weight, side, offset, kernel.dilations)
                for kernel, offset in zip(kernels, offsets, strict=True)
            ]
    raise MisfitError(f"{_describe(kernels)} is none of Akida's, which have stride 2 and 3 or 4 taps a side")


def is_depthwise(kernel: ConvKernel | TransposedKernel) -> bool:
    """Whether every channel is read by itself, into one."""
    return kernel.weight.shape[1] == 1 and kernel.groups == kernel.weight.shape[0]


def _holds(side: int, kernel: ConvKernel | TransposedKernel, offset: Pair) -> bool:
    """Whether all taps of ``kernel``, moved by ``offset``, lie in a window of ``side``."""
    return all(
        move >= 0 and move + (taps - 1) * gap < side
        for move, taps, gap in zip(offset, kernel.weight.shape[2:], kernel.dilations, strict=True)
    )


def _embed(weight: Int8, side: int, offset: Pair, gaps: Pair) -> Int8:
    """``weight`` in a window of ``side``, zeros around it."""
    outputs, inputs, rows, columns = weight.shape
    whole = np.zeros((outputs, inputs, side, side), np.int8)
    whole[
        ...,
        offset[0] : offset[0] + (rows - 1) * gaps[0] + 1 : gaps[0],
        offset[1] : offset[1] + (columns - 1) * gaps[1] + 1 : gaps[1],
    ] = weight
    return whole


def _ungroup(kernel: ConvKernel) -> Int8:
    """Weights (C_out, C_in, K_h, K_w) with zeros between the groups."""
    outputs, inputs, *window = kernel.weight.shape
    whole = np.zeros((outputs, inputs * kernel.groups, *window), np.int8)
    each = outputs // kernel.groups
    for group in range(kernel.groups):
        part = slice(group * each, (group + 1) * each)
        whole[part, group * inputs : (group + 1) * inputs] = kernel.weight[part]
    return whole


def _turn(kernel: TransposedKernel) -> Int8:
    """The same of a transposed convolution, whose inputs stand first."""
    turned = np.ascontiguousarray(kernel.weight.swapaxes(0, 1))
    if kernel.groups == 1:
        return turned
    each = kernel.weight.shape[0] // kernel.groups
    outputs = kernel.weight.shape[1]
    whole = np.zeros((outputs * kernel.groups, kernel.weight.shape[0], *kernel.weight.shape[2:]), np.int8)
    for group in range(kernel.groups):
        part = slice(group * each, (group + 1) * each)
        whole[group * outputs : (group + 1) * outputs, part] = turned[:, part]
    return whole


def _describe(kernels: Sequence[ConvKernel | TransposedKernel]) -> str:
    kinds = []
    for kernel in kernels:
        window = "x".join(map(str, kernel.weight.shape[2:]))
        kind = "convolution" if isinstance(kernel, ConvKernel) else "transposed convolution"
        spread = f", dilations {kernel.dilations}" if kernel.dilations != (1, 1) else ""
        kinds.append(f"a {kind} of {window}, strides {kernel.strides}, pads {kernel.pads}{spread}")
    return " with ".join(dict.fromkeys(kinds))


def unfold(kernel: TransposedKernel) -> ConvKernel:
    """The convolution that gives the same of a map with a row and a column of zeros behind each of its pixels'.

    Strides of ``kernel`` are 2; the map that the convolution reads has twice as many rows and columns.
    """
    turned = np.ascontiguousarray(_turn(kernel)[..., ::-1, ::-1])
    rows, columns = ((taps - 1) * gap for taps, gap in zip(kernel.weight.shape[2:], kernel.dilations, strict=True))
    top, left, bottom, right = kernel.pads
    # full rows of the transposed one: 2 H - 1 + (taps - 1) gap; this map ends one row of zeros later
    pads = rows - top, columns - left, rows - bottom - 1, columns - right - 1
    return ConvKernel(turned, (1, 1), pads, kernel.dilations)


def pass_on(name: str, source: str, channels: int, *, signed: bool, tap: Pair = (1, 1)) -> EngineLayer:
    """A layer that passes every count of ``source`` on, from pixel ``tap`` of a window of 3x3."""
    weight = np.zeros((channels, 1, 3, 3), np.int8)
    weight[:, :, tap[0], tap[1]] = 1
    none = np.zeros(channels, np.int64)
    limits = (COUNT_MIN if signed else 0, COUNT_MAX)
    return EngineLayer(name, "depthwise", (source,), weight, none, none, none, none, limits)
