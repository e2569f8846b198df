r"""CUBA-LIF neurons: :meth:`snn_deploy.network.cuba_lif.CubaLif.step` in float64, channels last.

A decay ``sign(x) floor(|x| (4096 - d) / 4096)`` is ``trunc(x (4096 - d) / 4096)``: products below 2**53 are exact in
float64 and so is the division by a power of two, so every number here is the integer of the specification.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snn_deploy.arrays import Int64
from snn_deploy.network.bounds import Bound
from snn_deploy.network.cuba_lif import CURRENT_SHIFT, DECAY_ONE, CubaLif
from snn_deploy.network.limits import STATE_MAX
from snn_deploy_cpu.conv.exactness import FLOAT64_EXACT
from snn_deploy_cpu.conv.float_conv import Real
from snn_deploy_cpu.neurons.protocol import Floats, Integers, repeat_to_tile


@dataclass(frozen=True, eq=False)
class CubaLifNeurons:
    """The coefficients of one population's leaky neurons (:class:`snn_deploy_cpu.neurons.protocol.Neurons`), all (tile,).

    ``bias`` joins the synaptic current, ``offset`` the membrane; ``current_retention`` and ``voltage_retention`` are
    the shares that a step leaves. The second state is the decaying current u.
    """

    start: Floats
    bias: Floats
    theta: Floats
    offset: Floats
    current_retention: float
    voltage_retention: float

    has_second_state = True
    fuses = False

    @classmethod
    def of(cls, neuron: CubaLif, bias: Int64, current: Real) -> CubaLifNeurons:
        """The coefficients of ``neuron`` with ``bias`` (C,) int64, currents in the format given, states in float64."""
        return cls(
            repeat_to_tile(np.zeros(neuron.theta.size)),
            repeat_to_tile(bias.astype(current)),
            repeat_to_tile(neuron.theta.astype(np.float64)),
            repeat_to_tile(neuron.offset.astype(np.float64)),
            (DECAY_ONE - neuron.current_decay) / DECAY_ONE,
            (DECAY_ONE - neuron.voltage_decay) / DECAY_ONE,
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
        """As :meth:`snn_deploy_cpu.neurons.protocol.Neurons.step_many`."""
        u, n, saturated = np.zeros_like(v) if second is None else second, currents.shape[1], 0
        for low in range(0, n, self.theta.size):
            high = min(low + self.theta.size, n)
            here, size = slice(begin + low, begin + high), high - low
            constant = self.bias[:size] if drive is None else drive[here]
            tile_v, tile_u = v[here], u[here]
            for step in range(payloads.shape[0]):
                arriving = currents[step % currents.shape[0], low:high].astype(np.float64)
                if step < driven_steps:
                    arriving += constant
                # trunc rounds towards 0, as the chip decays magnitudes
                tile_u[:] = np.trunc(tile_u * self.current_retention) + arriving * 2**CURRENT_SHIFT
                charged = np.trunc(tile_v * self.voltage_retention) + tile_u + self.offset[:size]
                saturated += int(np.count_nonzero(np.abs(charged) > STATE_MAX))
                charged = np.clip(charged, -STATE_MAX, STATE_MAX)
                spikes = charged > self.theta[:size]
                tile_v[:] = np.where(spikes, 0, charged)
                payloads[step, here] = spikes
        return saturated

    def would_fire(self, v: Floats, second: Floats | None) -> bool:  # noqa: ARG002
        """False: networks in exact mode, which alone must end silent, have no such neurons."""
        return False


def decay_fits_float64(worst: Bound) -> bool:
    """Whether a decay of a u that ``worst`` bounds is exact in float64: its product with 4096 is at most 2**53."""
    return worst.current * DECAY_ONE <= FLOAT64_EXACT
