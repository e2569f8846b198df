"""``clip(x, low, high) = low + relu(x - low) - relu(x - high)``; without a lower end ``high - relu(high - x)``."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from snn_deploy.graph.graph import Graph, Node
from snn_deploy.graph.names import Names
from snn_deploy.graph.ops import Add, Affine, Clip, Relu
from snn_deploy.passes.rewrite import rewrite


def expand_clip(graph: Graph) -> Graph:
    """Replace every ``Clip`` by one or two ``Relu``."""
    return rewrite(graph, _expand)


def _expand(graph: Graph, node: Node, names: Names) -> Iterator[Node]:
    if not isinstance(node.op, Clip):
        yield node
        return
    channels = graph.shapes[node.name][0]
    low, high = node.op.low, node.op.high

    def affine(name: str, scale: float, shift: float, *inputs: str) -> Node:
        return Node(name, Affine(np.full(channels, scale), np.full(channels, shift)), inputs, node.origin)

    (x,), name = node.inputs, node.name
    if np.isneginf(low):
        below, headroom = (names.fresh(f"{name}.{part}") for part in ("below", "room"))
        yield affine(below, -1.0, high, x)
        yield Node(headroom, Relu(), (below,), node.origin)
        yield affine(name, -1.0, high, headroom)
        return
    above, rectified = (names.fresh(f"{name}.{part}") for part in ("above", "kept"))
    yield affine(above, 1.0, -low, x)
    yield Node(rectified, Relu(), (above,), node.origin)
    if np.isposinf(high):
        yield affine(name, 1.0, low, rectified)
        return
    over, excess, cut = (names.fresh(f"{name}.{part}") for part in ("over", "excess", "cut"))
    yield affine(over, 1.0, -high, x)
    yield Node(excess, Relu(), (over,), node.origin)
    yield affine(cut, -1.0, low, excess)
    yield Node(name, Add(), (rectified, cut), node.origin)
