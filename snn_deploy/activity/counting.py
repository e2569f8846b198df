"""What a run did: events, unit spikes, synaptic operations and neuron updates, exact and in int64.

A *synaptic operation* is one event reaching one non-zero weight at a neuron that exists. That is what Loihi 2's
counters count: on a published network the usual rules (ignore padding, count zero weights) overestimate them by 31 to
48 % (lava-dl, netx/pilotnet_snn/benchmark.ipynb). :mod:`snn_deploy.activity.synapses` counts the synapses behind each neuron.

An *event* is one message whatever it carries; its *unit spikes* are the set bits of its payload, one for each binary
threshold of the multi-threshold neuron that was crossed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from snn_deploy.activity.activity import Activity, ConnectionActivity, PopulationActivity
from snn_deploy.activity.synapses import count_dense_macs, count_fan_out, count_synapses, is_dense
from snn_deploy.arrays import Int32, Int64
from snn_deploy.errors import NetworkError
from snn_deploy.network.network import Connection, Network, Population

__all__ = [
    "Activity",
    "ConnectionActivity",
    "PopulationActivity",
    "Recorded",
    "Steps",
    "assume_activity",
    "count_activity",
    "count_per_step",
]


BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(1, dtype=np.uint8)
"""Set bits of each byte."""


class Recorded(Protocol):
    """What counting needs of a run, as :class:`snn_deploy.backend.protocol.Run` has it, or a recorded trace of a chip.

    ``counts`` and ``events`` (B, C, H, W) int64 per population, ``trains`` (B, steps, C, H, W) int32 or ``None``.
    """

    @property
    def backend(self) -> str:
        """Who ran it."""

    @property
    def counts(self) -> Mapping[str, Int64]:
        """Sums of payloads."""

    @property
    def events(self) -> Mapping[str, Int64]:
        """Numbers of non-zero payloads."""

    @property
    def trains(self) -> Mapping[str, Int32] | None:
        """Payloads step by step."""


def count_activity(network: Network, run: Recorded) -> Activity:
    """The activity of ``run``; its event counts are enough, recorded trains add the unit spikes where counts cannot."""
    missing = [population.name for population in network.populations if population.name not in run.events]
    if missing:
        raise NetworkError(f"the run of {run.backend} contains no events of {', '.join(missing)}")
    populations: list[PopulationActivity] = []
    connections: dict[str, ConnectionActivity] = {}
    for population in network.populations:  # events are read once: a backend may keep them packed
        events = run.events[population.name]
        populations.append(_population(network, population, run, events))
        for connection in network.connections:
            if connection.source == population.name:
                connections[connection.name] = _connection(network, connection, events)
    images = populations[0].events.shape[0]
    return Activity(
        network=network.name,
        basis=f"counted on {images} image(s), backend {run.backend}",
        images=images,
        populations=tuple(populations),
        connections=tuple(connections[connection.name] for connection in network.connections),
    )


def assume_activity(network: Network, rate: float) -> Activity:
    """The activity of one image on which every neuron sends ``rate`` events per step of its window, evenly spread."""
    if not 0 <= rate <= 1:
        raise NetworkError(f"rate {rate} events per neuron and step must lie in 0..1")

    def expected(places: int) -> Int64:
        return np.array([round(rate * network.steps * places)], np.int64)

    return Activity(
        network=network.name,
        basis=f"assumed: {rate:g} events per neuron and step",
        images=1,
        populations=tuple(
            PopulationActivity(
                population.name,
                population.size,
                expected(population.size),
                None,
                *_updates(network, population, expected(population.size)),
                np.broadcast_to(np.float64(rate * network.steps), population.shape),
            )
            for population in network.populations
        ),
        connections=tuple(
            ConnectionActivity(
                connection.name,
                connection.source,
                connection.target,
                is_dense(connection.kernel, network.population(connection.source).shape),
                expected(count_synapses(connection.kernel, network.population(connection.source).shape)),
                count_synapses(connection.kernel, network.population(connection.source).shape),
                count_dense_macs(connection.kernel, network.population(connection.source).shape),
            )
            for connection in network.connections
        ),
    )


@dataclass(frozen=True, eq=False)
class Steps:
    """Activity step by step, (B, steps) int64, each in its source's window.

    ``events`` and ``unit_spikes`` by population, ``synaptic_operations`` by connection.
    """

    events: Mapping[str, Int64]
    unit_spikes: Mapping[str, Int64]
    synaptic_operations: Mapping[str, Int64]


def count_per_step(network: Network, run: Recorded) -> Steps:
    """Count a run whose trains were recorded, step by step."""
    if run.trains is None:
        raise NetworkError(f"the run of {run.backend} contains no trains; record them to count step by step")
    trains = {population.name: run.trains[population.name] for population in network.populations}
    sent = {name: train != 0 for name, train in trains.items()}
    return Steps(
        events={name: np.count_nonzero(spikes, axis=(2, 3, 4)).astype(np.int64) for name, spikes in sent.items()},
        unit_spikes={
            name: _set_bits(train.astype(np.int64).reshape(-1, *train.shape[2:])).reshape(train.shape[:2])
            for name, train in trains.items()
        },
        synaptic_operations={
            connection.name: np.tensordot(
                sent[connection.source].astype(np.int64),
                count_fan_out(connection.kernel, network.population(connection.source).shape),
                3,
            )
            for connection in network.connections
        },
    )


def _connection(network: Network, connection: Connection, events: Int64) -> ConnectionActivity:
    shape = network.population(connection.source).shape
    return ConnectionActivity(
        connection.name,
        connection.source,
        connection.target,
        is_dense(connection.kernel, shape),
        np.tensordot(events, count_fan_out(connection.kernel, shape), 3),
        count_synapses(connection.kernel, shape),
        count_dense_macs(connection.kernel, shape),
    )


def _population(network: Network, population: Population, run: Recorded, events: Int64) -> PopulationActivity:
    sent = events.sum((1, 2, 3))
    return PopulationActivity(
        population.name,
        population.size,
        sent,
        _unit_spikes(network, population, run, events),
        *_updates(network, population, sent),
        events.mean(0),
        None if run.trains is None else np.count_nonzero(run.trains[population.name], axis=0).astype(np.int32),
    )


def _updates(network: Network, population: Population, events: Int64) -> tuple[Int64, Int64]:
    """Active and inactive updates (B,): every neuron is updated in each step of its window, and sends at most once."""
    if population.neuron is None:
        return np.zeros_like(events), np.zeros_like(events)
    return events, population.size * network.steps - events


def _unit_spikes(network: Network, population: Population, run: Recorded, events: Int64) -> Int64 | None:
    """Set bits of all payloads (B,), where they can be known."""
    if run.trains is not None:
        return _set_bits(run.trains[population.name].astype(np.int64))
    if network.stream:
        return None  # counts are those after the frame, not what was sent in it
    counts = run.counts[population.name]
    if population.neuron is None and np.all(events % network.input_steps == 0):
        return _set_bits(counts // network.input_steps) * network.input_steps
    if events.size and events.max() <= 1:
        return _set_bits(counts)
    return None


def _set_bits(payload: Int64) -> Int64:
    """Set bits of the magnitudes of ``payload`` (B, ...), summed for each image, byte by byte from a table."""
    rest = np.abs(payload.reshape(payload.shape[0], -1))
    bits = np.zeros(payload.shape[0], np.int64)
    while np.any(rest):
        bits += BITS[rest.astype(np.uint8)].sum(1, dtype=np.int64)  # the conversion keeps the lowest byte
        rest >>= 8
    return bits
