"""What nodes spend of every budget, by hand: exactly that much is enough, one less is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import NodeProto, TensorProto

from snn_deploy.arrays import Array
from snn_deploy.frontend.onnx import axis_matrix, call, constants, importer, inspect, layout, pooling, resize, session
from snn_deploy.frontend.onnx.call import RefusedError
from snn_deploy.frontend.onnx.constants import NUMERIC, Constants
from tests.frontend.oracle import build, node, numbers

SHAPE = (1, 4, 6, 8)


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


def reals(*values: float) -> Array:
    return np.array(values, np.float32)


def refused(nodes: list[NodeProto], given: dict[str, Any], *, opset: int = 17, shape: tuple[int, ...] = SHAPE) -> str:
    """Why the only refused node is refused, or nothing."""
    rows = inspect(build(opset, nodes, given, shape).SerializeToString()).refused
    return rows[0].note if rows else ""


@pytest.mark.parametrize(
    ("given", "inputs", "opset", "work"),
    [
        # scales of height and width: unit vectors of 6 and 8 pixels, and what becomes of them, or one more
        (node("Resize", "x - s", mode="linear"), {"s": reals(1, 1, 2, 1.5)}, 17, 6 * 13 + 8 * 13),
        (node("Resize", "x - - s", mode="linear"), {"s": ints(1, 4, 7, 4)}, 17, 6 * 8 + 8 * 5),
        (node("Resize", "x s", mode="linear"), {"s": reals(1, 1, 1.25, 1)}, 10, 6 * 9 + 8 * 9),
        (node("Upsample", "x s", mode="linear"), {"s": reals(1, 1, 3, 1)}, 9, 6 * 19 + 8 * 9),
        # windows: 6 * 3 * (6 // 1 + 1), 8 * 2 * ((8 + 1) // 2 + 1)
        (
            node("AveragePool", "x", kernel_shape=[3, 2], strides=[1, 2], pads=[0, 1, 0, 0]),
            {},
            17,
            6 * 7 * 3 + 8 * 5 * 2,
        ),
        (
            node("AveragePool", "x", kernel_shape=[2, 3], strides=[3, 1], pads=[1, 1, 1, 2], ceil_mode=1),
            {},
            17,
            6 * 3 * 2 + 8 * 12 * 3,
        ),
        (
            node("AveragePool", "x", kernel_shape=[2, 2], dilations=[2, 1], count_include_pad=1),
            {},
            19,
            6 * 7 * 2 + 8 * 9 * 2,
        ),
        # one matrix for both axes of a square map
        (node("Slice", "x z e a", "q"), {"z": ints(0), "e": ints(6), "a": ints(3)}, 17, 6 * 13),
    ],
)
def test_work_for_matrices(
    given: NodeProto, inputs: dict[str, Any], opset: int, work: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(axis_matrix, "MIN_MATRIX_WORK", 1)
    nodes = [given]
    if given.op_type == "Slice":
        nodes, inputs = [given, node("Resize", "q - s", mode="linear")], inputs | {"s": reals(1, 1, 2, 2)}
    monkeypatch.setattr(importer, "MAX_MATRIX_WORK", work)
    assert refused(nodes, inputs, opset=opset) == ""
    monkeypatch.setattr(importer, "MAX_MATRIX_WORK", work - 1)
    assert refused(nodes, inputs, opset=opset).startswith(f"needs {work} multiplications to read resizing")


def test_every_matrix_is_some_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importer, "MAX_MATRIX_WORK", 2 * 2**14 - 1)
    found = refused([node("Resize", "x - s", mode="linear")], {"s": reals(1, 1, 2, 1.5)})
    assert found.startswith("needs 32768 multiplications to read resizing and averaging off")


@pytest.mark.parametrize(
    ("given", "inputs", "weights"),
    [
        # copies and means have none of their own, but become convolutions: window times channels
        (node("AveragePool", "x", kernel_shape=[2, 3]), {}, 2 * 3 * 4),
        (node("Resize", "x - s", mode="nearest"), {"s": reals(1, 1, 20, 20)}, 20 * 20 * 4),
        # the larger matrix, before it is seen to copy pixels: 8 * (3 * 8 + 1)
        (node("Resize", "x - s", mode="nearest"), {"s": reals(1, 1, 2, 3)}, 8 * 25),
        (node("Relu", "x"), {}, 0),
        (node("MaxPool", "x", kernel_shape=[2, 2]), {}, 0),
        # scales and shifts
        (node("Mul", "x k"), {"k": reals(2)}, 8),
        # the matrices themselves
        (node("GlobalAveragePool", "x"), {}, 6 + 8),
        (node("Resize", "x - s", mode="linear"), {"s": reals(1, 1, 2, 1.5)}, 12 * 6 + 12 * 8),
        (node("Gather", "x i", axis=2), {"i": ints(5, 0, 3)}, 3 * 6 + 8 * 8),
        # a selection of channels: weights and biases
        (node("Gather", "x i", axis=1), {"i": ints(3, 0, 1)}, 3 * 4 + 3),
        # a crop: one weight and bias for each channel
        (node("Slice", "x a b c"), {"a": ints(1), "b": ints(5), "c": ints(2)}, 4 + 4),
    ],
)
def test_weights_that_operators_make(
    given: NodeProto, inputs: dict[str, Any], weights: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = len(build(17, [given], inputs, SHAPE).SerializeToString())
    monkeypatch.setattr(importer, "MAX_WEIGHTS", weights - size)
    assert refused([given], inputs) == ""
    if weights:
        monkeypatch.setattr(importer, "MAX_WEIGHTS", weights - 1 - size)
        assert refused([given], inputs).startswith(f"needs {weights} weights")


RELU, DOUBLE = node("Relu", "x"), node("Resize", "x - s", mode="nearest")
TWICE = {"s": reals(1, 1, 1, 2)}


@pytest.mark.parametrize(
    ("module", "limit", "most", "given", "inputs", "message"),
    [
        (importer, "MAX_CHANNELS", 5, node("Conv", "x w"), {"w": numbers(5, 4, 1, 1)}, "its map is (5, 6, 8); "),
        (importer, "MAX_SIDE", 16, DOUBLE, TWICE, "its map is (4, 6, 16); "),
        (importer, "MAX_NEURONS", 4 * 6 * 16, DOUBLE, TWICE, "its map is (4, 6, 16); "),
        (importer, "MAX_LINKS", 18 * 8, node("Pad", "x p", mode="edge"), {"p": ints(0, 0, 6, 0, 0, 0, 6, 0)}, "joins "),
        (axis_matrix, "MAX_EXTENT", 8, DOUBLE, TWICE, "an axis of 8 pixels is longer than 7"),
        (resize, "MAX_EXTENT", 8, DOUBLE, TWICE, "makes 16.0 pixels out of 8"),
        (call, "MAX_LIST", 4, node("Reshape", "x r"), {"r": ints(1, 4, 6, 8)}, "input 1 lists 4 numbers, more than 3"),
        (layout, "MAX_CHANNELS", 5, node("Gather", "x i", axis=1), {"i": ints(0, 0, 0, 0, 0)}, "makes 5 channels; "),
        (layout, "MAX_EXTENT", 8, node("Gather", "x i", axis=3), {"i": ints(2, 0)}, "rearranges an axis of more "),
        (layout, "MAX_EXTENT", 9, node("Gather", "x i", axis=3), {"i": ints(*[0] * 9)}, "rearranges an axis of more "),
        (layout, "MAX_EXTENT", 7, node("Pad", "x p"), {"p": ints(0, 0, 7, 0, 0, 0, 0, 0)}, "pads by 7"),
        (layout, "MAX_EXTENT", 3, node("Pad", "x p"), {"p": ints(0, 0, 1, 0, 0, 0, -3, 0)}, "pads by 1"),
        (pooling, "MAX_WINDOW", 6, node("MaxPool", "x", kernel_shape=[2, 3]), {}, "window (2, 3) has more than 5 "),
    ],
)
def test_limits_may_be_reached(
    module: Any,
    limit: str,
    most: int,
    given: NodeProto,
    inputs: dict[str, Any],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, limit, most)
    assert refused([given], inputs) == ""
    monkeypatch.setattr(module, limit, most - 1)
    assert refused([given], inputs).startswith(message)


def test_blocks_have_up_to_64_pixels_a_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allowed, and refused for the 64**4 weights that it would take."""
    given = node("SpaceToDepth", "x", blocksize=64)
    shape = (1, 1, 64, 64)
    size = len(build(17, [given], {}, shape).SerializeToString())
    monkeypatch.setattr(importer, "MAX_WEIGHTS", 64**4 - 1 - size)
    assert refused([given], {}, shape=shape) == f"needs {64**4} weights; at most {64**4 - 1} are allowed"


# ---------------------------------------------------------------------- constants

NUMBERS = (
    "FLOAT",
    "UINT8",
    "INT8",
    "UINT16",
    "INT16",
    "INT32",
    "INT64",
    "BOOL",
    "FLOAT16",
    "DOUBLE",
    "UINT32",
    "UINT64",
)
ROWS = np.arange(12.0, dtype=np.float32).reshape(3, 4)


def test_constants_are_cast_to_plain_numbers() -> None:
    assert set(NUMERIC) == {TensorProto.DataType.Value(name) for name in NUMBERS}


@pytest.mark.parametrize(
    ("given", "inputs", "work"),
    [
        (node("Neg", "a"), (ROWS,), 12 + 12),
        (node("Add", "a b"), (ROWS, ROWS[:1]), 12 + 4 + 16),
        (
            node("ScatterND", "a i u"),
            (np.zeros(5, np.float32), np.array([[1], [4]]), np.ones(2, np.float32)),
            64 * (5 + 2 + 2 + 5),
        ),
    ],
)
def test_work_for_constants(
    given: NodeProto, inputs: tuple[Array, ...], work: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers read and written; the evaluator scatters them one by one."""
    monkeypatch.setattr(constants, "MIN_CONSTANT_WORK", 1)
    monkeypatch.setattr(constants, "MAX_CONSTANT_WORK", work)
    Constants().evaluate(given, inputs, 17)
    monkeypatch.setattr(constants, "MAX_CONSTANT_WORK", work - 1)
    with pytest.raises(RefusedError, match=rf"^needs {work} numbers read and written for constants"):
        Constants().evaluate(given, inputs, 17)


# ---------------------------------------------------------------------- what is remembered


def test_small_matrices_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model is read several times for one conversion; matrices above the limit would fill the memory."""
    opened: list[int] = []

    def counted(model: bytes) -> Any:
        opened.append(len(model))
        return session(model)

    monkeypatch.setattr(axis_matrix, "session", counted)
    given, scales = node("Resize", "x - s", mode="linear"), {"s": reals(1, 1, 1.7, 1.3)}
    assert axis_matrix.CACHED == 2**18
    for limit, more in ((8 * 12, 2), (8 * 12, 0), (8 * 12 - 1, 1), (0, 2)):
        monkeypatch.setattr(axis_matrix, "CACHED", limit)
        before = len(opened)
        assert refused([given], scales) == ""
        assert len(opened) - before == more
