"""A network in SANA-FE's terms: groups of neurons, lists of synapses, and neurons that fire on a timetable.

A spike sent in a step arrives in the next one, as over a connection of delay 1; a longer delay is a chain of relays. Input
and biases are constant, so that one neuron for each population, which fires in every step of the window, sends them all.
Another one fires once, just before, and leaves the membranes at their start value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from snn_deploy.activity.synapses import count_synapses
from snn_deploy.arrays import Int64
from snn_deploy.errors import BackendUnavailableError
from snn_deploy.network.dynamics import transmit
from snn_deploy.network.network import Connection, Network, Population
from snn_deploy.network.neuron import Neuron
from snn_deploy_sanafe.chip import build_chip
from snn_deploy_sanafe.placement import NEURONS_PER_CORE, Placement, list_cores, place
from snn_deploy_sanafe.support import is_read_out

LEAD = 1
"""Steps before step 0, in which membranes are set."""

MOST_SYNAPSES = 2_500_000
"""More take over 4 GiB: 2.47 million took 3.9 GB (SANA-FE 2.2.9, 2026-11-29)."""

NEVER = 1e12
"""A threshold that no sum of 24 bits reaches."""

ROUTED = {"default_synapse_hw_name": "loihi_conv_synapse", "default_dendrite_hw_name": "loihi_dendrites"}
"""Units of the core that SANA-FE's description of Loihi names."""

RELAY = {"threshold": 0.5, "reset_mode": "hard", "leak_decay": 1.0}
"""Fires in the step in which one spike of weight 1 arrives."""


def group_name(number: int) -> str:
    """The group of population ``number``; SANA-FE lists potentials in alphabetical order of the groups."""
    return f"population {number:06d}"


def count_steps(network: Network) -> int:
    """Steps that are simulated: those of the network, and one at each end."""
    return network.duration + LEAD + 1


def count_inputs(network: Network) -> int:
    """Input units that the clocks of ``network`` use: two for each population of neurons."""
    return 2 * (len(network.populations) - 1)


def check_size(network: Network) -> None:
    """:class:`~snn_deploy.errors.BackendUnavailableError` beyond :data:`MOST_SYNAPSES`."""
    total = sum(
        count_synapses(connection.kernel, network.population(connection.source).shape)
        for connection in network.connections
        if connection.source != network.input.name
    )
    if total > MOST_SYNAPSES:
        height, width = network.input.shape[1:]
        raise BackendUnavailableError(
            f"sanafe: {network.name} has {total:,} synapses at {height}x{width}, more than {MOST_SYNAPSES:,}, which take 4 GiB"
            " there; use a smaller image (--crop)"
        )


def _respond(connection: Connection, source: Population, at_once: int = 256) -> Iterator[tuple[int, Int64]]:
    """Currents (neurons, targets) that single spikes of ``at_once`` neurons cause, from the first neuron of each part on."""
    for first in range(0, source.size, at_once):
        numbers = np.arange(first, min(first + at_once, source.size))
        spikes = np.zeros((numbers.size, source.size), np.int64)
        spikes[np.arange(numbers.size), numbers] = 1
        yield first, transmit(connection, spikes.reshape(-1, *source.shape)).reshape(numbers.size, -1)


@dataclass(frozen=True)
class Sender:
    """What a group of neurons stands for: ``population``, ``late`` steps later, or a clock (``None``)."""

    population: str | None
    late: int = 0


class Program:
    """A ``sanafe.Network`` for one image, on the cores of an architecture.

    Besides the populations it has ``others``, of which ``clocks`` are clocks and the rest relays, on the free cores of its
    ``placement``. Clocks send ``clock_spikes`` spikes. ``senders`` says by its name what each group stands for.
    """

    def __init__(self, sanafe: Any, network: Network, payloads: Int64) -> None:
        """``payloads`` (C, H, W) are those of the input in every step."""
        self.architecture = build_chip(sanafe, count_inputs(network))
        self.net = sanafe.Network()
        self._network = network
        self._cores = list_cores(self.architecture)
        delays = _longest_delays(network)
        relays = sum((delay - 1) * network.population(name).size for name, delay in delays.items())
        self.placement: Placement = place(network, relays + 2 * len(network.populations))
        self.others = self.clocks = self.clock_spikes = 0
        self.senders: dict[str, Sender] = {}
        self._groups: dict[str, Any] = {}
        for number, population, neuron in self._neurons():
            self._groups[population.name] = self._add(number, population, neuron)
        self._chains = {name: self._chain(name, delay) for name, delay in delays.items()}
        for connection in network.connections:
            if connection.source != network.input.name:
                self._connect(connection)
        for number, population, neuron in self._neurons():
            self._drive(number, population, neuron, payloads)

    def _neurons(self) -> Iterator[tuple[int, Population, Neuron]]:
        """Number, population and neurons of all but the input."""
        for number, population in enumerate(self._network.populations[1:]):
            if population.neuron is not None:
                yield number, population, population.neuron

    def _add(self, number: int, population: Population, neuron: Neuron) -> Any:
        sender = Sender(population.name)
        group = self._group(group_name(number), sender, population.size, log_spikes=True, log_potential=True)
        silent = is_read_out(self._network, population)
        # a hard reset forgets by how much the threshold is passed, which a half cannot change
        below = 0.0 if neuron.strict else 0.5
        thresholds = np.broadcast_to(neuron.theta[:, None, None] - below, population.shape).ravel().tolist()
        cores = self.placement.cores[population.name].tolist()
        mode = "hard" if neuron.reset == "zero" else "soft"
        for each, threshold, core in zip(group, thresholds, cores, strict=True):
            each.set_attributes(
                model_attributes={
                    "threshold": NEVER if silent else threshold,
                    "reset_mode": mode,
                    "leak_decay": 1.0,
                    "force_update": True,
                }
            )
            each.map_to_core(self._cores[core])
        return group

    def _chain(self, name: str, delay: int) -> list[Any]:
        """The population and the relays behind it; entry d sends its spikes d steps late."""
        chain, size = [self._groups[name]], self._network.population(name).size
        for late in range(1, delay):
            group = self._group(f"{self._groups[name].get_name()}, {late} late", Sender(name, late), size)
            for each in group:
                each.set_attributes(model_attributes=RELAY)
                self._map_other(each)
            chain[-1].connect_neurons_sparse(group, {"weight": [1.0] * size}, [(i, i) for i in range(size)])
            chain.append(group)
        return chain

    def _connect(self, connection: Connection) -> None:
        """All synapses of ``connection``, a part at a time: as Python's numbers they take many times their room."""
        source = self._chains[connection.source][connection.delay - 1]
        for first, currents in _respond(connection, self._network.population(connection.source)):
            rows, columns = np.nonzero(currents)
            pairs = list(zip((rows + first).tolist(), columns.tolist(), strict=True))
            weights = {"weight": currents[rows, columns].astype(float).tolist()}
            source.connect_neurons_sparse(self._groups[connection.target], weights, pairs)

    def _drive(self, number: int, population: Population, neuron: Neuron, payloads: Int64) -> None:
        """Start values and constant currents of ``population``."""
        network = self._network
        current = np.broadcast_to(population.bias, population.shape).astype(np.int64)
        for connection in network.incoming(population.name):
            if connection.source == network.input.name:
                current = current + transmit(connection, payloads[None])[0]
        values = np.broadcast_to(neuron.v0[:, None, None], population.shape)
        begin = population.start + LEAD
        # what is sent in a step arrives in the next
        for unit, (weights, first, steps) in enumerate(((values, begin - 2, 1), (current, begin - 1, network.steps))):
            reached = np.flatnonzero(weights)
            if reached.size:
                self._clock(2 * number + unit, first, steps).connect_neurons_sparse(
                    self._groups[population.name],
                    {"weight": weights.ravel()[reached].astype(float).tolist()},
                    [(0, int(target)) for target in reached],
                )

    def _clock(self, unit: int, first: int, steps: int) -> Any:
        """A neuron that fires in ``steps`` steps from ``first`` on, in input ``unit`` of its core."""
        fires = [first <= step < first + steps for step in range(count_steps(self._network))]
        self.clocks += 1
        self.clock_spikes += sum(fires)
        settings: dict[str, Any] = {"soma": f"loihi_inputs[{unit}]", "model_attributes": {"spikes": fires}}
        group = self._group(f"clock {unit}", Sender(None), 1, **settings)
        self._map_other(group[0])
        return group

    def _group(self, name: str, sender: Sender, size: int, *, soma: str = "loihi_lif", **settings: Any) -> Any:
        self.senders[name] = sender
        return self.net.create_neuron_group(
            name, size, **({"model_attributes": {}} | settings), soma_hw_name=soma, **ROUTED
        )

    def _map_other(self, neuron: Any) -> None:
        """On a core behind those of the populations."""
        neuron.map_to_core(self._cores[self.placement.free + self.others // NEURONS_PER_CORE])
        self.others += 1


def _longest_delays(network: Network) -> Mapping[str, int]:
    """The longest delay of the connections that start at each population of neurons."""
    delays: dict[str, int] = {}
    for connection in network.connections:
        if connection.source != network.input.name:
            delays[connection.source] = max(delays.get(connection.source, 1), connection.delay)
    return delays
