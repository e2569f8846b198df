"""Concat, Pad, Slice, Split, Gather, Shape, and nodes that do nothing at inference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, TypeAlias, cast

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from snn_deploy.arrays import Float64
from snn_deploy.frontend.onnx.call import Call, HostedError, Outcome, Picked, RefusedError, Wire
from snn_deploy.frontend.onnx.registry import operator
from snn_deploy.graph.host import INTEGERS, HostFunction
from snn_deploy.graph.limits import MAX_CHANNELS, MAX_EXTENT, MAX_LINKS
from snn_deploy.graph.ops import Add, Affine, Concat, Conv, Host, Resample

Indices: TypeAlias = npt.NDArray[np.intp]

FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)
WHOLE = (*range(TensorProto.UINT8, TensorProto.INT64 + 1), TensorProto.UINT32, TensorProto.UINT64)
"""Types of numbers with and without fractions (``TensorProto.DataType``); 8 is a text and stands among the second."""


@operator("Concat", 4, 11, 13)
def concat(call: Call) -> Outcome:
    """Any number and order of maps, along channels; along rows or columns, each by connections of its own."""
    source = next(value for value in call.inputs if isinstance(value, Wire))
    axis = call.integer("axis", 1)
    wires = tuple(
        call.any_wire(index) if isinstance(value, Wire) else _constant_map(call, index, source, axis)
        for index, value in enumerate(call.inputs)
    )
    if any(wire.axes != wires[0].axes for wire in wires):
        raise RefusedError(f"joins maps with axes {', '.join(wire.axes for wire in wires)}")
    letter = wires[0].axes[axis]
    if letter in "HW":
        return call.folded(_side_by_side(call, wires, "CHW".index(letter)), "one connection per source")
    if letter != "C":
        raise RefusedError(f"joins along axis {letter}; only channels, height and width are supported")
    return call.folded(call.add(Concat(), *wires), "one connection per source")


def _constant_map(call: Call, index: int, source: Wire, axis: int) -> Wire:
    """A constant that is joined to the channels of ``source``, as a fixed noise level is: no synapses, a bias."""
    values, sizes = call.real_constant(index), source.extents(call.batch)
    if values.ndim != 4 or source.axes[axis] != "C" or source.hosted:
        raise RefusedError(f"joins a constant {values.shape} to a map {list(sizes)}; only channels can be constant")
    ordered = values.transpose(*(source.axes.index(letter) for letter in "NCHW"))
    if not np.array_equal(np.broadcast_to(ordered[:1], ordered.shape), ordered):
        raise RefusedError("joins constants that differ between the images of a batch")
    plane = ordered[0]
    bias = plane[:, 0, 0] if np.all(plane == plane[:, :1, :1]) else plane
    if plane.shape[1:] != source.shape[1:]:
        raise RefusedError(f"joins a constant {values.shape} to a map {list(sizes)}; their sizes differ")
    return call.add(Conv(np.zeros((len(plane), source.shape[0], 1, 1)), bias), source, part=f"constant{index}")


def _side_by_side(call: Call, wires: Sequence[Wire], axis: int) -> Wire:
    """Maps joined along rows (1) or columns (2): each between zeros in place of the others, all added.

    Where all are pixels of one map, as circular padding is exported, these are picked at once.
    """
    extents = [wire.shape[axis] for wire in wires]
    others = {(*wire.shape[:axis], *wire.shape[axis + 1 :]) for wire in wires}
    if len(others) > 1:
        raise RefusedError(f"joins maps {', '.join(str(wire.shape) for wire in wires)} along axis {axis + 1}")
    joined = _join_picked(wires, axis)
    if joined is not None:
        return select_pixels(call, *joined)
    placed = []
    for index, wire in enumerate(wires):
        before, after = sum(extents[:index]), sum(extents[index + 1 :])
        pads = (before, 0, after, 0) if axis == 1 else (0, before, 0, after)
        placed.append(shift(call, wire, pads, f"part{index}"))
    return call.add(Add(), *placed)


def _join_picked(wires: Sequence[Wire], axis: int) -> tuple[Wire, Indices, Indices] | None:
    """The one map that has all pixels of ``wires``, and which rows and columns of it they are side by side."""
    parts = [_origin(wire) for wire in wires]
    lines = [(part.rows, part.columns) if axis == 1 else (part.columns, part.rows) for part in parts]
    along = np.array([index for line, _ in lines for index in line], np.intp)
    if any(part.source != parts[0].source for part in parts) or any(across != lines[0][1] for _, across in lines):
        return None
    if max(along.size, *parts[0].shape[1:]) > MAX_EXTENT or along.size * len(lines[0][1]) > MAX_LINKS:
        return None
    rows, columns = (along, np.array(lines[0][1], np.intp))[:: 1 if axis == 1 else -1]
    return replace(wires[0], value=parts[0].source, shape=parts[0].shape, picked=None), rows, columns


def _origin(wire: Wire) -> Picked:
    _, height, width = wire.shape
    return wire.picked or Picked(wire.value, wire.shape, tuple(range(height)), tuple(range(width)))


@operator("Identity", 1, 13, 14, 16, 19, 21, 23, 24, 25)
def keep(call: Call) -> Outcome:
    """Removed."""
    return call.folded(call.view(0), "nothing: it changes nothing")


@operator("Dropout", 7, 10, 12, 13, 22)
def dropout(call: Call) -> Outcome:
    """Removed; must not be in training mode."""
    if call.has(2) and bool(np.asarray(call.constant(2)).any()):
        raise RefusedError("is in training mode; export the model in evaluation mode")
    if len(call.node.output) > 1 and call.node.output[1]:
        raise RefusedError("gives its mask as an output")
    return call.folded(call.view(0), "nothing: it changes nothing at inference")


@operator("Cast", 9, 13, 19, 21, 23, 24, 25, 28)
def change_type(call: Call) -> Outcome:
    """Between floating types: removed; to integers: at the end, on the host."""
    wire, target = call.view(0), call.integer("to", 1)
    whole = bool(wire.hosted) and HostFunction.of(wire.hosted).name in INTEGERS
    if target in FLOATS or (whole and target != TensorProto.STRING):
        return call.folded(wire, "nothing: the network has its own numbers")
    if target not in WHOLE:
        raise RefusedError(f"turns a map into type {target}; only numbers are supported")
    return Outcome((call.add(Host("truncate"), wire),), "host", "after read-out")


@operator("Shape", 1, 13, 15, 19, 21, 23, 24, 25)
def shape(call: Call) -> Outcome:
    """A constant, once the size of the image is known."""
    extents = call.view(0).extents(call.batch)
    end = call.attribute("end")
    kept = extents[call.integer("start", 0) : None if end is None else int(end)]
    return call.folded(np.array(kept, np.int64), "a constant")


@operator("Size", 1, 13, 19, 21, 23, 24, 25)
def size(call: Call) -> Outcome:
    """A constant, once the size of the image is known."""
    return call.folded(np.array(np.prod(call.view(0).extents(call.batch)), np.int64), "a constant")


# ---------------------------------------------------------------------- pixels and channels moved


def select_channels(call: Call, wire: Wire, indices: Indices, part: str = "") -> Wire:
    """Channels ``indices`` of ``wire`` in this order; -1 stands for zeros."""
    if len(indices) > MAX_CHANNELS:
        raise RefusedError(f"makes {len(indices)} channels; at most {MAX_CHANNELS} are allowed")
    if wire.hosted:
        return call.add(Host(str(HostFunction("take", tuple(float(index) for index in indices)))), wire, part=part)
    call.weights.check(len(indices) * wire.shape[0])
    weight = np.zeros((len(indices), wire.shape[0], 1, 1))
    for output, channel in enumerate(indices):
        if channel >= 0:
            weight[output, channel] = 1
    return call.add(Conv(weight, np.zeros(len(weight))), wire, part=part)


def _runs(indices: Indices) -> bool:
    return bool(indices.size and np.all(np.diff(indices) == 1))


def select_pixels(call: Call, wire: Wire, rows: Indices, columns: Indices, part: str = "") -> Wire:
    """Pixels of ``wire`` by row and column: edges are cut by a convolution with negative pads, the rest is fixed."""
    _, height, width = wire.shape
    whole = _origin(wire)
    origin = replace(
        whole,
        rows=tuple(whole.rows[index] for index in rows),
        columns=tuple(whole.columns[index] for index in columns),
    )
    if _runs(rows) and _runs(columns):
        pads = (-int(rows[0]), -int(columns[0]), int(rows[-1]) + 1 - height, int(columns[-1]) + 1 - width)
        return wire if not any(pads) else replace(shift(call, wire, pads, part), picked=origin)
    if max(height, width, rows.size, columns.size) > MAX_EXTENT:
        raise RefusedError(f"rearranges an axis of more than {MAX_EXTENT} pixels")
    call.weights.check(rows.size * height + columns.size * width)
    picks = Resample(_rows_of_identity(rows, height), _rows_of_identity(columns, width))
    return replace(call.add(picks, wire, part=part), picked=origin)


def _rows_of_identity(indices: Indices, extent: int) -> Float64:
    matrix = np.zeros((indices.size, extent))
    matrix[np.arange(indices.size), indices] = 1
    return matrix


def shift(call: Call, wire: Wire, pads: tuple[int, int, int, int], part: str = "") -> Wire:
    """Zeros around ``wire``, or, where ``pads`` (top, left, bottom, right) are negative, a cut."""
    channels = wire.shape[0]
    return call.add(Conv(np.ones((channels, 1, 1, 1)), np.zeros(channels), pads=pads, groups=channels), wire, part=part)


def _picked(call: Call, wire: Wire, axis: int, indices: Indices, part: str = "") -> Wire:
    """Entries ``indices`` of one axis."""
    letter, everything = wire.axes[axis], [np.arange(extent) for extent in wire.shape]
    if indices.size == 0:
        raise RefusedError(f"leaves nothing of axis {letter}")
    if letter == "N":
        if not np.array_equal(indices, np.arange(call.batch)):
            raise RefusedError("picks images out of a batch")
        return wire
    if wire.hosted and letter != "C" and not np.array_equal(indices, np.arange(wire.extents(call.batch)[axis])):
        raise HostedError(wire)
    if letter == "C":
        return wire if np.array_equal(indices, everything[0]) else select_channels(call, wire, indices, part)
    rows, columns = (indices, everything[2]) if letter == "H" else (everything[1], indices)
    return select_pixels(call, wire, rows, columns, part)


@operator("Slice", 1, 10, 11, 13)
def crop(call: Call) -> Outcome:
    """Constant ranges along channels, height or width; any step."""
    wire = call.last_wire(0)
    starts, ends = call.listed(1, "starts"), call.listed(2, "ends")
    axes = call.listed(3, "axes") or tuple(range(len(starts)))
    steps = call.listed(4, "steps") or (1,) * len(starts)
    if not starts:
        raise RefusedError("does not say where it starts")
    whole = wire
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        extent = wire.extents(call.batch)[axis]
        wire = _picked(call, wire, axis, np.arange(extent)[start:end:step], f"axis{axis % 4}")
    if wire is whole:
        return call.folded(wire, "nothing: it keeps everything")
    return _selected(wire)


def _selected(*wires: Wire) -> Outcome:
    if wires[0].hosted:
        return Outcome(wires, "host", "after read-out")
    return Outcome(wires, "folded", "the connections that read it")


@operator("Gather", 1, 11, 13)
def gather(call: Call) -> Outcome:
    """A constant list of channels, rows or columns, or one of them."""
    wire, indices = call.last_wire(0), np.asarray(call.constant(1))
    axis = call.integer("axis", 0)
    if indices.dtype.kind not in "iu":
        raise RefusedError(f"indices of type {indices.dtype} are not integers")
    if indices.ndim > 1:
        raise RefusedError(f"indices {indices.shape} would change the number of axes")
    picked = np.arange(wire.extents(call.batch)[axis])[indices.ravel()]
    chosen = _picked(call, wire, axis, picked)
    if indices.ndim == 0:
        chosen = replace(chosen, axes=chosen.axes.replace(chosen.axes[axis], ""))
    return _selected(chosen)


@operator("Split", 2, 11, 13, 18)
def split(call: Call) -> Outcome:
    """Constant sizes along channels, height or width."""
    wire, axis, count = call.last_wire(0), call.integer("axis", 0), len(call.node.output)
    extent = wire.extents(call.batch)[axis]
    sizes = call.listed(1, "split")
    if not sizes:
        part = -(-extent // count)
        sizes = tuple(min(part, extent - part * index) for index in range(count))
    ends = np.cumsum(sizes)
    if len(sizes) != count or ends[-1] != extent or min(sizes) < 1:
        raise RefusedError(f"sizes {list(sizes)} do not split {extent} into {count}")
    ranges = [np.arange(end - size, end) for end, size in zip(ends, sizes, strict=True)]
    wires = tuple(_picked(call, wire, axis, indices, f"part{index}") for index, indices in enumerate(ranges))
    return _selected(*wires)


@operator("Pad", 2, 11, 13, 18, 19, 21, 23, 24, 25)
def pad(call: Call) -> Outcome:
    """Constant, edge, reflect and wrap; height, width, and zeros for channels; constant amounts, negative ones cut."""
    wire, mode = call.any_wire(0), call.text("mode", "constant")
    given, axes = call.listed(1, "pads"), call.listed(3, "axes") or tuple(range(len(wire.axes)))
    if len(given) != 2 * len(axes):
        raise RefusedError(f"pads {list(given)} do not fit {len(axes)} axes")
    amounts = {wire.axes[axis]: (given[index], given[index + len(axes)]) for index, axis in enumerate(axes)}
    before, after = zip(*(amounts.get(letter, (0, 0)) for letter in "NCHW"), strict=True)
    if not any(before) and not any(after):
        return call.folded(wire, "nothing: it pads nothing")
    if before[0] or after[0]:
        raise RefusedError("pads the batch")
    value = call.real("value", 0.0)
    if call.has(2):
        value = float(np.asarray(call.constant(2), np.float64).ravel()[0])
    if max(abs(entry) for entry in given) > MAX_EXTENT:
        raise RefusedError(f"pads by {max(given)}")
    if mode == "constant":
        return call.folded(_constant_pad(call, wire, before, after, value), "the connections that read it")
    if before[1] or after[1]:
        raise RefusedError(f"pads channels in mode {mode!r}; only zeros are supported")
    rows, columns = (_padded_indices(wire.shape[axis - 1], before[axis], after[axis], mode) for axis in (2, 3))
    return call.folded(select_pixels(call, wire, rows, columns), "fixed connections")


def _constant_pad(call: Call, wire: Wire, before: tuple[int, ...], after: tuple[int, ...], value: float) -> Wire:
    """Padding x with v is padding x - v with zeros, and v added back."""
    if not np.isfinite(value):
        raise RefusedError(f"pads with {value}")
    if value:
        ones = np.ones(wire.shape[0])
        wire = call.add(Affine(ones, -value * ones), wire, part="zeroed")
    if before[1] or after[1]:
        kept = np.arange(-before[1], wire.shape[0] + after[1])
        wire = select_channels(call, wire, np.where(kept < wire.shape[0], kept, -1), "channels" if value else "")
    pads = (before[2], before[3], after[2], after[3])
    if any(pads):
        wire = shift(call, wire, pads, "shifted" if value else "")
    if value:
        ones = np.ones(wire.shape[0])
        wire = call.add(Affine(ones, value * ones), wire)
    return wire


def _padded_indices(extent: int, before: int, after: int, mode: str) -> Indices:
    if mode not in ("edge", "reflect", "wrap"):
        raise RefusedError(f"mode {mode!r} is unknown; constant, edge, reflect and wrap are supported")
    kept = np.arange(extent)[max(-before, 0) : extent - max(-after, 0)]
    if kept.size == 0 or (mode == "reflect" and max(before, after) >= kept.size):
        raise RefusedError(f"pads {extent} pixels by {before} and {after} in mode {mode!r}")
    known = cast(Literal["edge", "reflect", "wrap"], mode)
    return np.pad(kept, (max(before, 0), max(after, 0)), mode=known)
