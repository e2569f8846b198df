"""The graph of a NIR file: nested graphs laid open, nodes in order, and recurrence refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from snn_deploy.errors import NetworkError

MOST_NODES = 10_000
"""Most nodes of a graph, those of nested graphs included."""


@dataclass(frozen=True, eq=False)
class NirGraph:
    """Nodes by name, in an order in which each stands after those that it reads, and the names of what each reads."""

    nodes: Mapping[str, Any]
    sources: Mapping[str, tuple[str, ...]]
    metadata: Mapping[str, Any]

    @classmethod
    def of(cls, graph: Any) -> NirGraph:
        """The graph read by PyPI ``nir``; :class:`NetworkError` names nodes that read themselves."""
        nodes, edges = _lay_open(graph, "", 0)
        sources: dict[str, list[str]] = {name: [] for name in nodes}
        for source, target in dict.fromkeys(edges):
            for end in (source, target):
                if end not in nodes:
                    raise NetworkError(
                        f"{end}: an edge names this node, and the graph has none; have {', '.join(nodes)}"
                    )
            sources[target].append(source)
        try:
            order = list(TopologicalSorter(sources).static_order())
        except CycleError as error:
            cycle = " -> ".join(reversed(error.args[1]))
            raise NetworkError(
                f"{error.args[1][0]}: recurrent ({cycle}); networks here have no recurrence, train without it"
            ) from error
        return cls(
            {name: nodes[name] for name in order}, {name: tuple(sources[name]) for name in order}, graph.metadata
        )

    def of_kind(self, kind: str) -> list[str]:
        """Names of all nodes of a NIR type."""
        return [name for name, node in self.nodes.items() if type(node).__name__ == kind]


def _lay_open(graph: Any, prefix: str, depth: int) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Nodes and edges with every nested graph replaced by its content; its inputs and outputs join what is around it."""
    if depth > 16:
        raise NetworkError(f"{prefix[:-1]}: graphs within each other to more than 16 levels; lay them open")
    nodes: dict[str, Any] = {}
    edges: list[tuple[str, str]] = []
    entries: dict[str, list[str]] = {}
    exits: dict[str, list[str]] = {}
    for name, node in graph.nodes.items():
        if type(node).__name__ != "NIRGraph":
            nodes[prefix + name], entries[name], exits[name] = node, [prefix + name], [prefix + name]
            continue
        inner, inner_edges = _lay_open(node, f"{prefix}{name}.", depth + 1)
        ends = {
            kind: {key for key, value in inner.items() if type(value).__name__ == kind} for kind in ("Input", "Output")
        }
        entries[name] = [target for source, target in inner_edges if source in ends["Input"]]
        exits[name] = [source for source, target in inner_edges if target in ends["Output"]]
        nodes |= {key: value for key, value in inner.items() if key not in ends["Input"] | ends["Output"]}
        edges += [edge for edge in inner_edges if edge[0] not in ends["Input"] and edge[1] not in ends["Output"]]
    if len(nodes) > MOST_NODES:
        raise NetworkError(f"{len(nodes)} nodes; at most {MOST_NODES} are read")
    for source, target in graph.edges:
        starts = exits.get(source, [prefix + source])
        stops = entries.get(target, [prefix + target])
        edges += [(start, stop) for start in starts for stop in stops]
    return nodes, edges
