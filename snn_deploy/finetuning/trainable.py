"""What of a converted network is trained, within which limits, and the network of the trained integers.

Trained are the weights of convolutions of the model, with their bits, and the biases of the populations they reach. All else is
structure and stays: sums of pools, the tournaments of maxima, resampling, identities, weights that are 0 in the float model (pruned
synapses stay away), the biases and read-outs of Lava's own neurons, whose numbers have other limits, and every threshold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from snn_deploy.arrays import Array, Int64
from snn_deploy.conversion.akida import round_bias
from snn_deploy.conversion.convert import Converted
from snn_deploy.conversion.layers import RELAYS
from snn_deploy.conversion.lower_layer import make_passing_neuron
from snn_deploy.conversion.options import Options
from snn_deploy.graph.graph import Graph
from snn_deploy.graph.ops import Conv, ConvTranspose
from snn_deploy.network.kernels import Kernel, SpatialKernel
from snn_deploy.network.network import Network, Population


@dataclass(frozen=True, eq=False)
class Weights:
    """Integers of at most ``limit``, other than 0 only where ``present`` (bool, in the shape of the kernel's weight)."""

    limit: int
    present: Array


@dataclass(frozen=True, eq=False)
class Trainable:
    """``weights`` by connection; by population, the change of its bias that a latent number of 1 stands for.

    ``readouts`` pass every sum on and count in units of their own: their limits are the worst case of their weights and follow
    them. ``mantissas``: biases have a mantissa of 8 bits (:func:`~snn_deploy.conversion.akida.round_bias`).
    """

    weights: Mapping[str, Weights]
    biases: Mapping[str, float]
    readouts: frozenset[str] = field(default_factory=frozenset)
    mantissas: bool = False

    @classmethod
    def of(cls, converted: Converted, options: Options) -> Trainable:
        """What of ``converted`` can be trained."""
        network, layers = converted.conversion.network, converted.conversion.layers
        convolutions, limit = _name_convolutions(converted.model.graph), 2 ** (options.weight_bits - 1) - 1
        own = options.neuron == "multi-threshold"
        weights: dict[str, Weights] = {}
        biases: dict[str, float] = {}
        for layer in layers.layers:
            if layer.kind in RELAYS or (layer.kind == "output" and not own):
                continue
            for layer_input, connection in zip(layer.inputs, network.incoming(layer.name), strict=True):
                if not isinstance(connection.kernel, SpatialKernel) and convolutions & set(connection.origin):
                    present = getattr(layer_input.op, "weight", np.ones(1)) != 0
                    weights[connection.name] = Weights(limit, present)
            reached = [each for each in network.incoming(layer.name) if each.name in weights]
            if reached and own:
                sources = [network.population(each.source) for each in reached]
                reach = [
                    _reach(network, source) << each.exponent for source, each in zip(sources, reached, strict=True)
                ]
                biases[layer.name] = float(limit * max(reach))
        readouts = frozenset(layer.name for layer in layers.layers if layer.kind == "output" and own)
        return cls(weights, biases, readouts, options.device == "akida")

    def fit_bias(self, bias: Array) -> Int64:
        """``bias`` (C, ...), whole numbers, as the nearest that the device holds."""
        whole: Int64 = np.asarray(bias, np.int64)
        return round_bias(whole) if self.mantissas else whole

    def rebuild(self, network: Network, weights: Mapping[str, Array], biases: Mapping[str, Array]) -> Network:
        """``network`` with these integers, and the limits of read-outs that follow from them."""
        connections = tuple(
            replace(each, kernel=_reweighted(each.kernel, weights[each.name])) if each.name in weights else each
            for each in network.connections
        )
        populations = {
            each.name: replace(each, bias=np.asarray(biases[each.name], np.int64)) if each.name in biases else each
            for each in network.populations
        }
        for name in self.readouts:
            incoming = [each for each in connections if each.target == name]
            sources = [populations[each.source] for each in incoming]
            largest = int(np.abs(populations[name].bias).max())
            neuron = make_passing_neuron(populations[name].shape[0], incoming, sources, network.mode, largest)
            populations[name] = replace(populations[name], neuron=neuron)
        return replace(network, populations=tuple(populations.values()), connections=connections)


def _name_convolutions(graph: Graph) -> set[str]:
    """Names in the file of all nodes that are convolutions."""
    found: set[str] = set()
    for node in graph.nodes:
        if isinstance(node.op, Conv | ConvTranspose):
            found |= {node.name, *node.origin}
    return found


def _reach(network: Network, population: Population) -> int:
    """Largest magnitude that ``population`` can send at once, in exact mode in all."""
    limits = population.payload_range if network.mode == "rate" else population.count_range or population.payload_range
    return max(-limits[0], limits[1])


def _reweighted(kernel: Kernel, weight: Array) -> Kernel:
    if isinstance(kernel, SpatialKernel):
        return replace(kernel, data=np.asarray(weight, np.int8))
    return replace(kernel, weight=np.asarray(weight, np.int8))
