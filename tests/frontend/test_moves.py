"""Nodes that only move numbers, against NumPy: every cut, order, range, pad and block of a small map."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from onnx import NodeProto

from snn_deploy.arrays import Array, Float64
from snn_deploy.conversion.double_precision import evaluate
from snn_deploy.frontend.onnx.call import Outcome, RefusedError, Wire
from snn_deploy.graph.graph import Graph, Node
from tests.frontend.calls import apply
from tests.frontend.oracle import node

SHAPE = (4, 6, 8)
MAP = np.arange(1.0, 1.0 + 4 * 6 * 8).reshape(SHAPE)
"""No entry is 0, so that padding is told apart, and none is there twice."""


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


def moved(given: NodeProto, *inputs: Array | None, since: int, x: Float64 = MAP) -> list[Float64]:
    """What ``given`` makes of ``x`` (C, H, W): each output's map."""
    source = Wire("x", x.shape, maker="x")  # type: ignore[arg-type]
    outcome, nodes = apply(given, source, *inputs, since=since)
    return values_of(outcome, nodes, x)


def values_of(outcome: Outcome, nodes: Sequence[Node], x: Float64) -> list[Float64]:
    return drawn([wire for wire in outcome.values if isinstance(wire, Wire)], nodes, x)


def drawn(wires: Sequence[Wire], nodes: Sequence[Node], x: Float64) -> list[Float64]:
    names = [wire.value for wire in wires]
    found = evaluate(Graph("moves", "x", x.shape, tuple(nodes), (("y", names[0]),)), x)  # type: ignore[arg-type]
    return [found[name] for name in names]


def rearranged(cut: Sequence[int], order: Sequence[int], last: Sequence[int]) -> tuple[Wire, list[Node]]:
    """A Reshape to ``cut``, a Transpose by ``order`` and a Reshape to ``last`` of MAP."""
    wire: Any = Wire("x", SHAPE, maker="x")
    made: list[Node] = []
    steps: list[tuple[NodeProto, tuple[Array, ...], int]] = [
        (node("Reshape", "x s"), (ints(*cut),), 13),
        (node("Transpose", "x", perm=list(order)), (), 13),
        (node("Reshape", "x s"), (ints(*last),), 13),
    ]
    for given, inputs, since in steps:
        outcome, nodes = apply(given, wire, *inputs, since=since)
        (wire,) = outcome.values
        made += nodes
    assert isinstance(wire, Wire)
    return wire, made


def orders() -> list[tuple[list[int], list[int]]]:
    """Axes of the map cut into (N, C1, C2, H1, H2, W1, W2), in orders that end in a map: how many stand on each axis of it.

    Rows start with H1 and columns with W1; parts of channels may follow either; H2 and W2 stay behind, or become channels.
    """
    found = []
    for places in itertools.product(("channels", "rows", "columns"), repeat=2):
        for stays in itertools.product((True, False), repeat=2):
            rows = [
                3,
                *([4] if stays[0] else []),
                *(part for part, at in zip((1, 2), places, strict=True) if at == "rows"),
            ]
            columns = [
                5,
                *([6] if stays[1] else []),
                *(part for part, at in zip((1, 2), places, strict=True) if at == "columns"),
            ]
            rest = [part for part in (1, 2, 4, 6) if part not in rows + columns]
            found += [
                ([0, *channels, *rows, *columns], [1, len(channels), len(rows), len(columns)])
                for channels in itertools.permutations(rest)
            ]
    return found


CUT = (1, 2, 2, 3, 2, 2, 4)


@pytest.mark.parametrize("part", range(4))
def test_every_order_of_parts_that_makes_a_map(part: int) -> None:
    cases = orders()
    assert len(cases) > 100
    for order, sizes in cases[part::4]:
        extents = [CUT[axis] for axis in order]
        ends = np.cumsum(sizes)
        last = [int(np.prod(extents[end - size : end])) for end, size in zip(ends, sizes, strict=True)]
        wire, made = rearranged(CUT, order, last)
        assert (wire.axes, wire.factors) == ("NCHW", ()), order
        expected = MAP.reshape(CUT).transpose(order).reshape(last)[0]
        (found,) = drawn([wire], made, MAP)
        assert np.array_equal(found, expected), order


@pytest.mark.parametrize(
    ("order", "last"),
    [
        ([0, 1, 2, 5, 6, 3, 4], [1, 4, 48, 1]),  # rows behind columns, in one axis
        ([0, 1, 2, 4, 3, 5, 6], [1, 4, 6, 8]),  # rows whose parts change places
        ([0, 1, 2, 4, 5, 6, 3], [1, 4, 16, 3]),  # columns behind parts of rows
        ([0, 1, 2, 3, 6, 5, 4], [1, 4, 12, 4]),
    ],
)
def test_what_makes_no_map_is_left_for_later_nodes(order: list[int], last: list[int]) -> None:
    wire, made = rearranged(CUT, order, last)
    assert made == []
    assert wire.axes == ""
    assert wire.extents(1) == tuple(last)


@pytest.mark.parametrize("order", list(itertools.permutations("CHW")))
@pytest.mark.parametrize("moves", [True, False])
def test_maps_are_found_under_any_order_of_axes(order: tuple[str, ...], moves: bool) -> None:
    """Blocks of 2x4 pixels to channels, or nothing but the order: the tensor has ``order``, the map NCHW."""
    parts = {"C": [4, 6, 1, 2], "H": [3], "W": [5]} if moves else {"C": [1, 2], "H": [3, 4], "W": [5, 6]}
    perm = [0, *(axis for letter in order for axis in parts[letter])]
    last = [1, *(int(np.prod([CUT[axis] for axis in parts[letter]])) for letter in order)]
    wire, made = rearranged(CUT, perm, last)
    assert wire.axes == "N" + "".join(order)
    expected = MAP.reshape(CUT).transpose(perm).reshape(last)[0]
    (found,) = drawn([wire], made, MAP)
    assert np.array_equal(found.transpose(["CHW".index(letter) for letter in order]), expected)
    assert len(made) == moves


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
@pytest.mark.parametrize("block", [1, 2, 3])
def test_depth_to_space(block: int, mode: str) -> None:
    x = np.arange(float(18 * block**2 * 2 * 3)).reshape(18 * block**2, 2, 3)
    deep = (block, block, 18) if mode == "DCR" else (18, block, block)
    order = (2, 3, 0, 4, 1) if mode == "DCR" else (0, 3, 1, 4, 2)
    expected = x.reshape(*deep, 2, 3).transpose(order).reshape(18, 2 * block, 3 * block)
    (found,) = moved(node("DepthToSpace", "x", blocksize=block, mode=mode), since=13, x=x)
    assert np.array_equal(found, expected)
    if mode == "DCR":
        (found,) = moved(node("DepthToSpace", "x", blocksize=block), since=13, x=x)
        assert np.array_equal(found, expected)


@pytest.mark.parametrize("block", [1, 2, 3])
def test_space_to_depth(block: int) -> None:
    x = np.arange(float(5 * block**2 * 2 * 3)).reshape(5, 2 * block, 3 * block)
    expected = x.reshape(5, 2, block, 3, block).transpose(2, 4, 0, 1, 3).reshape(-1, 2, 3)
    (found,) = moved(node("SpaceToDepth", "x", blocksize=block), since=13, x=x)
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("axis", [1, 2, 3, -1, -2, -3])
@pytest.mark.parametrize(
    ("start", "end", "step"),
    [(0, 99, 1), (1, 4, 1), (0, 3, 1), (-3, -1, 1), (0, 4, 2), (1, 4, 2), (3, 0, -1), (-1, -9, -1), (-1, -9, -2), (2, 3, 1),
     (1, 2**63 - 1, 3)],
)  # fmt: skip
def test_slices(axis: int, start: int, end: int, step: int) -> None:
    index: list[slice] = [slice(None)] * 4
    index[axis] = slice(start, end, step)
    expected = MAP[None][tuple(index)][0]
    (found,) = moved(node("Slice", "x s e a t"), ints(start), ints(end), ints(axis), ints(step), since=13)
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("axis", [1, 2, 3])
@pytest.mark.parametrize("indices", [[0], [-1], [1, 2], [2, 1, 1], [3, 0], [0, 1, 2, 3], [0, 2]])
def test_picked_entries(axis: int, indices: list[int]) -> None:
    (found,) = moved(node("Gather", "x i", axis=axis), ints(*indices), since=13)
    assert np.array_equal(found, MAP.take(indices, axis - 1))
    outcome, nodes = apply(node("Gather", "x i", axis=axis), Wire("x", SHAPE), np.array(indices[0]), since=13)
    (wire,) = outcome.values
    assert isinstance(wire, Wire)
    assert wire.axes == "NCHW".replace("NCHW"[axis], "")
    assert np.array_equal(values_of(outcome, nodes, MAP)[0], MAP.take(indices[:1], axis - 1))


@pytest.mark.parametrize("axis", [1, 2, 3])
@pytest.mark.parametrize("sizes", [(1, 3), (2, 2), (3, 1), (1, 1, 2)])
def test_parts(axis: int, sizes: tuple[int, ...]) -> None:
    names = " ".join(f"y{index}" for index in range(len(sizes)))
    sizes = (*sizes[:-1], SHAPE[axis - 1] - sum(sizes[:-1]))
    found = moved(node("Split", "x s", names, axis=axis), ints(*sizes), since=13)
    expected = np.split(MAP, np.cumsum(sizes)[:-1], axis - 1)
    assert len(found) == len(sizes)
    assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))


AMOUNTS = [
    (1, 2, 2, 1),
    (0, 3, 1, 0),
    (2, 0, 0, 3),
    (0, 0, 2, 2),
    (5, 0, 0, 7),
    (-1, 2, 1, -2),
    (-2, -1, -3, -1),
    (0, 0, 0, 1),
]


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "wrap"])
@pytest.mark.parametrize("amounts", AMOUNTS)
def test_pads(mode: Any, amounts: tuple[int, int, int, int]) -> None:
    """(top, left, bottom, right); a negative amount cuts before the rest is padded."""
    top, left, bottom, right = amounts
    kept = MAP[:, max(-top, 0) : 6 - max(-bottom, 0), max(-left, 0) : 8 - max(-right, 0)]
    around = [(0, 0), (max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0))]
    (found,) = moved(node("Pad", "x p", mode=mode), ints(0, 0, top, left, 0, 0, bottom, right), since=19)
    assert np.array_equal(found, np.pad(kept, around, mode=mode))
    if mode == "constant":
        pads = ints(0, 1, top, left, 0, 2, bottom, right)
        given = node("Pad", "x p v"), pads, np.array(2.5)
        (found,) = evaluated_pad(*given)
        np.testing.assert_allclose(found, np.pad(kept, [(1, 2), *around[1:]], constant_values=2.5), rtol=1e-12)


def evaluated_pad(given: NodeProto, *inputs: Array) -> list[Float64]:
    """With the scales and shifts around zero padding, which the evaluation of normal forms does not have."""
    outcome, nodes = apply(given, Wire("x", SHAPE, maker="x"), *inputs, since=13)
    values = {"x": MAP}
    for each in nodes:
        source = values[each.inputs[0]]
        if type(each.op).__name__ == "Affine":
            scale, shift = each.op.scale, each.op.shift  # type: ignore[attr-defined]
            values[each.name] = source * scale[:, None, None] + shift[:, None, None]
        else:
            one = Graph("one", "x", source.shape, (Node(each.name, each.op, ("x",)),), (("y", each.name),))  # type: ignore[arg-type]
            values[each.name] = evaluate(one, source)[each.name]
    return [values[wire.value] for wire in outcome.values if isinstance(wire, Wire)]


@pytest.mark.parametrize("counts", [(1, 2, 1, 1), (1, 1, 3, 1), (1, 1, 1, 2), (1, 2, 3, 2), (1, 1, 1, 1)])
def test_tiles(counts: tuple[int, ...]) -> None:
    (found,) = moved(node("Tile", "x c"), ints(*counts), since=13)
    assert np.array_equal(found, np.tile(MAP, counts[1:]))


@pytest.mark.parametrize(
    ("cut", "target"),
    [
        ((1, 4, 6, 1, 8), (1, 4, 6, 3, 8)),
        ((1, 4, 6, 8, 1), (1, 4, 6, 8, 2)),
        ((1, 4, 6, 1, 8, 1), (1, 4, 6, 2, 8, 3)),
        ((1, 4, 6, 1, 8, 1), (6, 2, 8, 3)),
        ((1, 4, 6, 1, 8, 1), (2, 1, 1)),
        ((1, 4, 6, 1, 8, 1), (1,)),
    ],
)
def test_rows_and_columns_are_repeated(cut: tuple[int, ...], target: tuple[int, ...]) -> None:
    wire: Any = Wire("x", SHAPE, maker="x")
    made: list[Node] = []
    expected = np.broadcast_to(MAP.reshape(cut), np.broadcast_shapes(cut, target))
    rows, columns = 6, 8
    if len(cut) == 6:
        rows, columns = 6 * expected.shape[3], 8 * expected.shape[5]
    elif cut[3] == 1:
        rows *= expected.shape[3]
    else:
        columns *= expected.shape[4]
    for given, value in (("Reshape", cut), ("Expand", target), ("Reshape", (1, 4, rows, columns))):
        outcome, nodes = apply(node(given, "x s"), wire, ints(*value), since=13)
        (wire,) = outcome.values
        made += nodes
    assert wire.axes == "NCHW"
    values = {"x": MAP}
    for each in made:
        scale = each.op.scale  # type: ignore[attr-defined]
        values[each.name] = values[each.inputs[0]].repeat(scale[0], 1).repeat(scale[1], 2)
    assert np.array_equal(values[wire.value], expected.reshape(4, rows, columns))


@pytest.mark.parametrize(
    ("target", "count"), [((1, 3, 1, 1), 3), ((3, 1, 1), 3), ((1, 2, 6, 8), 2), ((1, 1, 1, 1), 1), ((1, 1), 1)]
)
def test_a_single_channel_is_repeated(target: tuple[int, ...], count: int) -> None:
    (found,) = moved(node("Expand", "x s"), ints(*target), since=13, x=MAP[:1])
    assert np.array_equal(found, np.repeat(MAP[:1], count, 0))


def limits(monkeypatch: pytest.MonkeyPatch, module: str, name: str) -> Callable[[int], None]:
    return lambda value: monkeypatch.setattr(f"snn_deploy.frontend.onnx.{module}.{name}", value)


@pytest.mark.parametrize(
    ("module", "name", "most", "given", "value", "message"),
    [
        ("rearrange", "MAX_AXES", 5, "Reshape", ints(1, 4, 6, 2, 4), r"^turns a map .* into \[1, 4, 6, 2, 4\], which cuts"),
        ("rearrange", "MAX_AXES", 6, "Unsqueeze", ints(0, 1), r"^makes 6 axes; at most 5 are supported$"),
        ("repeat", "MAX_EXTENT", 3, "Tile", ints(1, 1, 3, 1), r"^repeats axes NCHW \[1, 1, 3, 1\] times$"),
        ("repeat", "MAX_EXTENT", 3, "Expand", ints(1, 3, 1, 1), r"^repeats a map 3 times$"),
        ("pooling", "MAX_EXTENT", 8, "ReduceMean", ints(2, 3), r"^averages along an axis of more than 7 pixels$"),
        ("layout", "MAX_EXTENT", 8, "Gather", ints(5, 3), r"^rearranges an axis of more than 7 pixels$"),
        ("layout", "MAX_EXTENT", 7, "Pad", ints(0, 0, 0, 7, 0, 0, 0, 0), r"^pads by 7$"),
        ("layout", "MAX_EXTENT", 7, "Pad", ints(0, 0, 0, 0, 0, 0, 0, -7), r"^pads by 0$"),
        ("layout", "MAX_CHANNELS", 6, "Pad", ints(0, 1, 0, 0, 0, 1, 0, 0), r"^makes 6 channels; at most 5 are allowed$"),
    ],
)  # fmt: skip
def test_limits_hold_at_their_value(
    module: str, name: str, most: int, given: str, value: Array, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = limits(monkeypatch, module, name)
    x = MAP[:1] if given == "Expand" else MAP
    source = Wire("x", x.shape, maker="x")  # type: ignore[arg-type]
    since = 18 if given == "ReduceMean" else 13
    attributes: dict[str, Any] = {"axis": 2} if given == "Gather" else {}
    limit(most)
    apply(node(given, "x v", **attributes), source, value, since=since)
    limit(most - 1)
    with pytest.raises(RefusedError, match=message):
        apply(node(given, "x v", **attributes), source, value, since=since)


def test_at_most_eight_axes() -> None:
    apply(node("Unsqueeze", "x a"), Wire("x", SHAPE), ints(0, 1, 2, 3), since=13)
    with pytest.raises(RefusedError, match=r"^makes 9 axes; at most 8 are supported$"):
        apply(node("Unsqueeze", "x a"), Wire("x", SHAPE), ints(0, 1, 2, 3, 4), since=13)


@pytest.mark.parametrize("given", ["Reshape", "Flatten", "Shape", "Size", "Squeeze", "Cast", "Identity", "Dropout"])
def test_what_renames_reads_unsettled_axes(given: str) -> None:
    """Four channels as (1, 2, 2): nothing but a renaming node may read them before they are a map again."""
    outcome, _ = apply(node("Reshape", "x s"), Wire("x", SHAPE), ints(1, 2, 2, 48), since=13)
    (wire,) = outcome.values
    assert isinstance(wire, Wire)
    inputs = [ints(1, 4, 6, 8)] if given == "Reshape" else [ints(0)] if given == "Squeeze" else []
    back, made = apply(node(given, "x s" if inputs else "x"), wire, *inputs, since=13)
    assert made == []
    assert len(back.values) == 1
    with pytest.raises(RefusedError, match=r"^reads a map reshaped to \[1, 2, 2, 48\]; only"):
        apply(node("Relu", "x"), wire, since=13)
