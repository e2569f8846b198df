"""Vectors in registers for compiled loops: numba's own arrays live in memory, where every sum is loaded and stored again.

``Lanes`` is a row of sums whose length and format are known when a loop is compiled; they come from the record type of an
array of rows of weights (:func:`rows_of`). To LLVM it is an array of vectors, one register of AVX2 each; vectors of 48
numbers, say, it would take apart. Indices are not checked and never count from the end.
"""

# ruff: noqa: ARG001 - numba calls the functions with the types of arguments, used or not

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import cache
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
    types.int32: ir.IntType(32),
}
SUMS: dict[Any, Any] = {types.int8: types.int16, types.int16: types.int32}
"""Formats of sums of products with weights of each format."""

TOGETHER = 8
"""Payloads that :func:`note` looks at together, and sums that :func:`put` writes together."""

WIDTH = 16
"""Rows of weights have whole runs of so many."""

REGISTER = 32
"""Bytes of a vector."""

_FILES = sorted((Path(__file__), *Path(__file__).parent.glob("*_numba.py")))

ROW = f"row_{zlib.crc32(b''.join(file.read_bytes() for file in _FILES)):08x}"
"""The one field of records here. Numba compiles again where types have changed, but not where a function from another file
has; so the types that its loops are given carry the checksum of all files with such functions."""


class Lanes(types.Type):
    """``count`` numbers of the format ``number``."""

    def __init__(self, number: types.Type, count: int) -> None:
        self.number, self.count = number, count
        super().__init__(name=f"Lanes({number}, {count})")


@register_model(Lanes)
class LanesModel(models.PrimitiveModel):
    """An array of vectors."""

    def __init__(self, manager: Any, lanes: Lanes) -> None:
        number = FORMATS[lanes.number]
        size = 8 * REGISTER // number.width
        vectors = ir.ArrayType(ir.VectorType(number, size), lanes.count // size)
        super().__init__(manager, lanes, vectors)  # type: ignore[no-untyped-call]


def _intrinsic(function: Callable[..., Typing]) -> Callable[..., Any]:
    """What compiled loops call in the place of ``function``, which says what it means: without the first argument."""
    return cast("Callable[..., Any]", intrinsic(function))


@cache
def pairs_products() -> bool:
    """Whether compiled loops have AVX2, whose instructions multiply two payloads each and add the products."""
    return "+avx2" in cpu_target.target_context.codegen().magic_tuple()[2]


def rows_of(weights: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """``weights`` (..., L) as a run of rows of L lanes each, the first of them at a multiple of 64 bytes.

    With :func:`pairs_products` in the order that unpacking two rows undoes: the second and third quarter of every
    ``REGISTER`` bytes change places.
    """
    lanes, size = weights.shape[-1], REGISTER // weights.itemsize
    if pairs_products():
        order = np.arange(lanes)
        whole = order[: lanes - lanes % size].reshape(-1, 2, 2, size // 4)
        order[: whole.size] = whole.swapaxes(1, 2).reshape(-1)
        weights = weights[..., order]
    room = np.empty(weights.nbytes + 64, np.uint8)
    start = -room.ctypes.data % 64
    held = room[start : start + weights.nbytes].view(weights.dtype)
    held[:] = weights.reshape(-1)
    return held.view([(ROW, weights.dtype, lanes)])


def orders() -> npt.NDArray[np.uint8]:
    """For each pattern of ``TOGETHER`` bits, flat, the places of those that are set, first ones first, then the others."""
    bits = np.arange(2**TOGETHER)[:, None] >> np.arange(TOGETHER) & 1
    return np.argsort(1 - bits, axis=1, kind="stable").astype(np.uint8).reshape(-1)


@_intrinsic
def lanes_of(typing: Any, rows: Any) -> Typing:
    """How many lanes a row has."""
    count = _lanes(rows).count

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return ir.Constant(ir.IntType(64), count)

    return types.int64(rows), code


@_intrinsic
def bytes_of(typing: Any, rows: Any) -> Typing:
    """How many bytes a row has."""
    row = _row(rows)
    size = row.shape[0] * row.dtype.bitwidth // 8

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return ir.Constant(ir.IntType(64), size)

    return types.int64(rows), code


@_intrinsic
def zeros(typing: Any, rows: Any) -> Typing:
    """Lanes for sums of ``rows``, all 0."""
    lanes = _lanes(rows)

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return ir.Constant(context.get_value_type(lanes), None)

    return lanes(rows), code


@_intrinsic
def add_products(typing: Any, total: Any, rows: Any, base: Any, places: Any, factors: Any, first: Any) -> Typing:
    """``total`` and two products, a row times ``factors[e]`` with e = first, first + 1; integers wrap around.

    The row begins ``base + places[e]`` bytes after the first one. With AVX2 one instruction multiplies both and adds the
    products: rows and factors of 8 bits in 16 (PMADDUBSW; factors are below 128, so ``2 * 127 * 128`` at most), those of
    16 bits in 32 (PMADDWD).
    """

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        total, rows, base, places, factors, first = arguments
        _, row, _, place, factor, _ = signature.args
        number, word, weight = FORMATS[factor.dtype], ir.IntType(64), FORMATS[_row(row).dtype]
        origin = _place(context, builder, row, rows, ir.Constant(word, 0), ir.IntType(8))
        origin = builder.gep(origin, [base])
        events = [first, builder.add(first, ir.Constant(word, 1))]
        offsets = [builder.load(builder.gep(_start(context, builder, place, places), [event])) for event in events]
        starts = [
            builder.bitcast(builder.gep(origin, [builder.sext(offset, word)]), weight.as_pointer())
            for offset in offsets
        ]
        if pairs_products():
            pair = ir.IntType(2 * number.width)
            both = builder.load(_place(context, builder, factor, factors, first, pair), align=_bytes(number))
            multipliers = _repeated(builder, both, ir.VectorType(pair, 8 * REGISTER // pair.width))
            products = _paired(builder, starts, total.type, multipliers)
        else:
            held = _start(context, builder, factor, factors)
            numbers = [builder.load(builder.gep(held, [event])) for event in events]
            products = _single(builder, starts, total.type, numbers)
        for vector, product in enumerate(products):
            sums = builder.add(builder.extract_value(total, vector), product)
            total = builder.insert_value(total, sums, vector)
        return total

    return total(total, rows, types.int64, places, factors, types.int64), code


def _single(builder: Any, starts: Sequence[Any], total: Any, factors: Sequence[Any]) -> Iterator[Any]:
    """Vectors of products, one row and one factor after the other."""
    for vector in range(total.count):
        sums = ir.Constant(total.element, None)
        for start, factor in zip(starts, factors, strict=True):
            row = _vector(builder, start, vector * total.element.count, total.element.count)
            number = builder.sext(factor, total.element.element)
            product = builder.mul(builder.sext(row, total.element), _repeated(builder, number, total.element))
            sums = builder.add(sums, product)
        yield sums


def _paired(builder: Any, starts: Sequence[Any], total: Any, factors: Any) -> Iterator[Any]:
    """Vectors of products of two rows with two factors, which are unpacked to neighbour each other."""
    size = 2 * total.element.count
    bytewise = starts[0].type.pointee.width == 8
    name = "llvm.x86.avx2.pmadd.ub.sw" if bytewise else "llvm.x86.avx2.pmadd.wd"
    wide = ir.VectorType(starts[0].type.pointee, size)
    multiply = get_or_insert_function(builder.module, ir.FunctionType(total.element, [wide, wide]), name)
    factors = builder.bitcast(factors, wide)
    for block in range(-(-total.count // 2)):
        halves = min(2, total.count - 2 * block)
        one, other = (_vector(builder, start, block * size, size * halves // 2) for start in starts)
        for half in range(halves):
            taken = list(range(size // 2))
            if halves == 2:
                quarter = size // 4
                taken = [place + half * quarter for low in (0, 2 * quarter) for place in range(low, low + quarter)]
            order = _mask([place + row for place in taken for row in (0, one.type.count)])
            yield builder.call(multiply, [factors, builder.shuffle_vector(one, other, order)])


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
        size = total.type.element.count
        for group in range(total.type.count * size // TOGETHER):
            vector, part = divmod(group * TOGETHER, size)
            sums = builder.extract_value(total, vector)
            sums = builder.shuffle_vector(sums, sums, _mask(range(part, part + TOGETHER)))
            sums = builder.sitofp(sums, floats)
            index = builder.add(first, ir.Constant(word, group))
            offset = builder.load(builder.gep(_start(context, builder, kinds[3], offsets), [index]))
            with builder.if_then(builder.icmp_signed(">=", offset, ir.Constant(word, 0))):
                place = _place(context, builder, kinds[1], out, builder.add(base, offset), floats)
                there = builder.select(fresh, ir.Constant(floats, None), builder.load(place, align=4))
                sums = builder.fadd(builder.fmul(sums, scales), there)
                builder.store(sums, place, align=4)
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
def note(
    typing: Any, line: Any, index: Any, bits: Any, orders: Any, step: Any, places: Any, factors: Any, found: Any
) -> Typing:
    """List those of ``TOGETHER`` numbers from ``line[index]`` on that have any of ``bits``, from entry ``found`` on.

    ``places`` are told their index times ``step``, ``factors`` what is kept of them. Returns ``found`` with them. As much
    is written as is looked at; what stands after the new ``found`` means nothing.
    """

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        line, index, bits, orders, step, places, factors, found = arguments
        kinds, byte, word = signature.args, ir.IntType(8), ir.IntType(32)
        looked, marks = ir.VectorType(FORMATS[kinds[0].dtype], TOGETHER), ir.VectorType(word, TOGETHER)
        seen = builder.load(_place(context, builder, kinds[0], line, index, looked), align=_bytes(looked.element))
        kept = builder.and_(seen, _repeated(builder, bits, looked))
        active = builder.icmp_unsigned("!=", kept, ir.Constant(looked, None))
        pattern = builder.bitcast(active, ir.IntType(TOGETHER))
        entry = builder.mul(builder.zext(pattern, ir.IntType(64)), ir.Constant(ir.IntType(64), TOGETHER))
        order = _place(context, builder, kinds[3], orders, entry, ir.VectorType(byte, TOGETHER))
        order = builder.load(order, align=TOGETHER)
        index, step = (_repeated(builder, builder.trunc(number, word), marks) for number in (index, step))
        here = builder.mul(builder.add(builder.zext(order, marks), index), step)
        builder.store(here, _place(context, builder, kinds[5], places, found, marks), align=4)
        kept = _resized(builder, kept, kinds[0].dtype.signed, FORMATS[kinds[6].dtype])
        kept = _reordered(builder, kept, order)
        place = _place(context, builder, kinds[6], factors, found, kept.type)
        builder.store(kept, place, align=_bytes(kept.type.element))
        return builder.add(found, builder.zext(builder.ctpop(pattern), ir.IntType(64)))

    word = types.int64
    return word(line, word, line.dtype, orders, word, places, factors, word), code


def _resized(builder: Any, numbers: Any, signed: bool, number: Any) -> Any:
    """``numbers`` in the format ``number``."""
    kind, width = ir.VectorType(number, numbers.type.count), numbers.type.element.width
    if width == number.width:
        return numbers
    if width > number.width:
        return builder.trunc(numbers, kind)
    return builder.sext(numbers, kind) if signed else builder.zext(numbers, kind)


def _reordered(builder: Any, numbers: Any, order: Any) -> Any:
    """``numbers[order]``."""
    kind, byte = numbers.type, ir.IntType(8)
    if not pairs_products():
        out = ir.Constant(kind, ir.Undefined)
        for place in range(kind.count):
            constant = ir.Constant(ir.IntType(32), place)
            taken = builder.extract_element(numbers, builder.extract_element(order, constant))
            out = builder.insert_element(out, taken, constant)
        return out
    table = ir.VectorType(byte, 16)
    call = ir.FunctionType(table, [table, table])
    shuffle = get_or_insert_function(builder.module, call, "llvm.x86.ssse3.pshuf.b.128")
    if kind.element.width == 8:
        twice = _mask([*range(TOGETHER), *range(TOGETHER)])
        numbers, order = (builder.shuffle_vector(vector, vector, twice) for vector in (numbers, order))
        out = builder.call(shuffle, [numbers, order])
        return builder.shuffle_vector(out, out, _mask(range(TOGETHER)))
    order = builder.mul(builder.zext(order, kind), ir.Constant(kind, [0x0202] * kind.count))
    order = builder.bitcast(builder.add(order, ir.Constant(kind, [0x0100] * kind.count)), table)
    return builder.bitcast(builder.call(shuffle, [builder.bitcast(numbers, table), order]), kind)


def _mask(places: Sequence[int]) -> Any:
    """The constant that says which numbers a shuffle takes."""
    word = ir.IntType(32)
    return ir.Constant(ir.VectorType(word, len(places)), [ir.Constant(word, place) for place in places])


def _row(rows: Any) -> Any:
    return rows.dtype.fields[ROW].type


def _lanes(rows: Any) -> Lanes:
    row = _row(rows)
    return Lanes(SUMS[row.dtype], row.shape[0])


def _start(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    return context.make_array(kind)(context, builder, array).data


def _place(context: Any, builder: Any, kind: Any, array: Any, index: Any, pointed: Any) -> Any:
    """Where ``array[index]`` stands, as the place of a ``pointed``."""
    return builder.bitcast(builder.gep(_start(context, builder, kind, array), [index]), pointed.as_pointer())


def _vector(builder: Any, start: Any, first: int, count: int) -> Any:
    """``count`` numbers, number ``first`` of those that start there and on."""
    number = start.type.pointee
    place = builder.gep(start, [ir.Constant(ir.IntType(64), first)])
    return builder.load(builder.bitcast(place, ir.VectorType(number, count).as_pointer()), align=_bytes(number))


def _repeated(builder: Any, number: Any, lanes: Any) -> Any:
    """``number`` in every lane."""
    nothing = ir.Constant(lanes, ir.Undefined)
    one = builder.insert_element(nothing, number, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, nothing, ir.Constant(ir.VectorType(ir.IntType(32), lanes.count), None))


def _bytes(number: Any) -> int:
    """Bytes of a number, to which arrays of them are aligned at least."""
    return int(number.width) // 8
