"""``leaky(x) = relu(x) - slope * relu(-x)``: two populations, and the slope goes into whatever reads the second."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from snn_deploy.graph.graph import Graph, Node
from snn_deploy.graph.names import Names
from snn_deploy.graph.ops import Add, Affine, LeakyRelu, Relu
from snn_deploy.passes.rewrite import rewrite


def expand_leaky_relu(graph: Graph) -> Graph:
    """Replace every ``LeakyRelu`` by the difference of two ``Relu``."""
    return rewrite(graph, _expand)


def _expand(_: Graph, node: Node, names: Names) -> Iterator[Node]:
    if not isinstance(node.op, LeakyRelu):
        yield node
        return
    zero = np.zeros_like(node.op.slope)
    positive, flipped, negative, scaled = (
        names.fresh(f"{node.name}.{part}") for part in ("positive", "flip", "negative", "slope")
    )
    yield Node(positive, Relu(), node.inputs, node.origin)
    yield Node(flipped, Affine(zero - 1, zero), node.inputs, node.origin)
    yield Node(negative, Relu(), (flipped,), node.origin)
    yield Node(scaled, Affine(-node.op.slope, zero), (negative,), node.origin)
    yield Node(node.name, Add(), (positive, scaled), node.origin)
