"""Which number formats compute a connection exactly: proved from weights and payload limits, before anything runs.

* float32 holds every integer up to 2**24. :func:`snn_deploy.network.bounds.bound_population` bounds every partial sum of a
  population's current, in any order, so a bound below 2**23 makes each product, sum and ``v + current`` exact (``f32``).
* Kernels multiply 8-bit weights with payloads of 8 or 16 bits, sum in 32 and write float32 (``int8``): under the same bound,
  in which any sum in 32 bits is far from its end. Where two products or more are first added in 16 bits,
  :mod:`snn_deploy_cpu.conv.direct` and :mod:`snn_deploy_cpu.conv.sparse` prove how many.
* float64 holds every integer up to 2**53 (``f64``).
"""

from __future__ import annotations

import numpy as np

from snn_deploy.network.bounds import Bound, bound_current, bound_payloads
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.network import Connection, Network, Population
from snn_deploy.network.neuron import Neuron
from snn_deploy.network.two_sided import TwoSided

FLOAT32_EXACT = 2**24
"""float32 holds every integer up to here: 24 bits of significand."""

INT8_MAX, INT16_MAX = 2**7 - 1, 2**15 - 1
"""8 bits hold every integer of either sign up to here, and 16 bits."""

FLOAT64_EXACT = 2**53
"""float64 holds every integer up to here: 53 bits of significand."""


def fits_float32(bound: Bound) -> bool:
    """Whether currents, and ``v + current`` for every 24-bit membrane, are integers that float32 holds."""
    return bound.current <= STATE_MAX


def offsets_fit_float32(neuron: Neuron | None, bound: Bound) -> bool:
    """Whether ``v + offset_below + 1/2`` of a two-sided neuron is exact where it is below 0; above, it counts nothing.

    Halves are exact up to 2**23. Offsets are below 0 where a slope is above 1, and then take from what membranes may reach.
    """
    if not isinstance(neuron, TwoSided):
        return True
    lowest = STATE_MAX if bound.membrane is None else bound.membrane
    return lowest + max(0, -int(neuron.offset_below.min())) <= STATE_MAX


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
