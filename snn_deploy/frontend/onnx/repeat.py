"""Expand and Tile: pixels repeated by hand, as some exporters write upsampling, and gray repeated as three channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from snn_deploy.frontend.onnx.call import Call, Outcome, RefusedError, Wire
from snn_deploy.frontend.onnx.factors import Factor, Factored, letters_of
from snn_deploy.frontend.onnx.layout import select_channels, select_pixels
from snn_deploy.frontend.onnx.registry import operator
from snn_deploy.graph.limits import MAX_EXTENT
from snn_deploy.graph.ops import Nearest

COPIES = "fixed connections"


@operator("Expand", 8, 13)
def expand(call: Call) -> Outcome:
    """One channel, row or column to several; each row or column several times, along an axis of one entry behind it."""
    wire, target = call.view(0), call.integer_constant(1)
    extents = wire.extents(call.batch)
    rank = max(len(target), len(extents))
    factors: Factored = ((),) * (rank - len(extents)) + wire.factored(call.batch)
    wanted = (1,) * (rank - len(target)) + target
    return _repeat_axes(call, wire, factors, wanted)


def _repeat_axes(call: Call, wire: Wire, factors: Factored, counts: Sequence[int]) -> Outcome:
    """``wire`` with the axes ``factors``, of which those of one entry are repeated."""
    made, axes = wire, replace(wire, factors=factors)
    for axis, count in enumerate(counts):
        if count > 1 and not axes.factors[axis]:
            axes, made = _repeated(call, made, axes, axis, count)
    if made is wire:
        return call.folded(wire, "nothing: it changes nothing")
    sizes = dict(zip("NCHW", (call.batch, *made.shape), strict=True))
    letters = letters_of(axes.factors, sizes)
    laid = replace(made, axes=letters, factors=()) if letters else replace(made, axes="", factors=axes.factors)
    return call.mapped(laid, COPIES)


def _repeated(call: Call, wire: Wire, axes: Wire, axis: int, count: int) -> tuple[Wire, Wire]:
    """The tensor's axes after axis ``axis`` was repeated, and the map."""
    if wire.hosted or count > MAX_EXTENT:
        raise RefusedError(f"repeats a map {count} times")
    before = axes.factors[axis - 1] if axis else ()
    letter = before[-1].letter if before and before[-1].stride == 1 else ""
    plain = replace(wire, axes="NCHW", factors=())
    single = _single(wire, axes, axis)
    if single:
        letter, grown = single, axes.factors
        made = call.add(Nearest((count, 1) if single == "H" else (1, count)), plain, part=f"axis{axis}")
    elif letter in ("H", "W"):
        made = call.add(Nearest((count, 1) if letter == "H" else (1, count)), plain, part=f"axis{axis}")
        grown = tuple(
            tuple(
                Factor(each.letter, each.extent, each.stride * count) if each.letter == letter else each
                for each in factors
            )
            for factors in axes.factors
        )
    elif wire.shape[0] == 1 and not any(factor.letter == "C" for factors in axes.factors for factor in factors):
        letter, grown = "C", axes.factors
        made = select_channels(call, plain, np.zeros(count, np.intp), f"axis{axis}")
    else:
        raise RefusedError(
            f"repeats axis {axis} of {list(axes.extents(call.batch))}; only a single channel, row or column, and rows and"
            " columns along an axis behind them, can be repeated"
        )
    return replace(axes, factors=(*grown[:axis], (Factor(letter, count, 1),), *grown[axis + 1 :])), made


def _single(wire: Wire, axes: Wire, axis: int) -> str:
    """H or W where tensor axis ``axis`` is that of a map with a single row or column, as means over space are; else nothing."""
    place = axis - (len(axes.factors) - len(axes.axes))  # leading axes are none of the map's
    letter = axes.axes[place] if 0 <= place < len(axes.axes) else ""
    if letter not in ("H", "W") or wire.shape["CHW".index(letter)] != 1:
        return ""
    return "" if any(factor.letter == letter for factors in axes.factors for factor in factors) else letter


@operator("Tile", 6, 13)
def tile(call: Call) -> Outcome:
    """Channels, rows and columns, any number of times; an axis of one entry behind rows or columns, as Keras upsamples."""
    wire, counts = call.view(0), call.integer_constant(1)
    if wire.factors:
        extents, single = wire.extents(call.batch), [not axis for axis in wire.factors]
        if len(counts) != len(single) or any(
            n < 1 or (n > 1 and not one) for n, one in zip(counts, single, strict=True)
        ):
            raise RefusedError(
                f"repeats axes {list(extents)} {list(counts)} times; only those of one entry can be here"
            )
        return _repeat_axes(call, wire, wire.factors, counts)
    wire = call.any_wire(0)
    if len(counts) != len(wire.axes) or min(counts) < 1 or max(counts) > MAX_EXTENT:
        raise RefusedError(f"repeats axes {wire.axes} {list(counts)} times")
    times = dict(zip(wire.axes, counts, strict=True))
    if times.get("N", 1) != 1:
        raise RefusedError("repeats the batch")
    channels, rows, columns = (
        np.tile(np.arange(extent), times.get(letter, 1)) for letter, extent in zip("CHW", wire.shape, strict=True)
    )
    made = wire if len(channels) == wire.shape[0] else select_channels(call, wire, channels, "channels")
    if (len(rows), len(columns)) != wire.shape[1:]:
        made = select_pixels(call, made, rows, columns)
    return call.folded(made, COPIES)
