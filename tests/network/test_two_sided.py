"""Two-sided neurons: the activation of a LeakyReLU in counts, a function of the total charge, under any schedule and in streams."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import floor
from typing import Any

import numpy as np
import pytest

from snn_deploy.arrays import Int64
from snn_deploy.backend.integer_ann import compute_integer_counts
from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.stream import open_stream
from snn_deploy.errors import NetworkError
from snn_deploy.network import artifact, dynamics
from snn_deploy.network.bounds import bound_population
from snn_deploy.network.constant_channels import find_constants
from snn_deploy.network.kernels import ConvKernel
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.network import Connection, Network, Output, Population
from snn_deploy.network.schedule import align, shuffle
from snn_deploy.network.streaming import prepare_stream
from snn_deploy.network.two_sided import TwoSided
from snn_deploy.testing import random_stimulus, random_two_sided

SLOPES = {100: Fraction(1, 100), 32: Fraction(1, 4), 8: Fraction(1), 4: Fraction(2)}
"""Slope by ``theta_below``, of neurons with a threshold of 8; 100 stands for one of 800."""


def make(payload: int = 40, fewest: int = -10, most: int = 30, hold: int = 0) -> TwoSided:
    theta = np.full(4, 8)
    below = np.array([800, 32, 8, 4])
    return TwoSided(
        theta,
        theta // 2,
        -payload,
        payload,
        fewest,
        most,
        theta_below=below,
        offset_below=below // 2 - theta // 2,
        hold=hold,
    )


def sweep(neuron: TwoSided, sums: Int64) -> Int64:
    """Counts (4, n) after one step from rest with every one of ``sums`` (n,)."""
    v = np.broadcast_to(neuron.v0[:, None, None], (4, 1, sums.size)).astype(np.int64)
    left, count, payload = neuron.step(v, np.zeros_like(v), np.broadcast_to(sums, v.shape))
    assert np.array_equal(left, v + sums)
    assert np.array_equal(count, payload)
    return count[:, 0]


def test_counts_are_the_activation_rounded_to_the_nearest_and_clipped() -> None:
    sums = np.arange(-1400, 400)
    counts = sweep(make(), sums)
    for channel, slope in enumerate(SLOPES.values()):
        activations = [Fraction(int(each), 8) * (slope if each < 0 else 1) for each in sums]
        right = [min(max(floor(each + Fraction(1, 2)), -10), 30) for each in activations]
        assert counts[channel].tolist() == right
    assert counts.min() == -10
    assert counts[0].min() == -2


def test_two_ladders_of_compares_and_subtractions_say_the_same() -> None:
    neuron, v = make(), np.broadcast_to(np.arange(-9000, 500), (4, 1, 9500))
    above = dynamics.fire_ladder(np.maximum(v, 0), neuron.theta[:, None, None], 5, strict=False)
    lowered = v + neuron.offset_below[:, None, None]
    theta = neuron.theta_below[:, None, None]
    below = dynamics.fire_ladder(np.maximum(theta - 1 - lowered, 0), theta, 11, strict=False)
    assert np.array_equal(neuron.settle(v), np.minimum(above, 30) - np.minimum(below, 10))


def test_a_count_is_sent_in_several_steps_and_taken_back() -> None:
    neuron = make(payload=3)
    v, count = np.full((4, 1, 1), 4), np.zeros((4, 1, 1), np.int64)
    sent = []
    for current in (80, 0, 0, 0, -160, 0, 0, 0, 0, 0, 0, 0, 0):
        v, count, payload = neuron.step(v, count, np.full_like(v, current))
        sent.append(payload[:, 0, 0].tolist())
        assert np.abs(payload).max() <= 3
    assert np.array_equal(count, neuron.settle(np.full_like(v, 4 - 80)))
    assert sent[3] == [1, 1, 1, 1]
    assert count[:, 0, 0].tolist() == [0, -2, -10, -10]
    assert neuron.settles


def test_small_changes_wait() -> None:
    neuron = make(hold=2)
    v, count = np.full((4, 1, 1), 4), np.zeros((4, 1, 1), np.int64)
    v, count, payload = neuron.step(v, count, np.full_like(v, 16))
    assert not payload.any()
    v, count, payload = neuron.step(v, count, np.full_like(v, 8))
    assert payload[:, 0, 0].tolist() == [3, 3, 3, 3]
    assert (neuron.holds_back, neuron.staircases) == (True, ())
    assert make().holding(2).hold == 2


@pytest.mark.parametrize("payload", [None, 4])
@pytest.mark.parametrize("seed", range(3))
def test_counts_under_any_schedule_are_those_of_the_integer_network(seed: int, payload: int | None) -> None:
    network, reference = random_two_sided(seed, payload=payload), load_backend("reference")
    stimulus = random_stimulus(network, seed)
    right = compute_integer_counts(network, stimulus)
    assert min(int(counts.min()) for name, counts in right.items() if name.startswith("enc")) < 0
    for each in (network, shuffle(network, seed), shuffle(network, seed + 100)):
        counts = reference.run(each, stimulus).counts
        assert [name for name, values in right.items() if not np.array_equal(values, counts[name])] == []


def test_streams_count_as_still_images_do() -> None:
    network = prepare_stream(random_two_sided(1))
    streams = [open_stream(load_backend(name), network, batch=2) for name in ("reference", "cpu")]
    for seed in (0, 1, 1, 2):
        frame = random_stimulus(network, seed)
        right = compute_integer_counts(network, frame)
        for stream in streams:
            counts = stream.push(frame).counts
            assert [name for name, values in right.items() if not np.array_equal(values, counts[name])] == []


def test_nothing_is_subtracted_from_membranes() -> None:
    """In a stream, too, a membrane is bounded by the sums of its inputs, whatever was sent before."""
    network = random_two_sided(0)
    stream = prepare_stream(network)
    for population in network.populations[1:]:
        if isinstance(population.neuron, TwoSided):
            assert bound_population(network, population).membrane == bound_population(stream, population).membrane


def test_an_artifact_holds_it() -> None:
    network = random_two_sided(2)
    loaded = artifact.decode(artifact.encode(network))
    assert artifact.encode(loaded) == artifact.encode(network)
    (name, neuron), *_ = [(each.name, each.neuron) for each in loaded.populations if isinstance(each.neuron, TwoSided)]
    own = network.population(name).neuron
    assert isinstance(own, TwoSided)
    assert np.array_equal(neuron.theta_below, own.theta_below)
    assert np.array_equal(neuron.offset_below, own.offset_below)
    held = prepare_stream(network, hold=2)
    assert artifact.encode(artifact.decode(artifact.encode(held))) == artifact.encode(held)


def test_channels_are_chosen_with_all_their_numbers() -> None:
    chosen = make().channels(np.array([3, 0]))
    assert chosen.theta_below.tolist() == [4, 800]
    assert chosen.offset_below.tolist() == [-2, 396]
    assert make().largest_constant == 800
    assert not make().discharge.any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"theta_below": np.ones(3, np.int64)}, r"theta_below \(3,\) and offset_below \(4,\) must be \(4,\)$"),
        ({"theta_below": np.zeros(4, np.int64)}, "thresholds below zero must lie in 1..8388607$"),
        ({"offset_below": np.full(4, -9)}, "not below -theta, else a membrane counts on both sides$"),
        ({"offset_below": np.full(4, STATE_MAX + 1)}, "offsets below zero must lie in .*both sides$"),
        ({"count_min": 0}, "payload_min and count_min must be below 0$"),
        ({"payload_min": 0}, "payload_min and count_min must be below 0$"),
        ({"count_min": None, "count_max": None}, "payload_min and count_min must be below 0$"),
        ({"strict": True}, "fires at its thresholds and is not reset$"),
        ({"reset": "zero"}, "fires at its thresholds and is not reset$"),
        ({"hold": 40}, "hold 40 must lie in 0..39, below the largest payload$"),
    ],
)
def test_what_it_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        replace(make(), **changes)


def test_offsets_at_their_limit_count_on_one_side_only() -> None:
    neuron = replace(make(), offset_below=np.full(4, -8))
    v = np.arange(-100, 100)[None, None, :]
    above, below = (side.count(np.broadcast_to(v, (4, 1, 200))) for side in neuron.sides)
    assert not np.any((above != 0) & (below != 0))


def test_slopes_below_zero_of_gradients() -> None:
    """Within its counts a neuron has the slope of its side, beyond them none."""
    torch = pytest.importorskip("torch", reason="torch is absent: fine-tuning needs the extra train")
    from snn_deploy.finetuning.firing import find_slope

    neuron, network = make(), random_two_sided(0)
    sums = torch.tensor([-9000.0, -300.0, -3.0, 3.0, 200.0, 400.0]).expand(1, 4, 1, 6)
    slopes = find_slope(neuron, sums, network)[0, :, 0]
    assert slopes[0].tolist() == pytest.approx([0, 1 / 800, 1 / 800, 1 / 8, 1 / 8, 0])
    assert slopes[1].tolist() == pytest.approx([0, 1 / 32, 1 / 32, 1 / 8, 1 / 8, 0])
    assert slopes[3].tolist() == pytest.approx([0, 0, 1 / 4, 1 / 8, 1 / 8, 0])


def test_offsets_that_float32_does_not_hold_take_float64() -> None:
    from snn_deploy.network.bounds import Bound
    from snn_deploy_cpu.conv.exactness import offsets_fit_float32

    steep = replace(make(), offset_below=np.full(4, -2))
    assert offsets_fit_float32(make().channels(np.array([0, 1])), Bound("a", 0, STATE_MAX))
    assert offsets_fit_float32(steep, Bound("a", 0, STATE_MAX - 2))
    assert not offsets_fit_float32(steep, Bound("a", 0, STATE_MAX - 1))
    assert not offsets_fit_float32(steep, Bound("a", 0, None))


@pytest.mark.parametrize(("bias", "silent"), [(0, False), (30, False), (46, False), (47, True)])
def test_channels_that_never_count(bias: int, silent: bool) -> None:
    """With a slope above 1 negative counts begin at a membrane above 0, and nothing is counted from there to theta."""
    neuron = TwoSided(
        np.array([100]), np.array([50]), -9, 9, -9, 9, theta_below=np.array([4]), offset_below=np.array([2 - 50 - 50])
    )
    source = Population("input", (1, 2, 2), None, np.zeros((1, 1, 1), np.int64), np.ones(1), input_max=1)
    target = Population("a", (1, 2, 2), neuron, np.full((1, 1, 1), bias + 1), np.ones(1))
    still = Connection("input->a", "input", "a", ConvKernel(np.ones((1, 1, 1, 1), np.int8)))
    network = align(Network("steep", "exact", 1, (source, target), (still,), (Output("y", "a"),)))
    counted = load_backend("reference").run(network, np.array([[[[0, 1], [0, 1]]]])).counts["a"]
    assert bool(np.any(counted)) is not silent
    assert (0 in find_constants(network)["a"]) is silent
