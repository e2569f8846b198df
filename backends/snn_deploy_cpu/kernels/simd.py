"""Vectors in registers for compiled loops: numba's own arrays live in memory, where every sum is loaded and stored again.

``Lanes`` are sums whose number and format are known when a loop is compiled; they come from the record type of an array of
weights. To LLVM they are an array of vectors, one register of AVX2 each; vectors of 48 numbers, say, it would take apart.
Indices are not checked and never count from the end.
"""

# ruff: noqa: ARG001 - numba calls the functions with the types of arguments, used or not

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
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
"""Numbers that are looked at, and sums that are written, together."""

REGISTER = 32
"""Bytes of a vector."""

WIDE = 32
"""Sums in 32 bits that are added up together."""

_HERE = Path(__file__)
_FILES = sorted(_HERE.parent.glob("*.py"))

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


def inlined(function: Callable[..., Typing]) -> Callable[..., Any]:
    """What compiled loops call in the place of ``function``, which says what it means: without the first argument."""
    return cast("Callable[..., Any]", intrinsic(function))


@cache
def pairs_products() -> bool:
    """Whether compiled loops have AVX2, whose instructions multiply two payloads each and add the products."""
    return "+avx2" in cpu_target.target_context.codegen().magic_tuple()[2]


def records(weights: npt.NDArray[Any], length: int) -> npt.NDArray[Any]:
    """``weights`` one after the other, as records of ``length``, the first of them at a multiple of 64 bytes."""
    room = np.empty(weights.nbytes + 64, np.uint8)
    start = -room.ctypes.data % 64
    held = room[start : start + weights.nbytes].view(weights.dtype)
    held[:] = weights.reshape(-1)
    return held.view([(ROW, weights.dtype, length)])


def record(array: Any) -> Any:
    """The type of the records of a numba ``array``: a nested array of weights."""
    return array.dtype.fields[ROW].type


def constant(number: int) -> Callable[..., Any]:
    """What an intrinsic that is a number compiles to."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return ir.Constant(ir.IntType(64), number)

    return code


def nothing(lanes: Lanes) -> Callable[..., Any]:
    """What an intrinsic compiles to that is ``lanes``, all 0."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return ir.Constant(context.get_value_type(lanes), None)

    return code


@inlined
def no_wide(typing: Any) -> Typing:
    """``WIDE`` sums in 32 bits, all 0."""
    lanes = Lanes(types.int32, WIDE)
    return lanes(), nothing(lanes)


@inlined
def add_wide(typing: Any, total: Any, array: Any, index: Any) -> Typing:
    """``total`` and the sums from ``array[index]`` on, of 16 or 32 bits."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        total, array, index = arguments
        start = builder.gep(start_of(context, builder, signature.args[1], array), [index])
        size = total.type.element.count
        for vector in range(total.type.count):
            there = vector_at(builder, start, vector * size, size)
            if there.type.element.width < 32:
                there = builder.sext(there, ir.VectorType(ir.IntType(32), size))
            sums = builder.add(builder.extract_value(total, vector), there)
            total = builder.insert_value(total, sums, vector)
        return total

    return total(total, array, types.int64), code


@inlined
def keep(typing: Any, total: Any, out: Any, index: Any) -> Typing:
    """Write ``total`` to ``out[index]`` and on, numbers of the same format."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        total, out, index = arguments
        start = builder.gep(start_of(context, builder, signature.args[1], out), [index])
        store_vectors(builder, total, start)
        return context.get_dummy_value()

    return types.void(total, out, types.int64), code


@inlined
def put(typing: Any, total: Any, out: Any, base: Any, offsets: Any, first: Any, scale: Any, fresh: Any) -> Typing:
    """``total * scale`` in float32, written into ``out`` where ``fresh`` and added to what stands there otherwise.

    Lanes go out in groups of ``TOGETHER``: group g to ``base + offsets[first + g]`` and on, to nowhere where that
    offset is negative.
    """

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        total, out, base, offsets, first, scale, fresh = arguments
        kinds, word = signature.args, ir.IntType(64)
        floats = ir.VectorType(ir.FloatType(), TOGETHER)
        scales = repeated(builder, scale, floats)
        size = total.type.element.count
        for group in range(total.type.count * size // TOGETHER):
            vector, part = divmod(group * TOGETHER, size)
            sums = builder.extract_value(total, vector)
            sums = builder.shuffle_vector(sums, sums, mask_of(range(part, part + TOGETHER)))
            sums = builder.sitofp(sums, floats)
            index = builder.add(first, ir.Constant(word, group))
            offset = builder.load(builder.gep(start_of(context, builder, kinds[3], offsets), [index]))
            with builder.if_then(builder.icmp_signed(">=", offset, ir.Constant(word, 0))):
                place = place_of(context, builder, kinds[1], out, builder.add(base, offset), floats)
                there = builder.select(fresh, ir.Constant(floats, None), builder.load(place, align=4))
                sums = builder.fadd(builder.fmul(sums, scales), there)
                builder.store(sums, place, align=4)
        return context.get_dummy_value()

    return types.void(total, out, types.int64, offsets, types.int64, types.float32, types.boolean), code


@inlined
def peek(typing: Any, array: Any, index: Any) -> Typing:
    """``array[index]``."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(builder.gep(start_of(context, builder, signature.args[0], arguments[0]), [arguments[1]]))

    return array.dtype(array, types.int64), code


@inlined
def opaque(typing: Any, number: Any) -> Typing:
    """``number``, of which the compiler knows nothing: a loop that counts so is not unrolled, as short ones should not be."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = ir.IntType(64)
        return builder.asm(ir.FunctionType(word, [word]), "", "=r,0", arguments, side_effect=False)

    return types.int64(types.int64), code


def pairs_multiplier(builder: Any, sums: Any, factors: Any) -> Any:
    """The instruction that multiplies two vectors of the format ``factors`` and adds neighbouring products to ``sums``."""
    name = "llvm.x86.avx2.pmadd.ub.sw" if factors.element.width == 8 else "llvm.x86.avx2.pmadd.wd"
    return get_or_insert_function(builder.module, ir.FunctionType(sums, [factors, factors]), name)


def mask_of(places: Sequence[int]) -> Any:
    """The constant that says which numbers a shuffle takes."""
    word = ir.IntType(32)
    return ir.Constant(ir.VectorType(word, len(places)), [ir.Constant(word, place) for place in places])


def start_of(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    """Where ``array`` begins."""
    return context.make_array(kind)(context, builder, array).data


def place_of(context: Any, builder: Any, kind: Any, array: Any, index: Any, pointed: Any) -> Any:
    """Where ``array[index]`` stands, as the place of a ``pointed``."""
    return builder.bitcast(builder.gep(start_of(context, builder, kind, array), [index]), pointed.as_pointer())


def store_vectors(builder: Any, total: Any, start: Any, first: int = 0, count: int | None = None) -> None:
    """Write vectors ``first .. first + count`` of ``total`` from ``start`` on."""
    size, word = total.type.element.count, total.type.element.element
    for place, vector in enumerate(range(first, total.type.count if count is None else first + count)):
        sums = builder.extract_value(total, vector)
        goal = builder.gep(start, [ir.Constant(ir.IntType(64), place * size)])
        builder.store(sums, builder.bitcast(goal, sums.type.as_pointer()), align=bytes_in(word))


def vector_at(builder: Any, start: Any, first: int, count: int) -> Any:
    """``count`` numbers, number ``first`` of those that start there and on."""
    number = start.type.pointee
    place = builder.gep(start, [ir.Constant(ir.IntType(64), first)])
    return builder.load(builder.bitcast(place, ir.VectorType(number, count).as_pointer()), align=bytes_in(number))


def repeated(builder: Any, number: Any, lanes: Any) -> Any:
    """``number`` in every lane."""
    nothing = ir.Constant(lanes, ir.Undefined)
    one = builder.insert_element(nothing, number, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, nothing, ir.Constant(ir.VectorType(ir.IntType(32), lanes.count), None))


def bytes_in(number: Any) -> int:
    """Bytes of a number, to which arrays of them are aligned at least."""
    return int(number.width) // 8
