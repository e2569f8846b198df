"""``leaky(x) = relu(x) - slope * relu(-x)``: two populations, and the slope goes into whatever reads the second.

Where neurons have a threshold of their own below zero (:mod:`snn_deploy.network.two_sided`) it stays one population, unless a slope
is negative: a count would not tell on which side a sum is.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from snn_deploy.graph.graph import Graph, Node
from snn_deploy.graph.names import Names
from snn_deploy.graph.ops import Add, Affine, LeakyRelu, Op, Relu
from snn_deploy.passes.rewrite import rewrite


def expand_leaky_relu(graph: Graph, *, two_sided: bool = False) -> Graph:
    """Replace every ``LeakyRelu`` by the difference of two ``Relu``; with ``two_sided`` neurons, those with a negative slope."""
    return rewrite(graph, partial(_expand, two_sided=two_sided))


def needs_two_populations(op: LeakyRelu) -> bool:
    """Whether no two-sided neuron computes it."""
    return bool(np.any(op.slope < 0))


def _is_relu(op: Op) -> bool:
    return isinstance(op, LeakyRelu) and not np.any(op.slope)


def _expand(_: Graph, node: Node, names: Names, *, two_sided: bool) -> Iterator[Node]:
    if not isinstance(node.op, LeakyRelu) or (two_sided and not needs_two_populations(node.op)):
        yield node if not _is_relu(node.op) else Node(node.name, Relu(), node.inputs, node.origin)
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
