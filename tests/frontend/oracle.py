"""Small ONNX models and what onnxruntime makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from snn_deploy.frontend.onnx import read, to_onnx
from snn_deploy.graph.graph import Graph
from snn_deploy.passes import normal_form

Array: TypeAlias = npt.NDArray[np.float32]
Constants: TypeAlias = Mapping[str, Any]


def numbers(*shape: int, seed: int = 0) -> Array:
    """Unequal, non-zero numbers of both signs."""
    values = np.random.default_rng(seed + sum(shape)).normal(0.1, 0.6, shape)
    return np.where(np.abs(values) < 0.02, 0.37, values).astype(np.float32)


def node(operator: str, inputs: str, outputs: str = "y", **attributes: Any) -> NodeProto:
    """An ONNX node; names separated by blanks, ``-`` for an absent input."""
    names = ["" if name == "-" else name for name in inputs.split()]
    return helper.make_node(operator, names, outputs.split(), **attributes)


def build(
    opset: int,
    nodes: Sequence[NodeProto],
    constants: Constants,
    shape: Sequence[int | str],
    outputs: Sequence[str] = ("y",),
    kind: int = TensorProto.FLOAT,
) -> ModelProto:
    """A model with one input ``x`` of ``shape`` (with the batch)."""
    graph = helper.make_graph(
        list(nodes),
        "case",
        [helper.make_tensor_value_info("x", kind, list(shape))],
        [helper.make_tensor_value_info(name, kind, [None] * 4) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9 if opset < 23 else 11)


def run(model: ModelProto | bytes, x: npt.NDArray[np.generic]) -> list[Array]:
    """The outputs of onnxruntime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    content = model if isinstance(model, bytes) else model.SerializeToString()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return list(session.run(None, {session.get_inputs()[0].name: x}))


def relative(one: npt.NDArray[np.generic], two: npt.NDArray[np.generic]) -> float:
    """Largest difference over the largest magnitude."""
    assert one.shape == two.shape
    scale = float(np.abs(one.astype(np.float64)).max())
    return float(np.abs(one.astype(np.float64) - two.astype(np.float64)).max()) / max(scale, 1e-12)


def difference(model: ModelProto, graph: Graph, x: Array) -> float:
    """How far ``graph`` is from ``model``, both run by onnxruntime on ``x``."""
    return max(relative(a, b) for a, b in zip(run(model, x), run(to_onnx(graph), x), strict=True))


@cache
def runs(opset: int) -> bool:
    """Whether this onnxruntime knows the operator set; that for Python 3.10 stops before the newest."""
    try:
        run(build(opset, [node("Identity", "x")], {}, (1, 1, 1, 1)), numbers(1, 1, 1, 1))
    except Exception:  # onnxruntime's own types are not public
        return False
    return True


def check(opset: int, nodes: Sequence[NodeProto], constants: Constants, shape: Sequence[int]) -> Graph:
    """Import a model, alone and between convolutions, and compare it before and after all passes.

    1e-5 of the largest value: float32 sums in another order. Returns the normal form of the longer model.
    """
    if not runs(opset):
        pytest.skip(f"onnxruntime {onnxruntime.__version__} does not know operator set {opset}")
    alone = build(opset, nodes, constants, (1, *shape))
    x = numbers(1, *shape, seed=7)
    graph = read(alone.SerializeToString()).graph
    assert difference(alone, graph, x) < 1e-5
    assert difference(alone, normal_form(graph), x) < 1e-5
    channels, outputs = shape[0], graph.shapes[graph.outputs[0][1]][0]
    around = [
        node("Conv", "x before.w before.b", "before", pads=[1, 1, 1, 1]),
        node("Relu", "before", "r"),
        *(_renamed(inner) for inner in nodes),
        node("Conv", "op after.w after.b", "after", pads=[1, 1, 1, 1]),
        node("Relu", "after", "y"),
    ]
    weights = {
        "before.w": numbers(channels, channels, 3, 3),
        "before.b": numbers(channels),
        "after.w": numbers(3, outputs, 3, 3, seed=1),
        "after.b": numbers(3),
    }
    longer = build(opset, around, {**constants, **weights}, (1, *shape), ("y", "after"))
    form = normal_form(read(longer.SerializeToString()).graph)
    assert difference(longer, form, x) < 1e-5
    return form


def _renamed(given: NodeProto) -> NodeProto:
    inner = NodeProto()
    inner.CopyFrom(given)
    for names in (inner.input, inner.output):
        for index, name in enumerate(names):
            names[index] = {"x": "r", "y": "op"}.get(name, name)
    return inner
