"""Replacing single nodes of a graph by several: the shape that most passes have."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from snn_deploy.graph.graph import Graph, Node


def rewrite(graph: Graph, rule: Callable[[Graph, Node], Iterable[Node]]) -> Graph:
    """``graph`` with every node replaced by what ``rule`` gives for it; the last one must keep the node's name."""
    nodes = tuple(made for node in graph.nodes for made in rule(graph, node))
    return replace(graph, nodes=nodes).without_dead_nodes()
