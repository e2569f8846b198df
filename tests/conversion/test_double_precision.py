"""The normal form in float64, every kind of node by hand."""

from __future__ import annotations

import numpy as np
import pytest

from snn_deploy.conversion.double_precision import evaluate
from snn_deploy.errors import GraphError
from snn_deploy.graph.graph import Graph, Node
from snn_deploy.graph.ops import Add, Concat, Conv, ConvTranspose, Host, Linear, Op, Relay, Relu

X = np.array([[[1.0, -2.0], [3.0, 0.5]]])


def graph(*nodes: tuple[str, Op, str]) -> Graph:
    parts = tuple(Node(name, op, tuple(inputs.split())) for name, op, inputs in nodes)
    return Graph("case", "x", (1, 2, 2), parts, (("y", nodes[-1][0]),))


def conv(bias: list[float] | list[list[list[float]]]) -> Conv:
    return Conv(np.full((1, 1, 1, 1), 2.0), np.array(bias))


def test_every_node_by_hand() -> None:
    values = evaluate(
        graph(
            ("c", conv([1.0]), "x"),
            ("map", conv([[[1.0, 2.0], [3.0, 4.0]]]), "x"),
            ("t", ConvTranspose(np.full((1, 1, 1, 1), -1.0), np.array([0.5])), "x"),
            ("sum", Add(), "c map t"),
            ("relu", Relu(), "c"),
            ("rectified", Relay(rectify=True), "c"),
            ("relay", Relay(), "c"),
            ("linear", Linear(), "c"),
            ("host", Host("sigmoid"), "c"),
        ),
        X,
    )
    c = np.array([[[3.0, -3.0], [7.0, 2.0]]])
    positive = np.array([[[3.0, 0.0], [7.0, 2.0]]])
    mapped = np.array([[[3.0, -2.0], [9.0, 5.0]]])
    turned = 0.5 - X
    expected = {"x": X, "c": c, "map": mapped, "t": turned, "sum": c + mapped + turned}
    expected |= {"relu": positive, "rectified": positive, "relay": c, "linear": c}
    assert list(values) == list(expected)
    assert all(np.array_equal(values[name], expected[name]) for name in expected)


def test_what_is_not_in_normal_form_is_refused() -> None:
    with pytest.raises(GraphError, match=r"^j: Concat is not in normal form$"):
        evaluate(graph(("j", Concat(), "x x")), X)
