"""``clip(x, low, high) = low + relu(x - low) - relu(x - high)``; without a lower end ``high - relu(high - x)``."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from snn_deploy.graph.graph import Graph, Node
from snn_deploy.graph.ops import Add, Affine, Clip, Relu
from snn_deploy.passes.rewrite import rewrite


def expand_clip(graph: Graph) -> Graph:
    """Replace every ``Clip`` by one or two ``Relu``."""
    return rewrite(graph, _expand)


def _expand(graph: Graph, node: Node) -> Iterator[Node]:
    if not isinstance(node.op, Clip):
        yield node
        return
    channels = graph.shapes[node.name][0]
    low, high = node.op.low, node.op.high

    def affine(name: str, scale: float, shift: float, *inputs: str) -> Node:
        return Node(name, Affine(np.full(channels, scale), np.full(channels, shift)), inputs, node.origin)

    (x,), name = node.inputs, node.name
    if low == -np.inf:
        yield affine(f"{name}.below", -1.0, high, x)
        yield Node(f"{name}.room", Relu(), (f"{name}.below",), node.origin)
        yield affine(name, -1.0, high, f"{name}.room")
        return
    yield affine(f"{name}.above", 1.0, -low, x)
    if high == np.inf:
        yield Node(f"{name}.kept", Relu(), (f"{name}.above",), node.origin)
        yield affine(name, 1.0, low, f"{name}.kept")
        return
    yield Node(f"{name}.kept", Relu(), (f"{name}.above",), node.origin)
    yield affine(f"{name}.over", 1.0, -high, x)
    yield Node(f"{name}.excess", Relu(), (f"{name}.over",), node.origin)
    yield affine(f"{name}.cut", -1.0, low, f"{name}.excess")
    yield Node(name, Add(), (f"{name}.kept", f"{name}.cut"), node.origin)
