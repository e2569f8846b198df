"""Layers in groups that take turns on one board: the part of an ``exact`` network that one group computes, as a network.

The host keeps the counts of what later groups read, and sends them as input. Where every neuron sends its count in one step,
that is what the layers before would have sent, so a group computes what the whole network computes. Several sources, of
different resolutions, share one input: each map is cut into blocks of pixels that become channels, and a population of relays
with the source's name puts them back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from snn_deploy.arrays import Int64
from snn_deploy.errors import PlanError
from snn_deploy.network.kernels import ConvKernel, Kernel, TransposedKernel
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Connection, Network, Output, Population
from snn_deploy.network.schedule import align

INPUT = "sources"
"""Name of the input of a group with several sources."""


@dataclass(frozen=True)
class Source:
    """A population that a group reads: ``block`` pixels a side of its map are one pixel of the group's input."""

    name: str
    block: int


@dataclass(frozen=True, eq=False)
class Stage:
    """A group as a ``network`` of its own; ``members`` are the populations that it computes, from ``sources``."""

    network: Network
    members: tuple[str, ...]
    sources: tuple[Source, ...]

    def read(self, counts: Mapping[str, Int64]) -> Int64:
        """The input payloads (B, C, H, W) int64 of the group from the counts of its sources, by name."""
        return np.concatenate([_blocks(counts[source.name], source.block) for source in self.sources], axis=1)


def _blocks(maps: Int64, block: int) -> Int64:
    """Channels (c, row, column) of every ``block`` x ``block`` pixels of (B, C, H, W)."""
    if block == 1:
        return maps
    batch, channels, height, width = maps.shape
    cut = maps.reshape(batch, channels, height // block, block, width // block, block)
    return cut.transpose(0, 1, 3, 5, 2, 4).reshape(batch, channels * block**2, height // block, width // block)


def cut_stage(network: Network, members: Sequence[str]) -> Stage:
    """The group of ``members``, which stand together in the order of ``network``'s populations.

    All of them is the network itself. :class:`~snn_deploy.errors.PlanError` for networks whose neurons send in several
    steps, and for sources whose maps no blocks join.
    """
    if list(members) == [population.name for population in network.populations[1:]]:
        return Stage(network, tuple(members), (Source(network.input.name, 1),))
    check_groups(network)
    inside = set(members)
    incoming = [connection for name in members for connection in network.incoming(name)]
    names = [
        population.name
        for population in network.populations
        if population.name not in inside and any(connection.source == population.name for connection in incoming)
    ]
    sources = _find_blocks([network.population(name) for name in names])
    read_later = {connection.source for connection in network.connections if connection.target not in inside} | {
        output.population for output in network.outputs
    }
    outputs = tuple(Output(name, name) for name in members if name in read_later)
    head, relays = _inputs(network, sources)
    stage = replace(
        network,
        name=f"{network.name}, {members[0]} to {members[-1]}" if len(members) > 1 else f"{network.name}, {members[0]}",
        populations=(*head, *(network.population(name) for name in members)),
        connections=(*relays, *incoming),
        outputs=outputs or (Output(members[-1], members[-1]),),
    )
    return Stage(align(stage), tuple(members), sources)


def check_groups(network: Network) -> None:
    """:class:`~snn_deploy.errors.PlanError` unless every neuron of ``network`` sends its whole count in one step."""
    if not network.one_shot:
        raise PlanError(
            f"{network.name}: groups of layers need an exact network whose neurons send their counts in one step; this one"
            f" sends for {network.steps} steps ({network.mode} mode)"
        )


def _find_blocks(sources: Sequence[Population]) -> tuple[Source, ...]:
    height, width = (min(source.shape[axis] for source in sources) for axis in (1, 2))
    found = []
    for source in sources:
        block = source.shape[1] // height
        if source.shape[1:] != (block * height, block * width):
            raise PlanError(
                f"{source.name}: its map of {source.shape[1]}x{source.shape[2]} is not a multiple of {height}x{width}, another"
                " source's; the layers that read both cannot be a group"
            )
        found.append(Source(source.name, block))
    return tuple(found)


def _inputs(network: Network, sources: Sequence[Source]) -> tuple[list[Population], list[Connection]]:
    """The input of a group, and relays where it has several sources, with what joins them to it."""
    populations = [network.population(source.name) for source in sources]
    if len(sources) == 1:
        return [_as_input(populations[0].name, populations, sources)], []
    head = _as_input(_free_name(network), populations, sources)
    relays, joined, first = [], [], 0
    for population, source in zip(populations, sources, strict=True):
        kernel = _picking(head.shape[0], first, population.shape[0], source.block)
        first += population.shape[0] * source.block**2
        relays.append(_relay(population))
        joined.append(Connection(f"{head.name}->{source.name}", head.name, source.name, kernel))
    return [head, *relays], joined


def _free_name(network: Network) -> str:
    name = INPUT
    while any(population.name == name for population in network.populations):
        name += "'"
    return name


def _as_input(name: str, populations: Sequence[Population], sources: Sequence[Source]) -> Population:
    """The input that carries the counts of ``populations``."""
    ranges = [_count_range(population) for population in populations]
    _, height, width = populations[0].shape
    units = [
        np.repeat(population.unit, source.block**2) for population, source in zip(populations, sources, strict=True)
    ]
    unit = np.concatenate(units)
    return Population(
        name,
        (unit.size, height // sources[0].block, width // sources[0].block),
        None,
        np.zeros((unit.size, 1, 1), np.int64),
        unit,
        input_min=min(low for low, _ in ranges),
        input_max=max(high for _, high in ranges),
        origin=populations[0].origin if len(populations) == 1 else (),
    )


def _count_range(population: Population) -> tuple[int, int]:
    found = population.count_range
    if found is None:
        raise PlanError(f"{population.name}: nothing bounds its counts, and no group can read them")
    return found


def _relay(population: Population) -> Population:
    low, high = _count_range(population)
    ones, largest = np.ones(population.shape[0], np.int64), max(-low, high)
    neuron = MultiThreshold(ones, np.zeros_like(ones), -largest, largest, low, high)
    return Population(population.name, population.shape, neuron, np.zeros((ones.size, 1, 1), np.int64), population.unit)


def _picking(inputs: int, first: int, channels: int, block: int) -> Kernel:
    """Passes ``channels`` maps on, whose blocks are the channels of the input from ``first`` on."""
    weight = np.zeros((inputs, channels, block, block), np.int8)
    slots = first + np.arange(channels * block**2)
    channel, row, column = np.unravel_index(np.arange(channels * block**2), (channels, block, block))
    weight[slots, channel, row, column] = 1
    if block == 1:
        return ConvKernel(weight.swapaxes(0, 1))
    return TransposedKernel(weight, (block, block))
