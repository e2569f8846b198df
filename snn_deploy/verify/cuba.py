r"""Loihi's leaky integrate-and-fire neuron, as a rule for replays, so that records of such chips can be verified too.

.. math::

    v &\leftarrow 0 \text{ at every reset step} \\
    v &\leftarrow \mathrm{round}(v \, (4096 - d) / 4096) + I + b \\
    s &= [v > \theta], \qquad v \leftarrow 0 \text{ where } s

with the synaptic current decaying at once (``iDecay`` 4096), so that I is the current of the step. Rounding is toward
zero (Loihi's; lava-dl ``lava.lib.dl.slayer.neuron.cuba``, Davies et al. 2018, IEEE Micro 38(1)); with it, the recorded
u, v and spikes of lava-dl's PilotNet follow in all eight layers without one mismatch; with floor or nearest they do
not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from snn_deploy import dynamics
from snn_deploy.errors import VerificationError
from snn_deploy.network import Population
from snn_deploy.verify.faults import FAULTS, Fault
from snn_deploy.verify.replay import Int64, Site

UNITY = 4096
"""Decay that leaves nothing: constants are 12-bit fractions."""


@dataclass(frozen=True)
class CubaLif:
    """The neuron above. ``decay`` (0..4096) is d; theta and the comparison are those of the population's neuron.

    ``period`` and ``phase``: the membrane is cleared before each step t > 0 with ``(t - phase) % period == 0``.
    """

    decay: int
    rounding: Literal["truncate", "floor", "nearest"] = "truncate"
    reset: Literal["zero", "subtract"] = "zero"
    period: int | None = None
    phase: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.decay <= UNITY:
            raise VerificationError(f"decay {self.decay} lies outside 0..{UNITY}")
        if self.period is not None and self.period < 1:
            raise VerificationError(f"reset period {self.period} is not at least 1")

    def integrate(self, v: Int64, current: Int64, step: int) -> Int64:
        """Decayed membrane and current, limited to 24 bits."""
        if step > 0 and self.period is not None and (step - self.phase) % self.period == 0:
            return dynamics.saturate(current)
        return dynamics.saturate(self._decayed(v) + current)

    def advance(
        self, population: Population, v: Int64, count: Int64, current: Int64, step: int
    ) -> tuple[Int64, Int64, Int64]:
        """One step: at most one spike."""
        if population.neuron is None:
            raise VerificationError(f"{population.name}: the input computes nothing that could be replayed")
        theta = population.neuron.theta[:, None, None]
        v = self.integrate(v, current, step)
        spikes = (v - int(population.neuron.strict) >= theta).astype(np.int64)
        left = np.where(spikes == 1, v - theta if self.reset == "subtract" else 0, v)
        return left, count + spikes, spikes

    def _decayed(self, v: Int64) -> Int64:
        scaled: Int64 = v * (UNITY - self.decay)
        if self.rounding == "floor":
            return np.right_shift(scaled, 12)
        half = UNITY // 2 if self.rounding == "nearest" else 0
        signed: Int64 = np.sign(scaled) * np.right_shift(np.abs(scaled) + half, 12)
        return signed


def _with(change: Callable[[CubaLif], CubaLif | None]) -> Callable[[Site], Site | None]:
    def changed(site: Site) -> Site | None:
        rule = change(site.rule) if isinstance(site.rule, CubaLif) else None
        return None if rule is None else replace(site, rule=rule)

    return changed


CUBA_FAULTS: tuple[Fault, ...] = (
    Fault("floor decay", "the decayed membrane is floored", _with(lambda rule: replace(rule, rounding="floor"))),
    Fault("nearest decay", "the decayed membrane is rounded", _with(lambda rule: replace(rule, rounding="nearest"))),
    Fault("truncated decay", "the decayed membrane is cut", _with(lambda rule: replace(rule, rounding="truncate"))),
    Fault("soft reset", "a spike leaves the rest", _with(lambda rule: replace(rule, reset="subtract"))),
    Fault(
        "reset period short",
        "the membrane is cleared one step too often",
        _with(lambda rule: None if rule.period in (None, 1) else replace(rule, period=(rule.period or 2) - 1)),
    ),
    Fault(
        "reset missing",
        "the membrane is never cleared",
        _with(lambda rule: None if rule.period is None else replace(rule, period=None)),
    ),
    Fault(
        "reset one step late",
        "the membrane is cleared one step late",
        _with(lambda rule: None if rule.period is None else replace(rule, phase=rule.phase + 1)),
    ),
    *FAULTS,
)
"""Faults of this neuron, before those that any population can have."""
