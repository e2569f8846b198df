r"""The scan of leaky neurons: :meth:`snn_deploy.network.cuba_lif.CubaLif.step` in float64, channels last.

A decay ``sign(x) floor(|x| (4096 - d) / 4096)`` is ``trunc(x (4096 - d) / 4096)``: products below 2**53 are exact in
float64 and so is the division by a power of two, so every number here is the integer of the specification.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from snn_deploy.network.bounds import Bound
from snn_deploy.network.cuba_lif import CURRENT_SHIFT, DECAY_ONE, CubaLif
from snn_deploy.network.limits import STATE_MAX
from snn_deploy_cpu.conv.exactness import FLOAT64_EXACT
from snn_deploy_cpu.conv.float_conv import Real

Floats = npt.NDArray[Any]

TILE = 2048
"""Neurons per tile, about."""


@dataclass(frozen=True, eq=False)
class Leak:
    """The numbers of one population's leaky neurons, those of the channels repeated to the length of a tile.

    ``bias`` joins the synaptic current, ``offset`` the membrane; ``keep_u`` and ``keep_v`` are the shares that a step
    leaves.
    """

    start: Floats
    bias: Floats
    theta: Floats
    offset: Floats
    keep_u: float
    keep_v: float

    counts = True
    """The second state of a neuron, its running count elsewhere, is u."""

    @classmethod
    def of(cls, neuron: CubaLif, bias: npt.NDArray[np.int64], current: Real) -> Leak:
        """The numbers of ``neuron`` with ``bias`` (C,), currents in the format given."""
        repeats = max(1, TILE // neuron.theta.size)
        return cls(
            np.zeros(repeats * neuron.theta.size),
            np.tile(bias.astype(current), repeats),
            np.tile(neuron.theta.astype(np.float64), repeats),
            np.tile(neuron.offset.astype(np.float64), repeats),
            (DECAY_ONE - neuron.current_decay) / DECAY_ONE,
            (DECAY_ONE - neuron.voltage_decay) / DECAY_ONE,
        )

    def scan(
        self,
        v: Floats,
        u: Floats,
        currents: Floats,
        drive: Floats | None,
        driven: int,
        payloads: npt.NDArray[Any],
        first: int,
    ) -> int:
        """Advance neurons, as :func:`snn_deploy_cpu.neurons.multi_threshold.scan` does."""
        neurons, limited = currents.shape[1], 0
        for low in range(0, neurons, self.theta.size):
            high = min(low + self.theta.size, neurons)
            here, size = slice(first + low, first + high), high - low
            constant = self.bias[:size] if drive is None else drive[here]
            vv, uu = v[here], u[here]
            for step in range(payloads.shape[0]):
                arriving = currents[step % currents.shape[0], low:high].astype(np.float64)
                if step < driven:
                    arriving += constant
                uu[:] = np.trunc(uu * self.keep_u) + arriving * 2**CURRENT_SHIFT
                raised = np.trunc(vv * self.keep_v) + uu + self.offset[:size]
                limited += int(np.count_nonzero(np.abs(raised) > STATE_MAX))
                spikes = np.clip(raised, -STATE_MAX, STATE_MAX) > self.theta[:size]
                vv[:] = np.where(spikes, 0, np.clip(raised, -STATE_MAX, STATE_MAX))
                payloads[step, here] = spikes
        return limited


def leak_fits(worst: Bound) -> bool:
    """Whether a decay of a u that ``worst`` bounds is exact in float64."""
    return worst.current * DECAY_ONE <= FLOAT64_EXACT
