"""The threshold scan: membranes through time, channels last, in floats that hold every integer exactly.

:func:`snn_deploy.dynamics.advance`, rewritten for vector units: floor division becomes ``floor((v + h) * (1 / theta))``
with ``h = 1/2`` (``-1/2`` when strict), exact under :func:`snn_deploy_cpu.certificate.float32_fires`, and absent count
limits are infinite ones. With numba, neurons are taken in tiles that stay in the first-level cache through all steps; without
it, NumPy does the same arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from snn_deploy.network import STATE_MAX, Neuron
from snn_deploy_cpu.floating import Real

Floats: TypeAlias = npt.NDArray[Any]
Integers: TypeAlias = npt.NDArray[Any]

TILE = 4096
"""Neurons per tile, about: membranes, currents and counts of a tile fit into 48 KiB."""


@dataclass(frozen=True, eq=False)
class Rule:
    """The numbers of one population's neuron, each per channel and repeated to the length of a tile."""

    start: Floats
    bias: Floats
    theta: Floats
    inverse: Floats
    half: float
    lowest: float
    highest: float
    count_min: float
    count_max: float

    @classmethod
    def of(
        cls,
        neuron: Neuron,
        bias: npt.NDArray[np.int64],
        membrane: Real,
        quotient: Real,
        steps: int,
    ) -> Rule:
        """The rule of ``neuron`` with ``bias`` (C,), membranes and quotients in the formats given."""
        repeats = max(1, TILE // neuron.theta.size)
        count_min = -np.inf if neuron.count_min is None else float(neuron.count_min)
        count_max = np.inf if neuron.count_max is None else float(neuron.count_max)
        lowest, highest = float(neuron.payload_min), float(neuron.payload_max)
        if steps == 1:
            lowest, highest = max(lowest, count_min), min(highest, count_max)
        return cls(
            np.tile(neuron.v0.astype(membrane), repeats),
            np.tile(bias.astype(membrane), repeats),
            np.tile(neuron.theta.astype(membrane), repeats),
            np.tile((1.0 / neuron.theta).astype(quotient), repeats),
            -0.5 if neuron.strict else 0.5,
            lowest,
            highest,
            count_min,
            count_max,
        )


@dataclass(frozen=True, eq=False)
class State:
    """Membranes, running counts and numbers of events of one population, flat over images, pixels and channels."""

    v: Floats
    count: Integers
    events: Integers


def scan(
    rule: Rule,
    state: State,
    currents: Floats,
    drive: Floats | None,
    driven: int,
    payloads: Integers,
    first: int,
) -> int:
    """Advance neurons ``first ...`` through the steps of ``currents`` (T, n) and write ``payloads`` (T, N); in place.

    ``drive`` (N,) holds bias and constant currents, ``None`` for the bias of ``rule`` alone; it enters the first
    ``driven`` steps. Returns how many membranes were limited.
    """
    compiled = _compiled()
    kernel = _scan_numpy if compiled is None else compiled.scan
    return int(
        kernel(
            state.v,
            state.count,
            state.events,
            currents,
            rule.bias if drive is None else drive,
            drive is not None,
            driven,
            payloads,
            first,
            rule.theta,
            rule.inverse,
            rule.half,
            rule.lowest,
            rule.highest,
            rule.count_min,
            rule.count_max,
        )
    )


def fire_once(rule: Rule, currents: Floats, drive: Floats | None, payloads: Integers, first: int) -> int:
    """The first and only step from rest, where nobody asks for membranes: ``currents`` (n,) to ``payloads`` (N,)."""
    compiled = _compiled()
    kernel = _fire_once_numpy if compiled is None else compiled.fire_once
    return int(
        kernel(
            currents,
            rule.bias if drive is None else drive,
            drive is not None,
            payloads,
            first,
            rule.start,
            rule.theta,
            rule.inverse,
            rule.half,
            rule.lowest,
            rule.highest,
        )
    )


def restless(rule: Rule, state: State) -> bool:
    """Whether any neuron would send a payload without further input."""
    size = rule.theta.size
    for first in range(0, state.v.size, size):
        v = state.v[first : first + size]
        count = state.count[first : first + size]
        quotient = np.floor((v + rule.half) * rule.inverse[: v.size])
        payload = np.clip(quotient, rule.lowest, rule.highest)
        if np.any(np.clip(payload, rule.count_min - count, rule.count_max - count)):
            return True
    return False


@cache
def _compiled() -> ModuleType | None:
    """The compiled kernels, or ``None`` where numba is not installed."""
    try:
        from snn_deploy_cpu import firing_numba
    except ImportError:
        return None
    return firing_numba


def _scan_numpy(
    v: Floats,
    count: Integers,
    events: Integers,
    currents: Floats,
    drive: Floats,
    whole: bool,
    driven: int,
    payloads: Integers,
    first: int,
    theta: Floats,
    inverse: Floats,
    half: float,
    lowest: float,
    highest: float,
    count_min: float,
    count_max: float,
) -> int:
    steps, neurons = payloads.shape[0], currents.shape[1]
    limited = 0
    for low in range(0, neurons, theta.size):
        high = min(low + theta.size, neurons)
        here, size = slice(first + low, first + high), high - low
        for step in range(steps):
            x = v[here] + currents[step % currents.shape[0], low:high]
            if step < driven:
                x += drive[here] if whole else drive[:size]
            limited += int(np.count_nonzero(np.abs(x) > STATE_MAX))
            np.clip(x, -STATE_MAX, STATE_MAX, out=x)
            k = np.clip(np.floor((x + half) * inverse[:size]), lowest, highest)
            k = np.clip(k, count_min - count[here], count_max - count[here])
            v[here] = x - k * theta[:size]
            payloads[step, here] = k
            count[here] += payloads[step, here]
            events[here] += k != 0
    return limited


def _fire_once_numpy(
    currents: Floats,
    drive: Floats,
    whole: bool,
    payloads: Integers,
    first: int,
    start: Floats,
    theta: Floats,
    inverse: Floats,
    half: float,
    lowest: float,
    highest: float,
) -> int:
    limited = 0
    for low in range(0, currents.size, theta.size):
        high = min(low + theta.size, currents.size)
        here, size = slice(first + low, first + high), high - low
        x = currents[low:high] + (drive[here] if whole else drive[:size])
        x += start[:size]
        limited += int(np.count_nonzero(np.abs(x) > STATE_MAX))
        np.clip(x, -STATE_MAX, STATE_MAX, out=x)
        payloads[here] = np.clip(np.floor((x + half) * inverse[:size]), lowest, highest)
    return limited
