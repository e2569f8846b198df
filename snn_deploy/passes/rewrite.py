"""Replaces single nodes of a graph by several, as most passes do."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TypeAlias

from snn_deploy.graph.graph import Graph, Node
from snn_deploy.graph.names import Names

Rule: TypeAlias = Callable[[Graph, Node, Names], Iterable[Node]]


def rewrite(graph: Graph, rule: Rule) -> Graph:
    """``graph`` with every node replaced by the nodes that ``rule`` returns for it.

    The last of them must keep the node's name; the others take fresh ones from the names that the rule is given.
    """
    names = Names(graph.shapes)
    nodes = tuple(replacement for node in graph.nodes for replacement in rule(graph, node, names))
    return replace(graph, nodes=nodes).without_dead_nodes()
