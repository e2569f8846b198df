"""Replaces single nodes of a graph by several, as most passes do."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from snn_deploy.graph.graph import Graph, Node


def rewrite(graph: Graph, rule: Callable[[Graph, Node], Iterable[Node]]) -> Graph:
    """``graph`` with every node replaced by the nodes that ``rule`` returns for it, the last of which must keep its name."""
    nodes = tuple(replacement for node in graph.nodes for replacement in rule(graph, node))
    return replace(graph, nodes=nodes).without_dead_nodes()
