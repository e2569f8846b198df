r"""The deployed network as a torch module: its forward pass computes the integers of :mod:`snn_deploy.network.dynamics`.

Trained are numbers behind the integers (*latent* ones). A weight of at most q is :math:`\mathrm{clip}(\mathrm{rint}(q x), -q, q)`,
a bias that of the conversion plus :math:`\mathrm{rint}(s y)` in each channel, with gradients as if nothing were rounded
(straight-through estimator, arXiv 1308.3432). At first all are those of the conversion: the module begins as the network that
``convert`` writes.

Layers run one after the other over all steps of the window, as an aligned network does. The payloads of each step are computed
without a gradient. The gradient is that of the accumulated flow (Spiking-UNet, arXiv 2307.10974): a neuron's count over the window,

.. math::

    O = \sum_t k_t, \qquad
    \frac{\partial O}{\partial I} = \frac{1}{\theta} \; [\, a_{min} \le (v_0 + I) / \theta < a_{max} + 1 \,]

as a function of its whole input :math:`I = \sum W O_{source} + b` (b times T where it joins at every step), with the limits of what
a window can count (the published code: :math:`[I > 0]`). In exact mode, whose counts are :math:`\mathrm{clip}(\lfloor (v_0 + I) /
\theta \rfloor)` whatever the steps, this is the straight-through gradient of an integer network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
from torch import Tensor, nn

from snn_deploy.arrays import Array
from snn_deploy.errors import NetworkError
from snn_deploy.finetuning.arithmetic import apply_kernel, exact_sums
from snn_deploy.finetuning.firing import find_slope, fire, replace_value
from snn_deploy.finetuning.trainable import Trainable
from snn_deploy.network.bounds import bound_population
from snn_deploy.network.kernels import Kernel, SpatialKernel
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.network import Connection, Network, Population

RETREATS = 40
"""Halvings after which every latent number is that of the conversion: float32 has 24 bits."""


@dataclass(frozen=True, eq=False)
class Activity:
    """What a population sent: ``train`` (T, B, C, H, W) without a gradient, and ``count`` (B, C, H, W), its sum, with one.

    ``events`` (B, C, H, W), where they are counted: how many payloads are not 0, without a gradient.
    """

    train: Tensor
    count: Tensor
    events: Tensor | None = None


class DeployedNetwork(nn.Module):
    """``network`` with what ``trainable`` says as parameters; :class:`~snn_deploy.errors.NetworkError` if it is not aligned."""

    def __init__(self, network: Network, trainable: Trainable, device: str = "cpu") -> None:
        super().__init__()
        if not network.aligned or network.stream:
            raise NetworkError(f"{network.name}: fine-tuning takes an aligned network of still images")
        self.network, self.trainable, self.device = network, trainable, device
        self._kernels = {each.name: self._tensor(_values_of(each.kernel)) for each in network.connections}
        for place, weights in enumerate(trainable.weights.values()):
            self.register_buffer(f"present{place}", self._tensor(weights.present))
        self._biases = {each.name: self._tensor(each.bias) for each in network.populations}
        self.weights = nn.ParameterList(
            nn.Parameter(self._kernels[name] / weights.limit) for name, weights in trainable.weights.items()
        )
        self.shifts = nn.ParameterList(
            nn.Parameter(torch.zeros(network.population(name).shape[0], 1, 1, device=device))
            for name in trainable.biases
        )

    def present(self, connection: str) -> Tensor:
        """Where weights of ``connection`` are not pruned: 1, else 0, in the shape of its weight; changed in place, it prunes."""
        return self.get_buffer(f"present{list(self.trainable.weights).index(connection)}")

    def forward(self, payloads: Tensor, *, counting: bool = False) -> dict[str, Activity]:
        """What every population sends for input ``payloads`` (B, C, H, W), integers in float32; ``counting``: its events, too."""
        network = self.network
        train = torch.zeros(network.steps, *payloads.shape, device=payloads.device)
        train[: network.input_steps] = payloads
        sent = (payloads != 0).float() * network.input_steps if counting else None
        activities = {network.input.name: Activity(train, payloads * network.input_steps, sent)}
        kernels, biases = self.integer_kernels(), self._integer_biases()
        with exact_sums():
            for population, connections in network.layers():
                used = [(each, kernels[each.name], activities[each.source]) for each in connections]
                activities[population.name] = self._advance(population, used, biases[population.name], counting)
        return activities

    def read_outputs(self, activities: Mapping[str, Activity]) -> dict[str, Tensor]:
        """Real values (B, C, H, W) of every output by name, before the host's functions, with gradients."""
        network, values = self.network, {}
        for output in network.outputs:
            unit = network.population(output.population).unit[:, None, None]
            real = self._tensor(unit / network.input_steps)
            values[output.name] = activities[output.population].count * real
        return values

    def current(self) -> Network:
        """The network of the present integers, whatever they bound."""
        with torch.no_grad():
            kernels, biases = self.integer_kernels(), self._integer_biases()
        weights = {name: kernels[name].cpu().numpy() for name in self.trainable.weights}
        shifted = {name: biases[name].cpu().numpy() for name in self.trainable.biases}
        return self.trainable.rebuild(self.network, weights, shifted)

    def deployed(self) -> Network:
        """The network of the present integers.

        Populations whose worst case left 24 bits are first brought back towards the conversion, which is proved to fit: their
        latent numbers half of the way, until they fit, too.
        """
        for _ in range(RETREATS):
            network = self.current()
            over = [each for each in network.populations if bound_population(network, each).largest > STATE_MAX]
            if not over:
                return network
            self._retreat({each.name for each in over})
        return self.network

    def confine(self) -> None:
        """Bring latent weights that an optimizer has moved back to what their bits hold."""
        with torch.no_grad():
            for latent in self.weights:
                latent.clamp_(-1, 1)

    def _advance(
        self, population: Population, used: Sequence[tuple[Connection, Tensor, Activity]], bias: Tensor, counting: bool
    ) -> Activity:
        network, neuron = self.network, population.neuron
        if neuron is None:
            raise NetworkError(f"{population.name}: the input has no membrane")
        repeats = network.input_steps
        total = _add([_transmit(each, kernel, source.count) for each, kernel, source in used])
        whole = total + bias * repeats
        with torch.no_grad():
            if network.steps == 1:
                currents = whole[None]
            else:
                flat = [_transmit(each, kernel, source.train.flatten(0, 1)) for each, kernel, source in used]
                currents = _add(flat).unflatten(0, (network.steps, -1))
                currents[:repeats] += bias
            passing = population.name in self.trainable.readouts
            train = currents if passing else fire(neuron, currents)
            slope = None if passing else find_slope(neuron, whole, network)
            events = (train != 0).sum(0).float() if counting else None
        return Activity(train, whole if passing else replace_value(whole, train.sum(0), slope), events)

    def _retreat(self, populations: set[str]) -> None:
        targets = {each.name: each.target for each in self.network.connections}
        with torch.no_grad():
            for (name, trained), latent in zip(self.trainable.weights.items(), self.weights, strict=True):
                if targets[name] in populations:
                    latent.lerp_(self._kernels[name] / trained.limit, 0.5)
            for name, latent in zip(self.trainable.biases, self.shifts, strict=True):
                if name in populations:
                    latent.mul_(0.5)

    def _tensor(self, values: Array) -> Tensor:
        return torch.tensor(np.asarray(values, np.float32), device=self.device)

    def integer_kernels(self) -> dict[str, Tensor]:
        """The integers of every connection, in the shape of its weights, with gradients of those that are trained."""
        kernels = dict(self._kernels)
        for place, (name, trained) in enumerate(self.trainable.weights.items()):
            limit = trained.limit
            scaled = self.weights[place] * limit
            whole = replace_value(scaled, scaled.detach().round().clamp(-limit, limit))
            kernels[name] = whole * self.get_buffer(f"present{place}")
        return kernels

    def _integer_biases(self) -> dict[str, Tensor]:
        """The bias of every population, with gradients of those that are trained."""
        biases = dict(self._biases)
        for (name, scale), latent in zip(self.trainable.biases.items(), self.shifts, strict=True):
            shifted = (biases[name] + latent * scale).clamp(-STATE_MAX, STATE_MAX)
            fitted = self._tensor(self.trainable.fit_bias(shifted.detach().round().cpu().numpy()))
            biases[name] = replace_value(shifted, fitted)
        return biases


def _values_of(kernel: Kernel) -> Array:
    return kernel.data if isinstance(kernel, SpatialKernel) else kernel.weight


def _transmit(connection: Connection, kernel: Tensor, maps: Tensor) -> Tensor:
    """:func:`snn_deploy.network.dynamics.transmit`."""
    current = apply_kernel(connection.kernel, kernel, maps)
    return current * 2.0**connection.exponent if connection.exponent else current


def _add(terms: Sequence[Tensor]) -> Tensor:
    return reduce(torch.add, terms)
