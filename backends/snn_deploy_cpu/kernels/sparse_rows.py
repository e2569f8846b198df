"""Rows of weights, those of one input for many outputs: scaled by payloads and added to accumulators in registers.

The width of a row is known when a loop is compiled, from the record type of an array of rows (:func:`pack_rows`).
"""

# ruff: noqa: ARG001 - numba calls the functions with the types of arguments, used or not

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numba import types

from snn_deploy.arrays import Array
from snn_deploy_cpu.kernels.simd import (
    SUMS,
    VECTOR_BYTES,
    Emitter,
    Typing,
    Vectors,
    emit_constant,
    emit_zeros,
    has_avx2,
    intrinsic,
    pack_records,
    record_type,
)

ROW_GROUP = 16
"""Rows of weights are a multiple of so many wide."""


def pack_rows(weights: Array) -> Array:
    """``weights`` (..., L) int8 or int16 as records of L, the first of them at a multiple of 64 bytes.

    With AVX2 in the order that interleaving two rows undoes: the second and third quarter of every ``VECTOR_BYTES``
    change places, because unpack instructions work on each half of a register by itself.
    """
    width, size = weights.shape[-1], VECTOR_BYTES // weights.itemsize
    if has_avx2():
        order = np.arange(width)
        whole = order[: width - width % size].reshape(-1, 2, 2, size // 4)
        order[: whole.size] = whole.swapaxes(1, 2).reshape(-1)
        weights = weights[..., order]
    return pack_records(weights, width)


@intrinsic
def row_width(typing: Any, rows: Any) -> Typing:
    """How many weights a row has."""
    return types.int64(rows), emit_constant(record_type(rows).shape[0])


@intrinsic
def row_bytes(typing: Any, rows: Any) -> Typing:
    """How many bytes a row has."""
    row = record_type(rows)
    return types.int64(rows), emit_constant(row.shape[0] * row.dtype.bitwidth // 8)


@intrinsic
def zero_row(typing: Any, rows: Any) -> Typing:
    """An accumulator as wide as ``rows``, all 0: int16 for int8 weights, int32 for int16."""
    row = record_type(rows)
    total = Vectors(SUMS[row.dtype], row.shape[0])
    return total(rows), emit_zeros(total)


@intrinsic
def axpy2(typing: Any, total: Any, rows: Any, base: Any, offsets: Any, payloads: Any, first: Any) -> Typing:
    """``total + payloads[e] * row(e) + payloads[e + 1] * row(e + 1)`` with e = ``first``; integers wrap around.

    ``row(e)`` begins ``base + offsets[e]`` bytes after the first one. With AVX2 one instruction multiplies both and adds the
    products: int8 rows and uint8 payloads in 16 bits (exact for payloads below 128: ``2 * 127 * 128 <= 32767``), int16 and
    int16 in 32.
    """

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emit, (total, rows, base, offsets, payloads, first) = Emitter(context, builder, signature), arguments
        weight, payload = record_type(signature.args[1]).dtype, signature.args[4].dtype
        entries = [first, emit.add(first, emit.integer(1))]
        starts = [emit.byte_address(1, rows, base, emit.load_offset(3, offsets, entry)) for entry in entries]
        if has_avx2():
            size = payload.bitwidth // 8
            pair = emit.broadcast_bytes(emit.address(4, payloads, first), 2 * size, weight, align=size)
            products = _interleaved_products(emit, starts, total.type, pair, weight)
        else:
            factors = [emit.load(4, payloads, entry) for entry in entries]
            products = _separate_products(emit, starts, total.type, factors, weight)
        for vector, product in enumerate(products):
            total = emit.accumulate(total, vector, product)
        return total

    return total(total, rows, types.int64, offsets, payloads, types.int64), code


def _separate_products(
    emit: Emitter, starts: Sequence[Any], total: Any, factors: Sequence[Any], weight: Any
) -> Iterator[Any]:
    """Vectors of sums of two products, one row and one payload after the other."""
    size = total.element.count
    for vector in range(total.count):
        one, other = (
            emit.multiply_widened(factor, emit.load_vector(start, weight, vector * size, size), total.element)
            for start, factor in zip(starts, factors, strict=True)
        )
        yield emit.add(one, other)


def _interleaved_products(emit: Emitter, starts: Sequence[Any], total: Any, pair: Any, weight: Any) -> Iterator[Any]:
    """Vectors of sums of two products: the rows are interleaved, so that the weights of one output are neighbours."""
    size = 2 * total.element.count
    for block in range(-(-total.count // 2)):
        halves = min(2, total.count - 2 * block)
        one, other = (emit.load_vector(start, weight, block * size, size * halves // 2) for start in starts)
        for half in range(halves):
            taken = list(range(size // 2))
            # interleaving works on each half of a register, so the quarters that pack_rows exchanged come in order
            if halves == 2:
                quarter = size // 4
                taken = [place + half * quarter for low in (0, 2 * quarter) for place in range(low, low + quarter)]
            interleaved = emit.shuffle(one, other, [place + row for place in taken for row in (0, one.type.count)])
            yield emit.multiply_add_pairs(pair, interleaved, total.element)
