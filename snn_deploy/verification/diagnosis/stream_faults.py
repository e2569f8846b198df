"""Faults of streams: what is not carried from frame to frame, joins again, or does not fit a message.

They stand beside :mod:`snn_deploy.verification.diagnosis.faults`, are tried first, and no still image can show them. What an
input sends wrongly is not a population's fault: :func:`explain_input` names it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from snn_deploy.arrays import Int64
from snn_deploy.errors import NetworkError
from snn_deploy.network import dynamics
from snn_deploy.network.network import Population
from snn_deploy.verification.comparison.replay import Rule, Site
from snn_deploy.verification.diagnosis.faults import Fault


@dataclass(frozen=True)
class _BiasAgain:
    """A rule with the bias in the first step of every frame."""

    rule: Rule

    def integrate(self, v: Int64, current: Int64, step: int) -> Int64:
        """As the rule does."""
        return self.rule.integrate(v, current, step)

    def advance(
        self, population: Population, v: Int64, count: Int64, current: Int64, step: int
    ) -> tuple[Int64, Int64, Int64]:
        """One step, at ``start`` with the bias."""
        joined = current + population.bias if step == population.start else current
        return self.rule.advance(population, v, count, joined, step)


def _from_rest(site: Site, *, membrane: bool = True, count: bool = True) -> Site | None:
    """``site`` with membranes, counts or both put back to where they start; its bias has joined already."""
    if site.carried is None:
        return None
    v, second = site.carried
    rest = dynamics.initialize_membrane(site.population, len(v))
    return replace(site, carried=(rest if membrane else v, np.zeros_like(second) if count else second))


def _anew(site: Site) -> Site | None:
    return None if site.carried is None else replace(site, carried=None)


def _bias_again(site: Site) -> Site | None:
    if site.carried is None or not np.any(site.population.bias) or isinstance(site.rule, _BiasAgain):
        return None
    return replace(site, rule=_BiasAgain(site.rule))


def _clip_swing(site: Site) -> Site | None:
    """Payloads as wide as counts are from 0, which are narrower than a swing."""
    neuron, counts = site.population.neuron, site.population.count_range
    if neuron is None or counts is None or site.carried is None:
        return None
    most = max(counts[1], -counts[0])
    if neuron.payload_max <= most and -neuron.payload_min <= most:
        return None
    try:
        narrow = replace(neuron, payload_min=max(neuron.payload_min, -most), payload_max=min(neuron.payload_max, most))
    except NetworkError:
        return None
    return replace(site, population=replace(site.population, neuron=narrow))


STREAM_FAULTS: tuple[Fault, ...] = (
    Fault("state not carried", "membranes and counts begin the frame at v0 and 0", _from_rest),
    Fault("membrane not carried", "membranes begin the frame at v0", lambda site: _from_rest(site, count=False)),
    Fault("count not carried", "counts begin the frame at 0", lambda site: _from_rest(site, membrane=False)),
    Fault("frame begun anew", "the frame begins from rest, with its bias, as a still image", _anew),
    Fault("bias in every frame", "the bias joins every frame instead of the first alone", _bias_again),
    Fault(
        "payload clipped at a swing",
        "the payload holds a count, not a change from one end of the count range to the other",
        _clip_swing,
    ),
)
"""Faults that only a frame after the first can show."""


def explain_input(name: str, sent: Int64, frames: list[Int64]) -> str:
    """What the input called ``name`` sent, if it is a known mistake; empty where it is none.

    ``sent`` (B, C, H, W) in the first step of the last of ``frames``, which are input counts, oldest first; three are enough.
    """
    now, before, earlier = ([np.zeros_like(sent)] * 3 + frames)[-1:-4:-1]
    if np.array_equal(sent, now - before):
        return ""
    known = {
        "the frame itself, not its difference to the one before (no difference taken)": now,
        "the difference to the frame two before (difference to the wrong frame)": now - earlier,
        "the difference of the frame before, one frame late": before - earlier,
        "the negative difference (frames subtracted the wrong way round)": before - now,
    }
    for what, values in known.items():
        if np.array_equal(sent, values):
            return f"{name} sends {what}"
    wrong = int(np.count_nonzero(sent != now - before))
    return f"{name} sends no known difference of frames: {wrong:,} of {sent.size:,} values are wrong"
