"""What a file tells of the range of its pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import NodeProto, TensorProto

from snn_deploy.frontend.onnx import own_range
from tests.frontend.oracle import build, node, numbers

CONV = node("Conv", "a w")
BYTES, WORDS = (0.0, 255.0), (0.0, 65535.0)

FIRST: list[tuple[list[NodeProto], dict[str, Any], tuple[float, float] | None]] = [
    ([node("Identity", "x", "a")], {}, None),
    ([node("Div", "x k", "a")], {"k": np.float32(255)}, BYTES),
    ([node("Mul", "k x", "a")], {"k": np.float32(1 / 255)}, BYTES),
    ([node("Mul", "x k", "a")], {"k": np.float32(1 / 127.5)}, BYTES),
    ([node("Div", "x k", "a")], {"k": np.float32(65535)}, WORDS),
    ([node("Div", "x k", "a")], {"k": np.array([58.4, 57.1, 57.4], np.float32).reshape(3, 1, 1)}, None),
    ([node("Sub", "x k", "a")], {"k": np.array([123.7, 116.3, 103.5], np.float32).reshape(3, 1, 1)}, BYTES),
    ([node("Add", "x k", "a")], {"k": np.float32(-127.5)}, BYTES),
    ([node("Sub", "x k", "a")], {"k": np.array([0.485, 0.456, 0.406], np.float32).reshape(3, 1, 1)}, None),
    ([node("Mul", "x k", "a")], {"k": np.float32(2)}, None),
    ([node("Mul", "x x", "a")], {}, None),
    ([node("Cast", "x", "t", to=1), node("Div", "t k", "a")], {"k": np.float32(255)}, BYTES),
    ([node("Relu", "x", "t"), node("Div", "t k", "a")], {"k": np.float32(255)}, None),
    (
        [node("BatchNormalization", "x s s m v", "a")],
        {"s": np.ones(3, np.float32), "m": np.full(3, 120, np.float32), "v": np.full(3, 5000, np.float32)},
        BYTES,
    ),
    (
        [node("BatchNormalization", "x s s m s", "a")],
        {"s": np.ones(3, np.float32), "m": np.full(3, 0.5, np.float32)},
        None,
    ),
]


@pytest.mark.parametrize(("nodes", "constants", "span"), FIRST)
def test_first_arithmetic(nodes: list[NodeProto], constants: dict[str, Any], span: tuple[float, float] | None) -> None:
    constants = constants | {"w": numbers(2, 3, 1, 1)}
    assert own_range(build(17, [*nodes, CONV], constants, (1, 3, 4, 4)).SerializeToString()) == span


def first(operator: str, *constants: float) -> tuple[float, float] | None:
    """The range of a model that begins with ``operator`` and numbers of 64 bits, which hold what is given."""
    names = [f"k{index}" for index in range(len(constants))]
    given = {name: np.full((3,), value) for name, value in zip(names, constants, strict=True)}
    nodes = [node(operator, " ".join(["x", *names]), "a"), CONV]
    return own_range(build(17, nodes, given | {"w": numbers(2, 3, 1, 1)}, (1, 3, 4, 4)).SerializeToString())


@pytest.mark.parametrize(
    ("divisor", "span"),
    [
        (99.9, None),
        (100.0, BYTES),
        (300.0, BYTES),
        (300.1, None),
        (29_999.0, None),
        (30_000.0, WORDS),
        (70_000.0, WORDS),
        (70_001.0, None),
        (-255.0, BYTES),
        (0.0, None),
    ],
)
def test_divisors_of_bytes_and_words(divisor: float, span: tuple[float, float] | None) -> None:
    """A hundred to three hundred: 255, 127.5, 256; and as much around 65,535."""
    assert first("Div", divisor) == span
    if divisor and divisor not in (100.0, 300.0, 30_000.0, 70_000.0):  # whose inverses are rounded
        assert first("Mul", 1 / divisor) == span


@pytest.mark.parametrize(("mean", "span"), [(1.99, None), (2.0, BYTES), (255.0, BYTES), (255.1, None), (-127.5, BYTES)])
def test_means_of_bytes(mean: float, span: tuple[float, float] | None) -> None:
    assert first("Sub", mean) == first("Add", mean) == span
    assert first("BatchNormalization", 1.0, 0.0001, mean, 1.0) == span
    assert first("Max", mean) is None


def test_what_follows_a_renaming_counts() -> None:
    """The first output of it, and the first node that reads it; later ones do not."""
    constants = {"k": np.float32(255), "two": np.array(0.5, np.float32), "w": numbers(2, 3, 1, 1)}
    nodes = [
        node("Neg", "w", "q"),
        node("Identity", "x", "t"),
        node("Div", "t k", "u"),
        node("Div", "u two", "a"),
        CONV,
    ]
    assert own_range(build(17, nodes, constants, (1, 3, 4, 4)).SerializeToString()) == BYTES
    halves = [node("Split", "x", "t s", axis=2), node("Div", "t k", "a"), CONV]
    assert own_range(build(17, halves, constants, (1, 3, 4, 4)).SerializeToString()) == BYTES
    other = [node("Split", "x", "t s", axis=2), node("Div", "s k", "a"), CONV]
    assert own_range(build(17, other, constants, (1, 3, 4, 4)).SerializeToString()) is None
    later = [node("Div", "x two", "u"), node("Div", "u k", "a"), CONV]
    assert own_range(build(17, later, constants, (1, 3, 4, 4)).SerializeToString()) is None


@pytest.mark.parametrize("values", [[], [np.inf], [np.nan]])
def test_constants_of_no_magnitude_say_nothing(values: list[float]) -> None:
    constants = {"k": np.array(values, np.float32), "w": numbers(2, 3, 1, 1)}
    assert own_range(build(17, [node("Div", "x k", "a"), CONV], constants, (1, 3, 4, 4)).SerializeToString()) is None


@pytest.mark.parametrize(
    ("kind", "span"), [(TensorProto.UINT8, BYTES), (TensorProto.UINT16, WORDS), (TensorProto.FLOAT16, None)]
)
def test_type_of_the_input(kind: int, span: tuple[float, float] | None) -> None:
    nodes = [node("Cast", "x", "t", to=1), node("Constant", "", "k", value_float=255.0), node("Div", "t k")]
    model = build(17, nodes if span else [node("Relu", "x")], {}, (1, 3, 4, 4), kind=kind)
    assert own_range(model.SerializeToString()) == span


def test_a_constant_node() -> None:
    constant = node("Constant", "", "k", value_float=255.0)
    assert own_range(build(17, [constant, node("Div", "x k")], {}, (1, 3, 4, 4)).SerializeToString()) == BYTES
