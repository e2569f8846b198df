"""Whose error is it: introduced by a population, or inherited from its sources.

Each population is replayed by the specification on the spikes that the backend's own sources sent. Where the backend's
record differs from that replay, the population introduced an error; where the replay differs from the baseline, it
inherited one. The first population, in the order of the network, that introduced anything is where to look.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from snn_deploy.arrays import Bool
from snn_deploy.network.network import Network
from snn_deploy.verification.comparison.pair import find_first_divergence, place_in_stream
from snn_deploy.verification.comparison.replay import Rule, Site, SynapticCurrents, collect_sent, is_replayable, respond
from snn_deploy.verification.comparison.verdict import Attribution
from snn_deploy.verification.traces.trace import Probe, Trace


def attribute(
    network: Network, baseline: Trace, found: Trace, name: str, *, image: int = 0, rule: Rule | None = None
) -> Attribution | None:
    """The errors of population ``name`` in ``found``; ``None`` where its sources or its own train were not recorded.

    ``image`` is the number of the first image; ``rule`` replaces the specification's arithmetic.
    """
    expected, got = baseline.probes.get(name), found.probes.get(name)
    if expected is None or got is None or expected.trains is None or got.trains is None:
        return None
    replayed = replay(network, found, name, rule)
    if replayed is None:
        return None
    at_found, at_expected = _like(replayed, got), _like(replayed, expected)
    introduced, inherited = _cells(at_found, got), _cells(at_expected, expected)
    sent = replace(got, counts=None, events=None, totals=None)  # of a stream, counts are not what this frame sent
    first = find_first_divergence(network.population(name), found.name, at_found, sent, image) if introduced else None
    if first is not None:
        first = place_in_stream(network, first, found.images)
    return Attribution(introduced, inherited, first)


def replay(network: Network, found: Trace, name: str, rule: Rule | None = None) -> Probe | None:
    """What the specification makes of ``found``'s own inputs to population ``name``, in its window."""
    population = network.population(name)
    if population.neuron is None or not is_replayable(network, name):
        return None
    sent = collect_sent(network, found, {connection.source for connection in network.incoming(name)})
    if sent is None:
        return None
    site = Site.of(network, name, rule, found.before)
    response = respond(site, SynapticCurrents(sent), population.start, network.steps)
    return response.probe()


def _like(replayed: Probe, recorded: Probe) -> Probe:
    return replayed if recorded.neurons is None else replayed.at(recorded.neurons)


def _cells(replayed: Probe, recorded: Probe) -> int:
    return int(np.count_nonzero(find_differing_cells(replayed, recorded)))


def find_differing_cells(left: Probe, right: Probe) -> Bool:
    """(B, steps, n): where payloads, or states recorded on both sides, are not the same."""
    differs = np.asarray(left.trains) != np.asarray(right.trains)
    for one, other in ((left.states, right.states), (left.second_states, right.second_states)):
        if one is not None and other is not None:
            differs = differs | (one != other)
    return np.asarray(differs, np.bool_)
