"""Maxima over windows, found again in an exact-mode network: what :mod:`snn_deploy.passes.expand_max_pool` made of them.

Of pixels a and b, ``relu(b - a)`` is what the maximum exceeds a by. A *leader* is a pixel of the window and the relays that add
to it; the pixels that it is the maximum of are known, one at first. A population ``relu(leader - other leader)`` makes both one
leader of all their pixels, and one that sends a leader of the whole window is the maximum.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from snn_deploy.arrays import Int8
from snn_deploy.network.kernels import ConvKernel
from snn_deploy.network.network import Connection, Network, Population
from snn_deploy.shapes import Pads, Pair

Tap = tuple[int, int]
Leader = tuple[Tap, frozenset[str]]


@dataclass(frozen=True)
class Maximum:
    """Population ``name`` sends the largest count of ``source`` in a window; the relays ``inner`` serve nothing else."""

    name: str
    source: str
    kernel: Pair
    strides: Pair
    pads: Pads
    inner: tuple[str, ...]


@dataclass(frozen=True)
class _Sum:
    """What a population reads: pixels of ``source`` and relays, by their signs."""

    source: str
    window: tuple[Pair, Pair, Pads]
    taps: Mapping[int, tuple[Tap, ...]]
    relays: Mapping[int, frozenset[str]]

    def leader(self, sign: int) -> Leader | None:
        """The pixel and the relays that are added (1) or subtracted (-1), if it is one pixel."""
        return (self.taps[sign][0], self.relays[sign]) if len(self.taps[sign]) == 1 else None


def find_maxima(network: Network) -> tuple[Maximum, ...]:
    """All maxima of counts of one population, in the order of the populations."""
    return tuple(filter(None, (_find(network, population) for population in network.populations[1:])))


def _find(network: Network, population: Population) -> Maximum | None:
    """The maximum that ``population`` sends, if it sends one."""
    total = _read_sum(network, population)
    leader = None if total is None or total.taps[-1] or total.relays[-1] else total.leader(1)
    if total is None or leader is None:
        return None
    inner = tuple(_list_relays(network, leader[1]))
    known = _play(network, inner, total)
    rows, columns = total.window[0]
    whole = frozenset((row, column) for row in range(rows) for column in range(columns))
    if known.get(leader) != whole or len(whole) == 1 or not _serve(network, inner, population.name):
        return None
    counts = network.population(total.source).count_range
    if counts is None or not _passes(population, *counts):
        return None
    least, largest = counts
    if not all(_passes(network.population(name), 0, largest - least) for name in inner):
        return None
    return Maximum(population.name, total.source, *total.window, inner)


def _list_relays(network: Network, last: frozenset[str]) -> Iterator[str]:
    """Relays behind ``last``, sources first: all populations with threshold 1 from which a chain of identities leads there."""
    found = set(last)
    for population in reversed(network.populations[1:]):
        if population.name in found:
            total = _read_sum(network, population)
            if total is not None:
                found |= total.relays[1] | total.relays[-1]
    yield from (population.name for population in network.populations if population.name in found)


def _play(network: Network, relays: tuple[str, ...], last: _Sum) -> Mapping[Leader, frozenset[Tap]]:
    """The leaders that ``relays`` make, and of which pixels each is the maximum."""
    rows, columns = last.window[0]
    known: dict[Leader, frozenset[Tap]] = {
        ((row, column), frozenset()): frozenset({(row, column)}) for row in range(rows) for column in range(columns)
    }
    for name in relays:
        relay = network.population(name)
        total = _read_sum(network, relay)
        if total is None or (total.source, total.window) != (last.source, last.window):
            return {}
        if relay.count_range is None or relay.count_range[0] != 0:
            return {}
        ahead, behind = total.leader(1), total.leader(-1)
        if ahead is None or behind is None or ahead not in known or behind not in known:
            return {}
        known[behind[0], behind[1] | {name}] = known[ahead] | known[behind]
    return known


def _serve(network: Network, relays: tuple[str, ...], name: str) -> bool:
    """Whether ``relays`` are read by each other and by the population ``name`` only, and by no host."""
    inside = {*relays, name}
    read = {output.population for output in network.outputs}
    return not read & set(relays) and all(
        connection.target in inside for relay in relays for connection in network.outgoing(relay)
    )


def _passes(population: Population, least: int, largest: int) -> bool:
    """Whether counts from ``least`` to ``largest`` are sent as they are."""
    smallest, greatest = population.payload_range
    low, high = population.count_range or (smallest, greatest)
    return max(low, smallest) <= least and min(high, greatest) >= largest


def _read_sum(network: Network, population: Population) -> _Sum | None:
    """What a relay reads, if it is pixels of one source and identities of relays, with weights of 1 and -1."""
    neuron = population.neuron
    if neuron is None or not neuron.relays or bool(np.any(population.bias)):
        return None
    taps: dict[int, tuple[Tap, ...]] = {1: (), -1: ()}
    relays: dict[int, set[str]] = {1: set(), -1: set()}
    source: tuple[str, tuple[Pair, Pair, Pads]] | None = None
    for connection in network.incoming(population.name):
        weight = _weights(connection)
        if weight is None or not isinstance(connection.kernel, ConvKernel):
            return None
        if weight.size == 1 and connection.kernel.strides == (1, 1):
            relays[int(weight[0, 0])].add(connection.source)
            continue
        window = (weight.shape[0], weight.shape[1]), connection.kernel.strides, connection.kernel.pads
        if source is not None:
            return None
        source = connection.source, window
        for sign in taps:
            taps[sign] = tuple((int(row), int(column)) for row, column in np.argwhere(weight == sign))
    if source is None:
        return None
    return _Sum(*source, taps, {sign: frozenset(names) for sign, names in relays.items()})


def _weights(connection: Connection) -> Int8 | None:
    """The window (K_h, K_w) of a connection that reads every channel by itself and all alike, with 1, 0 and -1."""
    kernel = connection.kernel
    if not isinstance(kernel, ConvKernel) or connection.exponent or kernel.dilations != (1, 1):
        return None
    weight = kernel.weight
    channels, inputs, rows, columns = weight.shape
    alike = bool(np.all(weight == weight[:1]) and np.all(np.abs(weight) <= 1) and np.any(weight))
    if inputs != 1 or kernel.groups != channels or not alike:
        return None
    window: Int8 = weight[0, 0].reshape(rows, columns)
    return window
