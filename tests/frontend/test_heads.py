"""Functions of the host at the end of a model, against onnxruntime: as the float graph and as what a network's host does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import NodeProto, TensorProto

from snn_deploy.frontend.onnx import inspect, read, to_onnx
from snn_deploy.network.host import apply_host, choose_classes
from snn_deploy.passes import normal_form
from tests.frontend.oracle import Array, build, node, numbers, relative, run, runs

X = numbers(1, 4, 5, 6, seed=3) * 3
ONE, HALF, TWO = np.array([1]), np.float32(0.5), np.array([2])

HEADS: dict[str, tuple[int, list[NodeProto], dict[str, Any]]] = {
    "sigmoid": (9, [node("Sigmoid", "x")], {}),
    "tanh": (9, [node("Tanh", "x")], {}),
    "tanh to 0..1": (9, [node("Tanh", "x", "t"), node("Add", "t k", "u"), node("Div", "u two")], {"k": np.float32(1)}),
    "exp": (9, [node("Exp", "x")], {}),
    "softplus": (9, [node("Softplus", "x")], {}),
    "round": (11, [node("Sigmoid", "x", "s"), node("Round", "s")], {}),
    "log softmax": (13, [node("LogSoftmax", "x", axis=1)], {}),
    "log softmax, then exp": (13, [node("LogSoftmax", "x", "l", axis=-3), node("Exp", "l")], {}),
    "a channel after softmax": (13, [node("Softmax", "x", "s", axis=1), node("Slice", "s one two one")], {}),
    "channels picked": (
        13,
        [node("Softmax", "x", "s", axis=1), node("Gather", "s i", axis=1)],
        {"i": np.array([3, 1])},
    ),
    "one channel, its axis dropped": (
        13,
        [node("Softmax", "x", "s", axis=1), node("Gather", "s i", axis=1)],
        {"i": np.array(-1)},
    ),
    "split": (13, [node("Sigmoid", "x", "s"), node("Split", "s sizes", "y rest", axis=1)], {"sizes": np.array([3, 1])}),
    "squeezed": (
        13,
        [node("Softmax", "x", "s", axis=1), node("Slice", "s one two one", "t"), node("Squeeze", "t one")],
        {},
    ),
    "greater": (9, [node("Sigmoid", "x", "s"), node("Greater", "s half", "g"), node("Cast", "g", to=1)], {}),
    "a constant is less": (13, [node("Less", "half x", "g"), node("Cast", "g", to=TensorProto.UINT8)], {}),
    "at least": (17, [node("GreaterOrEqual", "x half", "g"), node("Cast", "g", to=1)], {}),
    "at most": (17, [node("LessOrEqual", "x half", "g"), node("Cast", "g", to=1)], {}),
    "argmax, as float": (
        13,
        [node("ArgMax", "x", "a", axis=1), node("Cast", "a", "c", to=1), node("Mul", "c half")],
        {},
    ),
    "argmax without its axis": (13, [node("ArgMax", "x", axis=1, keepdims=0)], {}),
    "bytes": (
        13,
        [
            node("Sigmoid", "x", "s"),
            node("Mul", "s k", "m"),
            node("Clip", "m - top", "c"),
            node("Cast", "c", to=TensorProto.UINT8),
        ],
        {"k": np.abs(numbers(4, 1, 1)) * 300, "top": np.float32(255)},
    ),
    "limits": (13, [node("Tanh", "x", "t"), node("Relu", "t", "r"), node("Min", "r half")], {}),
    "one minus": (13, [node("Sigmoid", "x", "s"), node("Sub", "k s", "m"), node("Neg", "m")], {"k": np.float32(1)}),
    "softmax over the last of flattened axes": (
        13,
        [node("Transpose", "x", "l", perm=[0, 2, 3, 1]), node("Reshape", "l flat", "f"), node("Softmax", "f")],
        {"flat": np.array([1, 30, 4])},
    ),
    "argmax of flattened axes": (
        13,
        [node("Reshape", "x flat", "f"), node("ArgMax", "f", axis=1, keepdims=0)],
        {"flat": np.array([1, 4, 30])},
    ),
}


@pytest.mark.parametrize("newest", [False, True])
@pytest.mark.parametrize("case", HEADS)
def test_heads(case: str, newest: bool) -> None:
    opset, nodes, constants = HEADS[case]
    opset = 22 if newest else opset
    if not runs(opset):
        pytest.skip("this onnxruntime does not know the operator set")
    used = {name for each in nodes for name in each.input}
    known = {"one": ONE, "two": TWO if "Slice" in str(nodes) else np.float32(2), "half": HALF} | constants
    model = build(opset, nodes, {name: value for name, value in known.items() if name in used}, (1, 4, 5, 6))
    for value in model.graph.output:
        value.ClearField("type")
    expected = np.asarray(run(_typed(model), X)[0], np.float32)
    imported = read(model.SerializeToString()).graph
    for graph in (imported, normal_form(imported)):
        _, host = graph.split_host(graph.outputs[0][1])
        (made,) = run(to_onnx(graph), X)
        assert relative(expected, np.asarray(made, np.float32).reshape(expected.shape)) < 1e-5
    assert host
    assert relative(expected, _applied(host).reshape(expected.shape)) < 1e-5


def _typed(model: Any) -> Any:
    """onnxruntime wants a type of the output, which differs from case to case."""
    from onnx import shape_inference

    inferred = shape_inference.infer_shapes(model)
    kinds = {value.name: value.type for value in inferred.graph.value_info} | {
        value.name: value.type for value in inferred.graph.output
    }
    for value in model.graph.output:
        value.type.CopyFrom(kinds[value.name])
    return model


def _applied(host: tuple[str, ...]) -> Array:
    return apply_host(host, X.astype(np.float64)).astype(np.float32)


@pytest.mark.parametrize(
    ("host", "threshold"),
    [
        ((), 0.0),
        (("tanh",), 0.0),
        (("sigmoid",), 0.5),
        (("sigmoid", "round"), 0.5),
        (("softmax", "take:1"), 0.5),
        (("log_softmax", "exp", "take:1"), 0.5),
        (("log_softmax", "take:1"), 0.0),
        (("greater:0.3",), 0.5),
    ],
)
def test_classes_of_one_channel(host: tuple[str, ...], threshold: float) -> None:
    values = np.array([[[[threshold - 0.1, threshold, threshold + 0.1]]]])
    assert choose_classes(host, values).tolist() == [[[0, 0, 1]]]


def test_an_activation_inside_is_refused_by_what_it_is() -> None:
    nodes = [node("Tanh", "x", "t"), node("Conv", "t w")]
    notes = {
        row.node: row.note
        for row in inspect(build(13, nodes, {"w": numbers(2, 4, 1, 1)}, (1, 4, 5, 6)).SerializeToString()).refused
    }
    assert notes == {
        "t": "y uses its result inside the network",
        "y": "reads t, which only the host can compute, after read-out; train the model with Relu, LeakyRelu, PRelu or Relu6, "
        "convert --approximate, "
        "or end it there",
    }


@pytest.mark.parametrize("opset", [10, 13, 17, 19, 21])
@pytest.mark.parametrize("kind", [np.int8, np.uint8])
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_weights_behind_dequantizers(opset: int, kind: type, axis: int | None) -> None:
    """One scale, or one for each channel, with zero points; also of weights that the file quantizes itself."""
    if opset < 13 and axis is not None:
        return
    rng = np.random.default_rng(1)
    low = np.iinfo(kind).min
    weight: Any = rng.integers(low, low + 256, (3, 4, 3, 3)).astype(kind)
    shape = () if axis is None else (weight.shape[axis],)
    scale = np.asarray(rng.uniform(0.001, 0.01, shape), np.float32)
    zero: Any = np.asarray(rng.integers(low + 100, low + 140, shape), kind)
    attributes = {} if axis is None else {"axis": axis}
    nodes = [
        node("DequantizeLinear", "q s z", "w", **attributes),
        node("QuantizeLinear", "v t", "vq"),
        node("DequantizeLinear", "vq t", "vd"),
        node("Conv", "x w", "c", pads=[1, 1, 1, 1]),
        node("Conv", "c vd"),
    ]
    constants = {"q": weight, "s": scale, "z": zero, "v": numbers(2, 3, 1, 1), "t": np.float32(0.02)}
    model = build(opset, nodes, constants, (1, 4, 5, 6))
    graph = read(model.SerializeToString()).graph
    assert relative(run(model, X)[0], run(to_onnx(graph), X)[0]) < 1e-5
