"""Compiled steps against NumPy's and the specification, tile by tile and from any neuron on, with ``==``."""

from __future__ import annotations

import numpy as np
import pytest

from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy_cpu.neurons.multi_threshold import ThresholdNeurons
from snn_deploy_cpu.neurons.protocol import TILE, repeat_to_tile

CHANNELS, STEPS, DRIVEN = 7, 6, 4


@pytest.mark.parametrize(("channels", "tile"), [(1, TILE), (7, 292 * 7), (2048, 2048), (2049, 2049), (5000, 5000)])
def test_tiles_are_whole_pixels(channels: int, tile: int) -> None:
    repeated = repeat_to_tile(np.arange(channels))
    assert repeated.size == tile
    np.testing.assert_array_equal(
        repeated.reshape(-1, channels), np.broadcast_to(np.arange(channels), (tile // channels, channels))
    )


@pytest.mark.parametrize(
    ("reset", "counts", "hold"),
    [
        ("subtract", (None, None), 0),
        ("subtract", (-4, 9), 0),
        ("subtract", (-4, 9), 2),
        ("zero", (None, None), 0),
        ("zero", (-4, 9), 0),
    ],
)
@pytest.mark.parametrize("per_neuron", [True, False])
@pytest.mark.parametrize("same_current", [True, False])
@pytest.mark.parametrize("strict", [True, False])
def test_steps_are_the_specifications(
    reset: str,
    counts: tuple[int | None, int | None],
    per_neuron: bool,
    same_current: bool,
    strict: bool,
    hold: int,
    instruction_set: str,
) -> None:
    """More than one tile, from pixel 3 on, membranes at both limits of 24 bits among them."""
    rng, n, begin = np.random.default_rng(0), CHANNELS * 400, CHANNELS * 3
    total = n + CHANNELS * 5
    theta = rng.integers(1, 400, CHANNELS)
    neuron = MultiThreshold(theta, theta // 2, -9, 11, *counts, strict=strict, reset=reset, hold=hold)  # type: ignore[arg-type]
    bias = rng.integers(-300, 300, CHANNELS)
    neurons = ThresholdNeurons.of(neuron, bias, np.float32, np.float32, settles=False)
    v = rng.integers(-5000, 5000, total)
    v[begin : begin + 4] = STATE_MAX, -STATE_MAX, STATE_MAX - 1, 1 - STATE_MAX
    currents = rng.integers(-900, 900, (1 if same_current else STEPS, n))
    drive = rng.integers(-300, 300, total) if per_neuron else None
    found_v, payloads = v.astype(np.float32), np.full((STEPS, total), 99, np.int16)
    count = np.zeros(total, np.float32) if neurons.has_second_state else None

    saturated = neurons.step_many(
        found_v,
        count,
        currents.astype(np.float32),
        None if drive is None else drive.astype(np.float32),
        DRIVEN,
        payloads,
        begin,
    )

    here, expected, sums = slice(begin, begin + n), 0, np.zeros(n, np.int64)
    driven = np.tile(bias, n // CHANNELS) if drive is None else drive[here]
    membrane = v[here]
    for step in range(STEPS):
        current = currents[step % len(currents)] + (driven if step < DRIVEN else 0)
        expected += np.count_nonzero(np.abs(membrane + current) > STATE_MAX)
        shaped = (part.reshape(-1, CHANNELS, 1, 1) for part in (membrane, sums, current))
        membrane, sums, payload = (part.reshape(-1) for part in neuron.step(*shaped))
        np.testing.assert_array_equal(payloads[step, here], payload)
    np.testing.assert_array_equal(found_v[here], membrane)
    assert saturated == expected > 0
    untouched = np.r_[:begin, begin + n : total]
    np.testing.assert_array_equal(found_v[untouched], v[untouched])
    assert np.all(payloads[:, untouched] == 99)
    if count is not None:
        np.testing.assert_array_equal(count[here], sums)


@pytest.mark.parametrize(("limits", "payloads"), [((-4, 9), (-4, 9)), ((-20, 30), (-9, 11)), ((0, 11), (0, 11))])
def test_a_step_that_settles_has_limits_of_counts_in_its_payload(
    limits: tuple[int, int], payloads: tuple[int, int], instruction_set: str
) -> None:
    theta = np.full(CHANNELS, 8)
    neuron = MultiThreshold(theta, theta // 2, -9, 11, *limits)
    neurons = ThresholdNeurons.of(neuron, np.ones(CHANNELS, np.int64), np.float32, np.float32, settles=True)
    assert not neurons.has_second_state
    currents = np.arange(-100 * CHANNELS, 100 * CHANNELS, dtype=np.float32)
    out = np.zeros((1, currents.size), np.int16)
    assert neurons.step_once(currents, None, out, 0) == 0
    np.testing.assert_array_equal(out[0], np.clip((currents.astype(int) + 5) // 8, *payloads))


@pytest.mark.parametrize(
    ("v", "count", "fires"),
    [
        (7, 0, False),
        (8, 0, True),
        (-1, 0, True),
        (0, 0, False),
        (8, 9, False),
        (8, 8, True),
        (-1, -4, False),
        (-1, -3, True),
    ],
)
def test_neurons_that_would_fire(v: int, count: int, fires: bool) -> None:
    """In the last of 5000 neurons: a threshold of 8, counts from -4 to 9."""
    neuron = MultiThreshold(np.full(1, 8), np.zeros(1, np.int64), -9, 11, -4, 9)
    neurons = ThresholdNeurons.of(neuron, np.zeros(1, np.int64), np.float32, np.float32, settles=False)
    membranes, counts = np.zeros(5000, np.float32), np.zeros(5000, np.float32)
    membranes[-1], counts[-1] = v, count
    assert neurons.would_fire(membranes, counts) == fires


@pytest.mark.parametrize(
    ("counts", "reset", "fuses"),
    [((None, None), "subtract", True), ((-4, 9), "subtract", True), ((None, None), "zero", False)],
)
def test_what_compiled_convolutions_may_step(counts: tuple[int | None, int | None], reset: str, fuses: bool) -> None:
    neuron = MultiThreshold(np.full(1, 8), np.zeros(1, np.int64), -9, 11, *counts, reset=reset)  # type: ignore[arg-type]
    assert ThresholdNeurons.of(neuron, np.zeros(1, np.int64), np.float32, np.float32, settles=False).fuses == fuses
