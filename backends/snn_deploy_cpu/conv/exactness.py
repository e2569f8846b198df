"""Which number formats compute a connection exactly: proved from weights and payload limits, before anything runs.

* float32 holds every integer up to 2**24. :func:`snn_deploy.network.bounds.bound_population` bounds every partial sum of a
  population's current, in any order, so a bound below 2**23 makes each product, sum and ``v + current`` exact (``f32``).
* 8-bit kernels sum u8 x s8 products in 32 bits and return float32; a payload wider than 8 bits is split into *planes*,
  ``x = sum_j 2**(b j) * plane_j``, the last of them signed through a zero point. Each plane's sum must stay below 2**24
  (``int8``). Without VNNI instructions two products are added in 16 bits, saturating; planes of 7 bits exclude that:
  ``2 * 127 * 128 <= 32767`` (oneDNN, "Nuances of int8 computations").
* float64 holds every integer up to 2**53 (``f64``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from snn_deploy.arrays import Array
from snn_deploy.network.bounds import Bound, bound_current, bound_payloads, sum_weights
from snn_deploy.network.kernels import Kernel
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.network import Connection, Network, Population

FLOAT32_EXACT = 2**24
"""float32 holds every integer up to here: 24 bits of significand."""

FLOAT64_EXACT = 2**53
"""float64 holds every integer up to here: 53 bits of significand."""


@dataclass(frozen=True)
class Plane:
    """Bits ``shift .. shift + b`` of a payload, stored as uint8; the last plane carries the sign through ``zero_point``.

    A stored u, ``largest`` at most, stands for ``(u - zero_point) * 2**shift``; ``digit_mask`` is ``None`` for the last
    plane, which has all higher bits.
    """

    shift: int
    digit_mask: int | None
    zero_point: int
    largest: int

    @property
    def bits(self) -> int:
        """The bits of a payload that this plane has, as a mask; payloads under the masks of all planes add up to the payload."""
        return -(1 << self.shift) if self.digit_mask is None else self.digit_mask << self.shift

    def is_zero(self, payloads: Array) -> bool:
        """Whether no payload has bits from ``shift`` on."""
        return not payloads.max() >> self.shift and not payloads.min() >> self.shift

    def stored(self, payloads: Array) -> npt.NDArray[np.uint8]:
        """The uint8 numbers of this plane of ``payloads``."""
        digits = payloads >> self.shift if self.shift else payloads
        if self.digit_mask is not None:
            digits = digits & self.digit_mask
        return (digits + self.zero_point if self.zero_point else digits).astype(np.uint8)


def split_planes(smallest: int, largest: int, bits: int) -> tuple[Plane, ...]:
    """The planes of ``bits`` bits that hold every payload in ``smallest..largest``, lowest bits first."""
    planes: list[Plane] = []
    limit, shift = 2**bits, 0
    while True:
        if smallest >= 0 and largest < limit:
            return (*planes, Plane(shift, None, 0, largest))
        if smallest >= -limit // 2 and largest < limit // 2:
            return (*planes, Plane(shift, None, limit // 2, limit - 1))
        planes.append(Plane(shift, limit - 1, 0, limit - 1))
        # an arithmetic shift rounds down, which is what the masked low digits leave
        smallest, largest, shift = smallest >> bits, largest >> bits, shift + bits


def planes_fit_float32(kernel: Kernel, planes: tuple[Plane, ...]) -> bool:
    """Whether every plane's 32-bit sum is an integer that float32 holds: below 2**24 in magnitude."""
    positive, negative = sum_weights(kernel)
    one_sign = int(np.maximum(positive, -negative).max())
    # u - zero_point takes both signs, so weights of both signs may push a sum the same way
    both_signs = int((positive - negative).max())
    worst = max((both_signs if plane.zero_point else one_sign) * plane.largest for plane in planes)
    return worst < FLOAT32_EXACT


def fits_float32(bound: Bound) -> bool:
    """Whether currents, and ``v + current`` for every 24-bit membrane, are integers that float32 holds."""
    return bound.current <= STATE_MAX


def fits_float64(bound: Bound) -> bool:
    """The same for float64."""
    return bound.current <= FLOAT64_EXACT - STATE_MAX


def passes_through(network: Network, population: Population, connection: Connection) -> bool:
    """Whether ``population``, fed by ``connection`` alone, sends its whole current in every step.

    Its neurons relay, no bias enters, and neither a step's current nor all of them together can reach a limit.
    """
    neuron = population.neuron
    if neuron is None or not neuron.relays or np.any(population.bias):
        return False
    source, counts = network.population(connection.source), population.count_range
    low, high = bound_current(connection, *bound_payloads(network, source))
    if low.min() < neuron.payload_min or high.max() > neuron.payload_max:
        return False
    if counts is None:
        return True
    # an unbounded source may add up to anything
    if source.count_range is None:
        return False
    # a step within its limits is not enough: the running count may bind after several
    low, high = bound_current(connection, *source.count_range)
    return bool(low.min() >= counts[0] and high.max() <= counts[1])


def divides_exactly(theta_max: int, powers_of_two: bool, payload_max: int) -> bool:
    """Whether ``floor((v +- 1/2) * (1 / theta))`` in float32 is the exact payload.

    Multiplying by a power of two is exact. Otherwise the quotient lies at least ``1 / (2 theta)`` from every integer
    and is wrong by at most ``(payload + 1) * 2**-23``; beyond the largest payload it is clipped.
    """
    return powers_of_two or (payload_max + 1) * theta_max < 2**21
