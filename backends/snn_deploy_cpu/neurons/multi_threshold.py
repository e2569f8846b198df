"""Multi-threshold and two-sided neurons in floats that hold every integer exactly.

The steps of :class:`~snn_deploy.network.multi_threshold.MultiThreshold` and :class:`~snn_deploy.network.two_sided.TwoSided`,
rewritten for vector units: the floor division becomes ``floor((v + h) * (1 / theta))`` with ``h = 1/2`` (``-1/2`` when
strict), which is exact where :func:`snn_deploy_cpu.conv.exactness.divides_exactly` says so. Compiled kernels step float32
membranes; float64, which only networks without an overflow proof need, and installations without kernels use the same
arithmetic in NumPy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from snn_deploy.arrays import Int64
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.two_sided import TwoSided
from snn_deploy_cpu.conv.float_conv import Real
from snn_deploy_cpu.kernels.arguments import FORMATS, ThresholdCells, address_of
from snn_deploy_cpu.kernels.library import select_kernels
from snn_deploy_cpu.neurons.protocol import Floats, Integers, repeat_to_tile


@dataclass(frozen=True, eq=False)
class Thresholds:
    """How multi-threshold neurons fire: ``clip(floor((v + rounding) * reciprocal), payload_min, payload_max)``.

    ``theta`` and ``reciprocal`` (1 / theta) are (tile,), float32 or float64; ``rounding`` is 1/2, or -1/2 for neurons
    that fire strictly above their threshold.
    """

    theta: Floats
    reciprocal: Floats
    rounding: float
    payload_min: float
    payload_max: float


@dataclass(frozen=True, eq=False)
class Below:
    """How two-sided neurons count below zero: ``clip(floor((v + rounding) * reciprocal), counts[0], 0)``; above, to ``counts[1]``.

    ``theta``, ``rounding``, an offset and 1/2, and ``reciprocal`` (1 / theta) are (tile,), float32 or float64.
    """

    theta: Floats
    rounding: Floats
    reciprocal: Floats
    counts: tuple[float, float]


@dataclass(frozen=True, eq=False)
class ThresholdNeurons:
    """The coefficients of one population's neurons with thresholds (:class:`snn_deploy_cpu.neurons.protocol.Neurons`).

    ``start`` and ``bias`` are (tile,). The second state is the running count, which exists where ``count_limits`` bound it.
    ``below``: of two-sided neurons, whose membranes stay. ``reset_value`` is the membrane after a spike, ``None`` where a
    spike subtracts its thresholds. ``stays``: neurons without current send nothing and keep their membranes once their bias
    has joined, so that they may be skipped where payloads are 0 before the step. ``hold``: changes of at most so many counts
    are not sent.
    """

    start: Floats
    bias: Floats
    thresholds: Thresholds
    count_limits: tuple[float, float] | None
    reset_value: float | None
    stays: bool = False
    hold: float = 0.0
    below: Below | None = None

    @classmethod
    def of(
        cls,
        neuron: MultiThreshold | TwoSided,
        bias: Int64,
        membrane: Real,
        quotient: Real,
        settles: bool,
        stays: bool = False,
    ) -> ThresholdNeurons:
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
        below = None
        if isinstance(neuron, TwoSided):
            below = Below(
                repeat_to_tile(neuron.theta_below.astype(membrane)),
                repeat_to_tile((neuron.offset_below + 0.5).astype(membrane)),
                repeat_to_tile((1.0 / neuron.theta_below).astype(quotient)),
                (float(neuron.count_min or 0), float(neuron.count_max or 0)),
            )
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
            stays,
            float(neuron.hold),
            below,
        )

    @property
    def has_second_state(self) -> bool:
        """Whether running counts are limited, and so kept."""
        return self.count_limits is not None

    @property
    def fuses(self) -> bool:
        """Compiled convolutions know neurons that subtract."""
        return self.reset_value is None

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
        kernels = select_kernels() if v.dtype == np.float32 else None
        if kernels is None:
            return self._step_many_numpy(v, second, currents, drive, driven_steps, payloads, begin)
        cells = self._cells(v, second, drive, driven_steps, 1, payloads)
        return kernels.step_many(cells, np.ascontiguousarray(currents), begin, payloads.shape[0])

    def step_once(self, currents: Floats, drive: Floats | None, payloads: Integers, begin: int) -> int:
        """The first and only step from rest, which leaves no membrane: ``currents`` (n,) to ``payloads`` (1, N).

        Returns how many membranes left 24 bits.
        """
        kernels = select_kernels() if currents.dtype == np.float32 else None
        if kernels is None:
            return self._step_once_numpy(currents, drive, payloads[0], begin)
        cells = self._cells(None, None, drive, 1, 1, payloads)
        return kernels.step_many(cells, np.ascontiguousarray(currents).reshape(1, -1), begin, 1)

    def fused(
        self,
        v: Floats | None,
        second: Floats | None,
        drive: Floats | None,
        driven_steps: int,
        images: int,
        payloads: Integers,
    ) -> ThresholdCells:
        """What a compiled convolution takes to step these neurons itself; arguments as for :meth:`step_many`.

        Without ``v`` it is the first and only step from rest, which leaves no membrane.
        """
        return self._cells(v, second, drive, driven_steps, images, payloads)

    def _cells(
        self,
        v: Floats | None,
        count: Floats | None,
        drive: Floats | None,
        driven_steps: int,
        images: int,
        payloads: Integers,
    ) -> ThresholdCells:
        # copied: building one field by field costs as much as stepping ten thousand neurons
        cells = ThresholdCells.from_buffer_copy(self._coefficients)
        cells.v = None if v is None else address_of(v)
        cells.count = None if count is None else address_of(count)
        if drive is not None:
            cells.drive, cells.per_neuron = address_of(drive), True
        cells.payloads, cells.size, cells.payload_format = (
            address_of(payloads),
            payloads.shape[1],
            FORMATS[payloads.dtype],
        )
        cells.images, cells.driven_steps = images, driven_steps
        return cells

    @cached_property
    def _coefficients(self) -> ThresholdCells:
        thresholds, below = self.thresholds, self.below
        count_least, count_most = self.count_limits or ((0.0, 0.0) if below is None else below.counts)
        return ThresholdCells(
            drive=address_of(self.bias),
            start=address_of(self.start),
            theta=address_of(thresholds.theta),
            rounding_below=None if below is None else address_of(below.rounding),
            reciprocal=address_of(thresholds.reciprocal),
            reciprocal_below=None if below is None else address_of(below.reciprocal),
            tile=self.start.size,
            least=thresholds.payload_min,
            most=thresholds.payload_max,
            rounding=thresholds.rounding,
            count_least=count_least,
            count_most=count_most,
            reset_value=self.reset_value or 0.0,
            hold=self.hold,
            quotient=FORMATS[thresholds.reciprocal.dtype],
            resets=self.reset_value is not None,
            stays=self.stays,
        )

    def _step_many_numpy(
        self,
        v: Floats,
        count: Floats | None,
        currents: Floats,
        drive: Floats | None,
        driven_steps: int,
        payloads: Integers,
        begin: int,
    ) -> int:
        saturated = 0
        for tile, here, added in self._tiles(currents.shape[1], drive, begin):
            for step in range(payloads.shape[0]):
                x = v[here] + currents[step % currents.shape[0], tile]
                if step < driven_steps:
                    x += added
                saturated += _saturate(x)
                k = self._fire(x, None if count is None else count[here])
                if count is not None:
                    count[here] += k
                v[here] = self._leave(x, k)
                payloads[step, here] = k
        return saturated

    def _step_once_numpy(self, currents: Floats, drive: Floats | None, payloads: Integers, begin: int) -> int:
        saturated = 0
        for tile, here, added in self._tiles(currents.size, drive, begin):
            x = currents[tile] + added
            x += self.start[: x.size]
            saturated += _saturate(x)
            payloads[here] = self._fire(x, None)
        return saturated

    def _tiles(self, n: int, drive: Floats | None, begin: int) -> Iterator[tuple[slice, slice, Floats]]:
        """For each tile of ``n`` neurons: their place among these, among all neurons, and what drives them."""
        for low in range(0, n, self.start.size):
            high = min(low + self.start.size, n)
            here = slice(begin + low, begin + high)
            yield slice(low, high), here, self.bias[: high - low] if drive is None else drive[here]

    def would_fire(self, v: Floats, second: Floats | None) -> bool:
        """Whether any neuron would send a payload without further input."""
        tile = self.start.size
        for begin in range(0, v.size, tile):
            part = slice(begin, begin + tile)
            if np.any(self._fire(v[part], None if second is None else second[part])):
                return True
        return False

    def _fire(self, v: Floats, count: Floats | None) -> Floats:
        """Payloads of membranes ``v``, not more than a tile, and running counts."""
        thresholds, below = self.thresholds, self.below
        size, limits = v.size, (thresholds.payload_min, thresholds.payload_max)
        raised = np.floor((v + thresholds.rounding) * thresholds.reciprocal[:size])
        if below is not None:
            least, most = below.counts
            lowered = np.floor((v + below.rounding[:size]) * below.reciprocal[:size])
            counted: Floats = np.clip(raised, 0, most) + np.clip(lowered, least, 0)
            return self._hold_back(np.clip(counted if count is None else counted - count, *limits))
        payload: Floats = np.clip(raised, *limits)
        if count is None or self.count_limits is None:
            return payload
        return self._hold_back(np.clip(payload, self.count_limits[0] - count, self.count_limits[1] - count))

    def _leave(self, v: Floats, payload: Floats) -> Floats:
        """What spikes leave of membranes."""
        if self.below is not None:
            return v
        left: Floats = v - payload * self.thresholds.theta[: v.size]
        return left if self.reset_value is None else np.where(payload != 0, self.reset_value, v)

    def _hold_back(self, payload: Floats) -> Floats:
        """``payload`` without changes that are not sent."""
        return np.where(np.abs(payload) > self.hold, payload, 0) if self.hold else payload


def _saturate(x: Floats) -> int:
    """Limit membranes to 24 bits, in place; returns how many had left them."""
    saturated = int(np.count_nonzero(np.abs(x) > STATE_MAX))
    np.clip(x, -STATE_MAX, STATE_MAX, out=x)
    return saturated
