"""Vectors in registers for compiled loops: numba's own arrays live in memory, where every sum is loaded and stored again.

``Lanes`` is a row of numbers of one format whose length is known when a loop is compiled; it comes from the record type
of an array of rows (:func:`rows_of`). To LLVM it is an array of vectors of ``WIDTH`` numbers, one register of AVX2 each in
16 bits; vectors of 48 numbers, say, it would take apart. Indices are not checked and never count from the end.
"""

# ruff: noqa: ARG001 - numba calls the functions with the types of arguments, used or not

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.core.cgutils import get_or_insert_function
from numba.core.registry import cpu_target
from numba.extending import intrinsic, models, register_model

Typing: TypeAlias = tuple[Any, Callable[..., Any]]

FORMATS = {
    types.uint8: ir.IntType(8),
    types.int8: ir.IntType(8),
    types.int16: ir.IntType(16),
    types.float32: ir.FloatType(),
}
TOGETHER = 8
"""Numbers that :func:`note` looks at together."""

WIDTH = 16
"""Lanes of one vector; rows have whole vectors."""

ROW = f"row_{zlib.crc32(Path(__file__).read_bytes()):08x}"
"""The one field of records here. Numba compiles again where types have changed, but not where a function from another file
has; so the types that its loops are given carry the checksum of this one."""


class Lanes(types.Type):
    """``count`` numbers of the format ``number``."""

    def __init__(self, number: types.Type, count: int) -> None:
        self.number, self.count = number, count
        super().__init__(name=f"Lanes({number}, {count})")


@register_model(Lanes)
class LanesModel(models.PrimitiveModel):
    """An array of vectors."""

    def __init__(self, manager: Any, lanes: Lanes) -> None:
        vectors = ir.ArrayType(ir.VectorType(FORMATS[lanes.number], WIDTH), lanes.count // WIDTH)
        super().__init__(manager, lanes, vectors)  # type: ignore[no-untyped-call]


def _intrinsic(function: Callable[..., Typing]) -> Callable[..., Any]:
    """What compiled loops call in the place of ``function``, which says what it means: without the first argument."""
    return cast("Callable[..., Any]", intrinsic(function))


def multiplies_bytes() -> bool:
    """Whether compiled loops have the instruction that :func:`add_products` needs for payloads in a byte."""
    return "+avx2" in cpu_target.target_context.codegen().magic_tuple()[2]


def rows_of(numbers: npt.NDArray[Any], interleaved: bool) -> npt.NDArray[Any]:
    """``numbers`` (..., L) as a run of rows of L lanes each, the first of them at a multiple of 64 bytes.

    ``interleaved``: in the order that :func:`add_products` undoes when it pairs bytes: the second and third quarter of
    every two vectors change places.
    """
    lanes = numbers.shape[-1]
    if interleaved:
        order = np.arange(lanes)
        pairs = order[: lanes - lanes % (2 * WIDTH)].reshape(-1, 2, 2, WIDTH // 2)
        order[: pairs.size] = pairs.swapaxes(1, 2).reshape(-1)
        numbers = numbers[..., order]
    room = np.empty(numbers.nbytes + 64, np.uint8)
    start = -room.ctypes.data % 64
    held = room[start : start + numbers.nbytes].view(numbers.dtype)
    held[:] = numbers.reshape(-1)
    return held.view([(ROW, numbers.dtype, lanes)])


def masks() -> npt.NDArray[Any]:
    """For each pattern of ``TOGETHER`` bits the places of those that are set, first ones first: what :func:`note` needs."""
    bits = np.arange(2**TOGETHER)[:, None] >> np.arange(TOGETHER) & 1
    places = np.argsort(1 - bits, axis=1, kind="stable")
    return rows_of(places.astype(np.int32), interleaved=False)


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
def add_products(
    typing: Any, total: Any, rows: Any, index: Any, factor: Any, other: Any, factor_of_other: Any
) -> Typing:
    """``total + rows[index] * factor + rows[other] * factor_of_other``; integers wrap around.

    Factors of 8 bits are below 128; rows of 8 bits are interleaved then, and one instruction (PMADDUBSW) multiplies
    both and adds the products, ``2 * 127 * 128`` at most, in 16 bits.
    """
    bytewise = factor == types.uint8

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        total, rows, index, factor, other, factor_of_other = arguments
        kind, vector, word = signature.args[1], total.type.element, ir.IntType(16)
        stored = ir.VectorType(FORMATS[_row(kind).dtype], WIDTH)
        starts = [_place(context, builder, kind, rows, place, stored) for place in (index, other)]
        if bytewise:
            upper = builder.shl(builder.zext(factor_of_other, word), ir.Constant(word, 8))
            factors = [_repeated(builder, builder.or_(builder.zext(factor, word), upper), vector)]
        else:
            factors = [_repeated(builder, number, vector) for number in (factor, factor_of_other)]
        for number in range(total.type.count):
            sums = builder.extract_value(total, number)
            if bytewise:
                sums = builder.add(sums, _paired(builder, starts, number, total.type.count, factors[0]))
            else:
                sums = _multiplied(builder, sums, starts, number, factors)
            total = builder.insert_value(total, sums, number)
        return total

    return total(total, rows, types.int64, factor, types.int64, factor), code


def _multiplied(builder: Any, sums: Any, starts: Sequence[Any], number: int, factors: Sequence[Any]) -> Any:
    """``sums``, to which vector ``number`` of each row is added, times its factor."""
    for start, factor in zip(starts, factors, strict=True):
        row = _vector(builder, start, number)
        if isinstance(sums.type.element, ir.FloatType):
            sums = builder.fadd(sums, builder.fmul(row, factor))
        else:
            sums = builder.add(
                sums, builder.mul(row if row.type == sums.type else builder.sext(row, sums.type), factor)
            )
    return sums


def _paired(builder: Any, starts: Sequence[Any], number: int, count: int, factors: Any) -> Any:
    """Vector ``number`` of the products of two interleaved rows, added up.

    Its bytes stand in the lower or upper halves of two vectors, where unpacking pairs them; in a last one alone, in it.
    """
    first, places = number - number % 2, list(range(WIDTH))
    one, other = (_vector(builder, start, first) for start in starts)
    if first + 1 < count:
        more, wide = (_vector(builder, start, first + 1) for start in starts), _mask(range(2 * WIDTH))
        one, other = (builder.shuffle_vector(low, high, wide) for low, high in zip((one, other), more, strict=True))
        half = number % 2 * (WIDTH // 2)
        places = [block + half + lane for block in (0, WIDTH) for lane in range(WIDTH // 2)]
    order = _mask([place + row for place in places for row in (0, one.type.count)])
    pairs = builder.shuffle_vector(one, other, order)
    kind = ir.FunctionType(factors.type, [pairs.type, pairs.type])
    multiply = get_or_insert_function(builder.module, kind, "llvm.x86.avx2.pmadd.ub.sw")
    return builder.call(multiply, [builder.bitcast(factors, pairs.type), pairs])


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
        scales = _repeated(builder, scale, floats)
        for group in range(total.type.count * WIDTH // TOGETHER):
            vector, part = divmod(group * TOGETHER, WIDTH)
            sums = builder.extract_value(total, vector)
            sums = builder.shuffle_vector(sums, sums, _mask(range(part, part + TOGETHER)))
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
        entry = builder.zext(pattern, ir.IntType(64))
        offsets = builder.load(_place(context, builder, kinds[3], masks, entry, marks), align=4)
        first = _repeated(builder, builder.trunc(index, ir.IntType(32)), marks)
        builder.store(builder.add(offsets, first), _place(context, builder, kinds[4], places, found, marks), align=4)
        return builder.add(found, builder.zext(builder.ctpop(pattern), ir.IntType(64)))

    return types.int64(numbers, types.int64, types.int64, masks, places, types.int64), code


def _mask(places: Sequence[int]) -> Any:
    """The constant that says which numbers a shuffle takes."""
    word = ir.IntType(32)
    return ir.Constant(ir.VectorType(word, len(places)), [ir.Constant(word, place) for place in places])


def _row(rows: Any) -> Any:
    return rows.dtype.fields[ROW].type


def _lanes(rows: Any) -> Lanes:
    """Rows of 8 bits are summed in 16."""
    row = _row(rows)
    return Lanes(types.int16 if row.dtype == types.int8 else row.dtype, row.shape[0])


def _start(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    return context.make_array(kind)(context, builder, array).data


def _place(context: Any, builder: Any, kind: Any, array: Any, index: Any, pointed: Any) -> Any:
    """Where ``array[index]`` stands, as the place of a ``pointed``."""
    return builder.bitcast(builder.gep(_start(context, builder, kind, array), [index]), pointed.as_pointer())


def _vector(builder: Any, start: Any, number: int) -> Any:
    """Vector ``number`` of the row that starts there."""
    place = builder.gep(start, [ir.Constant(ir.IntType(64), number)])
    return builder.load(place, align=_bytes(start.type.pointee))


def _repeated(builder: Any, number: Any, lanes: Any) -> Any:
    """``number`` in every lane."""
    nothing = ir.Constant(lanes, ir.Undefined)
    one = builder.insert_element(nothing, number, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, nothing, ir.Constant(ir.VectorType(ir.IntType(32), lanes.count), None))


def _bytes(lanes: Any) -> int:
    """Bytes of one lane, to which rows are aligned at least."""
    return 4 if isinstance(lanes.element, ir.FloatType) else lanes.element.width // 8
