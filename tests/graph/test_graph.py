"""The float graph: invariants, shapes, dump."""

import numpy as np
import pytest

from snn_deploy.errors import GraphError
from snn_deploy.graph.graph import Graph, Node
from snn_deploy.graph.ops import AveragePool, Concat, Conv, ConvTranspose, Host, Op, Relu


def conv(outputs: int, inputs: int) -> Conv:
    return Conv(np.ones((outputs, inputs, 3, 3)), np.zeros(outputs), pads=(1, 1, 1, 1))


NODES = (
    Node("enc", conv(4, 1), ("x",), ("Conv_0",)),
    Node("enc_relu", Relu(), ("enc",), ("Relu_1",)),
    Node("pool", AveragePool((2, 2), (2, 2)), ("enc_relu",)),
    Node("up", ConvTranspose(np.ones((4, 4, 2, 2)), np.zeros(4), strides=(2, 2)), ("pool",)),
    Node("cat", Concat(), ("enc_relu", "up")),
    Node("head", conv(1, 8), ("cat",)),
    Node("mask", Host("sigmoid"), ("head",)),
)


def graph(
    nodes: tuple[Node, ...] = NODES,
    outputs: tuple[tuple[str, str], ...] = (("y", "mask"),),
    size: tuple[int, int, int] = (1, 8, 6),
) -> Graph:
    return Graph("unet", "x", size, nodes, outputs)


def test_dump_is_the_graph_as_text() -> None:
    assert graph().dump() == (
        "x: 1x8x6 = input\n"
        "enc: 4x8x6 = Conv(x)\n"
        "enc_relu: 4x8x6 = Relu(enc)\n"
        "pool: 4x4x3 = AveragePool(enc_relu)\n"
        "up: 4x8x6 = ConvTranspose(pool)\n"
        "cat: 8x8x6 = Concat(enc_relu, up)\n"
        "head: 1x8x6 = Conv(cat)\n"
        "mask: 1x8x6 = Host(head)\n"
        "output y = mask\n"
    )


def test_users_and_nodes_are_found_by_value() -> None:
    net = graph()
    assert [node.name for node in net.users["enc_relu"]] == ["pool", "cat"]
    assert net.users["mask"] == ()
    assert net.node_of["cat"] is NODES[4]
    assert "x" not in net.node_of
    twice = graph((NODES[0], Node("double", Concat(), ("enc", "enc"))), (("y", "double"),))
    assert [node.name for node in twice.users["enc"]] == ["double"]


def test_dead_nodes_go_and_the_rest_keeps_its_order() -> None:
    dead = (*NODES, Node("dead", Relu(), ("up",)), Node("deader", Relu(), ("dead",)))
    kept = graph(dead).without_dead_nodes()
    assert kept.nodes == NODES
    assert kept.without_dead_nodes().nodes == NODES
    assert [node.name for node in graph(outputs=(("a", "pool"),)).without_dead_nodes().nodes] == [
        "enc",
        "enc_relu",
        "pool",
    ]


@pytest.mark.parametrize(
    ("nodes", "outputs", "message"),
    [
        ((NODES[0], NODES[0]), (("y", "enc"),), "^two values are called 'enc'$"),
        ((Node("x", Relu(), ("x",)),), (("y", "x"),), "^two values are called 'x'$"),
        ((NODES[1], NODES[0]), (("y", "enc"),), "^enc_relu: input 'enc' is not computed before it$"),
        ((Node("a", Relu(), ("a",)),), (("y", "a"),), "^a: input 'a' is not computed before it$"),
        ((Node("a", Relu(), ()),), (("y", "a"),), "^a: Relu does not take 0 inputs$"),
        ((Node("a", Concat(), ()),), (("y", "a"),), "^a: Concat does not take 0 inputs$"),
        ((Node("a", Relu(), ("x", "x")),), (("y", "a"),), "^a: Relu does not take 2 inputs$"),
        (NODES, (), "^no output$"),
        (NODES, (("y", "nothing"),), "^output y: value 'nothing' is not computed$"),
        (
            (Node("enc", conv(4, 3), ("x",)),),
            (("y", "enc"),),
            r"^enc: Conv: weight \(4, 3, 3, 3\) in 1 groups does not fit 1 input ch",
        ),
    ],
)
def test_broken_graphs_are_refused(nodes: tuple[Node, ...], outputs: tuple[tuple[str, str], ...], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        graph(nodes, outputs)


def test_shapes_that_do_not_meet_name_the_node() -> None:
    with pytest.raises(GraphError, match=r"^cat: Concat needs maps of one size, not \(4, 7, 6\), \(4, 6, 6\)$"):
        graph(size=(1, 7, 6))


def test_the_input_may_be_an_output() -> None:
    assert graph((), (("y", "x"),)).shapes == {"x": (1, 8, 6)}


def test_operators_without_a_rule_keep_the_shape() -> None:
    assert Op().infer(((2, 3, 4),)) == (2, 3, 4)
