"""What every core does in every step: the table from which times, energies and pictures are made.

In step ``start + k`` a population is in step k of its window; the cores of its targets process what it sends there
``delay`` steps later. An image follows the one before after ``period`` steps: after ``duration`` one at a time, after
``steps`` in a stream. Steps are counted modulo the period, so that in a stream all layers work at once, on different
images; one at a time a layer works in its own window only, an ``exact`` network's in one step of all.

Recorded trains place each operation in its step. Without them operations are spread evenly over the source's window: exact
for windows of one step, and for the input of ``rate`` mode, which the host repeats.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from snn_deploy.activity.activity import Activity, PopulationActivity
from snn_deploy.arrays import Float64
from snn_deploy.backend.protocol import Record, measure_trains
from snn_deploy.mapping.operations import measure_operations
from snn_deploy.mapping.traffic import Traffic
from snn_deploy.network.network import Connection, Network, Population

TRAINS_LIMIT = 2**28
"""Most bytes of spike trains that are recorded for an estimate."""


@dataclass(frozen=True, eq=False)
class Loads:
    """Means per image, step by step of one period.

    ``operations`` (period, cores) float64: synaptic operations on each core. By population, (period,) float64: ``sent``
    events, ``received`` synaptic operations. ``messages`` (period,) float64 to cores. ``basis``: how steps are told apart.
    """

    operations: Float64
    sent: Mapping[str, Float64]
    received: Mapping[str, Float64]
    messages: Float64
    basis: str

    @property
    def period(self) -> int:
        """Steps from one image to the next."""
        return self.operations.shape[0]


def choose_record(network: Network, images: int) -> Record:
    """Trains, where windows have several steps and the trains take at most :data:`TRAINS_LIMIT` bytes; else counts."""
    few = measure_trains(network, images) <= TRAINS_LIMIT
    return Record.TRAINS if network.steps > 1 and few else Record.COUNTS


def measure_loads(network: Network, activity: Activity, traffic: Traffic, *, period: int) -> Loads:
    """The loads of ``activity``'s mean image, with the next image ``period`` steps later."""
    operations = np.zeros((period, traffic.neurons.size))
    messages = np.zeros(period)
    sent: dict[str, Float64] = {}
    received = {population.name: np.zeros(period) for population in network.populations}
    for population in network.populations:
        found = activity.population(population.name)
        events = _count_events(found, _window(network, population), activity.images)
        sent[population.name] = _fold(events, population.start, period)
        for connection in network.outgoing(population.name):
            done = _count_operations(network, connection, found, activity.images, traffic)
            placed = _fold(done, population.start + connection.delay, period)
            operations[:, traffic.blocks[connection.target].cores] += placed
            received[connection.target] += placed.sum(1)
            messages += traffic.sent(connection.name).sent * share(sent[population.name])
    return Loads(operations, sent, received, messages, _basis(network, activity))


def share(values: Float64) -> Float64:
    """``values`` (period,) over their sum; evenly where all are 0."""
    total = values.sum()
    return values / total if total else np.full(values.shape, 1 / values.size)


def _basis(network: Network, activity: Activity) -> str:
    if network.steps == 1:
        return "each layer works in one step"
    if all(population.by_step is not None for population in activity.populations):
        return "operations are placed in the step in which they were recorded"
    return f"operations are spread evenly over each layer's window of {network.steps} steps"


def _window(network: Network, population: Population) -> int:
    """Steps in which ``population`` sends."""
    return network.input_steps if population.neuron is None else network.steps


def _count_events(found: PopulationActivity, window: int, images: int) -> Float64:
    """Events per image (window,) float64."""
    if found.by_step is not None and window > 1:
        events: Float64 = found.by_step.sum((1, 2, 3), dtype=np.int64) / images
        return events
    return np.full(window, int(found.events.sum()) / images / window)


def _count_operations(
    network: Network, connection: Connection, found: PopulationActivity, images: int, traffic: Traffic
) -> Float64:
    """Operations per image (window, cores) float64 that the source's events cause on the target's cores."""
    target, window = network.population(connection.target), _window(network, network.population(connection.source))
    if found.by_step is not None and window > 1:
        block = traffic.blocks[target.name]
        covered = block.covered(target.shape)
        return measure_operations(connection.kernel, found.by_step, covered, block.tile) / images
    load = traffic.loads[connection.name] / window
    return np.broadcast_to(load, (window, load.size))


def _fold(values: Float64, first: int, period: int) -> Float64:
    """(period, ...) from (window, ...): step k of the window is step ``first + k`` modulo ``period``."""
    folded = np.zeros((period, *values.shape[1:]))
    np.add.at(folded, (first + np.arange(values.shape[0])) % period, values)
    return folded
