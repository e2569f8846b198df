"""Rows of lanes: one input's weights for many outputs, times a payload, added to sums in registers.

The lanes of sums come from the record type of an array of rows of weights (:func:`rows_of`).
"""

# ruff: noqa: ARG001 - numba calls the functions with the types of arguments, used or not

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.core.cgutils import get_or_insert_function

from snn_deploy_cpu.kernels.simd import (
    FORMATS,
    REGISTER,
    SUMS,
    TOGETHER,
    Lanes,
    Typing,
    bytes_in,
    constant,
    inlined,
    mask_of,
    nothing,
    pairs_multiplier,
    pairs_products,
    place_of,
    record,
    records,
    repeated,
    start_of,
    vector_at,
)

WIDTH = 16
"""Rows of weights have whole runs of so many."""


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
    return records(weights, lanes)


def orders() -> npt.NDArray[np.uint8]:
    """For each pattern of ``TOGETHER`` bits, flat, the places of those that are set, first ones first, then the others."""
    bits = np.arange(2**TOGETHER)[:, None] >> np.arange(TOGETHER) & 1
    return np.argsort(1 - bits, axis=1, kind="stable").astype(np.uint8).reshape(-1)


@inlined
def lanes_of(typing: Any, rows: Any) -> Typing:
    """How many lanes a row has."""
    return types.int64(rows), constant(_lanes(rows).count)


@inlined
def bytes_of(typing: Any, rows: Any) -> Typing:
    """How many bytes a row has."""
    row = record(rows)
    return types.int64(rows), constant(row.shape[0] * row.dtype.bitwidth // 8)


@inlined
def zeros(typing: Any, rows: Any) -> Typing:
    """Lanes for sums of ``rows``, all 0."""
    lanes = _lanes(rows)
    return lanes(rows), nothing(lanes)


@inlined
def add_products(typing: Any, total: Any, rows: Any, base: Any, places: Any, factors: Any, first: Any) -> Typing:
    """``total`` and two products, a row times ``factors[e]`` with e = first, first + 1; integers wrap around.

    The row begins ``base + places[e]`` bytes after the first one. With AVX2 one instruction multiplies both and adds the
    products: rows and factors of 8 bits in 16 (PMADDUBSW; factors are below 128, so ``2 * 127 * 128`` at most), those of
    16 bits in 32 (PMADDWD).
    """

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        total, rows, base, places, factors, first = arguments
        _, row, _, place, factor, _ = signature.args
        number, word, weight = FORMATS[factor.dtype], ir.IntType(64), FORMATS[record(row).dtype]
        origin = place_of(context, builder, row, rows, ir.Constant(word, 0), ir.IntType(8))
        origin = builder.gep(origin, [base])
        events = [first, builder.add(first, ir.Constant(word, 1))]
        offsets = [builder.load(builder.gep(start_of(context, builder, place, places), [event])) for event in events]
        starts = [
            builder.bitcast(builder.gep(origin, [builder.sext(offset, word)]), weight.as_pointer())
            for offset in offsets
        ]
        if pairs_products():
            pair = ir.IntType(2 * number.width)
            both = builder.load(place_of(context, builder, factor, factors, first, pair), align=bytes_in(number))
            multipliers = repeated(builder, both, ir.VectorType(pair, 8 * REGISTER // pair.width))
            products = _paired(builder, starts, total.type, multipliers)
        else:
            held = start_of(context, builder, factor, factors)
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
            row = vector_at(builder, start, vector * total.element.count, total.element.count)
            number = builder.sext(factor, total.element.element)
            product = builder.mul(builder.sext(row, total.element), repeated(builder, number, total.element))
            sums = builder.add(sums, product)
        yield sums


def _paired(builder: Any, starts: Sequence[Any], total: Any, factors: Any) -> Iterator[Any]:
    """Vectors of products of two rows with two factors, which are unpacked to neighbour each other."""
    size = 2 * total.element.count
    wide = ir.VectorType(starts[0].type.pointee, size)
    multiply = pairs_multiplier(builder, total.element, wide)
    factors = builder.bitcast(factors, wide)
    for block in range(-(-total.count // 2)):
        halves = min(2, total.count - 2 * block)
        one, other = (vector_at(builder, start, block * size, size * halves // 2) for start in starts)
        for half in range(halves):
            taken = list(range(size // 2))
            if halves == 2:
                quarter = size // 4
                taken = [place + half * quarter for low in (0, 2 * quarter) for place in range(low, low + quarter)]
            order = mask_of([place + row for place in taken for row in (0, one.type.count)])
            yield builder.call(multiply, [factors, builder.shuffle_vector(one, other, order)])


@inlined
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
        seen = builder.load(place_of(context, builder, kinds[0], line, index, looked), align=bytes_in(looked.element))
        kept = builder.and_(seen, repeated(builder, bits, looked))
        active = builder.icmp_unsigned("!=", kept, ir.Constant(looked, None))
        pattern = builder.bitcast(active, ir.IntType(TOGETHER))
        entry = builder.mul(builder.zext(pattern, ir.IntType(64)), ir.Constant(ir.IntType(64), TOGETHER))
        order = place_of(context, builder, kinds[3], orders, entry, ir.VectorType(byte, TOGETHER))
        order = builder.load(order, align=TOGETHER)
        index, step = (repeated(builder, builder.trunc(number, word), marks) for number in (index, step))
        here = builder.mul(builder.add(builder.zext(order, marks), index), step)
        builder.store(here, place_of(context, builder, kinds[5], places, found, marks), align=4)
        kept = _resized(builder, kept, kinds[0].dtype.signed, FORMATS[kinds[6].dtype])
        kept = _reordered(builder, kept, order)
        place = place_of(context, builder, kinds[6], factors, found, kept.type)
        builder.store(kept, place, align=bytes_in(kept.type.element))
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
        twice = mask_of([*range(TOGETHER), *range(TOGETHER)])
        numbers, order = (builder.shuffle_vector(vector, vector, twice) for vector in (numbers, order))
        out = builder.call(shuffle, [numbers, order])
        return builder.shuffle_vector(out, out, mask_of(range(TOGETHER)))
    order = builder.mul(builder.zext(order, kind), ir.Constant(kind, [0x0202] * kind.count))
    order = builder.bitcast(builder.add(order, ir.Constant(kind, [0x0100] * kind.count)), table)
    return builder.bitcast(builder.call(shuffle, [builder.bitcast(numbers, table), order]), kind)


def _lanes(rows: Any) -> Lanes:
    row = record(rows)
    return Lanes(SUMS[row.dtype], row.shape[0])
