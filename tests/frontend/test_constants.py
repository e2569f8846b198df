"""Constants of a model: what they hold, how much they may make, counted by hand before it is made."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from snn_deploy.frontend.onnx import constants
from snn_deploy.frontend.onnx.call import RefusedError
from snn_deploy.frontend.onnx.constants import Constants, constant_of, foldable, tensor
from tests.frontend.oracle import node


def ints(*values: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array(values, np.int64)


ROWS = np.arange(12.0, dtype=np.float32).reshape(3, 4)


@pytest.mark.parametrize(
    ("given", "inputs", "size", "expected"),
    [
        (node("Add", "a b"), (ROWS, ROWS), 24, ROWS * 2),
        (node("Add", "a b"), (ROWS[:, :1], ROWS[:1]), 12, ROWS[:, :1] + ROWS[:1]),
        (node("Neg", "a"), (ROWS,), 12, -ROWS),
        (node("Slice", "a s e - t"), (ROWS, ints(1), ints(3), None, ints(1)), 15, ROWS[1:3]),
        (node("Concat", "a b", axis=0), (ROWS, ROWS[:1]), 16, np.concatenate([ROWS, ROWS[:1]])),
        (node("Cast", "a", to=7), (ROWS,), 12, ROWS.astype(np.int64)),
        (node("ConstantOfShape", "s"), (ints(3, 5),), 15, np.zeros((3, 5), np.float32)),
        (node("ConstantOfShape", "s"), (ints(0, 5),), 5, np.zeros((0, 5), np.float32)),
        (node("Expand", "a s"), (ROWS[:, :1], ints(3, 2)), 18, ROWS[:, :1].repeat(2, 1)),
        (node("Expand", "a s"), (ROWS[:1, :0], ints(3, 0)), 3, np.zeros((3, 0))),
        (node("Tile", "a s"), (ROWS, ints(2, 3)), 72, np.tile(ROWS, (2, 3))),
        (node("Tile", "a s"), (ROWS, ints(0, 2)), 24, np.zeros((0, 8))),
        (node("Gather", "a i"), (ROWS[:1], ints(0, 0, 0)), 12, ROWS[[0, 0, 0]]),
        (node("Range", "a b c"), (np.array(2), np.array(11), np.array(3)), 3, np.array([2, 5, 8])),
        (node("Range", "a b c"), (np.array(5), np.array(-4), np.array(-3)), 3, np.array([5, 2, -1])),
        (node("Gather", "a i"), (ROWS, ints(2, 0, 1, 1, 0)), 20, ROWS[[2, 0, 1, 1, 0]]),
        (node("Gather", "a i", axis=1), (ROWS, ints(3, 3)), 6, ROWS[:, [3, 3]]),
        (node("Gather", "a i", axis=-2), (ROWS, ints(1)), 4, ROWS[[1]]),
        (node("Gather", "a i", axis=-1), (ROWS, ints(1)), 3, ROWS[:, [1]]),
        (
            node("ScatterND", "a i u"),
            (np.zeros(5, np.float32), ints(1, 4)[:, None], np.ones(2, np.float32)),
            5,
            np.array([0, 1, 0, 0, 1]),
        ),
    ],
)
def test_what_constants_make_is_counted_first(
    given: NodeProto, inputs: tuple[Any, ...], size: int, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exactly ``size`` numbers are enough, one less is refused."""
    assert foldable(given)
    monkeypatch.setattr(constants, "MAX_CONSTANTS", size)
    (value,) = Constants().evaluate(given, inputs, 17)
    assert np.array_equal(value, expected)
    monkeypatch.setattr(constants, "MAX_CONSTANTS", size - 1)
    with pytest.raises(RefusedError, match=rf"^its constant value may have {size} elements, more than {size - 1}$"):
        Constants().evaluate(given, inputs, 17)


def test_all_constants_of_a_model_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "MAX_CONSTANTS", 25)
    one = Constants()
    for _ in range(2):
        one.evaluate(node("Neg", "a"), (ROWS,), 17)
    with pytest.raises(RefusedError, match=r"^needs 36 numbers of computed constants.*; at most 25 are allowed$"):
        one.evaluate(node("Neg", "a"), (ROWS,), 17)


@pytest.mark.parametrize(("work", "fits"), [(2 * 2**14, True), (2 * 2**14 - 1, False)])
def test_every_constant_is_some_work(work: int, fits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "MAX_CONSTANT_WORK", work)
    one = Constants()
    one.evaluate(node("Neg", "a"), (ROWS,), 17)
    if fits:
        one.evaluate(node("Neg", "a"), (ROWS,), 17)
    else:
        with pytest.raises(RefusedError, match=r"^needs 32768 numbers read and written for constants"):
            one.evaluate(node("Neg", "a"), (ROWS,), 17)


@pytest.mark.parametrize(
    ("given", "inputs", "message"),
    [
        (node("Cast", "a", to=8), (ROWS,), "turns a constant into another type than numbers of 8 to 64 bits"),
        (node("Cast", "a"), (ROWS,), "turns a constant into another type than numbers of 8 to 64 bits"),
        (
            node("Range", "a b c"),
            (np.array(0), np.array(1), np.array(0)),
            "its constant value may have inf elements, .*",
        ),
        (node("Add", "a b"), (ROWS, ROWS[:, :3]), r"its constant value cannot be computed \(.*"),
        (node("Gather", "a i", axis=2), (ROWS, ints(0)), r"its constant value cannot be computed \(.*"),
        (node("Gather", "a i", axis=-3), (ROWS, ints(0)), r"its constant value cannot be computed \(.*"),
    ],
)
def test_what_cannot_be_made_is_refused(given: NodeProto, inputs: tuple[Any, ...], message: str) -> None:
    with pytest.raises(RefusedError, match=f"^{message}"):
        Constants().evaluate(given, inputs, 17)


@pytest.mark.parametrize(
    ("attributes", "expected", "kind"),
    [
        ({"value": numpy_helper.from_array(ROWS)}, ROWS, np.float32),
        ({"value_float": 2.5}, 2.5, np.float32),
        ({"value_floats": [2.5, 1.0]}, [2.5, 1.0], np.float32),
        ({"value_int": 3}, 3, np.int64),
        ({"value_ints": [3, 4]}, [3, 4], np.int64),
    ],
)
def test_constant_nodes(attributes: dict[str, Any], expected: Any, kind: type) -> None:
    value = constant_of(node("Constant", "", "k", **attributes))
    assert value.dtype == kind
    assert np.array_equal(value, expected)


def test_constants_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(RefusedError, match=r"^holds neither a tensor nor numbers$"):
        constant_of(node("Constant", "", "k", value_string="text"))
    with pytest.raises(RefusedError, match=r"^tensor 't' holds texts; only numbers are supported$"):
        tensor(numpy_helper.from_array(np.array(["text"], object), "t"))


@pytest.mark.parametrize("error", [TypeError, ValueError, KeyError, NotImplementedError, OverflowError, MemoryError])
def test_tensors_that_cannot_be_decoded_are_named(error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: TensorProto) -> None:
        raise error("broken")

    monkeypatch.setattr(numpy_helper, "to_array", fail)
    with pytest.raises(RefusedError, match=r"^tensor 't' cannot be decoded \('?broken'?\)$"):
        tensor(helper.make_tensor("t", TensorProto.FLOAT, [1], [1.0]))


@pytest.mark.parametrize(
    ("given", "folds"),
    [
        (node("Add", "a b"), True),
        (helper.make_node("Add", ["a", "b"], ["y"], domain="ai.onnx"), True),
        (helper.make_node("Add", ["a", "b"], ["y"], domain="org.example"), False),
        (node("Conv", "a b"), False),
    ],
)
def test_only_small_standard_operators_are_evaluated(given: NodeProto, folds: bool) -> None:
    assert foldable(given) == folds
