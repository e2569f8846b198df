"""The limits of each number format, by cases on both sides of them, and what would go wrong beyond."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from snn_deploy.network.bounds import Bound
from snn_deploy.network.kernels import ConvKernel
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Connection, Network, Output, Population
from snn_deploy_cpu.conv.exactness import divides_exactly, fits_float32, fits_float64, passes_through


@pytest.mark.parametrize(
    ("current", "float32", "float64"),
    [
        (0, True, True),
        (2**23 - 1, True, True),
        (2**23, False, True),
        (2**25, False, True),
        (2**53 - 2**23 + 1, False, True),
        (2**53 - 2**23 + 2, False, False),
    ],
)
def test_currents_that_fit(current: int, float32: bool, float64: bool) -> None:
    """A current is added to a membrane of up to 2**23 - 1; beyond the limit the sum is an integer that the format lacks."""
    bound = Bound("population", current, None)
    assert (fits_float32(bound), fits_float64(bound)) == (float32, float64)
    total = current + STATE_MAX
    if float32:
        assert int(np.float32(current) + np.float32(STATE_MAX)) == total
    if float64:
        assert int(np.float64(current) + np.float64(STATE_MAX)) == total


def pointwise(*weights: int) -> ConvKernel:
    """One output of as many inputs as there are weights."""
    return ConvKernel(np.array(weights).reshape(1, -1, 1, 1))


@pytest.mark.parametrize(
    ("theta_max", "powers_of_two", "payload_max", "exact"),
    [
        (2**20 - 1, False, 1, True),
        (2**20, False, 1, False),
        (2**21 - 1, False, 0, True),
        (2**21, False, 0, False),
        (699, False, 2999, True),
        (700, False, 2999, False),
        (2**23 - 1, False, 7, False),
        (2**22, True, 2**23 - 1, True),
    ],
)
def test_thresholds_that_divide_exactly(theta_max: int, powers_of_two: bool, payload_max: int, exact: bool) -> None:
    assert divides_exactly(theta_max, powers_of_two, payload_max) == exact


@pytest.mark.parametrize("half", [0.5, -0.5])
@pytest.mark.parametrize(("theta", "payload_max"), [(3, 699049), (699, 2999), (1447, 1448), (2**20 - 1, 1)])
def test_quotients_within_the_limit_are_the_specifications(theta: int, payload_max: int, half: float) -> None:
    """Membranes next to every multiple of the threshold: where the quotient is closest to an integer."""
    assert divides_exactly(theta, False, payload_max)
    multiples = np.arange(-payload_max, payload_max + 2, dtype=np.int64) * theta
    v = np.concatenate([multiples - 1, multiples, multiples + 1])
    v = v[np.abs(v) <= STATE_MAX]
    quotient = np.floor((v.astype(np.float32) + np.float32(half)) * np.float32(1 / theta))
    expected = (v - (half < 0)) // theta
    np.testing.assert_array_equal(
        np.clip(quotient, -payload_max, payload_max), np.clip(expected, -payload_max, payload_max)
    )


def test_a_quotient_beyond_the_limit_is_wrong() -> None:
    """Why the limit is there: with payloads up to 2**26 / theta the float32 quotient misses an integer."""
    wrong = 0
    for theta in range(701, 1024, 2):
        multiples = np.arange(1, STATE_MAX // theta + 1, dtype=np.int64) * theta
        v = np.concatenate([multiples - 1, multiples])
        quotient = np.floor((v.astype(np.float32) + np.float32(0.5)) * np.float32(1 / theta))
        wrong += np.count_nonzero(quotient != v // theta)
    assert wrong > 0


def relay_network(
    weight: int = 2,
    exponent: int = 1,
    *,
    mode: str = "rate",
    source_counts: tuple[int, int] | tuple[None, None] = (None, None),
    **relay: object,
) -> Network:
    """A source of payloads -3..5 into a pointwise relay that multiplies by ``weight << exponent``."""
    one = np.ones(1, np.int64)
    options: dict[str, object] = {"theta": one, "v0": 0 * one, "payload_min": -100, "payload_max": 100} | relay
    bias = options.pop("bias", 0)
    source = MultiThreshold(one, 0 * one, -3, 5, *source_counts)
    return Network(
        "relay",
        mode,  # type: ignore[arg-type]
        1 if mode == "exact" else 3,
        (
            Population("input", (1, 1, 1), None, np.zeros((1, 1, 1), np.int64), np.ones(1), input_min=-9, input_max=9),
            Population("source", (1, 1, 1), source, np.zeros((1, 1, 1), np.int64), np.ones(1), 1),
            Population("relay", (1, 1, 1), MultiThreshold(**options), np.full((1, 1, 1), bias), np.ones(1), 2),  # type: ignore[arg-type]
        ),
        (
            Connection("first", "input", "source", pointwise(1), 0, 1),
            Connection("second", "source", "relay", pointwise(weight), exponent, 1),
        ),
        (Output("output", "relay"),),
    )


TWO = np.full(1, 2)


@pytest.mark.parametrize(
    ("relay", "expected"),
    [
        # reach of a step: 4 * (-3..5) = -12..20
        ({}, True),
        ({"payload_min": -12, "payload_max": 20}, True),
        ({"payload_min": -11, "payload_max": 20}, False),
        ({"payload_min": -12, "payload_max": 19}, False),
        ({"weight": -2, "payload_min": -20, "payload_max": 12}, True),
        ({"weight": -2, "payload_min": -19, "payload_max": 12}, False),
        ({"weight": -2, "payload_min": -20, "payload_max": 11}, False),
        ({"bias": 1}, False),
        ({"theta": TWO}, False),
        ({"v0": TWO}, False),
        ({"strict": True}, False),
        ({"reset": "zero"}, False),
        # counts of the source -6..7 reach -24..28 together; without limits they reach anything
        ({"count_min": -24, "count_max": 28, "source_counts": (-6, 7)}, True),
        ({"count_min": -23, "count_max": 28, "source_counts": (-6, 7)}, False),
        ({"count_min": -24, "count_max": 27, "source_counts": (-6, 7)}, False),
        ({"count_min": -24, "count_max": 28}, False),
        ({"source_counts": (-6, 7)}, True),
        # exact mode in one shot: payloads are whole counts, -2..4, which reach -8..16
        ({"mode": "exact", "count_min": -8, "count_max": 16, "source_counts": (-2, 4)}, True),
        ({"mode": "exact", "count_min": -8, "count_max": 15, "source_counts": (-2, 4)}, False),
        ({"mode": "exact", "count_min": -8, "count_max": 16, "payload_max": 15, "source_counts": (-2, 4)}, False),
    ],
    ids=str,
)
def test_populations_that_pass_sums_through(relay: dict[str, object], expected: bool) -> None:
    network = relay_network(**relay)  # type: ignore[arg-type]
    assert passes_through(network, network.population("relay"), network.connections[1]) == expected


def test_the_input_passes_nothing_through() -> None:
    network = relay_network()
    relay = replace(network.population("relay"), neuron=None, input_min=-100, input_max=100)
    assert not passes_through(network, relay, network.connections[1])
