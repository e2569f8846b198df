"""Checks the postcondition of :func:`~snn_deploy.passes.normal_form`, on which conversion relies."""

from __future__ import annotations

import numpy as np

from snn_deploy.errors import GraphError
from snn_deploy.graph.graph import Graph, Node
from snn_deploy.graph.ops import (
    Add,
    AveragePool,
    Conv,
    ConvTranspose,
    Host,
    LeakyRelu,
    Linear,
    Nearest,
    Op,
    Relay,
    Relu,
    Resample,
)
from snn_deploy.passes.expand_leaky_relu import needs_two_populations

ACTIVATIONS = (Relu, LeakyRelu, Linear, Relay)
LINEAR = (Conv, ConvTranspose, Resample, AveragePool, Nearest)


def check_normal_form(graph: Graph) -> Graph:
    """``graph``; :class:`GraphError` names the first node that violates the normal form in this package's docstring."""
    hosted = {node.name for node in graph.nodes if isinstance(node.op, Host)}
    for node in graph.nodes:
        if not all(np.all(np.isfinite(value)) for value in vars(node.op).values() if isinstance(value, np.ndarray)):
            raise GraphError(
                f"{node.name}: its weights contain NaN or infinity; check the model's weights and the ranges of its normalizations"
            )
        for name in node.inputs:
            if not isinstance(node.op, Host) and name in hosted:
                raise GraphError(
                    f"{node.name}: reads {name}, which is computed on the host; host functions must come last"
                )
        if isinstance(node.op, LINEAR):
            _check_linear(graph, node)
        elif isinstance(node.op, Add):
            _check_add(graph, node)
        elif isinstance(node.op, ACTIVATIONS):
            if not _is(graph, node.source, (*LINEAR, Add)):
                raise GraphError(f"{node.name}: reads {node.source}, which is neither a linear node nor a sum")
            if isinstance(node.op, LeakyRelu) and needs_two_populations(node.op):
                raise GraphError(f"{node.name}: a LeakyRelu whose slope is negative is two populations")
            if isinstance(node.op, Relay):
                _check_relay(graph, node)
            elif any(isinstance(part.op, AveragePool | Nearest) for part in find_addends(graph, node.source)):
                raise GraphError(f"{node.name}: only a Relay may read AveragePool and Nearest")
        elif not isinstance(node.op, Host):
            raise GraphError(f"{node.name}: {type(node.op).__name__} is not in normal form")
    return graph


def find_addends(graph: Graph, value: str) -> tuple[Node, ...]:
    """The linear nodes that add up to ``value``."""
    node = graph.node_of[value]
    return tuple(graph.node_of[name] for name in node.inputs) if isinstance(node.op, Add) else (node,)


def _is(graph: Graph, value: str, kinds: tuple[type[Op], ...]) -> bool:
    node = graph.node_of.get(value)
    return node is not None and isinstance(node.op, kinds)


def _check_linear(graph: Graph, node: Node) -> None:
    if node.source != graph.input and not _is(graph, node.source, ACTIVATIONS):
        raise GraphError(f"{node.name}: {type(node.op).__name__} reads {node.source}, which is not an activation")


def _check_add(graph: Graph, node: Node) -> None:
    if not all(_is(graph, name, LINEAR) for name in node.inputs):
        raise GraphError(f"{node.name}: Add reads values that are not linear nodes")
    with_bias = [part for part in find_addends(graph, node.name) if _biased(part.op)]
    if len(with_bias) > 1:
        raise GraphError(f"{node.name}: {with_bias[0].name} and {with_bias[1].name} both have a bias")


def _check_relay(graph: Graph, node: Node) -> None:
    parts = find_addends(graph, node.source)
    if any(isinstance(part.op, AveragePool | Nearest) for part in parts):
        whole = len(parts) == 1
    else:
        whole = all(_of_units(part.op) and not _biased(part.op) for part in parts)
    if not whole:
        raise GraphError(f"{node.name}: Relay reads sums that are not integers")


def _biased(op: Op) -> bool:
    return isinstance(op, Conv | ConvTranspose) and bool(op.bias.any())


def _of_units(op: Op) -> bool:
    """Whether all weights are -1, 0 or 1."""
    weights = [value for name, value in vars(op).items() if isinstance(value, np.ndarray) and name != "bias"]
    return all(bool(np.all(np.isin(weight, (-1.0, 0.0, 1.0)))) for weight in weights)
