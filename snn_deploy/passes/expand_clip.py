"""``clip(x, low, high) = low + min(relu(x - low), high - low)``; without a lower end ``high - relu(high - x)``.

The limit of a population is that of its counts. For neurons without one ``low + relu(x - low) - relu(x - high)``.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from snn_deploy.graph.graph import Graph, Node
from snn_deploy.graph.names import Names
from snn_deploy.graph.ops import Add, Affine, Clip, Relu
from snn_deploy.passes.rewrite import rewrite


def expand_clip(graph: Graph, *, limited: bool = True) -> Graph:
    """Replace every ``Clip`` by one ``Relu``, or by two that are not ``limited``."""
    return rewrite(graph, partial(_expand, limited=limited))


def _expand(graph: Graph, node: Node, names: Names, *, limited: bool) -> Iterator[Node]:
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
    limit = None if np.isposinf(high) else np.full(channels, high - low)
    if low == 0 and (limited or limit is None):
        yield Node(name, Relu(limit), (x,), node.origin)
        return
    above, rectified = (names.fresh(f"{name}.{part}") for part in ("above", "kept"))
    yield affine(above, 1.0, -low, x)
    if limited or limit is None:
        yield Node(rectified, Relu(limit), (above,), node.origin)
        yield affine(name, 1.0, low, rectified)
        return
    yield Node(rectified, Relu(), (above,), node.origin)
    over, excess, cut = (names.fresh(f"{name}.{part}") for part in ("over", "excess", "cut"))
    yield affine(over, 1.0, -high, x)
    yield Node(excess, Relu(), (over,), node.origin)
    yield affine(cut, -1.0, low, excess)
    yield Node(name, Add(), (rectified, cut), node.origin)
