"""DepthToSpace, SpaceToDepth, Reshape, Flatten, Transpose, Squeeze, Unsqueeze: the same numbers under other axes.

Whole axes are renamed, at no cost. Parts of axes that move between channels, rows and columns (pixel shuffling and
unshuffling, channel shuffling) are (transposed) convolutions with weights 0 and 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from snn_deploy.arrays import Int64
from snn_deploy.frontend.onnx.call import Call, Outcome, RefusedError, Wire
from snn_deploy.frontend.onnx.factors import Factor, Factored, letters_of, regroup
from snn_deploy.frontend.onnx.registry import operator
from snn_deploy.graph.ops import Conv, ConvTranspose

MAX_AXES = 8
"""Axes that a map may be cut into on the way to another map."""

RENAMING = (
    "Reshape",
    "Flatten",
    "Transpose",
    "Squeeze",
    "Unsqueeze",
    "Identity",
    "Dropout",
    "Cast",
    "Shape",
    "Size",
    "Expand",
    "Tile",
)
"""Operators that read a map whose axes are not settled."""

RENAMED = "the order of axes"
MOVED = "synapses of weight 1"


@operator("Transpose", 1, 13, 21, 23, 24, 25)
def transpose(call: Call) -> Outcome:
    """Any order at the edges (NHWC in and out), pairs inside that undo each other, and between two Reshape."""
    wire = call.view(0)
    rank = len(wire.extents(call.batch))
    order = call.attribute("perm") or tuple(range(rank))[::-1]
    if sorted(order) != list(range(rank)):
        raise RefusedError(f"perm {list(order)} is not an order of {rank} axes")
    if not wire.factors:
        return call.folded(replace(wire, axes="".join(wire.axes[axis] for axis in order)), RENAMED)
    return _laid_out(call, wire, tuple(wire.factors[axis] for axis in order))


@operator("Reshape", 5, 13, 14, 19, 21, 23, 24, 25)
def reshape(call: Call) -> Outcome:
    """Where it changes nothing, is a Transpose because an axis has one entry, or shuffles pixels or channels."""
    wire = call.view(0)
    extents, wanted = wire.extents(call.batch), list(call.integer_constant(1))
    wanted = [extents[axis] if extent == 0 and axis < len(extents) else extent for axis, extent in enumerate(wanted)]
    rest = int(np.prod([extent for extent in wanted if extent != -1]))
    wanted = [int(np.prod(extents)) // max(rest, 1) if extent == -1 else extent for extent in wanted]
    return _reshaped(call, wire, wanted)


@operator("Flatten", 9, 11, 13, 21, 23, 24, 25)
def flatten(call: Call) -> Outcome:
    """As Reshape."""
    wire = call.view(0)
    extents, axis = wire.extents(call.batch), call.integer("axis", 1)
    return _reshaped(call, wire, [int(np.prod(extents[:axis])), int(np.prod(extents[axis:]))])


def _reshaped(call: Call, wire: Wire, wanted: Sequence[int]) -> Outcome:
    extents = wire.extents(call.batch)
    if tuple(wanted) == extents:
        return call.folded(wire, "nothing: it changes nothing")
    factors = regroup(wire.factored(call.batch), wanted)
    if factors is None or len(wanted) > MAX_AXES:
        raise RefusedError(
            f"turns a map {list(extents)} into {list(wanted)}, which cuts axes apart in a way that no transposition or"
            " pixel shuffling follows; if the sizes in it belong to another --size, export the model for this one"
        )
    return _laid_out(call, wire, factors)


@operator("Squeeze", 1, 11, 13, 21, 23, 24, 25)
def squeeze(call: Call) -> Outcome:
    """Axes of one entry, at the end of the model or undone later; the network keeps them."""
    wire = call.view(0)
    extents, named = wire.extents(call.batch), call.listed(1, "axes")
    dropped = named or tuple(axis for axis, extent in enumerate(extents) if extent == 1)
    if any(extents[axis] != 1 for axis in dropped):
        raise RefusedError(f"drops axes {list(dropped)} of {list(extents)}, which have more than one entry")
    places = {axis % len(extents) for axis in dropped}
    kept = [axis for axis in range(len(extents)) if axis not in places]
    if wire.factors:
        return _laid_out(call, wire, tuple(wire.factors[axis] for axis in kept))
    return call.folded(
        replace(wire, axes="".join(wire.axes[axis] for axis in kept)), "nothing: an axis of one entry, which stays"
    )


@operator("Unsqueeze", 1, 11, 13, 21, 23, 24, 25)
def unsqueeze(call: Call) -> Outcome:
    """Restores axes that Squeeze or ArgMax took, or adds some between two Reshape."""
    wire, axes = call.view(0), call.listed(1, "axes")
    factors = list(wire.factored(call.batch))
    rank = len(factors) + len(axes)
    if rank > MAX_AXES:
        raise RefusedError(f"makes {rank} axes; at most {MAX_AXES} are supported")
    for axis in sorted(axis % rank for axis in axes):
        factors.insert(axis, ())
    return _laid_out(call, wire, tuple(factors))


@operator("DepthToSpace", 1, 11, 13, 28)
def depth_to_space(call: Call) -> Outcome:
    """Both modes."""
    wire = call.wire(0)
    block, channels = _block(call), wire.shape[0]
    mode = call.text("mode", "DCR")
    if channels % block**2 or mode not in ("DCR", "CRD"):
        raise RefusedError(f"{channels} channels do not fill blocks of {block} (mode {mode})")
    deep = channels // block**2
    strides = (block * deep, deep, 1) if mode == "DCR" else (block, 1, block**2)
    row, column, kept = (
        Factor("C", extent, stride) for extent, stride in zip((block, block, deep), strides, strict=True)
    )
    rows, columns = Factor("H", wire.shape[1], 1), Factor("W", wire.shape[2], 1)
    return call.mapped(_move(call, wire, (kept,), (rows, row), (columns, column)), MOVED)


@operator("SpaceToDepth", 1, 13, 28)
def space_to_depth(call: Call) -> Outcome:
    """Any block size that divides height and width."""
    wire = call.wire(0)
    block = _block(call)
    if wire.shape[1] % block or wire.shape[2] % block:
        raise RefusedError(f"blocks of {block} do not divide {wire.shape[1]}x{wire.shape[2]}")
    row, column, kept = Factor("H", block, 1), Factor("W", block, 1), Factor("C", wire.shape[0], 1)
    rows, columns = Factor("H", wire.shape[1] // block, block), Factor("W", wire.shape[2] // block, block)
    return call.mapped(_move(call, wire, (row, column, kept), (rows,), (columns,)), MOVED)


def _block(call: Call) -> int:
    block = call.integer("blocksize", 0)
    if not 1 <= block <= 2**6:
        raise RefusedError(f"blocksize {block} is not within 1 and {2**6}")
    return block


# ---------------------------------------------------------------------- from factors to a map


def settle(call: Call) -> Call:
    """``call`` with values that a dense layer made, (batch, outputs) cut into four axes, read as the map that they stand for.

    Which axis is which is not known before they are used: NCHW after a Reshape, and after a Transpose of NHWC.
    """
    if call.node.op_type in RENAMING:
        return call
    return replace(
        call, inputs=tuple(_settled(call, value) if isinstance(value, Wire) else value for value in call.inputs)
    )


def _settled(call: Call, wire: Wire) -> Wire:
    if (
        len(wire.factors) != 4
        or wire.shape[1:] != (1, 1)
        or wire.hosted
        or any(factor.letter != "C" for axis in wire.factors for factor in axis)
    ):
        return wire
    _, channels, rows, columns = wire.factors
    made = _move(call, wire, channels, (Factor("H", 1, 1), *rows), (Factor("W", 1, 1), *columns), "map")
    return replace(made, axes="NCHW", factors=())


def _laid_out(call: Call, wire: Wire, factors: Factored) -> Outcome:
    """``wire`` under other axes: renamed where these are whole, moved where they make a map, else left for later nodes."""
    sizes = dict(zip("NCHW", (call.batch, *wire.shape), strict=True))
    letters = letters_of(factors, sizes)
    if letters is not None:
        return call.folded(replace(wire, axes=letters, factors=()), RENAMED)
    places = _places(factors, sizes)
    if places is None or wire.hosted:
        return call.folded(replace(wire, axes="", factors=factors), RENAMED)
    channels, rows, columns = (factors[place] for place in places)
    made = _move(call, wire, channels, rows, columns)
    named = {0: "N", **dict(zip(places, "CHW", strict=True))}
    return call.mapped(replace(made, axes="".join(named[axis] for axis in range(4)), factors=()), MOVED)


def _places(factors: Factored, sizes: dict[str, int]) -> tuple[int, int, int] | None:
    """Which of four axes are channels, rows and columns of a map: rows begin with rows of the old map, columns alike."""
    if len(factors) != 4 or any(factor.letter != "N" for factor in factors[0]):
        return None
    found = {}
    for letter in "HW":
        starts = [
            axis
            for axis in (1, 2, 3)
            if factors[axis]
            and factors[axis][0].letter == letter
            and factors[axis][0].extent * factors[axis][0].stride == sizes[letter]
            and all(factor.letter == "C" for factor in factors[axis][1:])
        ]
        if len(starts) != 1:
            return None
        found[letter] = starts[0]
    (channels,) = {1, 2, 3} - set(found.values())
    return channels, found["H"], found["W"]


def _move(
    call: Call,
    wire: Wire,
    channels: tuple[Factor, ...],
    rows: tuple[Factor, ...],
    columns: tuple[Factor, ...],
    part: str = "",
) -> Wire:
    """Parts of rows and columns to channels by a strided convolution, then parts of channels back by a transposed one."""
    (down, across), source = (rows[0].stride, columns[0].stride), wire.shape[0]
    digits = [(factor, axis) for axis, factors in enumerate((channels, rows[1:], columns[1:])) for factor in factors]
    outputs, up, along = (
        int(np.prod([factor.extent for factor in factors])) for factors in (channels, rows[1:], columns[1:])
    )
    deep = source * down * across
    call.weights.check(max(deep * source * down * across, deep * outputs * up * along))
    index = np.indices([factor.extent for factor, _ in digits]).reshape(len(digits), -1)
    # where each of the `deep` channels comes from (channel, row and column of a block), and where it goes
    channel, row, column = (_position(digits, index, letter) for letter in "CHW")
    target = [_mixed([n for n, (_, axis) in enumerate(digits) if axis == place], digits, index) for place in range(3)]
    if up * along == 1:
        weight = np.zeros((outputs, source, down, across))
        weight[target[0], channel, row, column] = 1
        return call.add(Conv(weight, np.zeros(outputs), (down, across)), wire, part=part)
    if down * across > 1:
        weight = np.zeros((deep, source, down, across))
        middle = (channel * down + row) * across + column
        weight[middle, channel, row, column] = 1
        wire = call.add(Conv(weight, np.zeros(deep), (down, across)), wire, part="deep")
        channel = middle
    weight = np.zeros((deep, outputs, up, along))
    weight[channel, target[0], target[1], target[2]] = 1
    return call.add(ConvTranspose(weight, np.zeros(outputs), (up, along)), wire, part=part)


def _position(digits: Sequence[tuple[Factor, int]], index: Int64, letter: str) -> Int64:
    """Positions along ``letter`` of the old map."""
    strides = np.array([factor.stride if factor.letter == letter else 0 for factor, _ in digits], np.int64)
    return strides @ index


def _mixed(places: Sequence[int], digits: Sequence[tuple[Factor, int]], index: Int64) -> Int64:
    """Positions along a new axis, whose digits stand at ``places``, the slowest first."""
    position = np.zeros(index.shape[1], np.int64)
    for place in places:
        position = position * digits[place][0].extent + index[place]
    return position
