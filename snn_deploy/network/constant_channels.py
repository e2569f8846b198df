"""Channels whose counts do not depend on the image: silent ones, and in ``exact`` mode those that nothing but a bias reaches.

A neuron never fires where what can reach it, by the ranges of its sources channel by channel, leaves its membrane below its
threshold (and not below the least at which it sends nothing negative, where it may). A neuron of ``exact`` mode whose every
non-zero weight reads a constant channel counts the same for every image, at each place of its map, whatever the schedule. What
is not proved is left out; Lava's own neurons, whose counts depend on the schedule, always are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from snn_deploy.arrays import Bool, Int64
from snn_deploy.network import dynamics
from snn_deploy.network.kernels import ConvKernel, Kernel, SpatialKernel
from snn_deploy.network.network import Connection, Network, Population
from snn_deploy.shapes import Shape

Range = tuple[Int64, Int64]
"""Least and greatest value (C,), at most and at least 0."""


def find_constants(network: Network) -> dict[str, dict[int, Int64]]:
    """By population and channel: the count (H, W) int64 of every neuron, which no image changes; all 0 where none fires."""
    constants: dict[str, dict[int, Int64]] = {network.input.name: {}}
    ranges: dict[str, Range] = {network.input.name: _full_range(network, network.input)}
    for population, incoming in network.layers():
        silent = _find_silent(network, population, [(each, ranges[each.source]) for each in incoming])
        low, high = _full_range(network, population)
        low[silent] = high[silent] = 0
        ranges[population.name] = low, high
        constants[population.name] = _settle(network, population, incoming, constants) | {
            int(channel): np.zeros(population.shape[1:], np.int64) for channel in np.flatnonzero(silent)
        }
    return constants


def find_silent(network: Network) -> dict[str, dict[int, Int64]]:
    """Those of :func:`find_constants` that never fire."""
    return {
        name: {channel: counts for channel, counts in channels.items() if not counts.any()}
        for name, channels in find_constants(network).items()
    }


def mix_channels(kernel: Kernel, shape: Shape) -> Bool:
    """Which channels of a source of ``shape`` reach which of the target by a non-zero weight: (C_out, C_in) bool."""
    joined: Bool = _sum_taps(kernel, shape, np.abs) != 0
    return joined


def _sum_taps(kernel: Kernel, shape: Shape, part: Callable[[Int64], Int64]) -> Int64:
    """Sum (C_out, C_in) of ``part`` of all weights between two channels, of a pixel map the row with the largest sum."""
    if isinstance(kernel, SpatialKernel):
        rows = np.zeros(kernel.indptr.size - 1, np.int64)
        np.add.at(rows, kernel.rows, part(kernel.data.astype(np.int64)))
        return np.diag(np.full(shape[0], rows[np.abs(rows).argmax()], np.int64))
    sums = part(kernel.weight.astype(np.int64)).sum((2, 3))
    by_group = sums.reshape(kernel.groups, -1, sums.shape[1])
    if not isinstance(kernel, ConvKernel):
        by_group = by_group.swapaxes(1, 2)
    _, outputs, inputs = by_group.shape
    dense: Int64 = np.zeros((kernel.groups, outputs, kernel.groups, inputs), np.int64)
    dense[np.arange(kernel.groups), :, np.arange(kernel.groups)] = by_group
    return dense.reshape(kernel.groups * outputs, kernel.groups * inputs)


def lay_out(shape: Shape, channels: Mapping[int, Int64]) -> Int64:
    """Maps (1, C, H, W) of what ``channels`` count, 0 elsewhere."""
    maps = np.zeros((1, *shape), np.int64)
    for channel, values in channels.items():
        maps[0, channel] = values
    return maps


def _full_range(network: Network, population: Population) -> Range:
    counts = population.payload_range if network.mode == "rate" else population.count_range
    low, high = counts or population.payload_range
    ends = np.zeros(population.shape[0], np.int64)
    return ends + min(low, 0), ends + max(high, 0)


def _find_silent(network: Network, population: Population, arriving: list[tuple[Connection, Range]]) -> Bool:
    """Channels (C,) of which no neuron fires, by the greatest and least that its membrane can hold."""
    neuron = population.neuron
    if neuron is None or neuron.is_stock:
        return np.zeros(population.shape[0], np.bool_)
    bias = population.bias.reshape(population.shape[0], -1)
    high, low = np.zeros((2, population.shape[0]), np.int64)
    for connection, (least, greatest) in arriving:
        shape = network.population(connection.source).shape
        positive = _sum_taps(connection.kernel, shape, lambda weight: np.maximum(weight, 0)) << connection.exponent
        negative = _sum_taps(connection.kernel, shape, lambda weight: np.minimum(weight, 0)) << connection.exponent
        high = high + positive @ greatest + negative @ least
        low = low + positive @ least + negative @ greatest
    highest = _accumulate(network, high, bias.max(1)) + neuron.v0 - int(neuron.strict)
    lowest = -_accumulate(network, -low, -bias.min(1)) + neuron.v0 - int(neuron.strict)
    counts = neuron.count_range
    unsigned = neuron.payload_min == 0 or (counts is not None and counts[0] == 0)
    silent: Bool = (highest < neuron.theta) & (unsigned | (lowest >= neuron.quiet_floor))
    return silent


def _accumulate(network: Network, current: Int64, bias: Int64) -> Int64:
    """Greatest sum (C,) up to any step of the window of at most ``current`` (at least 0) and ``bias`` in each of its steps.

    Off the schedule all currents may arrive before the first bias; a neuron fires from that step on.
    """
    steps = network.input_steps
    each = current + bias
    greatest: Int64 = np.maximum(each, steps * each)
    return greatest if network.aligned else steps * current + np.maximum(bias, steps * bias)


def _settle(
    network: Network,
    population: Population,
    incoming: tuple[Connection, ...],
    constants: Mapping[str, Mapping[int, Int64]],
) -> dict[int, Int64]:
    """Counts of the channels that only constant channels reach."""
    neuron = population.neuron
    if network.mode == "rate" or neuron is None or neuron.is_stock or not neuron.staircases:
        return {}
    free = np.ones(population.shape[0], np.bool_)
    for each in incoming:
        source = network.population(each.source)
        varying = np.ones(source.shape[0], np.bool_)
        varying[list(constants[each.source])] = False
        free &= ~mix_channels(each.kernel, source.shape)[:, varying].any(1)
    if not free.any():
        return {}
    current = np.broadcast_to(population.bias, population.shape).astype(np.int64)
    for each in incoming:
        source = network.population(each.source)
        current = current + dynamics.transmit(each, lay_out(source.shape, constants[each.source]))[0]
    total = neuron.v0[:, None, None] + current
    counts = np.sum([each.count(total) for each in neuron.staircases], axis=0)
    return {int(channel): counts[channel] for channel in np.flatnonzero(free)}
