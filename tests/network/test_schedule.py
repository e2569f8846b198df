"""Schedules: depths, alignment, the length of the window, and counts that no schedule changes."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from snn_deploy.backend.protocol import Record
from snn_deploy.backend.registry import load_backend
from snn_deploy.errors import BackendError, NetworkError
from snn_deploy.network import dynamics
from snn_deploy.network.kernels import ConvKernel, identity
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Connection, Network, Output, Population
from snn_deploy.network.neuron import Neuron
from snn_deploy.network.schedule import align, bound_free_window, bound_window, measure_depths, shuffle
from snn_deploy.testing import random_stimulus, random_unet

REFERENCE = load_backend("reference")


def test_depth_is_the_longest_path() -> None:
    edges = [("in", "a"), ("a", "b"), ("b", "c"), ("a", "c"), ("in", "c"), ("c", "d")]
    assert measure_depths(["in", "a", "b", "c", "d"], edges) == {"in": 0, "a": 1, "b": 2, "c": 3, "d": 4}


def test_alignment_makes_skip_and_decoder_meet() -> None:
    network = random_unet(size=8, width=2)
    assert network.aligned
    start = {population.name: population.start for population in network.populations}
    delay = {connection.name: connection.delay for connection in network.connections}
    assert start["dec"] == 8
    assert delay["up1->dec"] == 1
    assert delay["enc1/b->dec"] == 6
    assert delay["input->output"] == 9
    assert align(shuffle(network, 1)).connections[8].delay == network.connections[8].delay


def test_one_step_is_enough_when_a_payload_holds_the_whole_count() -> None:
    assert random_unet(levels=63).steps == 1
    assert random_unet("rate", steps=9).steps == 9


@pytest.mark.parametrize("payload", [1, 2, 5, 14, 15])
def test_windows_of_small_payloads_end_silent_with_the_counts_of_whole_payloads(payload: int) -> None:
    """The reference refuses a run that does not end silent, so the window is long enough; and counts are the same."""
    for seed in range(3):
        whole = random_unet("exact", seed, size=8, width=2, levels=15)
        small = random_unet("exact", seed, size=8, width=2, levels=15, payload=payload)
        stimulus = random_stimulus(whole, seed)
        expected, got = REFERENCE.run(whole, stimulus), REFERENCE.run(small, stimulus)
        assert (payload == 15) == (small.steps == 1)
        for name in expected.counts:
            assert np.array_equal(expected.counts[name], got.counts[name]), name


def test_shuffled_delays_are_every_one_up_to_the_longest() -> None:
    network = random_unet("exact", 0)
    found = {edge.delay for seed in range(40) for edge in shuffle(network, seed, longest_delay=3).connections}
    assert found == {1, 2, 3}


def test_a_shuffled_window_holds_a_count_that_is_sent_one_by_one() -> None:
    """15 counts take 15 steps, whatever the delay; the reference refuses a run that does not end silent."""
    zeros, unit = np.zeros((1, 1, 1), np.int64), np.ones(1)
    populations = (
        Population("in", (1, 1, 1), None, zeros, unit, input_min=-15, input_max=15),
        Population("n", (1, 1, 1), MultiThreshold(np.array([8]), np.array([0]), -1, 1, -15, 15), zeros, unit),
    )
    edge = Connection("in->n", "in", "n", identity(1, 8))
    network = shuffle(align(Network("n", "exact", 1, populations, (edge,), (Output("y", "n"),))), seed=0)
    for image in (-15, 15):
        run = REFERENCE.run(network, np.full((1, 1, 1, 1), image))
        assert run.counts["n"].item() == image


@pytest.mark.parametrize("payload", [None, 3])
@pytest.mark.parametrize("seed", range(12))
def test_counts_do_not_depend_on_delays_or_starts(seed: int, payload: int | None) -> None:
    """The theorem of exact mode. Events do depend on the schedule, so equality here is not equality of runs."""
    network = random_unet("exact", seed, size=8, width=2, levels=15, payload=payload)
    stimulus = random_stimulus(network, seed)
    shuffled = shuffle(network, seed + 100)
    assert not shuffled.aligned
    expected, got = REFERENCE.run(network, stimulus), REFERENCE.run(shuffled, stimulus)
    for name in expected.counts:
        assert np.array_equal(expected.counts[name], got.counts[name]), name
    assert any(not np.array_equal(expected.events[name], got.events[name]) for name in expected.events)


def test_a_wrong_weight_does_change_counts() -> None:
    """What makes the test above able to fail."""
    network = random_unet(size=8, width=2)
    first = network.connections[0]
    assert isinstance(first.kernel, ConvKernel)
    weight = first.kernel.weight.copy()
    weight[0, 0, 1, 1] += 1
    kernel = replace(first.kernel, weight=weight)
    wrong = shuffle(replace(network, connections=(replace(first, kernel=kernel), *network.connections[1:])), 1)
    stimulus = random_stimulus(network)
    expected, got = REFERENCE.run(network, stimulus), REFERENCE.run(wrong, stimulus)
    assert not np.array_equal(expected.counts["enc1/a"], got.counts["enc1/a"])


def test_aligned_runs_of_rate_mode_equal_layers_run_one_after_the_other() -> None:
    """Each population driven alone by the recorded trains of its sources gives its own recorded train."""
    network = random_unet("rate", 4, size=8, width=2, steps=6)
    run = REFERENCE.run(network, random_stimulus(network), Record.TRAINS)
    assert run.trains is not None
    for population, incoming in network.layers():
        assert population.neuron is not None
        v = dynamics.initialize_membrane(population, 2)
        count = np.zeros_like(v)
        for step in range(network.steps):
            total = sum(
                dynamics.transmit(connection, run.trains[connection.source][:, step].astype(np.int64))
                for connection in incoming
            )
            v, count, payload = dynamics.advance(population.neuron, v, count, total + population.bias)
            assert np.array_equal(payload, run.trains[population.name][:, step]), (population.name, step)


def test_a_missing_skip_delay_changes_trains_in_rate_mode() -> None:
    network = random_unet("rate", 4, size=8, width=2, steps=6)
    skip = next(connection for connection in network.connections if connection.name == "enc1/b->dec")
    early = replace(
        network,
        connections=tuple(
            replace(connection, delay=1) if connection is skip else connection for connection in network.connections
        ),
    )
    stimulus = random_stimulus(network)
    expected, got = REFERENCE.run(network, stimulus, Record.TRAINS), REFERENCE.run(early, stimulus, Record.TRAINS)
    assert expected.trains is not None
    assert got.trains is not None
    assert not np.array_equal(expected.trains["dec"], got.trains["dec"])
    assert np.array_equal(expected.trains["up1"], got.trains["up1"])


def test_shuffling_is_repeatable_and_differs_by_seed() -> None:
    network = random_unet(size=8)
    delays = [[connection.delay for connection in shuffle(network, seed).connections] for seed in (1, 1, 2)]
    assert delays[0] == delays[1] != delays[2]
    assert all(1 <= delay <= 5 for delay in delays[2])
    assert all(population.start == 0 for population in shuffle(network, 1).populations)


def test_rate_mode_is_not_shuffled() -> None:
    with pytest.raises(NetworkError, match=r"independent of the schedule; rate mode keeps its own$"):
        shuffle(random_unet("rate", size=8), 0)


def chain(*neurons: Neuron) -> Network:
    """One pixel through ``neurons``, one after the other."""
    zero, one = np.zeros((1, 1, 1), np.int64), np.ones(1)
    names = ["in", *(f"n{index}" for index in range(len(neurons)))]
    return Network(
        "chain",
        "exact",
        1,
        (
            Population("in", (1, 1, 1), None, zero, one, input_min=-99, input_max=99),
            *(Population(name, (1, 1, 1), neuron, zero, one) for name, neuron in zip(names[1:], neurons, strict=True)),
        ),
        tuple(Connection(f"{a}->{b}", a, b, identity(1)) for a, b in pairwise(names)),
        (Output("y", names[-1]),),
    )


def _neuron(payload_min: int, payload_max: int, count_min: int, count_max: int) -> Neuron:
    return MultiThreshold(np.ones(1, np.int64), np.zeros(1, np.int64), payload_min, payload_max, count_min, count_max)


@pytest.mark.parametrize(
    ("neurons", "steps"),
    [
        ([_neuron(-9, 9, 0, 9)], 1),
        ([_neuron(-9, 9, -9, 9)], 1),
        ([_neuron(-3, 3, 0, 9)], 3),
        ([_neuron(-3, 3, -9, 9)], 3),
        ([_neuron(0, 4, 0, 9)], 3),
        ([_neuron(-3, 3, 0, 9), _neuron(-9, 9, 0, 9)], 3),
        ([_neuron(-3, 3, 0, 9), _neuron(-9, 9, -9, 9)], 4),
        ([_neuron(-3, 3, 0, 9), _neuron(-1, 9, 0, 9)], 11),
        ([_neuron(-9, 9, 0, 9), _neuron(-2, 2, 0, 9), _neuron(-3, 3, 0, 9)], 7),
    ],
)
def test_windows_worked_by_hand(neurons: list[Neuron], steps: int) -> None:
    assert align(chain(*neurons)).steps == steps


@pytest.mark.parametrize(
    ("neurons", "delay", "steps"),
    [
        ([_neuron(-9, 9, 0, 9)], 1, 1 * (1 + 1) + 1),
        ([_neuron(-3, 3, 0, 9)], 4, 1 * (4 + 3) + 1),
        ([_neuron(-9, 9, 0, 9), _neuron(-2, 2, 0, 9)], 3, 2 * (3 + 5) + 1),
    ],
)
def test_a_free_window_waits_for_the_slowest_at_every_depth(neurons: list[Neuron], delay: int, steps: int) -> None:
    network = chain(*neurons)
    slow = [replace(connection, delay=delay) for connection in network.connections]
    assert bound_free_window(network.populations, slow) == steps


def test_a_window_that_is_too_short_is_an_error_and_never_a_short_count() -> None:
    network = align(chain(_neuron(-3, 3, 0, 9)))
    nine = np.full((1, 1, 1, 1), 9, np.int64)
    assert REFERENCE.run(network, nine).counts["n0"].item() == 9
    with pytest.raises(
        BackendError, match=r"^exact mode is not silent after 3 steps: n0; the schedule's window is too short$"
    ):
        REFERENCE.run(replace(network, steps=2), nine)


def test_an_event_outside_of_a_window_is_an_error_though_the_run_goes_on() -> None:
    """It arrives, or is sent, after its population's window has closed while another window is open: no count would include it."""
    first, last = _neuron(-9, 9, 0, 9), _neuron(-9, 9, 0, 9)
    source, one, two = chain(first, last).populations
    network = replace(
        chain(first, last),
        populations=(source, replace(one, start=1), replace(two, start=6)),
        connections=(
            Connection("late", "in", "n0", identity(1), delay=3),
            Connection("on time", "in", "n1", identity(1), delay=6),
        ),
    )
    for backend in (REFERENCE, load_backend("cpu")):
        with pytest.raises(
            BackendError, match=r"^exact mode is not silent after 7 steps: n0; the schedule's window is too short$"
        ):
            backend.run(network, np.full((1, 1, 1, 1), 9, np.int64))
        assert backend.run(replace(network, steps=3), np.full((1, 1, 1, 1), 9, np.int64)).counts["n0"].item() == 9


def test_a_neuron_that_cannot_take_spikes_back_needs_its_input_whole() -> None:
    """Behind a source of several steps it would keep a count that the sum no longer holds."""
    network = chain(_neuron(-3, 3, 0, 9), _neuron(0, 9, 0, 9))
    with pytest.raises(NetworkError, match=r"^n1: cannot take spikes back \(payload_min 0\), yet n0 sends for 3 steps"):
        align(network)
    with pytest.raises(NetworkError, match=r"^n0: cannot take spikes back \(payload_min 0\), and a free schedule"):
        shuffle(chain(_neuron(0, 9, 0, 9)), 0)
    assert align(chain(_neuron(-9, 9, 0, 9), _neuron(0, 9, 0, 9))).steps == 1


def test_what_it_would_count_otherwise() -> None:
    """A skip brings 9, then a slow inhibitory path takes 9 back: a signed neuron ends at 0, the other keeps 9."""
    slow, fast = _neuron(-3, 3, 0, 9), _neuron(-9, 9, 0, 9)
    for low, count in ((-9, 0), (0, 9)):
        net = chain(slow, replace(fast, payload_min=low))
        skip = Connection("in->n1", "in", "n1", identity(1))
        slow_path = replace(net.connections[1], kernel=identity(1, -1))
        net = replace(net, connections=(net.connections[0], slow_path, skip), steps=9)
        assert REFERENCE.run(net, np.full((1, 1, 1, 1), 9, np.int64)).counts["n1"].item() == count


def test_exact_mode_needs_count_limits_to_end() -> None:
    one = np.ones(1, np.int64)
    populations = {
        "in": chain(_neuron(0, 9, 0, 9)).input,
        "a": Population("a", (1, 1, 1), MultiThreshold(one, 0 * one, 0, 9), np.zeros((1, 1, 1), np.int64), np.ones(1)),
    }
    with pytest.raises(NetworkError, match="^a: exact mode needs count limits$"):
        bound_window(populations, [("in", "a")], "exact", 1)
