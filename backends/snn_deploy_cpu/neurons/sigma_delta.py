"""The scan of sigma-delta neurons: :meth:`snn_deploy.network.sigma_delta.SigmaDelta.step` in float64, channels last.

States stay below 2**53, so every number here is the integer of the specification; a shift is a product with a power of
two and a floor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.network import Population
from snn_deploy.network.sigma_delta import SigmaDelta
from snn_deploy_cpu.conv.float_conv import Real

Floats = npt.NDArray[Any]

TILE = 2048
"""Neurons per tile, about."""


@dataclass(frozen=True, eq=False)
class Deltas:
    """The numbers of one population's sigma-delta neurons, those of the channels repeated to the length of a tile.

    ``bias`` joins the synaptic current, ``offset`` the activation.
    """

    neuron: SigmaDelta
    name: str
    start: Floats
    bias: Floats
    theta: Floats
    offset: Floats

    counts = True
    """The second state of a neuron, its running count elsewhere, is what it has sent."""

    @classmethod
    def of(cls, population: Population, neuron: SigmaDelta, bias: npt.NDArray[np.int64], current: Real) -> Deltas:
        """The numbers of ``population``'s ``neuron`` with ``bias`` (C,), currents in the format given."""
        repeats = max(1, TILE // neuron.theta.size)
        return cls(
            neuron,
            population.name,
            np.zeros(repeats * neuron.theta.size),
            np.tile(bias.astype(current), repeats),
            np.tile(neuron.theta.astype(np.float64), repeats),
            np.tile(neuron.offset.astype(np.float64), repeats),
        )

    def scan(
        self,
        v: Floats,
        sent: Floats,
        currents: Floats,
        drive: Floats | None,
        driven: int,
        payloads: npt.NDArray[Any],
        first: int,
    ) -> int:
        """Advance neurons, as :func:`snn_deploy_cpu.neurons.multi_threshold.scan` does; returns how many states left 24 bits."""
        neurons, beyond = currents.shape[1], 0
        for low in range(0, neurons, self.theta.size):
            high = min(low + self.theta.size, neurons)
            here, size = slice(first + low, first + high), high - low
            constant = self.bias[:size] if drive is None else drive[here]
            for step in range(payloads.shape[0]):
                v[here] += currents[step % currents.shape[0], low:high]
                if step < driven:
                    v[here] += constant
                beyond += int(np.count_nonzero(np.abs(v[here]) > STATE_MAX))
                activation = v[here] + self.offset[:size]
                delta = (np.maximum(activation, 0) if self.neuron.rectify else activation) - sent[here]
                change = np.where(np.abs(delta) >= self.theta[:size], delta, 0)
                sent[here] += change
                payload = np.floor(change / 2**self.neuron.shift)
                self.neuron.check(self.name, payload)
                payloads[step, here] = payload
        return beyond
