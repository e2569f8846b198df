r"""Mistakes of Loihi's leaky neuron: records of such chips are verified, and explained, like any other.

The neuron is :class:`snn_deploy.network.cuba_lif.CubaLif`. A record of a chip has one thing more: its neurons are cleared at an
interval, :class:`Leaky` ``(period, phase)``. With rounding toward zero, as specified, the recorded u, v and spikes of
lava-dl's PilotNet follow in all eight layers without one mismatch; with floor or nearest they do not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from snn_deploy.arrays import Int64
from snn_deploy.errors import VerificationError
from snn_deploy.network import dynamics
from snn_deploy.network.cuba_lif import CURRENT_SHIFT, DECAY_ONE, CubaLif
from snn_deploy.network.network import Population
from snn_deploy.verification.comparison.replay import Site, Specified
from snn_deploy.verification.diagnosis.faults import FAULTS, Fault


@dataclass(frozen=True)
class Leaky:
    """The specified step of a leaky neuron, cleared at an interval, or with some of its choices changed.

    ``period`` and ``phase``: membrane and current are cleared before each step t > 0 with ``(t - phase) % period == 0``.
    ``rounding`` of what a decay leaves; ``reset``: what a spike leaves.
    """

    rounding: Literal["truncate", "floor", "nearest"] = "truncate"
    reset: Literal["zero", "subtract"] = "zero"
    period: int | None = None
    phase: int = 0

    def __post_init__(self) -> None:
        if self.period is not None and self.period < 1:
            raise VerificationError(f"reset period {self.period} is not at least 1")

    def integrate(self, v: Int64, current: Int64, step: int) -> Int64:
        """Saturating sum, as before ``start`` everywhere."""
        return dynamics.saturate(current if self._clears(step) else v + current)

    def advance(
        self, population: Population, v: Int64, count: Int64, current: Int64, step: int
    ) -> tuple[Int64, Int64, Int64]:
        """One step; ``count`` holds u."""
        neuron = _leaky(population)
        if neuron is None:
            raise VerificationError(f"{population.name}: its neurons are not leaky; replay them as specified")
        if self._clears(step):
            v, count = np.zeros_like(v), np.zeros_like(count)
        if (self.rounding, self.reset) == ("truncate", "zero"):
            return dynamics.advance(neuron, v, count, current)
        u = self._decayed(count, neuron.current_decay) + (current << CURRENT_SHIFT)
        v = dynamics.saturate(self._decayed(v, neuron.voltage_decay) + u + neuron.offset[:, None, None])
        theta = neuron.theta[:, None, None]
        spikes = (v > theta).astype(np.int64)
        return np.where(spikes == 1, v - theta if self.reset == "subtract" else 0, v), u, spikes

    def _clears(self, step: int) -> bool:
        return step > 0 and self.period is not None and (step - self.phase) % self.period == 0

    def _decayed(self, x: Int64, amount: int) -> Int64:
        scaled: Int64 = x * (DECAY_ONE - amount)
        if self.rounding == "floor":
            return scaled >> 12
        half = DECAY_ONE // 2 if self.rounding == "nearest" else 0
        signed: Int64 = np.sign(scaled) * (np.abs(scaled) + half >> 12)
        return signed


def _leaky(population: Population) -> CubaLif | None:
    return population.neuron if isinstance(population.neuron, CubaLif) else None


def _with(change: Callable[[Leaky], Leaky | None]) -> Callable[[Site], Site | None]:
    def changed(site: Site) -> Site | None:
        if _leaky(site.population) is None:
            return None
        rule = Leaky() if isinstance(site.rule, Specified) else site.rule
        altered = change(rule) if isinstance(rule, Leaky) else None
        return None if altered is None else replace(site, rule=altered)

    return changed


CUBA_FAULTS: tuple[Fault, ...] = (
    Fault(
        "floor decay",
        "what a decay leaves is rounded down instead of toward zero",
        _with(lambda rule: replace(rule, rounding="floor")),
    ),
    Fault(
        "nearest decay",
        "what a decay leaves is rounded to nearest instead of toward zero",
        _with(lambda rule: replace(rule, rounding="nearest")),
    ),
    Fault(
        "soft reset",
        "a spike subtracts the threshold instead of setting the membrane to 0",
        _with(lambda rule: replace(rule, reset="subtract")),
    ),
    Fault(
        "reset period short",
        "the period of clearing the membrane is one step too short",
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
