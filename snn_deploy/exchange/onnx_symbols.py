"""What a value of an integer ONNX graph is, as a function of the counts it depends on; without the batch axis everywhere.

:class:`Maps` moves the counts of one population about and changes each by the same function; :class:`Sums` is a constant
and linear maps of such; :class:`Pointwise` is a function of one sum. Every other value is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from typing import Literal, TypeAlias

import numpy as np

from snn_deploy.arrays import Array, Int64
from snn_deploy.backend.compiled_form import NOWHERE, Part, Pixels, Windows
from snn_deploy.errors import CompiledFormError
from snn_deploy.shapes import Pair, Shape

MOST_VALUES = 2**27
"""Most values of a map: a file from a stranger must not ask for one that no memory holds."""

MOST_COUNTS = 2**25
"""Most counts that a population may have; 24 bits hold half of them."""

Operation: TypeAlias = Callable[[Int64, Int64], Int64]
Rule: TypeAlias = Literal["rest", "multiple", "quotient"]


@dataclass(frozen=True, eq=False)
class Maps:
    """``reading[count - first]`` of the counts of ``source`` that ``pixels`` names, ``padding`` where it names none.

    ``pixels`` has the value's shape; it holds places in the flattened source.
    """

    source: str
    shape: Shape
    pixels: Int64
    reading: Int64
    first: int
    padding: int = 0
    is_byte: bool = False

    @classmethod
    def of(cls, source: str, shape: Shape, least: int, greatest: int) -> Maps:
        """The counts of ``source`` as they are."""
        refuse_many(prod(shape))
        if greatest - least > MOST_COUNTS:
            raise CompiledFormError(f"counts {least}..{greatest} are more than 24 bits hold")
        pixels = np.arange(np.prod(shape), dtype=np.int64).reshape(shape)
        return cls(source, shape, pixels, np.arange(least, greatest + 1, dtype=np.int64), least)

    def changed(self, operation: Operation, operand: int | Maps, *, swapped: bool) -> Maps:
        """Every value with ``operand``, a number or another function of the same counts; ``swapped``: the operand is the first."""
        if isinstance(operand, Maps):
            same = operand.source == self.source and np.array_equal(operand.pixels, self.pixels)
            if not same:
                raise CompiledFormError("it combines counts of different places")
            reading, padding = operand.reading, np.int64(operand.padding)
        else:
            reading, padding = np.full_like(self.reading, operand), np.int64(operand)
        pairs = ((self.reading, reading), (np.atleast_1d(np.int64(self.padding)), np.atleast_1d(padding)))
        results = [operation(*(pair[::-1] if swapped else pair)) for pair in pairs]
        return replace(self, reading=results[0], padding=int(results[1][0]))

    @property
    def limits(self) -> Pair:
        """Least and greatest value."""
        values = [int(self.reading.min()), int(self.reading.max())]
        if np.any(self.pixels == NOWHERE):
            values.append(self.padding)
        return min(values), max(values)

    def part(self, linear: Windows | Pixels, zero: int) -> Part:
        """``linear`` of these values less ``zero``."""
        values = self.reading - zero
        plain = values[0] == self.first and bool(np.all(np.diff(values) == 1))
        return Part(linear, None if plain else values, self.first, self.padding - zero)

    def axes(self) -> tuple[Int64, Int64]:
        """The rows and columns of the source that a map (C, H, W) shows; refused unless rows and columns are chosen apart."""
        channels, height, width = self.shape
        if self.pixels.ndim != 3 or self.pixels.shape[0] != channels:
            raise CompiledFormError(
                f"a map of shape {self.pixels.shape} does not show the {channels} channels of its source"
            )
        inside = self.pixels != NOWHERE
        place = self.pixels % (height * width)
        rows = np.where(inside, place // width, NOWHERE).max((0, 2))
        columns = np.where(inside, place % width, NOWHERE).max((0, 1))
        channel = np.arange(channels, dtype=np.int64)[:, None, None] * (height * width)
        expected = channel + rows[:, None] * width + columns
        expected[:, (rows[:, None] == NOWHERE) | (columns == NOWHERE)] = NOWHERE
        if not np.array_equal(expected, self.pixels):
            raise CompiledFormError("a map does not show rows and columns of its source")
        return rows, columns


@dataclass(frozen=True, eq=False)
class Sums:
    """``offset`` and the ``parts`` of each source, int32; every partial sum lies in ``low..high``."""

    offset: Int64
    parts: tuple[tuple[str, Part], ...]
    shape: tuple[int, ...]
    low: int
    high: int

    def scaled(self, factor: int) -> Sums:
        """Times ``factor``."""
        parts = tuple((source, replace(part, linear=_scale(part.linear, factor))) for source, part in self.parts)
        ends = sorted((self.low * factor, self.high * factor))
        return Sums(self.offset * factor, parts, self.shape, ends[0], ends[1])

    def plus(self, other: Sums) -> Sums:
        """The sum of both."""
        if self.shape != other.shape:
            raise CompiledFormError(f"it adds maps of {self.shape} and {other.shape}")
        return Sums(
            self.offset + other.offset,
            (*self.parts, *other.parts),
            self.shape,
            self.low + other.low,
            self.high + other.high,
        )

    def plus_constant(self, values: Int64) -> Sums:
        """With ``values``, of a shape that broadcasts to its own, added."""
        try:
            fits = np.broadcast_shapes(values.shape, self.shape) == self.shape and values.ndim == len(self.shape)
        except ValueError:
            fits = False
        if not fits:
            raise CompiledFormError(f"it adds constants of {values.shape} to maps of {self.shape}")
        low, high = min(int(values.min()), 0), max(int(values.max()), 0)
        return Sums(self.offset + values, self.parts, self.shape, self.low + low, self.high + high)


@dataclass(frozen=True, eq=False)
class Pointwise:
    """``evaluate(sums)``, which for a known ``rule`` and ``divisor`` (C,) is s mod d, s - s mod d, or floor(s / d)."""

    sums: Sums
    evaluate: Callable[[Int64], Int64]
    low: int
    high: int
    rule: Rule | None = None
    divisor: Int64 | None = None
    is_identity: bool = False
    is_per_channel: bool = True

    @classmethod
    def of(cls, sums: Sums) -> Pointwise:
        """The sums as they are."""
        return cls(sums, lambda values: values, sums.low, sums.high, is_identity=True)


@dataclass(frozen=True, eq=False)
class Limited:
    """``clip(inner, least, greatest)``."""

    inner: Pointwise
    least: int
    greatest: int


@dataclass(frozen=True, eq=False)
class LimitedSum:
    """The sum of functions of the same sum but for its offset, each between limits of its own."""

    parts: tuple[Limited, ...]


Symbol: TypeAlias = "Maps | Sums | Pointwise | Limited | LimitedSum | Array"


def weigh_pixels(maps: Maps, weights: Int64) -> Sums:
    """``weights`` (P,) times a map (C, P) whose channels show the same pixels of the source."""
    channels, height, width = maps.shape
    size = height * width
    chosen = maps.pixels[0] if maps.pixels.ndim == 2 else np.full(0, NOWHERE)
    expected = np.arange(channels, dtype=np.int64)[:, None] * size + chosen
    if chosen.min(initial=0) < 0 or maps.pixels.shape[0] != channels or not np.array_equal(expected, maps.pixels):
        raise CompiledFormError("it weighs something else than the same pixels of every channel")
    if weights.shape != chosen.shape:
        raise CompiledFormError(f"{weights.shape} weights for {chosen.size} pixels")
    ends = np.multiply.outer(weights[[weights.argmin(), weights.argmax()]], np.array(maps.limits))
    part = maps.part(Pixels(np.arange(chosen.size), chosen, weights), 0)
    low, high = min(int(ends.min()), 0), max(int(ends.max()), 0)
    return Sums(np.zeros((1, 1), np.int64), ((maps.source, part),), (channels, chosen.size), low, high)


def convolve(maps: Maps, weight: Int64, zero: int, strides: Pair, dilations: Pair, groups: int) -> Sums:
    """A convolution of a map less ``zero``; ``weight`` (O, I, K_h, K_w)."""
    if weight.ndim != 4 or weight.shape[1] * groups != maps.shape[0] or weight.shape[0] % groups:
        raise CompiledFormError(f"weights {weight.shape} in {groups} groups do not read {maps.shape[0]} channels")
    taps = [
        _tap(axis, size, step, gap)
        for axis, size, step, gap in zip(maps.axes(), weight.shape[2:], strides, dilations, strict=True)
    ]
    windows = Windows(weight, taps[0], taps[1], groups)
    least, greatest = (limit - zero for limit in maps.limits)
    positive, negative = np.maximum(weight, 0).sum((1, 2, 3)), np.minimum(weight, 0).sum((1, 2, 3))
    least, greatest = min(least, 0), max(greatest, 0)
    low, high = int((positive * least + negative * greatest).min()), int((positive * greatest + negative * least).max())
    shape = (weight.shape[0], windows.rows.shape[0], windows.columns.shape[0])
    return Sums(np.zeros((1, 1, 1), np.int64), ((maps.source, maps.part(windows, zero)),), shape, low, high)


def _tap(axis: Int64, size: int, step: int, gap: int) -> Int64:
    """Place of the source (positions, taps) that each tap reads along an ``axis``."""
    count = (axis.size - gap * (size - 1) - 1) // step + 1
    if count < 1:
        raise CompiledFormError(f"a kernel of {size} taps does not fit into {axis.size} pixels")
    return axis[np.arange(count)[:, None] * step + np.arange(size) * gap]


def _scale(linear: object, factor: int) -> Windows | Pixels:
    if isinstance(linear, Windows):
        return replace(linear, weight=linear.weight * factor)
    if isinstance(linear, Pixels):
        return replace(linear, weights=linear.weights * factor)
    raise CompiledFormError("a list of synapses cannot come from an ONNX file")


def refuse_many(values: int) -> None:
    """:class:`~snn_deploy.errors.CompiledFormError` for a map of more ``values`` than a network may have."""
    if values > MOST_VALUES:
        raise CompiledFormError(f"a map of {values:,} values; at most {MOST_VALUES:,} are read")


def floor_modulo(values: Int64, divisor: Int64) -> Int64:
    """ONNX's ``Mod`` with ``fmod=0``: the sign of the divisor."""
    _refuse_zero(divisor)
    return np.mod(values, divisor)


def truncated_quotient(values: Int64, divisor: Int64) -> Int64:
    """ONNX's ``Div`` of integers, rounded toward 0."""
    _refuse_zero(divisor)
    quotient: Int64 = np.sign(values) * np.sign(divisor) * (np.abs(values) // np.abs(divisor))
    return quotient


def _refuse_zero(divisor: Int64) -> None:
    if np.any(divisor == 0):
        raise CompiledFormError("it divides by 0")
