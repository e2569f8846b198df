"""When populations start and how long their spikes travel.

The chip, like Lava, moves a spike one synapse per step, so a skip connection delivers early. Aligned schedules
delay each connection by ``start(target) - start(source)`` steps; then every population sees in its own window what
it would see if layers ran one after the other (`tests/lava` shows it neuron by neuron).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from snn_deploy.errors import NetworkError
from snn_deploy.network.network import Connection, Mode, Network, Population
from snn_deploy.network.neuron import Neuron


def measure_depths(names: Iterable[str], edges: Iterable[tuple[str, str]]) -> dict[str, int]:
    """Longest path in synapses from the input to each population; ``names`` in topological order."""
    sources: dict[str, list[str]] = {name: [] for name in names}
    for source, target in edges:
        sources[target].append(source)
    depth: dict[str, int] = {}
    for name, before in sources.items():
        depth[name] = 1 + max(depth[source] for source in before) if before else 0
    return depth


def bound_window(
    populations: Mapping[str, Population],
    edges: Iterable[tuple[str, str]],
    mode: Mode,
    steps: int,
    *,
    from_rest: bool = True,
) -> int:
    """Window length after which every neuron is silent.

    In ``exact`` mode, once its input is complete a neuron moves its count monotonically to the final value, at most
    ``ceil((a_max - a_min) / payload)`` steps away; one step when the payload holds the whole count and the count
    starts at 0, as it does ``from_rest``, or holds every change of it.
    """
    if mode == "rate":
        return steps
    sources: dict[str, list[str]] = {name: [] for name in populations}
    for source, target in edges:
        sources[target].append(source)
    window: dict[str, int] = {}
    for name, population in populations.items():
        if population.neuron is None:
            window[name] = 1
            continue
        counts = population.count_range
        if counts is None:
            raise NetworkError(f"{name}: exact mode needs count limits")
        last = max(sources[name], key=lambda source: window[source])
        before = window[last]
        if before > 1 and population.neuron.payload_min == 0:
            raise NetworkError(
                f"{name}: cannot take spikes back (payload_min 0), yet {last} sends for {before} steps; allow payloads "
                "below 0, or payloads as large as the counts"
            )
        reach = max(counts[1], -counts[0]) if before == 1 and from_rest else counts[1] - counts[0]
        window[name] = before - 1 + -(-reach // _slowest_payload(population.neuron))
    return max(window.values())


def _slowest_payload(neuron: Neuron) -> int:
    """Counts that one step can take back or add, whichever is fewer; neurons that never take back only add."""
    return min(neuron.payload_max, -neuron.payload_min) if neuron.payload_min < 0 else neuron.payload_max


def align(network: Network) -> Network:
    """``network`` with each population starting at its depth and every connection delayed to match."""
    edges = [(connection.source, connection.target) for connection in network.connections]
    start = measure_depths([population.name for population in network.populations], edges)
    aligned = replace(
        network,
        populations=tuple(replace(population, start=start[population.name]) for population in network.populations),
        connections=tuple(
            replace(connection, delay=start[connection.target] - start[connection.source])
            for connection in network.connections
        ),
    )
    named = {population.name: population for population in aligned.populations}
    return replace(aligned, steps=bound_window(named, edges, network.mode, network.steps))


def undelay(network: Network) -> Network:
    """An aligned ``exact`` network without delays, as a chip without delay lines runs it; counts are those of ``network``.

    A skip connection then delivers early, to neurons that integrate and do not fire before their start. Input is complete no later
    than it was, so the window is long enough; what arrives in one step is a part of what the bounds of ``network`` take for
    possible. Where neurons send all at once, every event of every window is the same, too. :class:`~snn_deploy.errors.NetworkError`
    where counts would depend on the schedule.
    """
    _check_free(network)
    if not network.aligned:
        raise NetworkError(f"{network.name}: only an aligned network can lose its delays; align it first")
    return replace(network, connections=tuple(replace(connection, delay=1) for connection in network.connections))


def shuffle(network: Network, seed: int, longest_delay: int = 5) -> Network:
    """An ``exact`` network with random delays and all populations firing from step 0: counts must not change.

    The window is long enough for silence: every neuron can be set off again by each of its late sources.
    """
    _check_free(network)
    for population in network.populations[1:]:
        if population.payload_range[0] == 0:
            raise NetworkError(
                f"{population.name}: cannot take spikes back (payload_min 0), and a free schedule may bring its input "
                "in any order; allow payloads below 0"
            )
    rng = np.random.default_rng(seed)
    connections = tuple(
        replace(connection, delay=int(rng.integers(1, longest_delay + 1))) for connection in network.connections
    )
    return replace(
        network,
        populations=tuple(replace(population, start=0) for population in network.populations),
        connections=connections,
        steps=bound_free_window(network.populations, connections),
    )


def bound_free_window(populations: Sequence[Population], connections: Sequence[Connection]) -> int:
    """Steps after which ``exact`` neurons that fire from step 0 on are silent, whatever the delays of ``connections``."""
    edges = [(connection.source, connection.target) for connection in connections]
    depth = max(measure_depths([population.name for population in populations], edges).values())
    per_layer = max(
        -(-(counts[1] - counts[0]) // _slowest_payload(population.neuron))
        for population in populations
        if population.neuron is not None and (counts := population.count_range) is not None
    )
    return depth * (max(connection.delay for connection in connections) + per_layer) + 1


def _check_free(network: Network) -> None:
    """:class:`~snn_deploy.errors.NetworkError` where counts would depend on the schedule."""
    if network.mode != "exact":
        raise NetworkError("only exact-mode counts are independent of the schedule; rate mode keeps its own")
    for population in network.populations[1:]:
        if population.neuron is not None and not population.neuron.is_schedule_free:
            raise NetworkError(
                f"{population.name}: counts of {population.neuron.kind} neurons depend on the schedule; keep it as it is"
            )
