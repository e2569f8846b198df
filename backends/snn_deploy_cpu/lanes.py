"""Vectors in registers for compiled loops: numba's own arrays live in memory, where every sum is loaded and stored again.

``Lanes`` is a row of numbers of one format whose length is known when a loop is compiled; it comes from the record type
of an array of rows (:func:`rows_of`). LLVM spreads it over as many registers as it takes, whatever they are called here.
Indices are not checked and never count from the end.
"""

# ruff: noqa: ARG001 - numba calls the functions with the types of arguments, used or not

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

Typing: TypeAlias = tuple[Any, Callable[..., Any]]

FORMATS = {types.int8: ir.IntType(8), types.int16: ir.IntType(16), types.float32: ir.FloatType()}
TOGETHER = 8
"""Numbers that :func:`note` looks at together."""


class Lanes(types.Type):
    """``count`` numbers of the format ``number``."""

    def __init__(self, number: types.Type, count: int) -> None:
        self.number, self.count = number, count
        super().__init__(name=f"Lanes({number}, {count})")


@register_model(Lanes)
class LanesModel(models.PrimitiveModel):
    """A vector of LLVM."""

    def __init__(self, manager: Any, lanes: Lanes) -> None:
        super().__init__(manager, lanes, ir.VectorType(FORMATS[lanes.number], lanes.count))  # type: ignore[no-untyped-call]


def _intrinsic(function: Callable[..., Typing]) -> Callable[..., Any]:
    """What compiled loops call in the place of ``function``, which says what it means: without the first argument."""
    return cast("Callable[..., Any]", intrinsic(function))


def rows_of(numbers: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """``numbers`` (..., L) as a run of rows of L lanes each, the first of them at a multiple of 64 bytes."""
    lanes = numbers.shape[-1]
    room = np.empty(numbers.nbytes + 64, np.uint8)
    start = -room.ctypes.data % 64
    held = room[start : start + numbers.nbytes].view(numbers.dtype)
    held[:] = numbers.reshape(-1)
    return held.view([("row", numbers.dtype, lanes)])


def masks() -> npt.NDArray[np.int32]:
    """For each pattern of ``TOGETHER`` bits the places of those that are set, first ones first: what :func:`note` needs."""
    bits = np.arange(2**TOGETHER)[:, None] >> np.arange(TOGETHER) & 1
    places = np.argsort(1 - bits, axis=1, kind="stable")
    return np.ascontiguousarray(places, np.int32).reshape(-1)


@_intrinsic
def lanes_of(typing: Any, rows: Any) -> Typing:
    """How many lanes a row has."""
    count = _lanes(rows).count

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return ir.Constant(ir.IntType(64), count)

    return types.int64(rows), code


@_intrinsic
def zeros(typing: Any, rows: Any) -> Typing:
    """Lanes for sums of ``rows``, all 0."""
    lanes = _lanes(rows)

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return ir.Constant(context.get_value_type(lanes), None)

    return lanes(rows), code


@_intrinsic
def add_product(typing: Any, total: Any, rows: Any, index: Any, factor: Any) -> Typing:
    """``total + rows[index] * factor``; integers wrap around."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        total, rows, index, factor = arguments
        lanes = total.type
        stored = ir.VectorType(FORMATS[_row(signature.args[1]).dtype], lanes.count)
        row = builder.load(_place(context, builder, signature.args[1], rows, index, stored), align=_bytes(stored))
        if stored != lanes:
            row = builder.sext(row, lanes)
        factors = _repeated(builder, factor, lanes)
        if isinstance(lanes.element, ir.FloatType):
            return builder.fadd(total, builder.fmul(row, factors))
        return builder.add(total, builder.mul(row, factors))

    return total(total, rows, types.int64, total.number), code


@_intrinsic
def put(typing: Any, total: Any, out: Any, base: Any, offsets: Any, first: Any, scale: Any, fresh: Any) -> Typing:
    """``total * scale`` in float32, written into ``out`` where ``fresh`` and added to what stands there otherwise.

    Lanes go out in groups of ``TOGETHER``: group g to ``base + offsets[first + g]`` and on, to nowhere where that
    offset is negative.
    """

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        total, out, base, offsets, first, scale, fresh = arguments
        kinds, word = signature.args, ir.IntType(64)
        floats = ir.VectorType(ir.FloatType(), TOGETHER)
        nothing, scales = ir.Constant(total.type, ir.Undefined), _repeated(builder, scale, floats)
        for group in range(total.type.count // TOGETHER):
            lanes = [ir.Constant(ir.IntType(32), group * TOGETHER + lane) for lane in range(TOGETHER)]
            chosen = ir.Constant(ir.VectorType(ir.IntType(32), TOGETHER), lanes)
            sums = builder.shuffle_vector(total, nothing, chosen)
            if sums.type != floats:
                sums = builder.sitofp(sums, floats)
            index = builder.add(first, ir.Constant(word, group))
            offset = builder.load(builder.gep(_start(context, builder, kinds[3], offsets), [index]))
            with builder.if_then(builder.icmp_signed(">=", offset, ir.Constant(word, 0))):
                place = _place(context, builder, kinds[1], out, builder.add(base, offset), floats)
                there = builder.select(fresh, ir.Constant(floats, None), builder.load(place, align=_bytes(floats)))
                sums = builder.fadd(builder.fmul(sums, scales), there)
                builder.store(sums, place, align=_bytes(floats))
        return context.get_dummy_value()

    return types.void(total, out, types.int64, offsets, types.int64, types.float32, types.boolean), code


@_intrinsic
def peek(typing: Any, array: Any, index: Any) -> Typing:
    """``array[index]``."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(builder.gep(_start(context, builder, signature.args[0], arguments[0]), [arguments[1]]))

    return array.dtype(array, types.int64), code


@_intrinsic
def opaque(typing: Any, number: Any) -> Typing:
    """``number``, of which the compiler knows nothing: a loop that counts so is not unrolled, as short ones should not be."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = ir.IntType(64)
        return builder.asm(ir.FunctionType(word, [word]), "", "=r,0", arguments, side_effect=False)

    return types.int64(types.int64), code


@_intrinsic
def note(typing: Any, numbers: Any, base: Any, index: Any, masks: Any, places: Any, found: Any) -> Typing:
    """Write into ``places[found ...]`` which of ``TOGETHER`` numbers from ``base + index`` on are not 0; ``found`` with them.

    Places count from ``base``.
    As many places are written as are looked at; those after the new ``found`` mean nothing.
    """

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        numbers, base, index, masks, places, found = arguments
        kinds = signature.args
        looked = ir.VectorType(FORMATS[kinds[0].dtype], TOGETHER)
        marks = ir.VectorType(ir.IntType(32), TOGETHER)
        start = builder.add(base, index)
        seen = builder.load(_place(context, builder, kinds[0], numbers, start, looked), align=_bytes(looked))
        nothing = ir.Constant(looked, None)
        if isinstance(looked.element, ir.FloatType):
            active = builder.fcmp_unordered("!=", seen, nothing)
        else:
            active = builder.icmp_unsigned("!=", seen, nothing)
        pattern = builder.bitcast(active, ir.IntType(TOGETHER))
        entry = builder.mul(builder.zext(pattern, ir.IntType(64)), ir.Constant(ir.IntType(64), TOGETHER))
        offsets = builder.load(_place(context, builder, kinds[3], masks, entry, marks), align=4)
        first = _repeated(builder, builder.trunc(index, ir.IntType(32)), marks)
        builder.store(builder.add(offsets, first), _place(context, builder, kinds[4], places, found, marks), align=4)
        return builder.add(found, builder.zext(builder.ctpop(pattern), ir.IntType(64)))

    return types.int64(numbers, types.int64, types.int64, masks, places, types.int64), code


def _row(rows: Any) -> Any:
    return rows.dtype.fields["row"].type


def _lanes(rows: Any) -> Lanes:
    """Rows of 8 bits are summed in 16."""
    row = _row(rows)
    return Lanes(types.int16 if row.dtype == types.int8 else row.dtype, row.shape[0])


def _start(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    return context.make_array(kind)(context, builder, array).data


def _place(context: Any, builder: Any, kind: Any, array: Any, index: Any, pointed: Any) -> Any:
    """Where ``array[index]`` stands, as the place of a ``pointed``."""
    return builder.bitcast(builder.gep(_start(context, builder, kind, array), [index]), pointed.as_pointer())


def _repeated(builder: Any, number: Any, lanes: Any) -> Any:
    """``number`` in every lane."""
    nothing = ir.Constant(lanes, ir.Undefined)
    one = builder.insert_element(nothing, number, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, nothing, ir.Constant(ir.VectorType(ir.IntType(32), lanes.count), None))


def _bytes(lanes: Any) -> int:
    """Bytes of one lane, to which rows are aligned at least."""
    return 4 if isinstance(lanes.element, ir.FloatType) else lanes.element.width // 8
