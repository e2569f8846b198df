"""Activations that take two populations each, why, and which part of the synaptic operations the second ones take.

The second population repeats the whole convolution before it. Its synaptic operations are what one population would save.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from snn_deploy.activity.counting import count_activity
from snn_deploy.backend.protocol import Backend
from snn_deploy.backend.stimulus import quantize_images
from snn_deploy.conversion.choose import Bench
from snn_deploy.conversion.convert import Converted
from snn_deploy.conversion.options import Options
from snn_deploy.graph.graph import Graph
from snn_deploy.graph.ops import Clip, LeakyRelu
from snn_deploy.passes.expand_leaky_relu import needs_two_populations

NAMED = 4
"""Activations that are named in words; a record names them all."""

SLOPE = "with a negative slope: counts would not tell on which side of zero a sum is; train with slopes of 0 and more"
ASKED = "as --leaky two asks"
RATE = "in rate mode, whose neurons have one threshold; --preset exact takes one"
SIGMA_DELTA = "of sigma-delta neurons, which have one threshold and no largest count; --preset exact takes one"
AKIDA = "of Akida 2, whose layers have no threshold below zero"


@dataclass(frozen=True)
class Doubled:
    """``activations`` by name, why they take two populations, and the part of all synaptic ``operations`` of the second ones."""

    activations: tuple[str, ...]
    reason: str
    operations: float

    def __str__(self) -> str:
        """In one line."""
        count, named = len(self.activations), ", ".join(self.activations[:NAMED])
        more = f" and {count - NAMED} more" if count > NAMED else ""
        many = "activations take two populations each" if count > 1 else "activation takes two populations"
        return f"{count} {many}, {self.reason} ({named}{more}): {self.operations:.1%} of the synaptic operations are for the second"


def find_doubled(bench: Bench, backend: Backend, converted: Converted, options: Options) -> tuple[Doubled, ...]:
    """The activations of ``converted``, made with ``options``, that take two populations, by reason; counted on one image."""
    conversion = bench.fit(converted, options)
    populations = {population.name for population in conversion.network.populations}
    seconds = [each for each in _list_seconds(converted.model.graph, options) if each[1] in populations]
    if not seconds:
        return ()
    run = backend.run(conversion.network, quantize_images(conversion.network, bench.held_back[0]))
    spent = dict.fromkeys(populations, 0)
    for connection in count_activity(conversion.network, run).connections:
        spent[connection.target] += int(connection.synaptic_operations.sum())
    total = max(sum(spent.values()), 1)
    found = []
    for reason in dict.fromkeys(reason for _, _, reason in seconds):
        pairs = [(name, second) for name, second, other in seconds if other == reason]
        share = sum(spent[second] for _, second in pairs) / total
        found.append(Doubled(tuple(name for name, _ in pairs), reason, share))
    return tuple(found)


def _list_seconds(graph: Graph, options: Options) -> Iterator[tuple[str, str, str]]:
    """Every activation that may take two: its name, that of its second population, and the reason."""
    for node in graph.nodes:
        if isinstance(node.op, LeakyRelu) and np.any(node.op.slope):
            yield node.name, f"{node.name}.negative", SLOPE if needs_two_populations(node.op) else _reason(options)
        elif isinstance(node.op, Clip):
            yield node.name, f"{node.name}.excess", SIGMA_DELTA


def _reason(options: Options) -> str:
    """Why no neuron of ``options`` has a threshold of its own below zero."""
    if options.is_rate:
        return RATE
    if options.neuron == "sigma-delta":
        return SIGMA_DELTA
    return ASKED if replace(options, leaky="one").form.two_sided else AKIDA
