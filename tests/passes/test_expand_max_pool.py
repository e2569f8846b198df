"""What is never negative, and which pixels stand around a map."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest

from snn_deploy.errors import GraphError
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


EXPANSION = import_module("snn_deploy.passes.expand_max_pool")  # the package calls the function so
SIGNED, RECTIFIED = ("l", Linear(), "c"), ("l", Relu(), "c")


@pytest.mark.parametrize(
    ("limit", "activation", "pads", "amount", "unit"),
    [
        ("MAX_RELAYS", RECTIFIED, (0, 0, 0, 0), 6, "populations for maxima"),
        ("MAX_TAPS", RECTIFIED, (0, 0, 0, 0), 6 * 6 * 2, "weights for maxima"),
        ("MAX_TAPS", RECTIFIED, (1, 2, 0, 1), 6 * 6 * 2, "weights for maxima"),
        ("MAX_TAPS", SIGNED, (0, 0, 0, 0), 6 * 6 * 2, "weights for maxima"),
        # its edges are copied first: 9 rows become 10, 9 columns 12
        ("MAX_TAPS", SIGNED, (1, 2, 0, 1), 6 * 6 * 2 + 10 * 9 + 12 * 9, "weights for maxima"),
        ("MAX_TAPS", SIGNED, (0, 0, 1, 0), 6 * 6 * 2 + 10 * 9 + 9 * 9, "weights for maxima"),
    ],
)
def test_tournaments_are_counted_before_they_are_made(
    limit: str,
    activation: tuple[str, Op, str],
    pads: tuple[int, int, int, int],
    amount: int,
    unit: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = graph(("c", conv(), "x"), activation, ("m", MaxPool((2, 3), (1, 1), pads), "l"))
    monkeypatch.setattr(EXPANSION, limit, amount)
    expand_max_pool(given)
    monkeypatch.setattr(EXPANSION, limit, amount - 1)
    with pytest.raises(GraphError, match=rf"^m: needs {amount} {unit}.*; at most {amount - 1} are allowed$"):
        expand_max_pool(given)


def test_edges_are_copied_where_a_signed_map_is_padded() -> None:
    given = graph(("c", conv(), "x"), SIGNED, ("m", MaxPool((2, 2), (1, 1), (1, 0, 0, 2)), "l"))
    nodes = {node.name: node for node in expand_max_pool(given).nodes}
    copied, edged = nodes["m.edge<-l"], nodes["m.edge"]
    assert (copied.inputs, edged.inputs) == (("l",), ("m.edge<-l",))
    assert vars(edged.op) == {"rectify": False}
    assert vars(copied.op)["rows"].shape == (10, 9)
    assert vars(copied.op)["columns"].shape == (11, 9)
    assert all(vars(node.op)["pads"] == (0, 0, 0, 0) for node in nodes.values() if node.inputs == ("m.edge",))


def test_a_window_of_two_by_two_is_three_comparisons() -> None:
    """r1 = relu(b - a), r2 = relu(d - c), r3 = relu(c + r2 - a - r1), max = a + r1 + r3."""
    given = graph(("c", conv(), "x"), RECTIFIED, ("m", MaxPool((2, 2), (1, 1)), "l"))
    nodes = {node.name: node for node in expand_max_pool(given).nodes}

    def taps(name: str) -> list[list[float]]:
        return vars(nodes[name].op)["weight"][0, 0].tolist()  # type: ignore[no-any-return]

    assert [taps(f"{name}<-l") for name in ("m.max1", "m.max2", "m.max3", "m")] == [
        [[-1.0, 1.0], [0.0, 0.0]],
        [[0.0, 0.0], [-1.0, 1.0]],
        [[-1.0, 0.0], [1.0, 0.0]],
        [[1.0, 0.0], [0.0, 0.0]],
    ]
    signs = {name: taps(name)[0][0] for name in nodes if "<-m.max" in name}
    assert signs == {"m.max3<-m.max2": 1.0, "m.max3<-m.max1": -1.0, "m<-m.max1": 1.0, "m<-m.max3": 1.0}
    assert nodes["m.max3.sum"].inputs == ("m.max3<-l", "m.max3<-m.max2", "m.max3<-m.max1")
