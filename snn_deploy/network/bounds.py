"""The static proof that no accumulator leaves 24 bits, population by population.

For weights w and payloads p in ``[lo, hi]`` every partial sum of ``sum w * p``, in any order, lies between
``sum(w+) * lo + sum(w-) * hi`` and ``sum(w+) * hi + sum(w-) * lo`` (each taken with 0). Using ``sum |w|`` instead
would be twice too strict and refuse published nets.

In ``exact`` mode the running count of each source stays in ``[a_min, a_max]`` at every moment of every schedule, so the
membrane ``v = v0 + b + sum w * a - theta * count`` is bounded too: it never saturates, and counts cannot depend on the
schedule. In ``rate`` mode the membrane may drift to the saturation value; only the current is proved.

A stream starts a frame with the counts of the frame before: one event may take a count from one end of its range to the
other, the input's, too, and no membrane starts from rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from snn_deploy.arrays import Int64
from snn_deploy.errors import NetworkError, OverflowProofError
from snn_deploy.network.kernels import ConvKernel, Kernel, SpatialKernel, TransposedKernel
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.network import Connection, Mode, Network, Population


@dataclass(frozen=True)
class Bound:
    """Worst case of one population: largest magnitudes of the current of a step and of the membrane before firing."""

    population: str
    current: int
    membrane: int | None

    @property
    def largest(self) -> int:
        """The larger of the two."""
        return self.current if self.membrane is None else max(self.current, self.membrane)

    @property
    def headroom_bits(self) -> float:
        """Bits left of the 23 that a magnitude may use."""
        return float(np.log2(STATE_MAX) - np.log2(max(self.largest, 1)))


def sum_weights(kernel: Kernel) -> tuple[Int64, Int64]:
    """Sums of positive and of negative weights that reach one neuron of each output channel: two (C_out,) int64 arrays.

    For transposed kernels the sum over the taps that can meet in one output pixel is taken (largest over its phases);
    for pixel maps, the row with the largest sum, as one entry that broadcasts.
    """
    if isinstance(kernel, SpatialKernel):
        data = kernel.data.astype(np.int64)
        positive, negative = np.zeros((2, kernel.indptr.size - 1), np.int64)
        np.add.at(positive, kernel.rows, np.maximum(data, 0))
        np.add.at(negative, kernel.rows, np.minimum(data, 0))
        return positive.max(keepdims=True), negative.min(keepdims=True)
    weight = kernel.weight.astype(np.int64)
    positive, negative = np.maximum(weight, 0), np.minimum(weight, 0)
    if isinstance(kernel, ConvKernel):
        return positive.sum((1, 2, 3)), negative.sum((1, 2, 3))
    return _phase_sums(kernel, positive).max(0), _phase_sums(kernel, negative).min(0)


def _phase_sums(kernel: TransposedKernel, weight: Int64) -> Int64:
    """Sums (phases, C_out) of the taps of ``weight`` that can land on the same output pixel."""
    inputs, per_group, rows, columns = weight.shape
    phase_y = np.arange(rows) * kernel.dilations[0] % kernel.strides[0]
    phase_x = np.arange(columns) * kernel.dilations[1] % kernel.strides[1]
    sums = []
    for y in np.unique(phase_y):
        for x in np.unique(phase_x):
            taps = weight[:, :, phase_y == y][..., phase_x == x].sum((2, 3))
            sums.append(taps.reshape(kernel.groups, inputs // kernel.groups, per_group).sum(1).ravel())
    return np.stack(sums)


def bound_current(connection: Connection, smallest: int, largest: int) -> tuple[Int64, Int64]:
    """Least and greatest current (C_out,) for payloads in ``[smallest, largest]``, both ends including 0."""
    positive, negative = sum_weights(connection.kernel)
    low, high = min(smallest, 0), max(largest, 0)
    return (positive * low + negative * high) << connection.exponent, (
        positive * high + negative * low
    ) << connection.exponent


def bound_payloads(network: Network, population: Population) -> tuple[int, int]:
    """Payloads one event of ``population`` can really carry under the network's schedule."""
    smallest, largest = population.payload_range
    counts = population.count_range
    if network.mode == "rate" or counts is None:
        return smallest, largest
    fewest, most = counts
    if network.one_shot:
        return max(smallest, fewest), min(largest, most)
    spread = most - fewest
    if network.stream and population.neuron is None:
        return -spread, spread
    return max(smallest, -spread), min(largest, spread)


@dataclass(frozen=True, eq=False)
class Arrival:
    """A connection with the payloads one event can carry and, where they are bounded, the running counts behind it."""

    connection: Connection
    events: tuple[int, int]
    counts: tuple[int, int] | None


def bound_states(
    population: Population, arrivals: Sequence[Arrival], *, mode: Mode, one_shot: bool
) -> tuple[Int64, Int64 | None]:
    """Largest magnitudes (C,) of a step's current and of the membrane, not bounded in ``rate`` mode (``None``)."""
    neuron = population.neuron
    if neuron is None:
        raise NetworkError(f"{population.name}: the input has no membrane")
    bias = population.bias.reshape(population.shape[0], -1)
    low, high = np.minimum(bias.min(1), 0), np.maximum(bias.max(1), 0)
    total_low = neuron.v0 + low + np.minimum(neuron.membrane_bias, 0)
    total_high = neuron.v0 + high + np.maximum(neuron.membrane_bias, 0)
    for arrival in arrivals:
        least, greatest = bound_current(arrival.connection, *arrival.events)
        low, high = low + least, high + greatest
        if arrival.counts is not None:
            least, greatest = bound_current(arrival.connection, *arrival.counts)
            total_low, total_high = total_low + least, total_high + greatest
    current = neuron.reach(np.maximum(np.abs(low), np.abs(high)))
    counts = population.count_range
    if mode == "rate" or counts is None:
        return current, None
    if not one_shot:
        fewest, most = counts
        total_low, total_high = total_low - neuron.discharge * most, total_high - neuron.discharge * min(fewest, 0)
    return current, np.maximum(np.abs(total_low), np.abs(total_high))


def bound_population(network: Network, population: Population) -> Bound:
    """The worst case of ``population``, proved from weights, payload limits and count limits alone."""
    if population.neuron is None:
        return Bound(population.name, 0, None)
    arrivals = []
    for connection in network.incoming(population.name):
        source = network.population(connection.source)
        arrivals.append(Arrival(connection, bound_payloads(network, source), source.count_range))
    current, membrane = bound_states(population, arrivals, mode=network.mode, one_shot=network.one_shot)
    return Bound(population.name, int(current.max()), None if membrane is None else int(membrane.max()))


def prove(network: Network) -> tuple[Bound, ...]:
    """Bounds of all populations; :class:`OverflowProofError` names every population whose worst case leaves 24 bits."""
    bounds = tuple(bound_population(network, population) for population in network.populations[1:])
    failures = [
        (
            f"{bound.population}: worst case {bound.largest} exceeds {STATE_MAX} "
            f"(2**23 - 1); divide its thresholds and weights by 2**{int(np.ceil(-bound.headroom_bits))} "
            "(fewer weight bits) or lower the levels of its sources"
        )
        for bound in bounds
        if bound.largest > STATE_MAX
    ]
    if failures:
        raise OverflowProofError("; ".join(failures))
    return bounds
