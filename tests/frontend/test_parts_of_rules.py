"""Parts of rules by hand: what a product is called, which nodes move, how products with constants go to the host."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import GraphProto, helper

from snn_deploy.arrays import Array
from snn_deploy.frontend.onnx.call import RefusedError, Wire
from snn_deploy.frontend.onnx.products import name_product
from snn_deploy.frontend.onnx.sorting import sort_nodes
from snn_deploy.graph.host import HostFunction
from snn_deploy.graph.ops import Host
from tests.frontend.calls import X, apply, wire
from tests.frontend.oracle import node

MAP = Wire("map", (4, 6, 8))


def gate(function: str, shape: tuple[int, int, int] = (4, 6, 8), reads: str = "other") -> Wire:
    return Wire("gate", shape, hosted=function, reads=reads)


@pytest.mark.parametrize(
    ("one", "other", "name"),
    [
        (gate("sigmoid", reads="map"), MAP, "SiLU (Swish), a map times its own sigmoid"),
        (gate("sigmoid"), MAP, "a gate, a map times the sigmoid of another"),
        (gate("tanh", reads="map"), MAP, "Mish, or a gated activation"),
        (gate("softmax"), MAP, "attention, shares that weigh a map"),
        (gate("log_softmax"), MAP, "attention, shares that weigh a map"),
        (gate("sigmoid", (4, 1, 1)), MAP, "squeeze-and-excitation, a factor from 0 to 1 for every channel"),
        (gate("sigmoid", (4, 1, 8)), MAP, "a gate, a map times the sigmoid of another"),
        (gate("sigmoid", (4, 1, 1)), Wire("map", (4, 1, 1)), "a gate, a map times the sigmoid of another"),
        (gate("sigmoid", (4, 1, 1)), Wire("map", (4, 1, 8)), "squeeze-and-excitation, a factor from 0 to 1 for every channel"),
        (gate("sigmoid", (1, 6, 8)), MAP, "an attention gate, a factor from 0 to 1 for every pixel"),
        (gate("sigmoid", (1, 6, 8)), Wire("map", (1, 6, 8)), "a gate, a map times the sigmoid of another"),
        (gate("sigmoid", (1, 6, 8)), Wire("map", (2, 6, 8)), "an attention gate, a factor from 0 to 1 for every pixel"),
        (gate("sigmoid", (2, 6, 8)), MAP, "a gate, a map times the sigmoid of another"),
        (gate("exp"), MAP, None),
        (MAP, MAP, None),
        (gate("exp"), gate("tanh"), "Mish, or a gated activation"),
    ],
)  # fmt: skip
def test_what_a_product_is_part_of(one: Wire, other: Wire, name: str | None) -> None:
    for factors in ((one, other), (other, one)):
        found = name_product(*factors)
        assert (None if found is None else found[0]) == name


@pytest.mark.parametrize(
    ("nodes", "order"),
    [
        (["a<x", "b<a", "y<b"], None),
        (["b<a", "a<x", "y<b"], "aby"),
        (["y<bc", "c<a", "b<a", "a<x"], "acby"),  # c stands before b in the file
        (["y<ab", "b<x", "a<x"], "bay"),
        (["b<b", "y<b"], None),  # a circle
        (["b<c", "c<b", "y<c"], None),
        (["b<a", "a<b", "y<x"], None),
        (["y<aa", "a<x"], "ay"),
    ],
)
def test_nodes_are_sorted_behind_what_they_read(nodes: list[str], order: str | None) -> None:
    graph = GraphProto()
    for each in nodes:
        made, read = each.split("<")
        graph.node.append(helper.make_node("Sum", list(read), [made], name=made))
    assert sort_nodes(graph) == (order is not None)
    found = "".join(each.name for each in graph.node)
    assert found == (order or "".join(each[0] for each in nodes))


READ_OUT = Wire("x", (4, 6, 8), maker="x", hosted="sigmoid")


@pytest.mark.parametrize(
    ("operator", "inputs", "functions"),
    [
        ("Add", [READ_OUT, np.float64(2)], ["plus 2"]),
        ("Add", [np.float64(0), READ_OUT], []),
        ("Mul", [READ_OUT, np.float64(1)], []),
        ("Mul", [READ_OUT, np.float64(0)], ["times 0"]),
        ("Mul", [np.arange(4.0).reshape(4, 1, 1), READ_OUT], ["times 0 1 2 3"]),
        ("Sub", [READ_OUT, np.float64(2)], ["plus -2"]),
        ("Sub", [np.float64(1), READ_OUT], ["times -1", "plus 1"]),
        ("Div", [READ_OUT, np.float64(4)], ["times 0.25"]),
        ("Neg", [READ_OUT], ["times -1"]),
    ],
)
def test_arithmetic_after_read_out_is_the_hosts(
    operator: str, inputs: list[Wire | Array], functions: list[str]
) -> None:
    """A factor of 1 and an addend of 0 change nothing; one number stands for channels that are alike."""
    outcome, made = apply(node(operator, " ".join("ab"[: len(inputs)])), *inputs, since=13)
    assert outcome.fate == "host"
    found = []
    for each in made:
        assert isinstance(each.op, Host)
        function = HostFunction.of(each.op.function)
        found.append(" ".join([function.name, *(f"{value:g}" for value in function.arguments)]))
    assert found == functions


@pytest.mark.parametrize(
    ("operator", "first", "function"),
    [
        ("Greater", True, "greater"), ("Greater", False, "less"), ("Less", True, "less"), ("Less", False, "greater"),
        ("GreaterOrEqual", True, "at_least"), ("GreaterOrEqual", False, "at_most"),
        ("LessOrEqual", True, "at_most"), ("LessOrEqual", False, "at_least"),
    ],
)  # fmt: skip
def test_comparisons_are_mirrored_where_the_constant_stands_first(operator: str, first: bool, function: str) -> None:
    inputs: list[Wire | Array] = [X, np.array([0.5])] if first else [np.array([0.5]), X]
    _, (made,) = apply(node(operator, "a b"), *inputs, since=16 if "Or" in operator else 13)
    assert isinstance(made.op, Host)
    found = HostFunction.of(made.op.function)
    assert (found.name, found.arguments) == (function, (0.5,))
    for limit in (np.array([np.nan]), np.zeros(2), np.zeros(0)):
        with pytest.raises(
            RefusedError, match=r"^compares with a constant of shape \(\d,\); only one number is supported$"
        ):
            apply(
                node(operator, "a b"),
                *[limit if each is not X else X for each in inputs],
                since=16 if "Or" in operator else 13,
            )


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("count", [2, 3])
def test_the_greatest_and_least_of_maps(count: int, sign: int) -> None:
    """Computed by hand from the nodes that it becomes, on numbers of every order."""
    maps = [Wire(f"m{index}", (4, 6, 8), maker="x") for index in range(count)]
    outcome, made = apply(node("Max" if sign > 0 else "Min", " ".join("abc"[:count])), *maps, since=13)
    values = {each.value: np.random.default_rng(index).normal(0, 1, (4, 6, 8)) for index, each in enumerate(maps)}
    given = list(values.values())
    for each in made:
        inputs = [values[name] for name in each.inputs]
        kind = type(each.op).__name__
        if kind == "Affine":
            values[each.name] = each.op.scale[:, None, None] * inputs[0] + each.op.shift[:, None, None]  # type: ignore[attr-defined]
        else:
            values[each.name] = np.maximum(inputs[0], 0) if kind == "Relu" else np.sum(inputs, axis=0)
    expected = (np.maximum if sign > 0 else np.minimum).reduce(given)
    np.testing.assert_allclose(values[wire(outcome).value], expected, atol=1e-12)
    assert sum(type(each.op).__name__ == "Relu" for each in made) == count - 1
    other = Wire("m9", (4, 6, 7), maker="x")
    with pytest.raises(RefusedError, match=r"^compares maps \(4, 6, 8\), \(4, 6, 7\); one shape is needed$"):
        apply(node("Max", "a b"), maps[0], other, since=13)
