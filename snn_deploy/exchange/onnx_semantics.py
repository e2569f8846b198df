"""What the operators of an integer ONNX graph do to symbols, by the ONNX standard, opset 17 (https://onnx.ai/onnx/operators/).

Each function takes the symbols of a node's inputs and its attributes. An input, shape or attribute for which it does not
say the whole truth is refused with :class:`~snn_deploy.errors.CompiledFormError`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import Any, TypeAlias

import numpy as np
from onnx import TensorProto

from snn_deploy.arrays import Int64
from snn_deploy.backend.compiled_form import NOWHERE
from snn_deploy.errors import CompiledFormError
from snn_deploy.exchange.onnx_symbols import (
    Limited,
    LimitedSum,
    Maps,
    Operation,
    Pointwise,
    Rule,
    Sums,
    Symbol,
    convolve,
    floor_modulo,
    refuse_many,
    truncated_quotient,
    weigh_pixels,
)

Attributes: TypeAlias = dict[str, Any]
Inputs: TypeAlias = Sequence[Symbol]


def _only(attributes: Attributes, **allowed: object) -> None:
    """Refuse attributes beside those ``allowed``, or of another value."""
    for name, value in attributes.items():
        if name not in allowed or allowed[name] not in (value, ...):
            raise CompiledFormError(f"attribute {name} is {value!r}")


def _constant(value: Symbol, dtype: type[np.generic]) -> Int64:
    if not isinstance(value, np.ndarray) or value.dtype != dtype:
        raise CompiledFormError(f"an input is not a constant of {np.dtype(dtype)}")
    return value.astype(np.int64)


def _number(value: Symbol, dtype: type[np.generic]) -> int:
    constant = _constant(value, dtype)
    if constant.size != 1:
        raise CompiledFormError(f"a constant of {constant.shape} stands for one number")
    return int(constant.reshape(-1)[0])


def _maps(value: Symbol, *, is_byte: bool = False) -> Maps:
    if not isinstance(value, Maps) or value.is_byte != is_byte:
        raise CompiledFormError(f"an input is not a map of {'uint8' if is_byte else 'int32'} counts")
    return value


def reshape(inputs: Inputs, attributes: Attributes) -> Symbol:
    """The batch axis stays by itself: the first size is -1, and the others hold one image."""
    _only(attributes)
    value, target = inputs
    first, *rest = _constant(target, np.int64).tolist()
    if first != -1 or min(rest, default=0) < 1:
        raise CompiledFormError(f"the shape {[first, *rest]} does not keep the batch axis")
    if isinstance(value, Maps):
        return replace(value, pixels=value.pixels.reshape(rest))
    if isinstance(value, Sums) and not value.offset.any() and rest[0] == value.shape[0]:
        if np.prod(rest) != np.prod(value.shape) or len(value.shape) != 2:
            raise CompiledFormError(f"sums of {value.shape} become {rest}")
        return replace(value, shape=tuple(rest), offset=np.zeros((1,) * len(rest), np.int64))
    raise CompiledFormError("it gives something another shape that is no map of counts")


def pad(inputs: Inputs, attributes: Attributes) -> Maps:
    """Padding by a constant, outside the batch axis."""
    _only(attributes, mode=b"constant")
    maps, pads, value = _maps(inputs[0]), _constant(inputs[1], np.int64), _number(inputs[2], np.int32)
    before, after = np.split(pads, 2)
    if before.size != maps.pixels.ndim + 1 or before[0] or after[0] or pads.min() < 0 or len(inputs) != 3:
        raise CompiledFormError(f"pads {pads.tolist()} cut, or touch the batch axis")
    if np.any(maps.pixels == NOWHERE) and value != maps.padding:
        raise CompiledFormError(f"it pads with {value} what was padded with {maps.padding}")
    refuse_many(
        prod(size + int(before[1 + axis]) + int(after[1 + axis]) for axis, size in enumerate(maps.pixels.shape))
    )
    widths = list(zip(before[1:].tolist(), after[1:].tolist(), strict=True))
    return replace(maps, pixels=np.pad(maps.pixels, widths, constant_values=NOWHERE), padding=value)


def cut(inputs: Inputs, attributes: Attributes) -> Maps:
    """``Slice`` in steps of 1, outside the batch axis."""
    _only(attributes)
    maps = _maps(inputs[0])
    starts, ends, axes = (_constant(value, np.int64).tolist() for value in inputs[1:])
    if sorted(set(axes)) != sorted(axes) or min(axes) < 1 or max(axes) > maps.pixels.ndim:
        raise CompiledFormError(f"axes {axes} repeat, or hold the batch")
    chosen = [slice(None)] * maps.pixels.ndim
    for start, end, axis in zip(starts, ends, axes, strict=True):
        chosen[axis - 1] = slice(start, end)
    return replace(maps, pixels=maps.pixels[tuple(chosen)])


def gather(inputs: Inputs, attributes: Attributes) -> Maps:
    """Pixels chosen along an axis that is not the batch."""
    _only(attributes, axis=...)
    maps, indices, axis = _maps(inputs[0]), _constant(inputs[1], np.int64), attributes.get("axis", 0)
    if not 1 <= axis <= maps.pixels.ndim or indices.min() < 0 or indices.max() >= maps.pixels.shape[axis - 1]:
        raise CompiledFormError(f"it gathers along axis {axis}, or beyond its end")
    refuse_many(maps.pixels.size // maps.pixels.shape[axis - 1] * indices.size)
    return replace(maps, pixels=np.take(maps.pixels, indices, axis - 1))


def cast(inputs: Inputs, attributes: Attributes) -> Maps:
    """Counts to bytes; whether they fit is an obligation of its own."""
    _only(attributes, to=TensorProto.UINT8)
    return replace(_maps(inputs[0]), is_byte=True)


def convolve_integer(inputs: Inputs, attributes: Attributes) -> Sums:
    """``ConvInteger`` of bytes less their zero points; padding was done before."""
    _only(attributes, strides=..., dilations=..., group=..., kernel_shape=..., auto_pad=b"NOTSET")
    maps, weight = _maps(inputs[0], is_byte=True), _constant(inputs[1], np.uint8)
    zero, weight_zero = (_number(value, np.uint8) for value in inputs[2:4])
    if attributes.get("kernel_shape", list(weight.shape[2:])) != list(weight.shape[2:]):
        raise CompiledFormError(f"kernel_shape {attributes['kernel_shape']} is not that of {weight.shape}")
    pairs = [attributes.get(name, [1, 1]) for name in ("strides", "dilations")]
    if any(len(pair) != 2 or min(pair) < 1 for pair in pairs):
        raise CompiledFormError(f"strides and dilations {pairs}")
    strides, dilations = ((int(pair[0]), int(pair[1])) for pair in pairs)
    return convolve(maps, weight - weight_zero, zero, strides, dilations, int(attributes.get("group", 1)))


def multiply(inputs: Inputs, attributes: Attributes) -> Sums:
    """Sums by one number, or gathered pixels by a weight each."""
    _only(attributes)
    value, factor = inputs[::-1] if isinstance(inputs[0], np.ndarray) else inputs
    if isinstance(value, Sums):
        return value.scaled(_number(factor, np.int32))
    return weigh_pixels(_maps(value), _constant(factor, np.int32))


def add(inputs: Inputs, attributes: Attributes) -> Sums | LimitedSum:
    """Sums and constants; functions of one sum."""
    _only(attributes)
    first, second = inputs if isinstance(inputs[0], Sums) else inputs[::-1]
    if isinstance(first, Limited) and isinstance(second, Limited):
        own, other = first.inner.sums, second.inner.sums
        if own.parts != other.parts or own.shape != other.shape:
            raise CompiledFormError("it adds functions of different sums")
        return LimitedSum((second, first))
    if not isinstance(first, Sums):
        raise CompiledFormError("it adds something else than sums")
    return first.plus(second) if isinstance(second, Sums) else first.plus_constant(_per_image(second))


def _per_image(value: Symbol) -> Int64:
    """A constant (1, ...) int32 without its batch axis."""
    constant = _constant(value, np.int32)
    if constant.ndim and constant.shape[0] != 1:
        raise CompiledFormError(f"a constant of {constant.shape} differs between images")
    return constant[0] if constant.ndim else constant


def modulo(inputs: Inputs, attributes: Attributes) -> Maps | Pointwise:
    """The rest that has the divisor's sign."""
    _only(attributes, fmod=0)
    return _elementwise(inputs, floor_modulo, "rest")


def subtract(inputs: Inputs, attributes: Attributes) -> Maps | Pointwise:
    """Differences of functions of the same counts, or of the same sum."""
    _only(attributes)
    return _elementwise(inputs, np.subtract, "multiple")


def divide(inputs: Inputs, attributes: Attributes) -> Maps | Pointwise:
    """Quotients, rounded toward 0."""
    _only(attributes)
    return _elementwise(inputs, truncated_quotient, "quotient")


def _elementwise(inputs: Inputs, operation: Operation, rule: Rule) -> Maps | Pointwise:
    first, second = inputs
    if isinstance(first, Maps) or isinstance(second, Maps):
        swapped = not isinstance(first, Maps)
        maps, operand = (second, first) if swapped else (first, second)
        number = operand if isinstance(operand, Maps) else _number(operand, np.int32)
        return _maps(maps).changed(operation, number, swapped=swapped)
    sides = [Pointwise.of(value) if isinstance(value, Sums) else value for value in inputs]
    known = [side for side in sides if isinstance(side, Pointwise)]
    if not known or any(side.sums is not known[0].sums for side in known):
        raise CompiledFormError("it combines values that are no functions of the same sum")
    evaluations = [side.evaluate if isinstance(side, Pointwise) else _always(_per_image(side)) for side in sides]
    constant = None if isinstance(sides[1], Pointwise) else _per_image(sides[1])
    divisor = _follow(sides[0], sides[1], constant, rule)
    low, high = _limits(known[0].sums, rule, divisor)
    return Pointwise(
        known[0].sums,
        lambda values: operation(evaluations[0](values), evaluations[1](values)),
        low,
        high,
        None if divisor is None else rule,
        divisor,
        is_per_channel=all(_is_per_channel(side) for side in sides),
    )


def _is_per_channel(side: Symbol) -> bool:
    """Whether all neurons of a channel are treated alike."""
    return side.is_per_channel if isinstance(side, Pointwise) else _per_image(side).shape[1:] in ((), (1, 1))


def _always(constant: Int64) -> Callable[[Int64], Int64]:
    return lambda values: np.broadcast_to(constant, values.shape)


def _follow(first: Symbol, second: Symbol, constant: Int64 | None, rule: Rule) -> Int64 | None:
    """The divisor (C,) of s mod d, of s less that, or of their quotient; ``None`` for anything else."""
    if not isinstance(first, Pointwise):
        return None
    if rule == "rest" and first.rule is None and constant is not None:
        channels = first.sums.shape[0]
        one_each = constant.shape == (channels, 1, 1) and constant.min() > 0
        return constant[:, 0, 0] if one_each and _is_sum(first) else None
    if rule == "multiple" and _is_sum(first) and isinstance(second, Pointwise) and second.rule == "rest":
        return second.divisor
    if rule == "quotient" and first.rule == "multiple" and first.divisor is not None and constant is not None:
        same = constant.ndim == 3 and np.array_equal(constant[:, 0, 0], first.divisor) and constant[0].size == 1
        return first.divisor if same else None
    return None


def _is_sum(value: Pointwise) -> bool:
    """Whether it is the sum itself."""
    return value.rule is None and value.is_identity


def _limits(sums: Sums, rule: Rule, divisor: Int64 | None) -> tuple[int, int]:
    if divisor is None:  # never proved, so its format is of no interest
        return 0, 0
    largest = int(divisor.max())
    return (0, largest - 1) if rule == "rest" else (sums.low - largest + 1, sums.high)


def clip(inputs: Inputs, attributes: Attributes) -> Limited:
    """Limits of a count."""
    _only(attributes)
    if len(inputs) != 3:
        raise CompiledFormError("a count without limits")
    value, least, greatest = inputs[0], _number(inputs[1], np.int32), _number(inputs[2], np.int32)
    if least > greatest:
        raise CompiledFormError(f"limits {least}..{greatest} hold nothing")
    if isinstance(value, Sums):
        ones = np.ones(value.shape[0], np.int64)
        return Limited(replace(Pointwise.of(value), rule="quotient", divisor=ones), least, greatest)
    if not isinstance(value, Pointwise):
        raise CompiledFormError("it limits something else than a function of one sum")
    return Limited(value, least, greatest)


OPERATORS: dict[str, Callable[[Inputs, Attributes], Symbol]] = {
    "Add": add,
    "Cast": cast,
    "Clip": clip,
    "ConvInteger": convolve_integer,
    "Div": divide,
    "Gather": gather,
    "Mod": modulo,
    "Mul": multiply,
    "Pad": pad,
    "Reshape": reshape,
    "Slice": cut,
    "Sub": subtract,
}
"""The operators that :mod:`snn_deploy.exchange.integer_onnx` writes."""
