"""Products of maps are refused by what they are part of, once, and with what to train instead."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from onnx import NodeProto

from snn_deploy.errors import UnsupportedModelError
from snn_deploy.frontend.onnx import inspect, read
from tests.frontend.oracle import build, node, numbers

CONV = node("Conv", "x w", "c")

PRODUCTS: dict[str, tuple[list[NodeProto], str]] = {
    "SiLU": (
        [CONV, node("Sigmoid", "c", "s"), node("Mul", "c s", "m")],
        "SiLU (Swish), a map times its own sigmoid: .*Relu",
    ),
    "Mish": (
        [CONV, node("Softplus", "c", "p"), node("Tanh", "p", "s"), node("Mul", "s c", "m")],
        "Mish, or a gated activation: .*Relu",
    ),
    "attention gate": (
        [CONV, node("Conv", "c one", "g"), node("Sigmoid", "g", "s"), node("Mul", "s c", "m")],
        "an attention gate, a factor .* for every pixel: .*plain U-Net",
    ),
    "squeeze-and-excitation": (
        [CONV, node("GlobalAveragePool", "c", "g"), node("Sigmoid", "g", "s"), node("Mul", "c s", "m")],
        "squeeze-and-excitation, a factor .* for every channel: .*1x1 convolution",
    ),
    "attention": (
        [CONV, node("Softmax", "c", "s", axis=1), node("Mul", "c s", "m")],
        "attention, shares that weigh a map: .*without attention",
    ),
    "gate": (
        [CONV, node("Neg", "c", "n"), node("Sigmoid", "n", "s"), node("Mul", "c s", "m")],
        "a gate, .*without gates",
    ),
}


@pytest.mark.parametrize("case", PRODUCTS)
def test_products_are_named(case: str) -> None:
    nodes, reason = PRODUCTS[case]
    constants: dict[str, Any] = {"w": numbers(4, 3, 1, 1), "one": numbers(1, 4, 1, 1), "v": numbers(2, 4, 1, 1)}
    used = {name for each in nodes for name in each.input} | {"v"}
    known = {name: value for name, value in constants.items() if name in used}
    model = build(13, [*nodes, node("Conv", "m v")], known, (1, 3, 5, 5)).SerializeToString()
    refused = {row.node: row for row in inspect(model).refused}
    assert refused["s"].part_of == "m"
    assert refused["s"].note.endswith(", see m")
    assert re.match("is part of " + re.escape(reason).replace(r"\.\*", ".*"), refused["m"].note), refused["m"].note
    with pytest.raises(UnsupportedModelError) as caught:
        read(model)
    assert not any(text.startswith("s (") for text in caught.value.reasons)
    assert sum("part of" in text for text in caught.value.reasons) == 1


def test_gelu_of_an_error_function_is_named_once() -> None:
    nodes = [
        node("Div", "x k", "d"),
        node("Erf", "d", "e"),
        node("Add", "e one", "a"),
        node("Mul", "x a", "m"),
        node("Mul", "m half"),
    ]
    constants = {"k": np.float32(2**0.5), "one": np.float32(1), "half": np.float32(0.5)}
    refused = {
        row.node: row.note for row in inspect(build(13, nodes, constants, (1, 3, 5, 5)).SerializeToString()).refused
    }
    assert refused["e"].startswith("the error function, of which GELU is made,")
    assert refused["m"] == "reads e, which is refused"
