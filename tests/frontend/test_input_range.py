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
