"""Streams: every frame's counts are those of the integer network of that frame, whatever came before it."""

from dataclasses import replace
from random import Random

import numpy as np
import pytest

from snn_deploy.arrays import Int64
from snn_deploy.backend.integer_ann import compute_integer_counts
from snn_deploy.backend.protocol import Record
from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.stream import open_stream
from snn_deploy.errors import BackendError, NetworkError, OverflowProofError
from snn_deploy.network import artifact, dynamics
from snn_deploy.network.bounds import bound_payloads, bound_population
from snn_deploy.network.kernels import ConvKernel
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Connection, Network, Output, Population
from snn_deploy.network.schedule import align, shuffle
from snn_deploy.network.sigma_delta import SigmaDelta
from snn_deploy.network.streaming import hold_small_changes, prepare_stream
from snn_deploy.testing import draw_frames, draw_stream, random_stimulus, random_unet

REFERENCE = load_backend("reference")


def chain(weight: int, *neurons: MultiThreshold | SigmaDelta, most: int = 10) -> Network:
    """One pixel and one neuron after the other, the first with this weight and every other with 1."""
    zeros, unit = np.zeros((1, 1, 1), np.int64), np.ones(1)
    source = Population("in", (1, 1, 1), None, zeros, unit, input_min=-most, input_max=most)
    populations = [source, *(Population(f"n{i}", (1, 1, 1), n, zeros, unit) for i, n in enumerate(neurons))]
    edges = [
        Connection(
            f"c{i}", before.name, after.name, ConvKernel(np.full((1, 1, 1, 1), weight if i == 0 else 1, np.int8))
        )
        for i, (before, after) in enumerate(zip(populations, populations[1:], strict=False))
    ]
    return align(Network("chain", "exact", 1, tuple(populations), tuple(edges), (Output("out", populations[-1].name),)))


def signed(theta: int, levels: int, payload: int | None = None) -> MultiThreshold:
    """A neuron that counts from -levels to levels."""
    most = payload or levels
    return MultiThreshold(np.array([theta]), np.array([theta // 2]), -most, most, -levels, levels)


def push_all(network: Network, frames: list[Int64]) -> list[dict[str, Int64]]:
    stream = open_stream(REFERENCE, network, batch=len(frames[0]))
    return [dict(stream.push(frame).counts) for frame in frames]


@pytest.mark.parametrize("payload", [63, 5])
def test_every_frame_equals_the_integer_network_of_that_frame(payload: int) -> None:
    network = prepare_stream(random_unet("exact", 1, size=8, width=2, payload=payload))
    source = network.input
    shape = (2, *source.shape)
    frames = [random_stimulus(network, seed) for seed in range(2)]
    frames += [np.full(shape, source.input_max), np.full(shape, source.input_min), np.zeros(shape, np.int64), frames[0]]
    for frame, counts in zip(frames, push_all(network, frames), strict=True):
        for name, values in compute_integer_counts(network, frame).items():
            assert np.array_equal(counts[name], values), name


def test_a_neuron_sends_once_where_its_count_changes_and_else_never() -> None:
    """No stream that keeps the counts of the integer network sends fewer: a target learns of a change by an event."""
    network = prepare_stream(random_unet("exact", 1, size=8, width=2))
    stream, before = open_stream(REFERENCE, network), dict[str, Int64]()
    for frame in draw_frames(network, Random(3), 4, batch=1):
        run = stream.push(frame)
        for name, counts in run.counts.items():
            assert np.array_equal(run.events[name], counts != before.get(name, 0))
        before = dict(run.counts)


def test_streams_under_other_schedules_count_the_same() -> None:
    still = random_unet("exact", 4, size=8, width=2, levels=15, payload=7)
    for seed in range(2):
        network = prepare_stream(shuffle(still, seed))
        assert not network.aligned
        frames = draw_frames(network, Random(seed), 3)
        for frame, counts in zip(frames, push_all(network, frames), strict=True):
            expected = compute_integer_counts(network, frame)
            assert all(np.array_equal(counts[name], values) for name, values in expected.items())


def test_only_the_first_frame_has_biases_and_a_still_one_sends_nothing() -> None:
    network = prepare_stream(random_unet("exact", 2, size=8, width=2))
    stream, frame = open_stream(REFERENCE, network), random_stimulus(network, 2, 1)
    first, again = stream.push(frame), stream.push(frame)
    assert sum(int(events.sum()) for events in first.events.values()) > 100
    assert sum(int(events.sum()) for events in again.events.values()) == 0
    assert all(np.array_equal(first.counts[name], again.counts[name]) for name in first.counts)


def test_a_swing_takes_one_event() -> None:
    """Signed counts go from -N to N: with payloads of N alone they would end at 0."""
    network = prepare_stream(chain(8, signed(16, 5)))
    neuron = network.population("n0").neuron
    assert neuron is not None
    assert (network.steps, neuron.payload_min, neuron.payload_max) == (1, -10, 10)
    frames = [np.full((1, 1, 1, 1), value) for value in (-10, 10, -10)]
    stream = open_stream(REFERENCE, network)
    runs = [stream.push(frame, Record.TRAINS) for frame in frames]
    assert [int(run.counts["n0"].item()) for run in runs] == [-5, 5, -5]
    assert [int(run.trains["n0"].item()) for run in runs if run.trains] == [-5, 10, -10]
    assert bound_payloads(network, network.input) == (-20, 20)
    narrow = replace(network, populations=(network.input, replace(network.populations[1], neuron=signed(16, 5))))
    stream = open_stream(REFERENCE, narrow)
    stream.push(frames[0])
    with pytest.raises(BackendError, match="not silent after 2 steps: n0; the schedule's window is too short$"):
        stream.push(frames[1])


def test_narrow_payloads_stay_and_take_more_steps() -> None:
    still = chain(8, signed(16, 5, 3))
    network = prepare_stream(still)
    assert (still.steps, network.steps) == (2, 4)  # 5 counts from rest, 10 from one end to the other
    assert network.population("n0").payload_range == (-3, 3)


def test_neurons_that_only_count_up() -> None:
    one = np.ones(1, np.int64)
    whole = prepare_stream(chain(8, MultiThreshold(16 * one, 0 * one, 0, 5, -2, 5)))
    assert whole.population("n0").payload_range == (-5, 5)
    assert whole.population("n0").count_range == (0, 5)  # payloads of 0..5 never counted below 0, so -2 was no limit
    frames = [np.full((1, 1, 1, 1), value) for value in (10, -10, 4)]
    assert [int(counts["n0"].item()) for counts in push_all(whole, frames)] == [5, 0, 2]
    with pytest.raises(NetworkError, match=r"^n0: cannot take spikes back .* before; allow payloads below 0$"):
        prepare_stream(chain(8, MultiThreshold(16 * one, 0 * one, 0, 3, 0, 5)))


def test_a_network_of_rate_mode_does_not_stream() -> None:
    with pytest.raises(NetworkError, match=r"is in rate mode, .*; convert it in exact mode to stream$"):
        prepare_stream(random_unet("rate"))
    with pytest.raises(NetworkError, match="in exact mode only$"):
        replace(random_unet("rate"), stream=True)


def test_24_bits_must_hold_every_change() -> None:
    """127 * 60,000 fits, and so does -127 * 60,000; the change from one to the other does not."""
    network = chain(127, signed(2**15, 200), most=60_000)
    assert bound_population(network, network.population("n0")).current == 127 * 60_000
    with pytest.raises(
        OverflowProofError, match=r"^as a stream, .*n0: worst case 15240000 .*--stream .*leaves room for it$"
    ):
        prepare_stream(network)


def test_the_bound_of_a_stream_is_reached_and_24_bits_hold_it() -> None:
    network = prepare_stream(chain(127, signed(2**10, 1000), most=33_000))
    bound = bound_population(network, network.population("n0"))
    assert bound.current == 127 * 66_000 <= STATE_MAX  # from -33,000 to 33,000, as below
    stream = open_stream(REFERENCE, network)
    for value in (33_000, -33_000, 33_000):
        run = stream.push(np.full((1, 1, 1, 1), value))
        assert run.saturations == {"n0": 0}
        assert int(run.counts["n0"].item()) == (1000 if value > 0 else -1000)


def test_membranes_of_drawn_streams_keep_their_bound() -> None:
    """The worst membrane before firing is at least that after it, which is what a run shows."""
    for seed in range(6):
        random = Random(seed)
        network = draw_stream(random, stock=False)
        stream = open_stream(REFERENCE, network, batch=2)
        bounds = {each.name: bound_population(network, each).membrane for each in network.populations[1:]}
        for frame in draw_frames(network, random, 3):
            run = stream.push(frame, Record.STATES)
            assert set(run.saturations.values()) == {0}
            for name, states in (run.states or {}).items():
                assert np.abs(states).max() <= (bounds[name] or 0)


def test_the_file_of_a_stream_network_says_so_and_others_keep_their_bytes() -> None:
    still = random_unet("exact", 3, size=8, width=2)
    network = prepare_stream(still)
    assert artifact.decode(artifact.encode(network)).stream
    assert prepare_stream(network) is network
    assert b'"stream"' not in artifact.encode(still)
    assert artifact.digest(network) != artifact.digest(still)
    assert not network.one_shot


def test_sigma_delta_without_a_shift_is_exact_and_with_one_drifts() -> None:
    offset, limits = np.zeros(1, np.int64), (-(2**10), 2**10)
    for shift, expected in ((0, [72, 8, 72, 8]), (4, [4, 0, 4, 0])):
        neuron = SigmaDelta.of(offset, shift=shift, payloads=limits, counts=limits)
        network = prepare_stream(chain(8, neuron))
        frames = [np.full((1, 1, 1, 1), value) for value in (9, 1, 9, 1)]
        counts = [int(counts["n0"].item()) for counts in push_all(network, frames)]
        assert counts == expected  # floor(72 / 16) = 4, floor(-64 / 16) = -4: no bit is lost here
    network = prepare_stream(chain(1, SigmaDelta.of(offset, shift=1, payloads=limits, counts=(0, 2**10))))
    stream = open_stream(REFERENCE, network)
    stream.push(np.full((1, 1, 1, 1), 3))  # floor(3 / 2) = 1, then floor(-3 / 2) = -2
    with pytest.raises(
        BackendError, match=r"^n0: a count of -1 after this frame; .*; begin the stream anew, or convert"
    ):
        stream.push(np.full((1, 1, 1, 1), 0))


def test_a_dead_zone_never_errs_by_more_than_its_width() -> None:
    rng = np.random.default_rng(0)
    width = np.array([0, 3, 40])[:, None, None]
    frame = rng.integers(-100, 100, (2, 3, 4, 5))
    held, sent = frame, np.zeros(3, np.int64)
    for _ in range(50):
        frame = np.clip(frame + rng.integers(-5, 6, frame.shape), -100, 100)
        before, held = held, hold_small_changes(frame, held, width)
        assert np.all(np.abs(held - frame) <= width)
        assert np.array_equal(held[:, 0], frame[:, 0])
        assert np.all((held == before) | (held == frame))
        sent += np.count_nonzero(held != before, axis=(0, 2, 3))
    assert sent[0] > 2 * sent[1] > 0
    assert sent[2] > 0


def test_small_changes_are_held_back_and_their_sum_is_not() -> None:
    network = prepare_stream(chain(4, signed(4, 7), signed(1, 9)), hold=1)
    frames = [np.full((1, 1, 1, 1), value) for value in (3, 4, 5, 6, 5, 4, -1, 0)]
    counts = push_all(network, frames)
    assert [int(each["n0"].item()) for each in counts] == [3, 3, 5, 5, 5, 5, -1, -1]
    assert [int(each["n1"].item()) for each in counts] == [
        3,
        3,
        5,
        5,
        5,
        5,
        -1,
        -1,
    ]  # the output sends every change of it


def test_no_count_errs_by_more_than_what_is_held_back() -> None:
    hold, levels = 2, 15
    network = prepare_stream(random_unet("exact", 1, size=8, width=2, levels=levels), hold)
    exact, sent, whole = prepare_stream(network_of(network), 0), 0, 0
    stream, plain = open_stream(REFERENCE, network, batch=2), open_stream(REFERENCE, exact, batch=2)
    for frame in draw_frames(network, Random(5), 6):
        run = stream.push(frame)
        whole += sum(int(events.sum()) for events in plain.push(frame).events.values())
        sent += sum(int(events.sum()) for events in run.events.values())
        for population, connections in network.layers():
            current = sum(dynamics.transmit(edge, run.counts[edge.source]) for edge in connections)
            neuron = population.neuron
            assert neuron is not None
            target = (neuron.v0[:, None, None] + population.bias + current - neuron.strict) // neuron.theta[
                :, None, None
            ]
            wrong = np.abs(np.clip(target, *population.count_range) - run.counts[population.name])  # type: ignore[misc]
            assert wrong.max() <= (hold if neuron.holds_back else 0), population.name
    assert sent < whole
    assert network.population("dec").neuron is not None
    with pytest.raises(NetworkError, match="counts of multi-threshold neurons are not those of an integer network$"):
        compute_integer_counts(network, frame)


def network_of(stream: Network) -> Network:
    """``stream`` without what its neurons hold back."""
    return replace(
        stream,
        populations=tuple(
            replace(each, neuron=replace(each.neuron, hold=0)) if isinstance(each.neuron, MultiThreshold) else each
            for each in stream.populations
        ),
    )


def test_what_holds_back_says_so_in_its_file() -> None:
    network = random_unet("exact", 1, size=8, width=2)
    held, plain = prepare_stream(network, 1), prepare_stream(network)
    assert network_of(held).populations[1].neuron is not None
    assert artifact.digest(network_of(held)) == artifact.digest(plain) != artifact.digest(held)
    assert artifact.digest(artifact.decode(artifact.encode(held))) == artifact.digest(held)
    assert artifact.digest(prepare_stream(plain, 1)) == artifact.digest(held)
    assert [each.name for each in held.populations if each.neuron and not each.neuron.holds_back] == [
        each.name
        for each in held.populations
        if each.neuron and (np.all(each.neuron.theta == 1) or each.name == held.outputs[0].population)
    ]


def test_what_cannot_be_held_back_is_refused() -> None:
    with pytest.raises(NetworkError, match="^hold 7: n0 counts up to 7; hold 1 to 6 counts back$"):
        prepare_stream(chain(4, signed(4, 7), signed(1, 9)), 7)
    delta = SigmaDelta(np.array([2]), np.array([0]), -99, 99, -99, 99, offset=np.array([0]), shift=0, rectify=False)
    with pytest.raises(NetworkError, match="^n0: sigma-delta neurons cannot hold back 1 counts; leave hold out$"):
        prepare_stream(chain(1, delta, signed(1, 9)), 1)
    with pytest.raises(NetworkError, match=" is not aligned, .*; align it, or hold nothing back$"):
        prepare_stream(shuffle(random_unet("exact", 1, size=8, width=2), 1), 1)
    for wrong in (-1, 7):
        with pytest.raises(NetworkError, match=rf"^hold {wrong} must lie in 0\.\.6, below the largest payload; "):
            replace(signed(4, 7), hold=wrong)
    with pytest.raises(NetworkError, match="where counts are bounded and a spike subtracts its thresholds$"):
        MultiThreshold(np.array([4]), np.array([2]), 0, 7, hold=1)


def test_noise_around_the_edge_of_a_dead_zone_is_sent_once() -> None:
    held, sent = np.array(0), []
    for value in (4, 5, 4, 5, 4, 3, 5, 6, 4):  # around 4, the width
        before, held = held, hold_small_changes(np.array(value), held, 4)
        sent.append(int(held - before))
    assert sent == [0, 5, 0, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("payload", [15, 5])
def test_frames_that_follow_each_other_through_the_pipeline_count_the_same(payload: int) -> None:
    """The next frame enters after ``steps`` steps, before the one before has left: every population sees its own windows."""
    network = prepare_stream(random_unet("exact", 3, size=4, width=2, levels=15, payload=payload))
    frames, steps = draw_frames(network, Random(3), 3, batch=1), network.steps
    expected = [compute_integer_counts(network, frame) for frame in frames]
    changes = [frame - before for frame, before in zip(frames, [0 * frames[0], *frames[:-1]], strict=True)]
    rest = {each.name: dynamics.initialize_membrane(each, 1) for each in network.populations[1:]}
    cells = {name: (v, 0 * v) for name, v in rest.items()}
    travelling: dict[int, list[tuple[Connection, Int64]]] = {}
    for step in range(network.duration - steps + steps * len(frames)):
        arriving = travelling.pop(step, [])
        for population in network.populations:
            sent = changes[step // steps] if step % steps == 0 and step < steps * len(frames) else 0 * frames[0]
            if population.neuron is not None:
                v, count = cells[population.name]
                current = 0 * v + population.bias * (step == population.start)
                for edge, payloads in arriving:
                    current += dynamics.transmit(edge, payloads) if edge.target == population.name else 0
                if step < population.start:
                    assert not np.any(current)
                    continue
                v, count, sent = dynamics.advance(population.neuron, v, count, current)
                cells[population.name] = v, count
                done, inside = divmod(step - population.start + 1, steps)
                assert inside or done > len(frames) or np.array_equal(count, expected[done - 1][population.name])
            for edge in network.outgoing(population.name):
                travelling.setdefault(step + edge.delay, []).append((edge, sent))
