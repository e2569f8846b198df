"""Vectors in registers for compiled loops, and the only module that speaks LLVM.

Numba's own arrays live in memory, where every sum is loaded and stored again. ``Vectors`` are accumulators whose format and
number are known when a loop is compiled, from the record type of an array of packed weights. To LLVM they are an array of
vectors, one AVX2 register each; a vector of 48 numbers, say, it would take apart. Intrinsics are written with
:class:`Emitter`. Indices are not checked and never count from the end.
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
from numba.extending import intrinsic as numba_intrinsic
from numba.extending import models, register_model

from snn_deploy.arrays import Array

Typing: TypeAlias = tuple[Any, Callable[..., Any]]

FORMATS = {
    types.uint8: ir.IntType(8),
    types.int8: ir.IntType(8),
    types.int16: ir.IntType(16),
    types.int32: ir.IntType(32),
}
SUMS: dict[Any, Any] = {types.int8: types.int16, types.int16: types.int32}
"""Formats of sums of products with weights of each format."""

GROUP = 8
"""Numbers that are scanned, and sums that are written, together."""

VECTOR_BYTES = 32
"""Bytes of a vector: a register of AVX2."""

WIDE = 32
"""32-bit sums that an accumulator of :func:`zero_wide` has."""

_KERNEL_FILES = sorted(Path(__file__).parent.glob("*.py"))

RECORD_FIELD = f"row_{zlib.crc32(b''.join(file.read_bytes() for file in _KERNEL_FILES)):08x}"
"""The one field of records of packed weights. Numba compiles again where types have changed, but not where a function from
another file has; so the types that its loops are given carry the checksum of all files with such functions."""


class Vectors(types.Type):
    """``count`` numbers of the format ``number``, in registers."""

    def __init__(self, number: types.Type, count: int) -> None:
        self.number, self.count = number, count
        super().__init__(name=f"Vectors({number}, {count})")


@register_model(Vectors)
class VectorsModel(models.PrimitiveModel):
    """An array of vectors."""

    def __init__(self, manager: Any, kind: Vectors) -> None:
        number = FORMATS[kind.number]
        size = 8 * VECTOR_BYTES // number.width
        super().__init__(manager, kind, ir.ArrayType(ir.VectorType(number, size), kind.count // size))  # type: ignore[no-untyped-call]


def intrinsic(function: Callable[..., Typing]) -> Callable[..., Any]:
    """A function of compiled loops, called without its first argument, whose signature and code ``function`` returns."""
    return cast("Callable[..., Any]", numba_intrinsic(function))


@cache
def has_avx2() -> bool:
    """Whether compiled loops have AVX2, whose instructions multiply two payloads each and add the products."""
    return "+avx2" in cpu_target.target_context.codegen().magic_tuple()[2]


def pack_records(weights: Array, length: int) -> Array:
    """``weights`` one after the other, as records of ``length``, the first of them at a multiple of 64 bytes."""
    # NumPy aligns to 16 bytes; a vector that crosses a cache line is loaded twice
    buffer = np.empty(weights.nbytes + 64, np.uint8)
    start = -buffer.ctypes.data % 64
    packed = buffer[start : start + weights.nbytes].view(weights.dtype)
    packed[:] = weights.reshape(-1)
    return packed.view([(RECORD_FIELD, weights.dtype, length)])


def record_type(array: Any) -> Any:
    """The numba type of the records of an array of packed weights: a nested array."""
    return array.dtype.fields[RECORD_FIELD].type


def emit_constant(number: int) -> Callable[..., Any]:
    """The code of an intrinsic that is a number."""
    return lambda context, builder, signature, arguments: ir.Constant(ir.IntType(64), number)


def emit_zeros(kind: Vectors) -> Callable[..., Any]:
    """The code of an intrinsic that is ``kind``, all 0."""
    return lambda context, builder, signature, arguments: ir.Constant(context.get_value_type(kind), None)


class Emitter:
    """Emits the instructions of one intrinsic. ``argument`` is the number of an argument, which says the type of an array."""

    def __init__(self, context: Any, builder: Any, signature: Any) -> None:
        self._context, self._builder, self.kinds = context, builder, signature.args

    def integer(self, value: int) -> Any:
        """A 64-bit constant."""
        return ir.Constant(ir.IntType(64), value)

    def add(self, one: Any, other: Any) -> Any:
        """Their sum, element by element."""
        return self._builder.add(one, other)

    def multiply(self, one: Any, other: Any) -> Any:
        """Their product, element by element."""
        return self._builder.mul(one, other)

    def nothing(self) -> Any:
        """What an intrinsic without a result returns."""
        return self._context.get_dummy_value()

    def address(self, argument: int, array: Any, index: Any = None) -> Any:
        """Where ``array[index]`` stands."""
        start = self._context.make_array(self.kinds[argument])(self._context, self._builder, array).data
        return start if index is None else self._builder.gep(start, [index])

    def byte_address(self, argument: int, array: Any, *offsets: Any) -> Any:
        """The byte ``offsets`` after the start of ``array``."""
        address = self._builder.bitcast(self.address(argument, array), ir.IntType(8).as_pointer())
        for offset in offsets:
            address = self._builder.gep(address, [offset])
        return address

    def load(self, argument: int, array: Any, index: Any) -> Any:
        """``array[index]``."""
        return self._builder.load(self.address(argument, array, index))

    def load_offset(self, argument: int, array: Any, index: Any) -> Any:
        """``array[index]`` as 64 bits."""
        return self._builder.sext(self.load(argument, array, index), ir.IntType(64))

    def load_vector(self, address: Any, number: Any, first: int, count: int) -> Any:
        """``count`` numbers of the format ``number``, from number ``first`` after ``address`` on."""
        kind = FORMATS[number]
        start = self._builder.gep(self._builder.bitcast(address, kind.as_pointer()), [self.integer(first)])
        pointer = self._builder.bitcast(start, ir.VectorType(kind, count).as_pointer())
        return self._builder.load(pointer, align=kind.width // 8)

    def load_aligned(self, argument: int, array: Any, entry: Any, number: Any) -> Any:
        """Vector number ``entry`` of an ``array`` that begins at a multiple of 64 bytes."""
        pointer = self._builder.bitcast(self.address(argument, array), _whole(number).as_pointer())
        return self._builder.load(self._builder.gep(pointer, [entry]), align=VECTOR_BYTES)

    def broadcast(self, number: Any, kind: Any) -> Any:
        """``number`` in every element of a vector of LLVM's type ``kind``."""
        undefined = ir.Constant(kind, ir.Undefined)
        first = self._builder.insert_element(undefined, number, ir.Constant(ir.IntType(32), 0))
        everywhere = ir.Constant(ir.VectorType(ir.IntType(32), kind.count), None)
        return self._builder.shuffle_vector(first, undefined, everywhere)

    def broadcast_bytes(self, address: Any, count: int, number: Any, align: int) -> Any:
        """The ``count`` bytes at ``address``, repeated to a vector of the format ``number``."""
        word = ir.IntType(8 * count)
        value = self._builder.load(self._builder.bitcast(address, word.as_pointer()), align=align)
        return self._builder.bitcast(self.broadcast(value, ir.VectorType(word, VECTOR_BYTES // count)), _whole(number))

    def shuffle(self, one: Any, other: Any, places: Sequence[int]) -> Any:
        """The elements ``places`` of both vectors, those of ``other`` counted after those of ``one``."""
        word = ir.IntType(32)
        mask = ir.Constant(ir.VectorType(word, len(places)), [ir.Constant(word, place) for place in places])
        return self._builder.shuffle_vector(one, other, mask)

    def multiply_add_pairs(self, payloads: Any, weights: Any, sums: Any) -> Any:
        """Products whose neighbours are added, as LLVM's type ``sums``: PMADDUBSW for payloads of 8 bits, PMADDWD for 16.

        PMADDUBSW takes payloads without sign and saturates at 16 bits, which the callers' limits exclude.
        """
        name = "llvm.x86.avx2.pmadd.ub.sw" if payloads.type.element.width == 8 else "llvm.x86.avx2.pmadd.wd"
        call = ir.FunctionType(sums, [payloads.type, weights.type])
        return self._builder.call(get_or_insert_function(self._builder.module, call, name), [payloads, weights])

    def multiply_widened(self, number: Any, row: Any, kind: Any) -> Any:
        """``number * row`` in the wider elements of LLVM's type ``kind``."""
        factor = self.broadcast(self._builder.sext(number, kind.element), kind)
        return self._builder.mul(self._builder.sext(row, kind), factor)

    def vector(self, total: Any, index: int) -> Any:
        """Vector ``index`` of an accumulator."""
        return self._builder.extract_value(total, index)

    def accumulate(self, total: Any, index: int, addend: Any) -> Any:
        """``total`` with ``addend`` added to vector ``index``, in 32 bits where ``addend`` has 16."""
        kind = total.type.element
        if addend.type.element.width < kind.element.width:
            if addend.type.count == kind.count:
                addend = self._builder.sext(addend, kind)
            else:  # twice as many: neighbours are added
                ones = ir.Constant(addend.type, [1] * addend.type.count)
                addend = self.multiply_add_pairs(addend, ones, kind)
        return self._builder.insert_value(total, self._builder.add(self.vector(total, index), addend), index)

    def store_vectors(self, total: Any, address: Any, first: int = 0, count: int | None = None) -> None:
        """Write vectors ``first .. first + count`` of an accumulator, numbers of the same format, to ``address`` and on."""
        size, number = total.type.element.count, total.type.element.element
        for place, index in enumerate(range(first, total.type.count if count is None else first + count)):
            target = self._builder.gep(address, [self.integer(place * size)])
            pointer = self._builder.bitcast(target, total.type.element.as_pointer())
            self._builder.store(self.vector(total, index), pointer, align=number.width // 8)


def _whole(number: Any) -> Any:
    """LLVM's type of a vector of numbers of the format ``number``."""
    return ir.VectorType(FORMATS[number], 8 * VECTOR_BYTES // FORMATS[number].width)


@intrinsic
def zero_wide(typing: Any) -> Typing:
    """``WIDE`` sums in 32 bits, all 0."""
    kind = Vectors(types.int32, WIDE)
    return kind(), emit_zeros(kind)


@intrinsic
def accumulate_wide(typing: Any, total: Any, array: Any, index: Any) -> Typing:
    """``total`` and the int16 or int32 sums from ``array[index]`` on."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emit, (total, array, index) = Emitter(context, builder, signature), arguments
        address, size = emit.address(1, array, index), total.type.element.count
        for vector in range(total.type.count):
            total = emit.accumulate(total, vector, emit.load_vector(address, emit.kinds[1].dtype, vector * size, size))
        return total

    return total(total, array, types.int64), code


@intrinsic
def store(typing: Any, total: Any, out: Any, index: Any) -> Typing:
    """Write ``total`` to ``out[index]`` and on, numbers of the same format."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emit, (total, out, index) = Emitter(context, builder, signature), arguments
        emit.store_vectors(total, emit.address(1, out, index))
        return emit.nothing()

    return types.void(total, out, types.int64), code


@intrinsic
def scatter_scaled(
    typing: Any, total: Any, out: Any, base: Any, offsets: Any, first: Any, scale: Any, overwrite: Any
) -> Typing:
    """``total * scale`` in float32, written into ``out`` where ``overwrite`` and added to what stands there otherwise.

    Sums go out in groups of ``GROUP``: group g to ``base + offsets[first + g]`` and on, to nowhere where that offset is
    negative. Exact while sums are below 2**24 and ``scale`` is a power of two.
    """

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emit, (total, out, base, offsets, first, scale, overwrite) = Emitter(context, builder, signature), arguments
        floats, size = ir.VectorType(ir.FloatType(), GROUP), total.type.element.count
        scales = emit.broadcast(scale, floats)
        for group in range(total.type.count * size // GROUP):
            index, part = divmod(group * GROUP, size)
            sums = emit.vector(total, index)
            sums = builder.sitofp(emit.shuffle(sums, sums, range(part, part + GROUP)), floats)
            offset = emit.load(3, offsets, emit.add(first, emit.integer(group)))
            with builder.if_then(builder.icmp_signed(">=", offset, emit.integer(0))):
                pointer = builder.bitcast(emit.address(1, out, emit.add(base, offset)), floats.as_pointer())
                there = builder.select(overwrite, ir.Constant(floats, None), builder.load(pointer, align=4))
                builder.store(builder.fadd(builder.fmul(sums, scales), there), pointer, align=4)
        return emit.nothing()

    return types.void(total, out, types.int64, offsets, types.int64, types.float32, types.boolean), code


@intrinsic
def load(typing: Any, array: Any, index: Any) -> Typing:
    """``array[index]``."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return Emitter(context, builder, signature).load(0, *arguments)

    return array.dtype(array, types.int64), code


@intrinsic
def black_box(typing: Any, number: Any) -> Typing:
    """``number``, of which the compiler knows nothing: a loop that counts so is not unrolled, as short ones should not be."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = ir.IntType(64)
        return builder.asm(ir.FunctionType(word, [word]), "", "=r,0", arguments, side_effect=False)

    return types.int64(types.int64), code


@intrinsic
def compress_nonzero(
    typing: Any, line: Any, index: Any, bits: Any, table: Any, pitch: Any, offsets: Any, payloads: Any, end: Any
) -> Typing:
    """Append those of ``GROUP`` numbers from ``line[index]`` on that have any of ``bits`` to a list of ``end`` entries.

    ``offsets`` get their index times ``pitch``, ``payloads`` what ``bits`` leave of them; returns the new ``end``. ``GROUP``
    entries are written; those from the new ``end`` on mean nothing. ``table`` is :func:`compress_table`.
    """

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emit, (line, index, bits, table, pitch, offsets, payloads, end) = (
            Emitter(context, builder, signature),
            arguments,
        )
        kinds, word = signature.args, ir.IntType(32)
        marks = ir.VectorType(word, GROUP)
        masked = emit.load_vector(emit.address(0, line, index), kinds[0].dtype, 0, GROUP)
        masked = builder.and_(masked, emit.broadcast(bits, masked.type))
        nonzero = builder.icmp_unsigned("!=", masked, ir.Constant(masked.type, None))
        pattern = builder.bitcast(nonzero, ir.IntType(GROUP))
        entry = emit.address(3, table, emit.multiply(builder.zext(pattern, ir.IntType(64)), emit.integer(GROUP)))
        order = builder.load(builder.bitcast(entry, ir.VectorType(ir.IntType(8), GROUP).as_pointer()), align=GROUP)
        index, pitch = (emit.broadcast(builder.trunc(number, word), marks) for number in (index, pitch))
        places = builder.mul(builder.add(builder.zext(order, marks), index), pitch)
        builder.store(places, builder.bitcast(emit.address(5, offsets, end), marks.as_pointer()), align=4)
        masked = _resized(builder, masked, kinds[0].dtype.signed, FORMATS[kinds[6].dtype])
        masked = _reordered(emit, builder, masked, order)
        pointer = builder.bitcast(emit.address(6, payloads, end), masked.type.as_pointer())
        builder.store(masked, pointer, align=masked.type.element.width // 8)
        return builder.add(end, builder.zext(builder.ctpop(pattern), ir.IntType(64)))

    word = types.int64
    return word(line, word, line.dtype, table, word, offsets, payloads, word), code


def compress_table() -> npt.NDArray[np.uint8]:
    """For each pattern of ``GROUP`` bits, flat (2**GROUP * GROUP,): the places of those that are set, then the others."""
    bits = np.arange(2**GROUP)[:, None] >> np.arange(GROUP) & 1
    return np.argsort(1 - bits, axis=1, kind="stable").astype(np.uint8).reshape(-1)


def _resized(builder: Any, numbers: Any, signed: bool, number: Any) -> Any:
    """``numbers`` in the format ``number``."""
    kind, width = ir.VectorType(number, numbers.type.count), numbers.type.element.width
    if width == number.width:
        return numbers
    if width > number.width:
        return builder.trunc(numbers, kind)
    return builder.sext(numbers, kind) if signed else builder.zext(numbers, kind)


def _reordered(emit: Emitter, builder: Any, numbers: Any, order: Any) -> Any:
    """``numbers[order]``."""
    kind = numbers.type
    if not has_avx2():
        out = ir.Constant(kind, ir.Undefined)
        for place in range(kind.count):
            constant = ir.Constant(ir.IntType(32), place)
            taken = builder.extract_element(numbers, builder.extract_element(order, constant))
            out = builder.insert_element(out, taken, constant)
        return out
    table = ir.VectorType(ir.IntType(8), 16)
    shuffle = get_or_insert_function(
        builder.module, ir.FunctionType(table, [table, table]), "llvm.x86.ssse3.pshuf.b.128"
    )
    if kind.element.width == 8:
        twice = [*range(GROUP), *range(GROUP)]
        numbers, order = (emit.shuffle(vector, vector, twice) for vector in (numbers, order))
        out = builder.call(shuffle, [numbers, order])
        return emit.shuffle(out, out, range(GROUP))
    # PSHUFB moves bytes: place p becomes the bytes 2 p and 2 p + 1
    order = builder.mul(builder.zext(order, kind), ir.Constant(kind, [0x0202] * kind.count))
    order = builder.bitcast(builder.add(order, ir.Constant(kind, [0x0100] * kind.count)), table)
    return builder.bitcast(builder.call(shuffle, [builder.bitcast(numbers, table), order]), kind)
