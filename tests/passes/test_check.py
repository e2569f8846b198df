"""Every sentence of the normal form, violated by one small graph each."""

from __future__ import annotations

import numpy as np
import pytest

from snn_deploy.errors import GraphError
from snn_deploy.graph.graph import Graph, Node
from snn_deploy.graph.ops import Add, AveragePool, Conv, ConvTranspose, Host, Linear, Nearest, Op, Relay, Relu, Resample
from snn_deploy.passes.check import check_normal_form, find_addends

POOL, TWICE = AveragePool((1, 1), (1, 1)), Nearest((1, 1))


def conv(weight: float = 0.5, bias: float = 0.0) -> Conv:
    return Conv(np.full((2, 2, 1, 1), weight), np.full(2, bias))


def transposed(weight: float, bias: float = 0.0) -> ConvTranspose:
    return ConvTranspose(np.full((2, 2, 1, 1), weight), np.full(2, bias))


def graph(*nodes: tuple[str, Op, str]) -> Graph:
    """The input ``x`` of two 3x3 maps, an activation ``r`` of it, and ``nodes`` (name, operator, inputs)."""
    made = [("c", conv(), "x"), ("r", Relu(), "c"), *nodes]
    parts = tuple(Node(name, op, tuple(inputs.split())) for name, op, inputs in made)
    return Graph("case", "x", (2, 3, 3), parts, (("y", made[-1][0]),))


GOOD: list[tuple[tuple[str, Op, str], ...]] = [
    (
        ("d", conv(bias=1.0), "r"),
        ("e", conv(), "x"),
        ("s", Add(), "d e"),
        ("l", Linear(), "s"),
        ("h", Host("argmax"), "l"),
    ),
    (("p", POOL, "r"), ("y", Relay(), "p")),
    (("n", TWICE, "r"), ("y", Relay(), "n")),
    (("a", conv(1.0), "r"), ("b", transposed(-1.0), "r"), ("s", Add(), "a b"), ("y", Relay(rectify=True), "s")),
    (("a", Resample(np.eye(3), np.eye(3)), "r"), ("y", Relay(), "a")),
    (("h", Host("sigmoid"), "c"), ("y", Host("softmax"), "h")),
]


@pytest.mark.parametrize("nodes", GOOD)
def test_normal_forms_pass(nodes: tuple[tuple[str, Op, str], ...]) -> None:
    given = graph(*nodes)
    assert check_normal_form(given) is given


HOST = ("h", Host("sigmoid"), "r")


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (
            [("y", conv(np.nan), "r")],
            "y: its weights contain NaN or infinity; check the model's weights and the ranges of .*",
        ),
        ([("y", conv(bias=np.inf), "r")], "y: its weights contain NaN or infinity; check .*"),
        ([HOST, ("y", conv(), "h")], "y: reads h, which is computed on the host; host functions must come last"),
        ([HOST, ("y", Relu(), "h")], "y: reads h, which is computed on the host; host functions must come last"),
        ([("d", conv(), "r"), ("y", conv(), "d")], "y: Conv reads d, which is not an activation"),
        ([("d", POOL, "r"), ("y", TWICE, "d")], "y: Nearest reads d, which is not an activation"),
        ([("d", conv(), "r"), ("y", Add(), "d r")], "y: Add reads values that are not linear nodes"),
        ([("d", conv(), "r"), ("y", Add(), "x d")], "y: Add reads values that are not linear nodes"),
        (
            [("d", conv(bias=1.0), "r"), ("e", transposed(1.0, 2.0), "r"), ("y", Add(), "d e")],
            "y: d and e both have a bias",
        ),
        ([("y", Relu(), "r")], "y: reads r, which is neither a linear node nor a sum"),
        ([("y", Linear(), "x")], "y: reads x, which is neither a linear node nor a sum"),
        ([("p", POOL, "r"), ("y", Relu(), "p")], "y: only a Relay may read AveragePool and Nearest"),
        (
            [("p", TWICE, "r"), ("d", conv(), "r"), ("s", Add(), "d p"), ("y", Linear(), "s")],
            "y: only a Relay may read AveragePool and Nearest",
        ),
        ([("d", conv(0.5), "r"), ("y", Relay(), "d")], "y: Relay reads sums that are not integers"),
        ([("d", conv(2.0), "r"), ("y", Relay(), "d")], "y: Relay reads sums that are not integers"),
        ([("d", transposed(2.0), "r"), ("y", Relay(), "d")], "y: Relay reads sums that are not integers"),
        ([("d", conv(1.0, 1.0), "r"), ("y", Relay(), "d")], "y: Relay reads sums that are not integers"),
        (
            [("d", Resample(np.eye(3), np.eye(3) / 2), "r"), ("y", Relay(), "d")],
            "y: Relay reads sums that are not integers",
        ),
        (
            [("p", POOL, "r"), ("d", conv(1.0), "r"), ("s", Add(), "d p"), ("y", Relay(), "s")],
            "y: Relay reads sums that are not integers",
        ),
    ],
)
def test_what_is_not_a_normal_form_is_named(nodes: list[tuple[str, Op, str]], message: str) -> None:
    with pytest.raises(GraphError, match=f"^{message}$"):
        check_normal_form(graph(*nodes))


def test_addends_are_the_inputs_of_a_sum_or_the_value_itself() -> None:
    given = graph(("d", conv(), "r"), ("e", conv(), "x"), ("s", Add(), "d e"))
    assert [node.name for node in find_addends(given, "s")] == ["d", "e"]
    assert [node.name for node in find_addends(given, "d")] == ["d"]
