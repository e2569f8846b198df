"""Channels that a network does without: removed from populations and kernels, with every count of the others as it was.

Needed are the channels of outputs, and backwards from them each channel that reaches a needed one by a non-zero weight and whose
count depends on the image (:mod:`snn_deploy.network.constant_channels`). What a constant channel sends becomes part of the biases
that it reaches, pixel by pixel where borders make a difference. A kernel of several groups, as poolings and the tournaments of
maxima have, and a pixel map lose a group as a whole or not at all, so a channel may stay for the sake of its group.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from snn_deploy.arrays import Bool, Int64
from snn_deploy.network import dynamics
from snn_deploy.network.constant_channels import find_constants, find_silent, lay_out, mix_channels
from snn_deploy.network.kernels import ConvKernel, Kernel, SpatialKernel
from snn_deploy.network.network import Network, Population

Kept = Mapping[str, Bool]
"""By population, the channels (C,) bool that stay."""


def remove_unused(network: Network, *, fold: bool = True) -> Network:
    """``network`` without the channels that it does without; itself where there are none.

    Without ``fold`` constant channels that fire stay, for devices whose biases are by channel.
    """
    constants = find_constants(network) if fold else find_silent(network)
    kept = find_needed(network, constants)
    if all(part.all() for part in kept.values()):
        return network
    populations = []
    for population in network.populations:
        chosen = np.flatnonzero(kept[population.name])
        bias = population.bias + _fold(network, population, constants, kept)
        neuron = None if population.neuron is None else population.neuron.channels(chosen)
        shape = len(chosen), *population.shape[1:]
        populations.append(
            replace(population, shape=shape, neuron=neuron, bias=bias[chosen], unit=population.unit[chosen])
        )
    connections = [
        replace(each, kernel=_cut(each.kernel, kept[each.source], kept[each.target])) for each in network.connections
    ]
    return replace(network, populations=tuple(populations), connections=tuple(connections))


def find_needed(network: Network, constants: Mapping[str, Mapping[int, Int64]]) -> Kept:
    """The channels that must stay, at least one of each population; ``constants`` are not needed for what they send."""
    shapes = {population.name: population.shape for population in network.populations}
    kept = {name: np.zeros(shape[0], np.bool_) for name, shape in shapes.items()}
    kept[network.input.name][:] = True
    for output in network.outputs:
        kept[output.population][:] = True
    varying = {name: _find_varying(network, name, constants[name]) for name in shapes}
    paths = {each.name: mix_channels(each.kernel, shapes[each.source]) for each in network.connections}
    while True:
        before = sum(int(part.sum()) for part in kept.values())
        for each in reversed(network.connections):
            kept[each.source] |= paths[each.name][kept[each.target]].any(0) & varying[each.source]
            _keep_groups(each.kernel, kept[each.source], kept[each.target])
        for part in kept.values():
            part[0] |= not part.any()
        if sum(int(part.sum()) for part in kept.values()) == before:
            return kept


def _find_varying(network: Network, name: str, constants: Mapping[int, Int64]) -> Bool:
    """Channels (C,) of population ``name`` whose events no bias can stand for; Lava's own neurons have none for synapses."""
    neurons = [network.population(each.target).neuron for each in network.outgoing(name)]
    foldable = not any(neuron is not None and neuron.is_stock for neuron in neurons)
    varying = np.ones(network.population(name).shape[0], np.bool_)
    varying[[channel for channel, counts in constants.items() if foldable or not counts.any()]] = False
    return varying


def _keep_groups(kernel: Kernel, sources: Bool, targets: Bool) -> None:
    """Keep, in both, what one group of ``kernel`` reads and writes, if any of it is kept."""
    groups = sources.size if isinstance(kernel, SpatialKernel) else kernel.groups
    if groups > 1 or isinstance(kernel, SpatialKernel):
        whole = sources.reshape(groups, -1).any(1) | targets.reshape(groups, -1).any(1)
        sources |= np.repeat(whole, sources.size // groups)
        targets |= np.repeat(whole, targets.size // groups)


def _cut(kernel: Kernel, sources: Bool, targets: Bool) -> Kernel:
    """``kernel`` between the channels that stay."""
    if isinstance(kernel, SpatialKernel):
        return kernel
    first, second = (targets, sources) if isinstance(kernel, ConvKernel) else (sources, targets)
    if kernel.groups == 1:
        return replace(kernel, weight=kernel.weight[first][:, second])
    groups = int(sources.reshape(kernel.groups, -1).any(1).sum())
    return replace(kernel, weight=kernel.weight[first], groups=groups)


def _fold(network: Network, population: Population, constants: Mapping[str, Mapping[int, Int64]], kept: Kept) -> Int64:
    """What removed channels send to ``population``, as a bias (C, 1, 1) or, where pixels differ, (C, H, W)."""
    total = np.zeros((population.shape[0], 1, 1), np.int64)
    for each in network.incoming(population.name):
        sent = {c: v for c, v in constants[each.source].items() if v.any() and not kept[each.source][c]}
        if sent:
            total = total + dynamics.transmit(each, lay_out(network.population(each.source).shape, sent))[0]
    return total[:, :1, :1] if np.all(total == total[:, :1, :1]) else total
