"""Sigma-delta neurons: :meth:`snn_deploy.network.sigma_delta.SigmaDelta.step` in float64, channels last.

States stay below 2**53, so every number here is the integer of the specification; a shift is a product with a power of
two and a floor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snn_deploy.arrays import Int64
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.network import Population
from snn_deploy.network.sigma_delta import SigmaDelta
from snn_deploy_cpu.conv.float_conv import Real
from snn_deploy_cpu.neurons.protocol import Floats, Integers, repeat_to_tile


@dataclass(frozen=True, eq=False)
class SigmaDeltaNeurons:
    """The coefficients of one population's sigma-delta neurons (:class:`snn_deploy_cpu.neurons.protocol.Neurons`).

    Arrays are (tile,). ``bias`` joins the synaptic current, ``offset`` the activation. The second state is the sum of
    deltas sent.
    """

    neuron: SigmaDelta
    population: str
    start: Floats
    bias: Floats
    theta: Floats
    offset: Floats

    has_second_state = True
    fuses = False

    @classmethod
    def of(cls, population: Population, neuron: SigmaDelta, bias: Int64, current: Real) -> SigmaDeltaNeurons:
        """The coefficients of ``neuron`` with ``bias`` (C,) int64, currents in the format given, states in float64."""
        return cls(
            neuron,
            population.name,
            repeat_to_tile(np.zeros(neuron.theta.size)),
            repeat_to_tile(bias.astype(current)),
            repeat_to_tile(neuron.theta.astype(np.float64)),
            repeat_to_tile(neuron.offset.astype(np.float64)),
        )

    def step_many(
        self,
        v: Floats,
        second: Floats | None,
        currents: Floats,
        drive: Floats | None,
        driven_steps: int,
        payloads: Integers,
        begin: int,
    ) -> int:
        """As :meth:`snn_deploy_cpu.neurons.protocol.Neurons.step_many`.

        Raises :class:`~snn_deploy.errors.BackendError` for a payload beyond its format.
        """
        total_sent, n, saturated = np.zeros_like(v) if second is None else second, currents.shape[1], 0
        for low in range(0, n, self.theta.size):
            high = min(low + self.theta.size, n)
            here, size = slice(begin + low, begin + high), high - low
            constant = self.bias[:size] if drive is None else drive[here]
            for step in range(payloads.shape[0]):
                v[here] += currents[step % currents.shape[0], low:high]
                if step < driven_steps:
                    v[here] += constant
                saturated += int(np.count_nonzero(np.abs(v[here]) > STATE_MAX))
                activation = v[here] + self.offset[:size]
                delta = (np.maximum(activation, 0) if self.neuron.rectify else activation) - total_sent[here]
                change = np.where(np.abs(delta) >= self.theta[:size], delta, 0)
                total_sent[here] += change
                # floor, as an arithmetic shift rounds
                payload = np.floor(change / 2**self.neuron.shift)
                self.neuron.check(self.population, payload)
                payloads[step, here] = payload
        return saturated

    def would_fire(self, v: Floats, second: Floats | None) -> bool:  # noqa: ARG002
        """False: networks in exact mode, which alone must end silent, have no such neurons."""
        return False
