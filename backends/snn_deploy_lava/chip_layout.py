"""How a network is laid out for the chip: without delays where it may be, and with weights that need no exponent.

A synapse of the chip has no ``weight_exp`` that public programs use with ``Conv``, and mixed-sign weights without a lowest bit
(``runtime/chip_weights.py``). Membrane, threshold and bias of a population may be doubled instead, where 24 bits hold them, so
that odd weights become even; otherwise a kernel is split.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snn_deploy.errors import BackendUnavailableError, NetworkError
from snn_deploy.network.bounds import bound_payloads, bound_population
from snn_deploy.network.kernels import ConvKernel
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.network import Connection, Network, Population
from snn_deploy.network.schedule import undelay
from snn_deploy_lava.runtime.chip_plan import INPUT_BITS, ChipPlan
from snn_deploy_lava.runtime.chip_weights import split_weights

PARTS_MAX = 8
"""Most ``Conv`` side by side for one connection; what needs more becomes a ``Sparse``, which has an exponent."""


@dataclass(frozen=True, eq=False)
class Layout:
    """``network`` as the chip runs it, and how each part is written down."""

    network: Network
    plan: ChipPlan

    @property
    def split(self) -> dict[str, int]:
        """Connections that take more than one ``Conv``, and how many."""
        parts = {
            connection.name: len(split_weights(_weight(connection), self.exponent(connection)))
            for connection in self.network.connections
            if is_plain(connection) and connection.name not in self.plan.sparse
        }
        return {name: count for name, count in parts.items() if count > 1}

    def exponent(self, connection: Connection) -> int:
        """That of the weights, in the units of the target on the chip."""
        return connection.exponent + self.plan.scales[connection.target]


def lay_out(network: Network) -> Layout:
    """The layout of ``network``; :class:`~snn_deploy.errors.BackendUnavailableError` names an input with too wide payloads."""
    own, network = network, _undelayed(network)
    scales = {network.input.name: 0}
    for population, connections in network.layers():
        plain = [connection for connection in connections if is_plain(connection)]
        scales[population.name] = min(_scales(own, population), key=lambda scale: (_count_parts(plain, scale), scale))
    bits = {population.name: _message_bits(own, population) for population in network.populations}
    if bits[network.input.name] > INPUT_BITS and any(map(is_plain, network.outgoing(network.input.name))):
        low, high = network.input.payload_range
        raise BackendUnavailableError(
            f"{network.input.name}: payloads {low}..{high}; the adapter before Conv carries {INPUT_BITS} bits: convert with "
            "fewer input levels"
        )
    sparse = tuple(
        connection.name
        for connection in network.connections
        if is_plain(connection) and _count_parts([connection], scales[connection.target]) > PARTS_MAX
    )
    outputs = tuple(dict.fromkeys(output.population for output in network.outputs))
    return Layout(network, ChipPlan(scales, bits, sparse, outputs, _keeps_state(network)))


def is_plain(connection: Connection) -> bool:
    """Whether Lava's ``Conv`` has the kernel: it pads both sides alike."""
    kernel = connection.kernel
    if not isinstance(kernel, ConvKernel):
        return False
    top, left, bottom, right = kernel.pads
    return top == bottom >= 0 and left == right >= 0


def _undelayed(network: Network) -> Network:
    """Without delays, where counts do not depend on them, as those of neurons that hold changes back do; else as it is."""
    holding = any(each.neuron is not None and each.neuron.holds_back for each in network.populations)
    if network.mode != "exact" or holding:
        return network
    try:
        return undelay(network)
    except NetworkError:
        return network


def _scales(network: Network, population: Population) -> tuple[int, ...]:
    """Powers of two by which the membrane may be multiplied without a number leaving 24 bits, or a rounding changing."""
    neuron, bound = population.neuron, bound_population(network, population)
    if neuron is None or not neuron.is_scalable:
        return (0,)
    drifting = int(np.abs(neuron.v0).max()) + bound.current * network.steps
    reach = max(bound.current, drifting if bound.membrane is None else bound.membrane, neuron.largest_constant)
    return (0, 1) if 2 * reach <= STATE_MAX else (0,)


def _keeps_state(network: Network) -> bool:
    """Whether sigma-delta neurons add up over images; they must hear nothing before their own, as of leaky neurons they would."""
    fired = [(population.name, population.neuron) for population in network.populations[1:] if population.neuron]
    adding = [name for name, neuron in fired if neuron.adds_up]
    leaky = [name for name, neuron in fired if neuron.is_leaky]
    if adding and leaky:
        raise BackendUnavailableError(
            f"{network.name}: {adding[0]} adds up what {leaky[0]} fires before its image, which only a reset of sigma-delta "
            "neurons on the chip would clear; convert all layers to one kind of neuron"
        )
    return bool(adding)


def _count_parts(connections: list[Connection], scale: int) -> int:
    return sum(len(split_weights(_weight(connection), connection.exponent + scale)) for connection in connections)


def _weight(connection: Connection) -> np.ndarray[tuple[int, ...], np.dtype[np.int8]]:
    if not isinstance(connection.kernel, ConvKernel):
        raise TypeError(f"{connection.name}: {type(connection.kernel).__name__} is not a convolution")
    return connection.kernel.weight


def _message_bits(network: Network, population: Population) -> int:
    """0 for single spikes, as lava-dl writes them, 16 or 24 for graded ones."""
    low, high = bound_payloads(network, population)
    if low >= 0 and high <= 1:
        return 0
    return 16 if low >= -(1 << 15) and high < 1 << 15 else 24
