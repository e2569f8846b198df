"""The static overflow proof against brute force: never exceeded, and reached by one-layer networks."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snn_deploy.arrays import Int64
from snn_deploy.backend.protocol import Record
from snn_deploy.backend.registry import load_backend
from snn_deploy.errors import OverflowProofError
from snn_deploy.network import dynamics
from snn_deploy.network.bounds import (
    Arrival,
    Bound,
    bound_current,
    bound_payloads,
    bound_population,
    bound_states,
    prove,
    sum_weights,
)
from snn_deploy.network.kernels import ConvKernel, Kernel, SpatialKernel, TransposedKernel, identity
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Connection, Mode, Network, Output, Population
from snn_deploy.network.schedule import align, shuffle
from snn_deploy.testing import random_stimulus, random_unet


def one_layer(
    kernel: Kernel, shape: tuple[int, int, int], low: int, high: int, bias: int = 0, exponent: int = 0
) -> Network:
    """Input payloads ``low..high`` into one exact layer of large counts."""
    target = kernel.output_shape(shape)
    theta = np.full(target[0], 16)
    neuron = MultiThreshold(theta, theta // 2, -STATE_MAX, STATE_MAX, 0, STATE_MAX)
    zeros = np.zeros((shape[0], 1, 1), np.int64)
    return align(
        Network(
            "one",
            "exact",
            1,
            (
                Population("in", shape, None, zeros, np.ones(shape[0]), input_min=low, input_max=high),
                Population("a", target, neuron, np.full((target[0], 1, 1), bias), np.ones(target[0])),
            ),
            (Connection("in->a", "in", "a", kernel, exponent),),
            (Output("y", "a"),),
        )
    )


def brute_force(kernel: Kernel, shape: tuple[int, int, int], low: int, high: int) -> tuple[int, int]:
    """Least and greatest current over all payload patterns made of ``low`` and ``high``, tried one by one."""
    patterns = np.array(list(itertools.product((low, high), repeat=int(np.prod(shape)))), np.int64)
    currents = dynamics.apply(kernel, patterns.reshape(-1, *shape))
    return int(currents.min()), int(currents.max())


@given(st.integers(0, 2**16), st.sampled_from(["conv", "transposed", "pixels"]), st.integers(-9, 0), st.integers(1, 9))
def test_a_one_layer_bound_is_the_exact_extreme_over_all_inputs(seed: int, kind: str, low: int, high: int) -> None:
    """Every extreme pattern of 8 or 9 payloads is tried; 0 counts as a payload, so ends that exclude it are widened."""
    rng = np.random.default_rng(seed)
    shape = (2, 2, 2) if kind == "conv" else (1, 3, 3)
    kernel: Kernel
    if kind == "conv":
        kernel = ConvKernel(rng.integers(-128, 128, (1, 2, 2, 2)).astype(np.int8))
    elif kind == "transposed":
        kernel = TransposedKernel(rng.integers(-128, 128, (1, 1, 3, 3)).astype(np.int8), (2, 2))
    else:
        kernel = SpatialKernel(
            (3, 3), (1, 1), np.array([0, 9]), np.arange(9), rng.integers(-128, 128, 9).astype(np.int8)
        )
    least, greatest = brute_force(kernel, shape, low, high)
    got_least, got_greatest = bound_current(Connection("c", "in", "a", kernel, 3), low, high)
    if kind == "transposed":  # four phases: positive and negative sums are maximized apart, over all of them
        assert got_least.min() <= 8 * least
        assert got_greatest.max() >= 8 * greatest
    else:
        assert (int(got_least.min()), int(got_greatest.max())) == (8 * least, 8 * greatest)


size = st.integers(1, 4)


@given(st.integers(0, 2**16), st.tuples(size, size), st.tuples(size, size), st.tuples(size, size))
def test_transposed_sums_are_those_of_the_taps_that_meet(
    seed: int, strides: tuple[int, int], taps: tuple[int, int], gaps: tuple[int, int]
) -> None:
    """All-ones input in the middle of a large map: every phase appears, and positive weights alone give its sum."""
    rng = np.random.default_rng(seed)
    weight = np.abs(rng.integers(-127, 128, (4, 2, *taps))).astype(np.int8)
    kernel = TransposedKernel(weight, strides, dilations=gaps, groups=2)
    ones = np.ones((1, 4, 18, 18), np.int64)
    reached = dynamics.apply(kernel, ones).max((0, 2, 3))
    positive, negative = sum_weights(kernel)
    assert np.array_equal(positive, reached)
    assert np.array_equal(negative, np.zeros(4))


@pytest.mark.parametrize(("low", "high", "bias"), [(0, 255, 100), (-255, 255, 0), (-7, 0 + 1, -50), (0, 1, 12345)])
def test_an_adversarial_image_reaches_the_one_layer_bound(low: int, high: int, bias: int) -> None:
    """Current and membrane of the proof equal those of the payload pattern chosen sign by sign."""
    rng = np.random.default_rng(3)
    weight = rng.integers(-128, 128, (3, 2, 3, 3)).astype(np.int8)
    network = one_layer(ConvKernel(weight), (2, 3, 3), low, high, bias, exponent=2)
    worst = []
    for out in range(3):
        for toward in (low, high), (high, low):
            image = np.where(weight[out] < 0, *toward)[None].astype(np.int64)
            worst.append(int(dynamics.transmit(network.connections[0], image)[0, out, 0, 0]) + bias)
            worst.append(worst[-1] - bias)
    result = bound_population(network, network.population("a"))
    assert result.current == max(map(abs, worst))
    assert result.membrane == max(abs(value + 8) for value in worst)


@given(st.integers(0, 500), st.sampled_from(["exact", "steps", "shuffled", "rate"]))
def test_no_run_ever_leaves_the_bounds(seed: int, kind: str) -> None:
    """Random U-Nets under extreme payloads, aligned, in several steps, shuffled, and in rate mode."""
    mode: Mode = "rate" if kind == "rate" else "exact"
    network = random_unet(mode, seed, size=8, width=2, levels=7, payload=2 if kind in {"steps", "shuffled"} else None)
    if kind == "shuffled":
        network = shuffle(network, seed)
    rng = np.random.default_rng(seed)
    low, high = network.input.payload_range
    stimulus = rng.choice(np.array([low, 0, high]), (2, *network.input.shape))
    run = load_backend("reference").run(network, stimulus, Record.STATES)
    assert run.trains is not None
    assert run.states is not None
    for population, _ in network.layers():
        assert population.neuron is not None
        limits = bound_population(network, population)
        train, state = run.trains[population.name].astype(np.int64), run.states[population.name].astype(np.int64)
        membrane = state + train * population.neuron.theta[:, None, None]
        before = np.roll(state, 1, 1)
        before[:, 0] = membrane[:, 0] if population.start else population.neuron.v0[:, None, None]
        assert np.abs(membrane - before).max() <= limits.current
        if mode == "exact":
            assert limits.membrane is not None
            assert np.abs(membrane).max() <= limits.membrane
            assert run.saturations[population.name] == 0


def test_a_free_schedule_reaches_the_membrane_bound() -> None:
    """A signed relay says 9, so the neuron fires all it may; then it says -18 at once, before anything is taken back."""
    zero, one = np.zeros((1, 1, 1), np.int64), np.ones(1)
    relay = MultiThreshold(np.array([1]), np.array([0]), -18, 18, -9, 9)
    neuron = MultiThreshold(np.array([100]), np.array([0]), -18, 18, 0, 9)
    network = Network(
        "turn",
        "exact",
        4,
        (
            Population("in", (1, 1, 1), None, zero, one, input_min=-9, input_max=9),
            Population("relay", (1, 1, 1), relay, zero, one),
            Population("n", (1, 1, 1), neuron, zero, one),
        ),
        (
            Connection("first", "in", "relay", identity(1), delay=1),
            Connection("then", "in", "relay", identity(1, -2), delay=2),
            Connection("relay->n", "relay", "n", identity(1, 100)),
        ),
        (Output("y", "n"),),
    )
    run = load_backend("reference").run(network, np.full((1, 1, 1, 1), 9, np.int64), Record.STATES)
    assert run.trains is not None
    assert run.states is not None
    membrane = run.states["n"].astype(np.int64) + 100 * run.trains["n"]
    assert membrane.reshape(-1).tolist() == [0, 0, 900, -1800]
    assert bound_population(network, network.population("n")).membrane == 1800


def test_one_shot_bounds_are_no_looser_than_those_of_any_schedule() -> None:
    network = random_unet(size=8, width=2)
    free = shuffle(network, 0)
    for population in network.populations[1:]:
        tight, loose = bound_population(network, population), bound_population(free, free.population(population.name))
        assert tight.current <= loose.current
        assert (tight.membrane or 0) <= (loose.membrane or 0)


def test_events_carry_no_more_than_payload_and_counts_allow() -> None:
    network = random_unet(size=8, width=2, levels=63, payload=10)
    dec = network.population("dec")
    assert not network.one_shot
    assert bound_payloads(network, dec) == (-10, 10)
    whole = random_unet(size=8, width=2, levels=63)
    assert bound_payloads(whole, whole.population("dec")) == (0, 63)
    free = shuffle(whole, 0)
    assert bound_payloads(free, free.population("dec")) == (-63, 63)
    rate = random_unet("rate", size=8)
    assert bound_payloads(rate, rate.population("dec")) == (0, 15)


def test_the_input_needs_no_proof() -> None:
    network = random_unet(size=8)
    assert bound_population(network, network.input) == Bound("input", 0, None)
    assert [bound.population for bound in prove(network)] == [population.name for population in network.populations[1:]]


def test_rate_mode_proves_the_current_only() -> None:
    assert all(item.membrane is None for item in prove(random_unet("rate", size=8)))


def test_headroom_counts_the_bits_left_of_23() -> None:
    assert Bound("a", STATE_MAX, None).headroom_bits == 0
    assert Bound("a", 1, 2**20 - 1).headroom_bits == pytest.approx(3, abs=1e-5)  # log2(8 + 7 / 2**20)
    assert Bound("a", 2**24, None).headroom_bits == pytest.approx(-1, abs=1e-5)


def test_a_proof_that_fails_names_every_population_and_the_bits_to_give_up() -> None:
    """127 * 255 * 2**8 + 8 is 8 290 568, still inside; one exponent more is outside by one bit, three more by three."""
    inside = one_layer(identity(1, 127), (1, 2, 2), 0, 255, exponent=8)
    assert prove(inside)[0] == Bound("a", 127 * 255 * 2**8, 127 * 255 * 2**8 + 8)
    for exponent, bits in ((9, 1), (11, 3)):
        outside = one_layer(identity(1, 127), (1, 2, 2), 0, 255, exponent=exponent)
        worst = 127 * 255 * 2**exponent + 8
        message = rf"^a: worst case {worst} exceeds 8388607 \(2\*\*23 - 1\); divide its .* by 2\*\*{bits} .*sources$"
        with pytest.raises(OverflowProofError, match=message):
            prove(outside)
    network = random_unet(size=8, width=2)
    loud = replace(network, connections=tuple(replace(connection, exponent=15) for connection in network.connections))
    with pytest.raises(OverflowProofError, match=r"^enc1/a: worst case .*; enc1/b: worst case .*; output: worst case"):
        prove(loud)


def test_random_stimuli_stay_inside_what_is_proved() -> None:
    network = random_unet(size=8, width=2)
    stimulus = random_stimulus(network)
    assert network.input.input_min <= stimulus.min() < 0 < stimulus.max() <= network.input.input_max


class Offset(MultiThreshold):
    """With a bias that bypasses the synapses."""

    @property
    def membrane_bias(self) -> Int64:
        return np.array([7, -9])


@pytest.mark.parametrize("one_shot", [True, False])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("kind", "offset"), [(MultiThreshold, (0, 0)), (Offset, (7, -9))])
def test_every_channel_has_its_own_bound(
    one_shot: bool, sign: int, kind: type[MultiThreshold], offset: tuple[int, int]
) -> None:
    """Weights 1 and -3 times 2, payloads -5..7, counts -2..9 of the source and -1..4 here; biases differ in channel and pixel."""
    neuron = kind(np.array([10, 20]), np.array([1, -2]), -9, 9, -1, 4)
    bias = sign * np.array([[[-50, -60]], [[30, 20]]])
    population = Population("a", (2, 1, 2), neuron, bias, np.ones(2))
    kernel = ConvKernel(np.array([1, -3], np.int8).reshape(2, 1, 1, 1))
    arrival = Arrival(Connection("c", "in", "a", kernel, 1), (-5, 7), (-2, 9))
    current, membrane = bound_states(population, [arrival], mode="exact", one_shot=one_shot)
    assert membrane is not None
    for channel, (weight, theta, v0) in enumerate(((2, 10, 1), (-6, 20, -2))):
        biases = [0, *bias[channel].ravel().tolist()]
        currents = [b + weight * payload for b in (min(biases), max(biases)) for payload in (-5, 7)]
        assert current[channel] == max(map(abs, currents))
        held = [
            v0 + b + o + weight * count - theta * own
            for b in (min(biases), max(biases))
            for o in (0, offset[channel])
            for count in (-2, 9)
            for own in ((0,) if one_shot else (-1, 4))
        ]
        assert membrane[channel] == max(map(abs, held))
    assert bound_states(population, [arrival], mode="rate", one_shot=one_shot)[1] is None
