"""Smooth activations, however they are written, become a few ReLUs that are near them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, helper

from snn_deploy.arrays import Float64
from snn_deploy.errors import ModelError
from snn_deploy.frontend.onnx import approximate_activations, inspect, session
from snn_deploy.frontend.onnx.curves import Curve, find_curves
from tests.frontend.oracle import build, node

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(0, 2, (6, 1, 12, 12)).astype(np.float32)
KERNEL = {
    name: RNG.normal(0, 0.5, shape) for name, shape in (("w", (4, 1, 3, 3)), ("v", (1, 4, 1, 1)), ("u", (4, 4, 1, 1)))
}
ERF = [
    node("Div", "h root", "e0"),
    node("Erf", "e0", "e1"),
    node("Add", "e1 one", "e2"),
    node("Mul", "h e2", "e3"),
    node("Mul", "e3 half", "a"),
]


def network(middle: list[NodeProto], tail: list[NodeProto] | None = None) -> bytes:
    """Convolution, ``middle`` from h to a, 1x1 convolution to z, and ``tail`` from z to the output y."""
    ends = tail or [node("Identity", "z", "y")]
    nodes = [node("Conv", "x w", "h", pads=[1, 1, 1, 1]), *middle, node("Conv", "a v", "z"), *ends]
    constants = {**KERNEL, "root": np.array(2**0.5), "one": np.array(1.0), "half": np.array([0.5])}
    return written(nodes, constants)


def written(nodes: list[NodeProto], constants: dict[str, Any]) -> bytes:
    stored = {name: np.asarray(value, np.float32) for name, value in constants.items()}
    data: bytes = build(17, nodes, stored, ("n", 1, 12, 12)).SerializeToString()
    return data


CURVES: dict[str, list[NodeProto]] = {
    "SiLU": [node("Sigmoid", "h", "s"), node("Mul", "h s", "a")],
    "GELU": ERF,
    "HardSwish": [node("HardSwish", "h", "a")],
    "Mish": [node("Softplus", "h", "p"), node("Tanh", "p", "t"), node("Mul", "h t", "a")],
    "ELU": [node("Elu", "h", "a")],
    "Tanh": [node("Tanh", "h", "a")],
    "x + SiLU": [node("Sigmoid", "h", "s"), node("Mul", "h s", "b"), node("Add", "h b", "a")],
}


@pytest.mark.parametrize("name", CURVES)
def test_a_smooth_activation_becomes_hinges(name: str) -> None:
    model = network(CURVES[name])
    assert inspect(model, (12, 12)).refused
    found = approximate_activations(model, IMAGES)
    assert not inspect(found.model, (12, 12)).refused
    ((result, fit),) = found.fits
    assert result == "a"
    assert 1 <= fit.knots.size <= 3
    assert fit.error < 0.05
    before, after = (run(each) for each in (model, found.model))
    ((output, loss),) = found.loss
    assert output == "y"
    assert loss == pytest.approx(np.linalg.norm(after - before) / np.linalg.norm(before), rel=1e-4)
    assert 0 < loss < 0.1


def run(model: bytes) -> Float64:
    (output,) = session(model).run(["y"], {"x": IMAGES})
    return np.asarray(output, np.float64)


def test_what_hinges_can_say_they_say_exactly() -> None:
    """A soft threshold is two hinges, at places that no quantile has."""
    ((_, fit),) = approximate_activations(network([node("Shrink", "h", "a", lambd=0.7, bias=0.7)]), IMAGES).fits
    assert fit.error < 0.01
    values = np.linspace(-4, 4, 9)
    assert fit(values) == pytest.approx(np.sign(values) * np.maximum(np.abs(values) - 0.7, 0), abs=0.03)


def test_ends_gates_and_straight_activations_are_left() -> None:
    """The host computes what stands at the end; a gate is a product of two maps; ReLU6 is exact already."""
    silu = CURVES["SiLU"]
    assert [curve.result for curve in curves(network(silu, [node("Sigmoid", "z", "y")]))] == ["a"]
    transposed = [node("Sigmoid", "z", "q"), node("Transpose", "q", "y", perm=[0, 2, 3, 1])]
    assert [curve.result for curve in curves(network(silu, transposed))] == ["a"]
    for straight in (
        [node("Relu", "h", "a")],
        [node("Abs", "h", "a")],
        [node("Clip", "h half one", "a")],
        [node("Mul", "h half", "a")],
    ):
        with pytest.raises(ModelError, match=r"has no smooth activation inside \(SiLU, .*\) to approximate$"):
            approximate_activations(network(straight), IMAGES)
    gate = [node("Conv", "h u", "g"), node("Sigmoid", "g", "s"), node("Mul", "h s", "a")]
    assert [curve.result for curve in curves(network(gate))] == ["s"]


def curves(model: bytes) -> tuple[Curve, ...]:
    return find_curves(ModelProto.FromString(model))


def test_constants_of_many_entries_end_a_curve() -> None:
    """A factor for every channel makes another function of every channel, so the curve begins behind it."""
    scaled = [node("Mul", "h c", "k"), node("Sigmoid", "k", "s"), node("Mul", "k s", "a")]
    constants = {**KERNEL, "c": np.ones((1, 4, 1, 1))}
    nodes = [node("Conv", "x w", "h", pads=[1, 1, 1, 1]), *scaled, node("Conv", "a v", "y")]
    (curve,) = curves(written(nodes, constants))
    assert (curve.source, curve.result, [each.op_type for each in curve.nodes]) == ("k", "a", ["Sigmoid", "Mul"])


def test_values_of_constant_nodes_count_as_constants() -> None:
    half = helper.make_node("Constant", [], ["c"], value_float=0.5)
    model = network([half, node("Pow", "h c", "p"), node("Tanh", "h", "t"), node("Mul", "t c", "a")])
    assert [[each.op_type for each in curve.nodes] for curve in curves(model)] == [["Tanh", "Mul"]]


def test_sizes_that_a_model_can_run_are_named() -> None:
    """Halved and doubled, an odd map is a pixel short."""
    nodes = [
        node("Conv", "x w", "h", pads=[1, 1, 1, 1]),
        *CURVES["SiLU"],
        node("Conv", "a v", "z"),
        node("MaxPool", "z", "p", kernel_shape=[2, 2], strides=[2, 2]),
        node("ConvTranspose", "p d", "q", strides=[2, 2]),
        node("Add", "z q", "y"),
    ]
    constants = {name: value.astype(np.float32) for name, value in KERNEL.items()} | {
        "d": np.ones((1, 1, 2, 2), np.float32)
    }
    model = build(17, nodes, constants, ("n", 1, "h", "w")).SerializeToString()
    with pytest.raises(
        ModelError,
        match=r"^model: onnxruntime cannot run it \(.*\) for images of 13x15; use 12x14 or 14x16 \(--size\)$",
    ):
        approximate_activations(model, np.zeros((1, 1, 13, 15), np.float32))
    assert approximate_activations(model, np.ones((1, 1, 14, 16), np.float32)).model
