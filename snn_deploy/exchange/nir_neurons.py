r"""Neurons of NIR in integers, and the scale that makes integers of their weights.

Real numbers become integers with one factor s for each channel, :math:`w_{int} = \mathrm{rint}(s w)`:

* Where weights are integers of 8 bits (times a power of two), biases are integers and time constants in the chip's units (see
  :mod:`snn_deploy.exchange.nir_write`), s = 1 and nothing is rounded.
* Otherwise s is the largest with which the channel's weights have 8 bits; for an ``IF``, whose threshold is measured in weights,
  the largest below with which the threshold is an integer, so that only weights and biases are rounded.

Differential equations are stepped by the forward Euler method with ``dt``, as nir's own readers do, decays rounded to 4096ths.
With :math:`v_{reset} \ne 0` the membrane is measured from it, and begins there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from snn_deploy.arrays import Float64, Int8, Int64, lies_within, round_to_int64
from snn_deploy.errors import NetworkError
from snn_deploy.exchange.nir_synapses import read_real
from snn_deploy.network.cuba_lif import CURRENT_SHIFT, DECAY_ONE, CubaLif
from snn_deploy.network.limits import MAX_EXPONENT, STATE_MAX
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.neuron import Neuron, Reset
from snn_deploy.shapes import Shape

NEURONS = ("IF", "LIF", "CubaLIF")

DT = 1e-4
"""Step in seconds of nir's readers, where time constants are so short that they are seconds."""

WEIGHT_MAX = 127

SILENT_THETA = 64
"""Threshold of channels without weights."""


@dataclass(frozen=True, eq=False)
class Scaled:
    """Integers of one population: its neuron, bias (C,), factor (C,) of weights, and exponents of its connections."""

    neuron: Neuron | None
    bias: Int64
    factor: Float64
    exponents: tuple[int, ...]

    def weights(self, index: int, weight: Float64) -> Int8:
        """The 8-bit weights of connection ``index``."""
        scaled = np.rint(weight * self.factor[:, None, None, None] / 2.0 ** self.exponents[index])
        limited: Int8 = np.clip(scaled, -128, 127).astype(np.int8)
        return limited


@dataclass(frozen=True, eq=False)
class Fields:
    """A node's numbers, one (C,) for each channel."""

    name: str
    node: Any
    shape: Shape

    def read(self, entry: str) -> Float64:
        """Numbers (C,) of ``entry``, which must not differ within a channel."""
        values = read_real(self.name, entry, getattr(self.node, entry))
        if values.size == 1:
            return np.full(self.shape[0], float(values.reshape(-1)[0]))
        if values.size != int(np.prod(self.shape)):
            raise NetworkError(f"{self.name}: {entry} {values.shape} does not fit its map {self.shape}")
        maps: Float64 = values.reshape(self.shape)
        if np.any(maps != maps[:, :1, :1]):
            raise NetworkError(
                f"{self.name}: {entry} differs within a channel; one number for each channel is supported"
            )
        return maps[:, 0, 0]

    def note(self, key: str, default: str | bool) -> object:
        """A note of the node's metadata."""
        value: object = self.node.metadata.get(key, default)
        return value

    def decay(self, entry: str, dt: float) -> int:
        """4096ths by which a state of time constant ``entry`` decays in a step, the same for all neurons."""
        tau = np.unique(self.read(entry))
        if tau.size != 1:
            raise NetworkError(
                f"{self.name}: {entry} from {tau[0]:g} to {tau[-1]:g}; the neurons of a population share one, as on the chip"
            )
        if tau[0] < dt:
            raise NetworkError(
                f"{self.name}: {entry} {tau[0]:g} is shorter than a step of {dt:g}; choose a shorter one (--dt)"
            )
        return max(int(np.rint(DECAY_ONE * dt / tau[0])), 1)


def choose_dt(nodes: Sequence[Any]) -> float:
    """1, or :data:`DT` where a time constant is shorter than 1."""
    taus = [getattr(node, entry) for node in nodes for entry in ("tau", "tau_mem", "tau_syn") if hasattr(node, entry)]
    return DT if any(np.any(np.asarray(tau) < 1) for tau in taus) else 1.0


def scale_neurons(fields: Fields, weights: Sequence[Float64], bias: Float64, dt: float) -> Scaled:
    """The integers of neurons with real ``weights`` (C, ...) of each connection and real ``bias`` (C,)."""
    reset = fields.read("v_reset")
    theta = fields.read("v_threshold") - reset
    if theta.min() <= 0:
        raise NetworkError(f"{fields.name}: v_threshold must lie above v_reset")
    if type(fields.node).__name__ == "IF":
        gain = fields.read("r")
        driven = [gain[:, None, None, None] * weight for weight in weights]
        scaled = _integrate_and_fire(fields, driven, gain * bias, theta)
        return replace(scaled, factor=scaled.factor * gain)
    return _leaky(fields, weights, bias, theta, reset, dt)


def scale_read_out(weights: Sequence[Float64], bias: Float64) -> Scaled:
    """The same for a sum that the host reads; the caller knows its limits, and makes the neuron."""
    exponents = _exact(weights)
    if exponents is not None and np.all(bias == np.rint(bias)):
        return Scaled(None, round_to_int64(bias), np.ones(bias.size), exponents)
    factor = _fit(weights)
    return Scaled(None, round_to_int64(bias * factor), factor, (0,) * len(weights))


def _integrate_and_fire(fields: Fields, weights: Sequence[Float64], bias: Float64, theta: Float64) -> Scaled:
    reset, strict = fields.note("reset", "zero"), bool(fields.note("strict", default=True))
    exponents = _exact(weights)
    if fields.note("neuron", "") == CubaLif.kind:
        # current is shifted left, so what does not join it has bits below one
        unit = 1 << CURRENT_SHIFT
        offset = bias * unit
        if exponents is None or np.any(offset != np.rint(offset)):
            raise NetworkError(
                f"{fields.name}: its metadata names a {CubaLif.kind} neuron, whose weights are 8-bit integers"
            )
        neuron: Neuron = CubaLif.of(
            _below(theta * unit), round_to_int64(offset), current_decay=DECAY_ONE, voltage_decay=0
        )
        return Scaled(neuron, np.zeros(theta.size, np.int64), np.ones(theta.size), exponents)
    factor = np.ones(theta.size)
    if exponents is None or np.any(bias != np.rint(bias)):
        exponents, widest = (0,) * len(weights), _fit(weights)
        integer = np.floor(np.clip(theta * widest, 1, STATE_MAX // 2))
        # a threshold of few weights is not worth their bits
        factor = np.where(integer >= 16, integer / theta, widest)
    whole = theta * factor
    limit = _below(whole) if strict else round_to_int64(np.ceil(whole))
    if reset == "subtract" and np.all(factor == 1) and np.any(whole != limit):
        raise NetworkError(
            f"{fields.name}: v_threshold holds fractions, which it would subtract; scale weights and thresholds"
        )
    if strict and reset == "zero" and limit.min() < 1:
        limit, strict = limit + 1, False  # integers above t are at least t + 1
    _check(fields.name, "v_threshold", limit)
    neuron = MultiThreshold(limit, np.zeros_like(limit), 0, 1, strict=strict, reset=_reset(fields.name, reset))
    return Scaled(neuron, round_to_int64(bias * factor), factor, exponents)


def _leaky(
    fields: Fields, weights: Sequence[Float64], bias: Float64, theta: Float64, reset: Float64, dt: float
) -> Scaled:
    """LIF and CubaLIF: a membrane of S per volt, weights of s = S gain / 64, so that both have the bits they need."""
    current = type(fields.node).__name__ == "CubaLIF"
    tau = "tau_mem" if current else "tau"
    voltage_decay = fields.decay(tau, dt)
    step = dt / fields.read(tau)
    gain = step * fields.read("r")
    current_decay = DECAY_ONE
    if current:
        current_decay = fields.decay("tau_syn", dt)
        gain = gain * fields.read("w_in") * dt / fields.read("tau_syn")
    if gain.min() <= 0:
        raise NetworkError(f"{fields.name}: r and w_in must be positive")
    if fields.note("reset", "zero") != "zero":
        raise NetworkError(
            f"{fields.name}: a leaky neuron that resets by subtraction; networks here have it for IF only"
        )
    leak = step * (fields.read("v_leak") - reset)
    unit = 1 << CURRENT_SHIFT
    volt = unit / gain
    whole = [volt * leak + (0 if current else unit * bias), bias if current else 0 * bias]
    # in the chip's own units nothing is rounded; with others a membrane of few units would lose much in every decay
    exponents = _exact(weights) if np.allclose(volt, 1, rtol=1e-9, atol=0) else None
    if exponents is None or any(np.abs(part - np.rint(part)).max() > 1e-6 for part in whole):
        exponents = (0,) * len(weights)
        volt = np.minimum(unit * _fit(weights) / gain, STATE_MAX / 4 / np.maximum(theta, np.abs(leak)))
    factor = volt * gain / unit
    # a bias of the current would decay with it; where nothing does, it keeps its fractions in the membrane
    offset = round_to_int64(volt * leak + (0 if current else unit * factor * bias))
    limit = np.maximum(_below(volt * theta), 1)
    for entry, values in (("v_threshold", limit), ("v_leak", offset)):
        _check(fields.name, entry, values)
    neuron = CubaLif.of(limit, offset, current_decay=current_decay, voltage_decay=voltage_decay)
    return Scaled(neuron, round_to_int64(factor * bias) if current else np.zeros_like(limit), factor, exponents)


def _exact(weights: Sequence[Float64]) -> tuple[int, ...] | None:
    """Exponents with which all weights are 8-bit integers; ``None`` where they are not."""
    exponents = []
    for weight in weights:
        if np.any(weight != np.rint(weight)) or not lies_within(weight, -STATE_MAX, STATE_MAX):
            return None
        values, exponent = round_to_int64(weight), 0
        while exponent < MAX_EXPONENT and not lies_within(values, -128, 127) and not np.any(values & 1):
            values, exponent = values >> 1, exponent + 1
        if not lies_within(values, -128, 127):
            return None
        exponents.append(exponent)
    return tuple(exponents)


def _fit(weights: Sequence[Float64]) -> Float64:
    """The largest factor (C,) with which the weights of each channel have 8 bits."""
    largest = np.max([np.abs(weight).reshape(weight.shape[0], -1).max(1) for weight in weights], axis=0)
    factor: Float64 = np.where(largest > 0, WEIGHT_MAX / np.where(largest > 0, largest, 1), SILENT_THETA)
    return factor


def _below(theta: Float64) -> Int64:
    """The integer t for which ``v > theta`` and ``v > t`` are the same of integers v; near integers are meant."""
    near = np.rint(theta)
    return round_to_int64(np.where(np.abs(theta - near) < 1e-6 * np.maximum(near, 1), near, np.floor(theta)))


def _check(name: str, entry: str, values: Int64) -> None:
    if not lies_within(values, -STATE_MAX, STATE_MAX):
        raise NetworkError(
            f"{name}: {entry} is {np.abs(values).max()} in units of its weights, more than 24 bits; scale the weights up"
        )


def _reset(name: str, noted: object) -> Reset:
    if noted == "zero":
        return "zero"
    if noted == "subtract":
        return "subtract"
    raise NetworkError(f"{name}: reset {noted!r} in its metadata is neither 'zero' nor 'subtract'")
