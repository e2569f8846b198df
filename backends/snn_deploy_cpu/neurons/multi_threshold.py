"""Multi-threshold neurons in floats that hold every integer exactly.

:meth:`snn_deploy.network.multi_threshold.MultiThreshold.step`, rewritten for vector units: the floor division becomes
``floor((v + h) * (1 / theta))`` with ``h = 1/2`` (``-1/2`` when strict), which is exact where
:func:`snn_deploy_cpu.conv.exactness.divides_exactly` says so. Compiled loops exist for float32 membranes; float64, which only
networks without an overflow proof need, and machines without numba use the same arithmetic in NumPy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from snn_deploy.arrays import Int64
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.neuron import Neuron
from snn_deploy_cpu.conv.float_conv import Real
from snn_deploy_cpu.kernels.arguments import FusedNeurons, Thresholds
from snn_deploy_cpu.kernels.dispatch import compiled_kernels
from snn_deploy_cpu.neurons.protocol import Floats, Integers, repeat_to_tile


@dataclass(frozen=True, eq=False)
class ThresholdNeurons:
    """The coefficients of one population's multi-threshold neurons (:class:`snn_deploy_cpu.neurons.protocol.Neurons`).

    ``start`` and ``bias`` are (tile,). The second state is the running count, which exists where ``count_limits``
    bound it. ``reset_value`` is the membrane after a spike, ``None`` where a spike subtracts its thresholds.
    """

    start: Floats
    bias: Floats
    thresholds: Thresholds
    count_limits: tuple[float, float] | None
    reset_value: float | None

    @classmethod
    def of(cls, neuron: Neuron, bias: Int64, membrane: Real, quotient: Real, settles: bool) -> ThresholdNeurons:
        """The coefficients of ``neuron`` with ``bias`` (C,) int64, membranes and quotients in the formats given.

        Where a single step ``settles`` everything, counts start from 0 and end with its payload: their limits are
        limits of the payload, and no count is kept.
        """
        payload_min, payload_max = float(neuron.payload_min), float(neuron.payload_max)
        count_limits = None
        if neuron.count_min is not None and neuron.count_max is not None:
            count_limits = float(neuron.count_min), float(neuron.count_max)
            # the running count is 0 before the only step
            if settles:
                payload_min, payload_max = max(payload_min, count_limits[0]), min(payload_max, count_limits[1])
                count_limits = None
        thresholds = Thresholds(
            repeat_to_tile(neuron.theta.astype(membrane)),
            repeat_to_tile((1.0 / neuron.theta).astype(quotient)),
            -0.5 if neuron.strict else 0.5,
            payload_min,
            payload_max,
        )
        return cls(
            repeat_to_tile(neuron.v0.astype(membrane)),
            repeat_to_tile(bias.astype(membrane)),
            thresholds,
            count_limits,
            0.0 if neuron.reset == "zero" else None,
        )

    @property
    def has_second_state(self) -> bool:
        """Whether running counts are limited, and so kept."""
        return self.count_limits is not None

    @property
    def fuses(self) -> bool:
        """Compiled convolutions know neurons that subtract and whose counts are free."""
        return self.count_limits is None and self.reset_value is None

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
        """As :meth:`snn_deploy_cpu.neurons.protocol.Neurons.step_many`; ``second`` are running counts."""
        compiled = compiled_kernels() if v.dtype == np.float32 else None
        kernel = _step_many_numpy if compiled is None else compiled.step_many
        values, per_neuron = (self.bias, False) if drive is None else (drive, True)
        saturated = kernel(
            v,
            second,
            self.count_limits,
            currents,
            values,
            per_neuron,
            driven_steps,
            payloads,
            begin,
            tuple(self.thresholds),
            self.reset_value,
        )
        return int(saturated)

    def step_once(self, currents: Floats, drive: Floats | None, payloads: Integers, begin: int) -> int:
        """The first and only step from rest, which leaves no membrane: ``currents`` (n,) to ``payloads`` (N,).

        Returns how many membranes left 24 bits.
        """
        compiled = compiled_kernels() if currents.dtype == np.float32 else None
        kernel = _step_once_numpy if compiled is None else compiled.step_once
        values, per_neuron = (self.bias, False) if drive is None else (drive, True)
        return int(kernel(currents, values, per_neuron, payloads, begin, self.start, tuple(self.thresholds)))

    def fused(
        self, v: Floats, drive: Floats | None, driven_steps: int, images: int, payloads: Integers
    ) -> FusedNeurons:
        """What a compiled convolution takes to step these neurons itself; arguments as for :meth:`step_many`."""
        values, per_neuron = (self.bias, False) if drive is None else (drive, True)
        return FusedNeurons(v, values, per_neuron, driven_steps, images, payloads, tuple(self.thresholds))

    def would_fire(self, v: Floats, second: Floats | None) -> bool:
        """Whether any neuron would send a payload without further input."""
        tile = self.start.size
        for begin in range(0, v.size, tile):
            part = slice(begin, begin + tile)
            payload = _payload(self.thresholds, v[part])
            if second is not None and self.count_limits is not None:
                payload = np.clip(payload, self.count_limits[0] - second[part], self.count_limits[1] - second[part])
            if np.any(payload):
                return True
        return False


def _payload(thresholds: Thresholds, v: Floats) -> Floats:
    quotient = np.floor((v + thresholds.rounding) * thresholds.reciprocal[: v.size])
    payload: Floats = np.clip(quotient, thresholds.payload_min, thresholds.payload_max)
    return payload


def _step_many_numpy(
    v: Floats,
    count: Floats | None,
    count_limits: tuple[float, float] | None,
    currents: Floats,
    drive: Floats,
    per_neuron: bool,
    driven_steps: int,
    payloads: Integers,
    begin: int,
    fields: tuple[Any, ...],
    reset_value: float | None,
) -> int:
    thresholds = Thresholds(*fields)
    theta, n, saturated = thresholds.theta, currents.shape[1], 0
    for low in range(0, n, theta.size):
        high = min(low + theta.size, n)
        here, size = slice(begin + low, begin + high), high - low
        for step in range(payloads.shape[0]):
            x = v[here] + currents[step % currents.shape[0], low:high]
            if step < driven_steps:
                x += drive[here] if per_neuron else drive[:size]
            saturated += int(np.count_nonzero(np.abs(x) > STATE_MAX))
            # counted before it is limited
            np.clip(x, -STATE_MAX, STATE_MAX, out=x)
            k = _payload(thresholds, x)
            if count is not None and count_limits is not None:
                k = np.clip(k, count_limits[0] - count[here], count_limits[1] - count[here])
                count[here] += k
            v[here] = x - k * theta[:size] if reset_value is None else np.where(k != 0, reset_value, x)
            payloads[step, here] = k
    return saturated


def _step_once_numpy(
    currents: Floats,
    drive: Floats,
    per_neuron: bool,
    payloads: Integers,
    begin: int,
    start: Floats,
    fields: tuple[Any, ...],
) -> int:
    thresholds = Thresholds(*fields)
    saturated = 0
    for low in range(0, currents.size, start.size):
        high = min(low + start.size, currents.size)
        here, size = slice(begin + low, begin + high), high - low
        x = currents[low:high] + (drive[here] if per_neuron else drive[:size])
        x += start[:size]
        saturated += int(np.count_nonzero(np.abs(x) > STATE_MAX))
        np.clip(x, -STATE_MAX, STATE_MAX, out=x)
        payloads[here] = _payload(thresholds, x)
    return saturated
