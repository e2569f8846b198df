"""The threshold scan: membranes through time, channels last, in floats that hold every integer exactly.

:func:`snn_deploy.network.dynamics.advance`, rewritten for vector units: floor division becomes ``floor((v + h) * (1 / theta))``
with ``h = 1/2`` (``-1/2`` when strict), exact under :func:`snn_deploy_cpu.conv.exactness.float32_fires`. With numba,
neurons are taken in tiles that stay in the first-level cache; without it, and in float64, which only networks without
an overflow proof need, NumPy does the same arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.neuron import Neuron
from snn_deploy_cpu.conv.float_conv import Real
from snn_deploy_cpu.conv.payload_stats import Extent
from snn_deploy_cpu.kernels.dispatch import compiled_kernels
from snn_deploy_cpu.neurons.cuba_lif import Leak
from snn_deploy_cpu.neurons.sigma_delta import Deltas

Floats: TypeAlias = npt.NDArray[Any]
Integers: TypeAlias = npt.NDArray[Any]

TILE = 2048
"""Neurons per tile, about: membranes, currents and thresholds of a tile fit into 32 KiB."""


@dataclass(frozen=True, eq=False)
class Rule:
    """The numbers of one population's neuron, those of the channels repeated to the length of a tile.

    ``lowest..highest`` limit a payload; ``count_min`` and ``count_max``, where given, limit the running count too.
    ``hard``: a spike empties the membrane; only the scan in NumPy knows that.
    """

    start: Floats
    bias: Floats
    theta: Floats
    inverse: Floats
    half: float
    lowest: float
    highest: float
    count_min: float | None
    count_max: float | None
    hard: bool

    @property
    def counts(self) -> bool:
        """Whether running counts are limited, and so kept."""
        return self.count_min is not None

    @property
    def numbers(self) -> tuple[Floats, Floats, float, float, float]:
        """What every scan takes of it, in its order."""
        return self.theta, self.inverse, self.half, self.lowest, self.highest

    @classmethod
    def of(cls, neuron: Neuron, bias: npt.NDArray[np.int64], membrane: Real, quotient: Real, settles: bool) -> Rule:
        """The rule of ``neuron`` with ``bias`` (C,), membranes and quotients in the formats given.

        Where a single step ``settles`` everything, it starts from 0: limits of counts are limits of its payload.
        """
        repeats = max(1, TILE // neuron.theta.size)
        lowest, highest = float(neuron.payload_min), float(neuron.payload_max)
        count_min = None if neuron.count_min is None else float(neuron.count_min)
        count_max = None if neuron.count_max is None else float(neuron.count_max)
        if settles and count_min is not None and count_max is not None:
            lowest, highest = max(lowest, count_min), min(highest, count_max)
            count_min = count_max = None
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
            neuron.reset == "zero",
        )


def scan(
    rule: Rule | Leak | Deltas,
    v: Floats,
    count: Floats | None,
    currents: Floats,
    drive: Floats | None,
    driven: int,
    payloads: Integers,
    first: int,
) -> int:
    """Advance neurons ``first ...`` through the steps of ``currents`` (T or 1, n) and write ``payloads`` (T, N).

    Membranes ``v`` (N,) and, where the rule ``counts``, running counts ``count`` (N,) are updated in place. ``drive``
    (N,) holds bias and constant currents, ``None`` for the bias of ``rule`` alone; it enters the first ``driven``
    steps. Returns how many membranes were limited.
    """
    if not isinstance(rule, Rule):
        return rule.scan(v, np.zeros_like(v) if count is None else count, currents, drive, driven, payloads, first)
    compiled = compiled_kernels() if v.dtype == np.float32 else None
    whole, offset = drive is not None, rule.bias if drive is None else drive
    if rule.hard:
        return _scan_numpy(v, currents, offset, whole, driven, payloads, first, *rule.numbers, hard=True)
    if count is None or rule.count_min is None or rule.count_max is None:
        kernel = _scan_numpy if compiled is None else compiled.scan
        return int(kernel(v, currents, offset, whole, driven, payloads, first, *rule.numbers))
    limits = (rule.count_min, rule.count_max)
    kernel = _scan_limited_numpy if compiled is None else compiled.scan_limited
    return int(kernel(v, count, currents, offset, whole, driven, payloads, first, *rule.numbers, *limits))


def ready(
    rule: Rule, v: Floats, drive: Floats | None, driven: int, images: int, payloads: Integers
) -> tuple[object, ...]:
    """The neurons of ``rule`` as :func:`snn_deploy_cpu.kernels.threshold.fire_rows` takes them; arguments as for :func:`scan`."""
    whole, offset = drive is not None, rule.bias if drive is None else drive
    return (v, offset, whole, driven, images, payloads, *rule.numbers)


def fire_once(rule: Rule, currents: Floats, drive: Floats | None, payloads: Integers, first: int) -> int:
    """The first and only step from rest, where nobody asks for membranes: ``currents`` (n,) to ``payloads`` (N,)."""
    compiled = compiled_kernels() if currents.dtype == np.float32 else None
    kernel = _fire_once_numpy if compiled is None else compiled.fire_once
    whole, offset = drive is not None, rule.bias if drive is None else drive
    return int(kernel(currents, offset, whole, payloads, first, rule.start, *rule.numbers))


def tally(payloads: Integers, most: int, counts: Integers, events: Integers, top: int, bottom: int) -> Extent:
    """Add to ``counts`` (B, H, W, C) the sums over steps of ``payloads`` (T, N), to ``events`` how many are not 0.

    Rows ``top..bottom`` of a single image only, or all; no payload is greater than ``most``. Returns how large they are.
    """
    images, _, width, channels = counts.shape
    first, size = top * width * channels, images * (bottom - top) * width * channels
    totals, numbers, peaks = counts.reshape(-1), events.reshape(-1), np.zeros(channels, payloads.dtype)
    compiled = compiled_kernels()
    if compiled is not None:
        small = payloads.dtype == np.uint8 and most * payloads.shape[0] <= 255
        kernel = compiled.tally_bytes if small else compiled.tally
        least, active = kernel(payloads, totals, numbers, first, first + size, peaks)
        return Extent(peaks.astype(np.int64), int(least), int(active), size * payloads.shape[0])
    part = payloads[:, first : first + size]
    totals[first : first + size] += part.sum(0).astype(totals.dtype)
    numbers[first : first + size] += np.count_nonzero(part, axis=0).astype(numbers.dtype)
    return Extent.of(part.reshape(-1, 1, width, channels))


def restless(rule: Rule, v: Floats, count: Floats | None) -> bool:
    """Whether any neuron would send a payload without further input."""
    size = rule.theta.size
    for first in range(0, v.size, size):
        part = slice(first, first + size)
        payload = _payload(rule.half, rule.lowest, rule.highest, v[part], rule.inverse)
        if count is not None:
            payload = np.clip(payload, rule.count_min - count[part], rule.count_max - count[part])
        if np.any(payload):
            return True
    return False


def _payload(half: float, lowest: float, highest: float, v: Floats, inverse: Floats) -> Floats:
    payload: Floats = np.clip(np.floor((v + half) * inverse[: v.size]), lowest, highest)
    return payload


def _scan_numpy(
    v: Floats,
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
    hard: bool = False,
) -> int:
    limits = (-np.inf, np.inf)
    numbers = (theta, inverse, half, lowest, highest)
    return _scan_limited_numpy(
        v, np.zeros_like(v), currents, drive, whole, driven, payloads, first, *numbers, *limits, hard
    )


def _scan_limited_numpy(
    v: Floats,
    count: Floats,
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
    hard: bool = False,
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
            k = _payload(half, lowest, highest, x, inverse)
            k = np.clip(k, count_min - count[here], count_max - count[here])
            v[here] = np.where(k != 0, 0, x) if hard else x - k * theta[:size]
            count[here] += k
            payloads[step, here] = k
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
        payloads[here] = _payload(half, lowest, highest, x, inverse)
    return limited
