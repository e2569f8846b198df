"""What a node's attributes and inputs mean, by hand: lists for maps and lines, constants per channel, axes of tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snn_deploy.arrays import Array
from snn_deploy.frontend.onnx.call import LINE, Call, RefusedError, Wire
from snn_deploy.frontend.onnx.factors import Factor
from snn_deploy.graph.limits import MAX_LIST, Budget
from tests.frontend.oracle import node

MAP, ROW = Wire("x", (4, 6, 8)), Wire("x", (4, 1, 8), LINE)


def call(*inputs: Wire | Array | None, **attributes: Any) -> Call:
    budget = Budget(1, "weights", RefusedError)
    given = node("Any", "x", **attributes)
    return Call(given, "y", 13, 13, 2, inputs, lambda op, wires, part: wires[0], budget, budget)


@pytest.mark.parametrize(
    ("wire", "given", "default", "expected"),
    [
        (MAP, [2, 3], (1, 1), (2, 3)),
        (MAP, None, (1, 1), (1, 1)),
        (MAP, [1, 2, 3, 4], (0, 0, 0, 0), (1, 2, 3, 4)),
        (ROW, [3], (1, 1), (1, 3)),  # a line is a map of height 1
        (ROW, [1, 2], (0, 0, 0, 0), (0, 1, 0, 2)),
        (ROW, [2, 3], (1, 1), (2, 3)),
        (ROW, None, (1, 1), (1, 1)),
        (MAP, [3], (1, 1), None),
        (MAP, [1, 2], (0, 0, 0, 0), None),
        (ROW, [1, 2, 3], (0, 0, 0, 0), None),
        (ROW, [1, 2, 3], (1, 1), None),
        (MAP, [1, 2, 3], (), (1, 2, 3)),  # any length where the default has none
    ],
)
def test_lists_of_spatial_axes(
    wire: Wire, given: list[int] | None, default: tuple[int, ...], expected: tuple[int, ...] | None
) -> None:
    made = call(wire, **({} if given is None else {"pads": given}))
    if expected is not None:
        assert made.integers("pads", default) == expected
        return
    with pytest.raises(
        RefusedError, match=rf"^pads .* has {len(given or [])} entries; only two spatial axes are supported$"
    ):
        made.integers("pads", default)


def test_attributes_have_defaults() -> None:
    made = call(MAP, axis=-2, alpha=0.5, mode="wrap")
    assert (made.integer("axis", 1), made.integer("other", 7)) == (-2, 7)
    assert (made.real("alpha", 1.0), made.real("beta", 2.5)) == (0.5, 2.5)
    assert (made.text("mode", "edge"), made.text("kind", "edge")) == ("wrap", "edge")
    assert made.attribute("nothing") is None
    assert made.listed(1, "axes") == ()
    assert call(MAP, axes=[3, 1]).listed(1, "axes") == (3, 1)
    assert call(MAP, np.array([2]), axes=[3, 1]).listed(1, "axes") == (2,)
    assert call(MAP, None, axes=[3, 1]).listed(1, "axes") == (3, 1)


def test_optional_inputs() -> None:
    made = call(MAP, None, np.array([1.5]))
    assert [made.has(index) for index in range(5)] == [True, False, True, False, False]
    assert made.constant(2).tolist() == [1.5]
    for index in (1, 3):
        with pytest.raises(RefusedError, match=rf"^input {index} is missing$"):
            made.constant(index)
    with pytest.raises(RefusedError, match=r"^input 0 is computed from the image by ; it must be a constant$"):
        made.constant(0)
    for index in (1, 2, 3):
        with pytest.raises(RefusedError, match=rf"^input {index} must come from the image, not be a constant$"):
            made.view(index)


def test_long_lists_are_refused_by_their_length() -> None:
    assert len(call(MAP, np.zeros(MAX_LIST)).integer_constant(1)) == MAX_LIST
    with pytest.raises(RefusedError, match=rf"^input 1 lists {MAX_LIST + 1} numbers, more than {MAX_LIST}$"):
        call(MAP, np.zeros(MAX_LIST + 1)).integer_constant(1)


@pytest.mark.parametrize(
    ("shape", "axes", "fits"),
    [
        ((), "NCHW", True),
        ((1,), "NCHW", True),
        ((4,), "NCHW", False),  # along columns
        ((4, 1, 1), "NCHW", True),
        ((1, 4, 1, 1), "NCHW", True),
        ((2, 4, 1, 1), "NCHW", False),
        ((4, 1), "NCHW", False),
        ((4, 6, 1), "NCHW", False),
        ((4, 1, 8), "NCHW", False),
        ((3, 1, 1), "NCHW", False),
        ((1, 1, 4, 1, 1), "NCHW", False),
        ((4,), "NHWC", True),
        ((1, 1, 1, 4), "NHWC", True),
        ((1, 1, 4), "NHWC", True),
        ((4, 1, 1), "NHWC", False),
        ((4, 1), "NCW", True),
        ((4,), "NC", True),
    ],
)
def test_constants_per_channel(shape: tuple[int, ...], axes: str, fits: bool) -> None:
    values = np.arange(1.0, 1 + int(np.prod(shape, dtype=np.int64))).reshape(shape)
    wire = Wire("x", (4, 6, 8), axes)
    if fits:
        found = call(wire).per_channel(values, wire)
        assert found.tolist() == (values.ravel().tolist() if values.size == 4 else [1.0] * 4)
        found[0] = 9  # a copy
        assert values.ravel()[0] == 1
        return
    with pytest.raises(RefusedError, match=r"^a constant of shape \(.*\) (differs from pixel|does not)"):
        call(wire).per_channel(values, wire)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_constants_are_finite(value: float) -> None:
    with pytest.raises(RefusedError, match=r"^a constant holds NaN or infinity$"):
        call(MAP).per_channel(np.array(value), MAP)
    with pytest.raises(RefusedError, match=r"^input 1 holds NaN or infinity$"):
        call(MAP, np.array([1.0, value])).real_constant(1)


def test_tensors_of_maps_have_their_axes() -> None:
    assert MAP.extents(2) == (2, 4, 6, 8)
    assert Wire("x", (4, 6, 8), "WCN").extents(3) == (8, 4, 3)
    cut = ((Factor("C", 2, 2), Factor("H", 6, 1)), (), (Factor("C", 2, 1),))
    assert Wire("x", (4, 6, 8), "", factors=cut).extents(3) == (12, 1, 2)
    assert Wire("x", (4, 6, 8), "", factors=cut).factored(3) == cut
    assert MAP.factored(1) == ((), (Factor("C", 4, 1),), (Factor("H", 6, 1),), (Factor("W", 8, 1),))
    for axes, fits in (("NCHW", True), (LINE, True), ("NHWC", False), ("NCH", False)):
        wire = Wire("x", (4, 6, 8), axes)
        if fits:
            assert call(wire).wire(0) is wire
        else:
            with pytest.raises(RefusedError, match=rf"^reads a map with axes {axes}; this operator reads NCHW$"):
                call(wire).wire(0)
