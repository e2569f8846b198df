"""The GEMM micro-kernel: a tile of MR positions times NR_VECTORS vectors of outputs, in registers over all inputs.

Payloads are read in words of ``KR_BYTES``, four payloads of 8 bits or two of 16, as in XNNPACK's MR x NR c KR kernels. One
instruction multiplies a word with eight outputs' weights and adds neighbouring products: into *partial* sums in 16 bits,
which are widened to 32 before they could overflow, or into 32 bits at once.
"""

# ruff: noqa: ARG001 - numba calls the functions with the types of arguments, used or not

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from snn_deploy.arrays import Array
from snn_deploy_cpu.kernels.simd import (
    GROUP,
    SUMS,
    VECTOR_BYTES,
    Emitter,
    Typing,
    Vectors,
    emit_constant,
    emit_zeros,
    intrinsic,
    pack_records,
    record_type,
)

MR = 4
"""Positions of a tile. With two vectors of outputs each, eight of the 16 registers of AVX2 are accumulators."""

NR_VECTORS = 2
"""Most vectors of outputs of a tile."""

KR_BYTES = 4
"""Bytes of payloads of a position that one instruction multiplies."""


def pack_tiles(weight: Array) -> Array:
    """``weight`` (O, I, K_h, K_w) int8 or int16 as records (tile, h, w, word of inputs), each (output, input of the word).

    Filled up with zeros to whole tiles of ``GROUP`` outputs for each vector, and to whole words of inputs.
    """
    outputs, inputs, height, width = weight.shape
    per_word = KR_BYTES // weight.itemsize
    tile = GROUP * min(NR_VECTORS, -(-outputs // GROUP))
    tiles, words = -(-outputs // tile), -(-inputs // per_word)
    padded = np.zeros((tiles * tile, words * per_word, height, width), weight.dtype)
    padded[:outputs, :inputs] = weight
    padded = padded.reshape(tiles, tile, words, per_word, height, width)
    return pack_records(padded.transpose(0, 4, 5, 2, 1, 3), tile * per_word)


@intrinsic
def vectors_per_tile(typing: Any, weights: Any) -> Typing:
    """How many vectors of ``GROUP`` outputs a tile of ``weights`` has."""
    return types.int64(weights), emit_constant(_vectors(weights))


@intrinsic
def zero_partial(typing: Any, weights: Any) -> Typing:
    """The partial sums of a tile, all 0: int16 for int8 weights, int32 for int16."""
    number = SUMS[record_type(weights).dtype]
    partial = Vectors(number, MR * _vectors(weights) * 8 * VECTOR_BYTES // number.bitwidth)
    return partial(weights), emit_zeros(partial)


@intrinsic
def zero_tile(typing: Any, weights: Any) -> Typing:
    """The int32 sums of a tile, (position, output), all 0."""
    sums = Vectors(types.int32, MR * _vectors(weights) * GROUP)
    return sums(weights), emit_zeros(sums)


@intrinsic
def fma_word(typing: Any, partial: Any, weights: Any, index: Any, x: Any, offset: Any, pitch: Any) -> Typing:
    """``partial`` plus the products of record ``weights[index]`` with the words of all positions.

    The word of position p stands ``offset + p * pitch`` bytes into ``x``, uint8 payloads for int8 weights, int16 for int16.
    Exact for as many words as :class:`snn_deploy_cpu.conv.direct.DirectConv` proves.
    """

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emit, (partial, weights, index, x, offset, pitch) = Emitter(context, builder, signature), arguments
        count, number = _vectors(signature.args[1]), record_type(signature.args[1]).dtype
        first = emit.multiply(index, emit.integer(count))
        outputs = [emit.load_aligned(1, weights, emit.add(first, emit.integer(i)), number) for i in range(count)]
        for position in range(MR):
            # not aligned: rows of payloads begin anywhere
            word = emit.broadcast_bytes(emit.byte_address(3, x, offset), KR_BYTES, number, align=1)
            for i, vector in enumerate(outputs):
                products = emit.multiply_add_pairs(word, vector, partial.type.element)
                partial = emit.accumulate(partial, position * count + i, products)
            offset = emit.add(offset, pitch)
        return partial

    return partial(partial, weights, types.int64, x, types.int64, types.int64), code


@intrinsic
def widen_accumulate(typing: Any, sums: Any, partial: Any) -> Typing:
    """The 32-bit ``sums`` of a tile plus its ``partial`` sums."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emit, (sums, partial) = Emitter(context, builder, signature), arguments
        for vector in range(sums.type.count):
            sums = emit.accumulate(sums, vector, emit.vector(partial, vector))
        return sums

    return sums(sums, partial), code


@intrinsic
def store_tile(typing: Any, sums: Any, out: Any, index: Any, pitch: Any) -> Typing:
    """Write ``sums`` of a tile to ``out[index]`` and on, those of each position ``pitch`` numbers after the one before."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emit, (sums, out, index, pitch) = Emitter(context, builder, signature), arguments
        vectors = sums.type.count // MR
        for position in range(MR):
            emit.store_vectors(sums, emit.address(1, out, index), position * vectors, vectors)
            index = emit.add(index, pitch)
        return emit.nothing()

    return types.void(sums, out, types.int64, types.int64), code


def _vectors(weights: Any) -> int:
    record = record_type(weights)
    return int(record.shape[0] * record.dtype.bitwidth // 8 // VECTOR_BYTES)
