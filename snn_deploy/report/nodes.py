"""From populations to the ONNX nodes that they stand for, as the ledger of the file lists them."""

from __future__ import annotations

from collections.abc import Mapping

from snn_deploy.display.labels import labels
from snn_deploy.frontend.ledger import Ledger
from snn_deploy.network.network import Network, Population
from snn_deploy.report.tables import Named


def number_nodes(ledger: Ledger | None) -> dict[str, str]:
    """The anchor of every node of ``ledger`` by the node's name."""
    return {} if ledger is None else {row.node: f"node-{number}" for number, row in enumerate(ledger.rows)}


def name_populations(network: Network, anchors: Mapping[str, str], width: int = 28) -> dict[str, Named]:
    """Every population of ``network`` by its name, with a link to its first node among ``anchors``."""
    short = labels((population.name for population in network.populations), width)
    return {population.name: _named(population, short, anchors) for population in network.populations}


def _named(population: Population, short: Mapping[str, str], anchors: Mapping[str, str]) -> Named:
    nodes = list(dict.fromkeys((population.name, *population.origin)))
    title = population.name if len(nodes) < 2 else f"{population.name}; ONNX nodes: {', '.join(nodes)}"
    anchor = next((anchors[node] for node in nodes if node in anchors), None)
    return Named(short[population.name], title, anchor)
