"""What is never negative, and which pixels stand around a map."""

from __future__ import annotations

import numpy as np
import pytest

from snn_deploy.graph.graph import Graph, Node
from snn_deploy.graph.ops import AveragePool, Conv, Linear, MaxPool, Op, Relay, Relu
from snn_deploy.passes.expand_max_pool import expand_max_pool, find_nonnegative, pad_edges

POOL, SUMS = MaxPool((2, 2), (1, 1)), AveragePool((2, 2), (1, 1))


def conv() -> Conv:
    return Conv(np.ones((2, 2, 1, 1)), np.zeros(2))


def graph(*nodes: tuple[str, Op, str]) -> Graph:
    parts = tuple(Node(name, op, (source,)) for name, op, source in nodes)
    return Graph("case", "x", (2, 9, 9), parts, (("y", nodes[-1][0]),))


@pytest.mark.parametrize(
    ("nodes", "nonnegative"),
    [
        ([("c", conv(), "x"), ("r", Relu(), "c"), ("m", POOL, "r"), ("n", POOL, "m")], {"r", "m", "n"}),
        ([("c", conv(), "x"), ("l", Linear(), "c"), ("m", POOL, "l"), ("n", POOL, "m")], set()),
        ([("m", POOL, "x"), ("c", conv(), "m"), ("r", Relay(rectify=True), "c")], {"r"}),
        ([("c", conv(), "x"), ("r", Relu(), "c"), ("p", SUMS, "r"), ("q", Relay(), "p")], {"r", "q"}),
        ([("c", conv(), "x"), ("l", Linear(), "c"), ("p", SUMS, "l"), ("q", Relay(), "p")], set()),
        ([("q", Relay(), "x")], set()),
    ],
)
def test_what_is_never_negative(nodes: list[tuple[str, Op, str]], nonnegative: set[str]) -> None:
    assert find_nonnegative(graph(*nodes)) == nonnegative


@pytest.mark.parametrize("pads", [(0, 0, 0, 0), (1, 2, 3, 0), (0, 1, 0, 2)])
def test_edges_are_copies_of_the_border(pads: tuple[int, int, int, int]) -> None:
    op, x = pad_edges((3, 4), pads), np.arange(12.0).reshape(3, 4)
    top, left, bottom, right = pads
    assert np.array_equal(op.rows @ x @ op.columns.T, np.pad(x, ((top, bottom), (left, right)), mode="edge"))


@pytest.mark.parametrize(("window", "relays"), [((1, 1), 0), ((1, 2), 1), ((2, 2), 3), ((3, 3), 8)])
def test_a_tournament_has_one_relay_less_than_taps(window: tuple[int, int], relays: int) -> None:
    """And the last, plain one is the maximum under the name of the pool."""
    expanded = expand_max_pool(graph(("c", conv(), "x"), ("r", Relu(), "c"), ("m", MaxPool(window, (1, 2)), "r")))
    found = [node for node in expanded.nodes if isinstance(node.op, Relay)]
    assert [node.op.rectify for node in found if isinstance(node.op, Relay)] == [True] * relays + [False]
    assert found[-1].name == "m"
    taps = [node.op for node in expanded.nodes if isinstance(node.op, Conv) and node.name not in ("c",)]
    assert all(set(np.unique(op.weight)) <= {-1.0, 0.0, 1.0} for op in taps)
    assert all(op.strides == (1, 2) for op in taps if op.weight.shape[2:] != (1, 1) or window == (1, 1))
