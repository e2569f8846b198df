"""Nodes that are called as passes call theirs."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import NodeProto

from snn_deploy.frontend.onnx import read
from snn_deploy.passes import normal_form
from tests.frontend.oracle import build, difference, node, numbers

COLLISIONS: dict[str, tuple[list[NodeProto], str]] = {
    "LeakyRelu": ([node("Conv", "x w", "act.positive"), node("LeakyRelu", "act.positive", "act", alpha=0.1)], "act"),
    "LeakyRelu after": (
        [node("LeakyRelu", "x", "act", alpha=0.1), node("Conv", "act w", "act.positive")],
        "act.positive",
    ),
    "Relu after LeakyRelu": (
        [node("LeakyRelu", "x", "act", alpha=0.1), node("Relu", "act", "act.negative")],
        "act.negative",
    ),
    "Clip": ([node("Relu", "x", "clip.kept"), node("Clip", "clip.kept zero one", "clip")], "clip"),
    "Clip below": ([node("Neg", "x", "clip.room"), node("Clip", "clip.room - one", "clip")], "clip"),
    "MaxPool": ([node("Relu", "x", "pool.max1"), node("MaxPool", "pool.max1", "pool", kernel_shape=[2, 2])], "pool"),
    "MaxPool with edges": (
        [node("Neg", "x", "pool.edge"), node("MaxPool", "pool.edge", "pool", kernel_shape=[3, 3], pads=[1, 1, 1, 1])],
        "pool",
    ),
    "a sum": ([node("Conv", "x w", "a.sum"), node("Relu", "a.sum", "a.0"), node("Add", "a.0 x", "a")], "a"),
}


@pytest.mark.parametrize("case", COLLISIONS)
def test_names_that_passes_make_avoid_those_of_the_model(case: str) -> None:
    nodes, output = COLLISIONS[case]
    constants = {"w": numbers(2, 2, 1, 1), "zero": np.float32(0), "one": np.float32(0.5)}
    model = build(17, nodes, constants, (1, 2, 6, 6), (output,))
    graph = read(model.SerializeToString()).graph
    x = numbers(1, 2, 6, 6)
    assert difference(model, graph, x) < 1e-5
    assert difference(model, normal_form(graph), x) < 1e-5


def test_an_output_that_is_the_input_is_copied() -> None:
    graph = read(build(17, [node("Identity", "x")], {}, (1, 2, 4, 4)).SerializeToString()).graph
    form = normal_form(graph)
    assert [(type(node.op).__name__, node.inputs) for node in form.nodes] == [("Conv", ("x",))]
