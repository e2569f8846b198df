"""Tiles of sums in registers: ``POSITIONS`` of a kernel times a few outputs, which go through all inputs together.

Payloads are read in words of 32 bits, four payloads of 8 bits or two of 16. One instruction multiplies a word with eight
outputs' weights and adds neighbouring products: to a part of the sums in 16 bits, which is moved to 32 before it could
overflow, or to 32 bits at once.
"""

# ruff: noqa: ARG001 - numba calls the functions with the types of arguments, used or not

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types

from snn_deploy_cpu.kernels.simd import (
    FORMATS,
    REGISTER,
    SUMS,
    TOGETHER,
    Lanes,
    Typing,
    constant,
    inlined,
    nothing,
    pairs_multiplier,
    record,
    records,
    repeated,
    start_of,
    store_vectors,
)

POSITIONS = 4
"""Positions whose sums a tile holds. With two vectors of outputs each, eight of the 16 registers of AVX2."""

MOST_VECTORS = 2
"""Vectors of outputs in a tile."""

WORD = 4
"""Bytes of payloads that are multiplied at once."""


def words_of(weight: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """``weight`` (O, I, K_h, K_w) as a run (block, h, w, word of inputs) of records: (output of the block, input of the word).

    Filled up with zeros to whole blocks of ``TOGETHER`` outputs for each vector, and to whole words of inputs.
    """
    outputs, inputs, height, width = weight.shape
    fold = WORD // weight.itemsize
    block = TOGETHER * min(MOST_VECTORS, -(-outputs // TOGETHER))
    blocks, words = -(-outputs // block), -(-inputs // fold)
    filled = np.zeros((blocks * block, words * fold, height, width), weight.dtype)
    filled[:outputs, :inputs] = weight
    filled = filled.reshape(blocks, block, words, fold, height, width)
    return records(filled.transpose(0, 4, 5, 2, 1, 3), block * fold)


@inlined
def vectors_of(typing: Any, words: Any) -> Typing:
    """How many vectors of ``TOGETHER`` outputs a block has."""
    return types.int64(words), constant(_vectors(words))


@inlined
def no_part(typing: Any, words: Any) -> Typing:
    """A part of the sums of a tile, all 0."""
    number = SUMS[record(words).dtype]
    part = Lanes(number, POSITIONS * _vectors(words) * 8 * REGISTER // number.bitwidth)
    return part(words), nothing(part)


@inlined
def no_sums(typing: Any, words: Any) -> Typing:
    """The sums of a tile, (position, output), all 0."""
    sums = Lanes(types.int32, POSITIONS * _vectors(words) * TOGETHER)
    return sums(words), nothing(sums)


@inlined
def add_word(typing: Any, part: Any, words: Any, index: Any, line: Any, place: Any, pitch: Any) -> Typing:
    """``part`` and the products of ``words[index]`` with the payloads ``place + p * pitch`` bytes into ``line``.

    p is the position in the tile. PMADDUBSW takes payloads without sign, and sums in 16 bits; PMADDWD sums in 32.
    """

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        part, words, index, line, place, pitch = arguments
        kind, read = signature.args[1], signature.args[3]
        count, word, number = _vectors(kind), ir.IntType(8 * WORD), FORMATS[record(kind).dtype]
        weights, repeats = ir.VectorType(number, 8 * REGISTER // number.width), ir.VectorType(word, REGISTER // WORD)
        multiply = pairs_multiplier(builder, part.type.element, weights)
        first = builder.mul(index, ir.Constant(ir.IntType(64), count))
        held = []
        for vector in range(count):
            entry = builder.add(first, ir.Constant(ir.IntType(64), vector))
            start = builder.bitcast(start_of(context, builder, kind, words), weights.as_pointer())
            held.append(builder.load(builder.gep(start, [entry]), align=REGISTER))
        line = builder.bitcast(start_of(context, builder, read, line), ir.IntType(8).as_pointer())
        for position in range(POSITIONS):
            payloads = builder.load(builder.bitcast(builder.gep(line, [place]), word.as_pointer()), align=1)
            payloads = builder.bitcast(repeated(builder, payloads, repeats), weights)
            for vector in range(count):
                number = position * count + vector
                products = builder.call(multiply, [payloads, held[vector]])
                sums = builder.add(builder.extract_value(part, number), products)
                part = builder.insert_value(part, sums, number)
            place = builder.add(place, pitch)
        return part

    return part(part, words, types.int64, line, types.int64, types.int64), code


@inlined
def moved(typing: Any, sums: Any, part: Any) -> Typing:
    """``sums`` and ``part``."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        sums, part = arguments
        for vector in range(sums.type.count):
            added = builder.extract_value(part, vector)
            if added.type != sums.type.element:
                multiply = pairs_multiplier(builder, sums.type.element, added.type)
                added = builder.call(multiply, [added, ir.Constant(added.type, [1] * added.type.count)])
            added = builder.add(builder.extract_value(sums, vector), added)
            sums = builder.insert_value(sums, added, vector)
        return sums

    return sums(sums, part), code


@inlined
def keep_tile(typing: Any, sums: Any, out: Any, index: Any, pitch: Any) -> Typing:
    """Write ``sums`` of a tile to ``out[index]`` and on, those of each position ``pitch`` numbers after the one before."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        sums, out, index, pitch = arguments
        vectors = sums.type.count // POSITIONS
        for position in range(POSITIONS):
            start = builder.gep(start_of(context, builder, signature.args[1], out), [index])
            store_vectors(builder, sums, start, position * vectors, vectors)
            index = builder.add(index, pitch)
        return context.get_dummy_value()

    return types.void(sums, out, types.int64, types.int64), code


def _vectors(words: Any) -> int:
    row = record(words)
    return int(row.shape[0] * row.dtype.bitwidth // 8 // REGISTER)
