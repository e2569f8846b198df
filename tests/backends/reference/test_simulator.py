"""The reference backend against arithmetic that shares none of its code: dense matrices, naive loops, pencil."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from snn_deploy.backend.protocol import Record
from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.stimulus import digest_stimulus
from snn_deploy.errors import BackendError
from snn_deploy.network import artifact
from snn_deploy.network.kernels import ConvKernel, Kernel, SpatialKernel, identity
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Connection, Network, Output, Population
from snn_deploy.network.neuron import Neuron
from snn_deploy.network.schedule import align
from snn_deploy.testing import random_stimulus, random_unet

REFERENCE = load_backend("reference")

Int64 = npt.NDArray[np.int64]


def dense(kernel: Kernel, shape: tuple[int, int, int]) -> Int64:
    """The kernel as one matrix (outputs, inputs), written from ONNX's definitions tap by tap."""
    channels, height, width = shape
    out_channels, out_height, out_width = kernel.output_shape(shape)
    matrix = np.zeros((out_channels, out_height, out_width, channels, height, width), np.int64)
    if isinstance(kernel, SpatialKernel):
        for pixel in range(out_height * out_width):
            for entry in range(kernel.indptr[pixel], kernel.indptr[pixel + 1]):
                y, x = divmod(pixel, out_width)
                row, column = divmod(int(kernel.indices[entry]), width)
                for channel in range(channels):
                    matrix[channel, y, x, channel, row, column] += kernel.data[entry]
        return matrix.reshape(out_channels * out_height * out_width, -1)
    (step_y, step_x), (gap_y, gap_x) = kernel.strides, kernel.dilations
    forward = isinstance(kernel, ConvKernel)
    size = (out_height, out_width) if forward else (height, width)
    bound = (height, width) if forward else (out_height, out_width)
    own, other = kernel.weight.shape[0] // kernel.groups, kernel.weight.shape[1]
    for (a, b, h, w), weight in np.ndenumerate(kernel.weight):
        b_all = a // own * other + b
        for y in range(size[0]):
            for x in range(size[1]):
                row, column = y * step_y + h * gap_y - kernel.pads[0], x * step_x + w * gap_x - kernel.pads[1]
                if 0 <= row < bound[0] and 0 <= column < bound[1]:
                    if forward:
                        matrix[a, y, x, b_all, row, column] += weight
                    else:
                        matrix[b_all, row, column, a, y, x] += weight
    return matrix.reshape(out_channels * out_height * out_width, -1)


def quantized_network(network: Network, stimulus: Int64) -> dict[str, Int64]:
    """Counts ``clip(floor((sum W a + b + v0) / theta), a_min, a_max)``, by matrices and plain floors."""
    batch = stimulus.shape[0]
    counts = {network.input.name: stimulus.reshape(batch, -1)}
    for population, incoming in network.layers():
        neuron = population.neuron
        assert neuron is not None
        total = np.broadcast_to(population.bias + neuron.v0[:, None, None], population.shape).reshape(1, -1)
        for connection in incoming:
            matrix = dense(connection.kernel, network.population(connection.source).shape)
            total = total + counts[connection.source] @ matrix.T * 2**connection.exponent
        theta = np.repeat(neuron.theta, population.shape[1] * population.shape[2])
        floors = np.array([[int(v) // int(t) for v, t in zip(row, theta, strict=True)] for row in total])
        assert neuron.count_min is not None
        assert neuron.count_max is not None
        counts[population.name] = np.minimum(np.maximum(floors, neuron.count_min), neuron.count_max)
    return {name: value.reshape(batch, *network.population(name).shape) for name, value in counts.items()}


@pytest.mark.parametrize("payload", [None, 4])
@pytest.mark.parametrize("seed", range(4))
def test_exact_counts_are_the_quantized_network(seed: int, payload: int | None) -> None:
    """The theorem of exact mode, against an independent computation; aligned in one step and in several."""
    network = random_unet("exact", seed, size=8, width=2, levels=15, payload=payload)
    stimulus = random_stimulus(network, seed)
    run = REFERENCE.run(network, stimulus)
    for name, expected in quantized_network(network, stimulus).items():
        assert np.array_equal(run.counts[name], expected), name
    assert set(run.saturations.values()) == {0}


def neuron_network(neuron: Neuron, bias: int, mode: str = "rate", steps: int = 6) -> Network:
    """One pixel, weight 1, one neuron."""
    return align(
        Network(
            "pixel",
            mode,  # type: ignore[arg-type]
            steps,
            (
                Population(
                    "in",
                    (1, 1, 1),
                    None,
                    np.zeros((1, 1, 1), np.int64),
                    np.ones(1),
                    input_min=-STATE_MAX,
                    input_max=STATE_MAX,
                ),
                Population("n", (1, 1, 1), neuron, np.full((1, 1, 1), bias), np.ones(1)),
            ),
            (Connection("in->n", "in", "n", identity(1)),),
            (Output("y", "n"),),
        )
    )


def pixel(*values: int) -> Int64:
    return np.array(values, np.int64).reshape(-1, 1, 1, 1)


@pytest.mark.parametrize(
    ("strict", "train", "states"),
    [
        (False, [1, 2, 1, 2, 2, 1], [6, 2, 8, 4, 0, 6]),
        (True, [1, 2, 1, 2, 1, 2], [6, 2, 8, 4, 10, 6]),
    ],
)
def test_a_rate_neuron_worked_by_hand(strict: bool, train: list[int], states: list[int]) -> None:
    """theta 10, input 10 and bias 6 in each step: 16, 22, 18, 24, then 20, which the strict neuron holds back."""
    neuron = MultiThreshold(np.array([10]), np.array([0]), 0, 3, strict=strict)
    run = REFERENCE.run(neuron_network(neuron, bias=6), pixel(10), Record.STATES)
    assert run.trains is not None
    assert run.states is not None
    assert run.trains["n"].reshape(-1).tolist() == train
    assert run.states["n"].reshape(-1).tolist() == states
    assert run.trains["in"].reshape(-1).tolist() == [10] * 6
    assert "in" not in run.states
    assert (run.counts["n"].item(), run.events["n"].item()) == (9, 6)


def test_the_published_neuron_at_sixteen_thresholds_worked_by_hand() -> None:
    """Thresholds 8, 4, 2, 1 times 10: 237 is held at payload 15, and the surplus of 87 is sent in the next step."""
    neuron = MultiThreshold(np.array([10]), np.array([0]), 0, 15, strict=True)
    network = neuron_network(neuron, bias=0, steps=3)
    silenced = replace(
        network,
        populations=(network.populations[0], replace(network.populations[1], bias=np.full((1, 1, 1), -100))),
    )
    run = REFERENCE.run(silenced, pixel(337), Record.STATES)
    assert run.trains is not None
    assert run.states is not None
    assert run.trains["n"].reshape(-1).tolist() == [15, 15, 15]
    assert run.states["n"].reshape(-1).tolist() == [87, 174, 261]


def test_a_membrane_at_its_limit_is_not_saturated() -> None:
    network = neuron_network(MultiThreshold(np.array([STATE_MAX]), np.array([0]), -1, 1), bias=0, steps=1)
    assert REFERENCE.run(network, pixel(STATE_MAX)).saturations == {"n": 0}
    assert REFERENCE.run(network, pixel(-STATE_MAX)).saturations == {"n": 0}
    network = neuron_network(MultiThreshold(np.array([STATE_MAX]), np.array([0]), -1, 1), bias=1, steps=1)
    assert REFERENCE.run(network, pixel(STATE_MAX)).saturations == {"n": 1}


def test_a_silent_neuron_drifts_down_to_the_rail_and_every_saturation_is_counted() -> None:
    """-2**22 each step: -4194304, -8388608 (limited to -8388607), and at the rail from then on."""
    network = neuron_network(MultiThreshold(np.array([64]), np.array([0]), 0, 15, strict=True), bias=0, steps=4)
    run = REFERENCE.run(network, pixel(-(2**22), 5), Record.STATES)
    assert run.states is not None
    assert run.states["n"][0].reshape(-1).tolist() == [-(2**22), -STATE_MAX, -STATE_MAX, -STATE_MAX]
    assert run.saturations == {"n": 3}
    assert run.counts["n"].reshape(-1).tolist() == [0, 0]


def test_the_bias_of_exact_mode_enters_once() -> None:
    """25 // 10 = 2 spikes from a bias of 15 and an input of 10, and none later although there are later steps."""
    neuron = MultiThreshold(np.array([10]), np.array([0]), -9, 9, 0, 9)
    run = REFERENCE.run(replace(neuron_network(neuron, 15, "exact"), steps=4), pixel(10), Record.TRAINS)
    assert run.trains is not None
    assert run.trains["n"].reshape(-1).tolist() == [2, 0, 0, 0]


def test_early_events_wait_in_the_membrane_until_the_population_starts() -> None:
    neuron = MultiThreshold(np.array([10]), np.array([0]), 0, 15)
    network = neuron_network(neuron, bias=1, steps=2)
    late = replace(network, populations=(network.input, replace(network.populations[1], start=3)))
    run = REFERENCE.run(late, pixel(10), Record.TRAINS)
    assert run.trains is not None
    assert run.trains["n"].reshape(-1).tolist() == [2, 0]  # 10 + 10 arrive at 1 and 2; the bias at 3 and 4


def test_runs_are_repeatable() -> None:
    for mode in ("exact", "rate"):
        network = random_unet(mode, 5, size=8, width=2)
        stimulus = random_stimulus(network, 5)
        first, second = (REFERENCE.run(network, stimulus, Record.STATES) for _ in range(2))
        assert first.trains is not None
        assert second.trains is not None
        assert first.states is not None
        assert second.states is not None
        for name in first.counts:
            assert np.array_equal(first.trains[name], second.trains[name])
        for name in first.states:
            assert np.array_equal(first.states[name], second.states[name])


@pytest.mark.parametrize("mode", ["exact", "rate"])
def test_images_of_a_batch_do_not_touch(mode: str) -> None:
    network = random_unet(mode, 6, size=8, width=2, payload=9)  # type: ignore[arg-type]
    stimulus = random_stimulus(network, 6, batch=3)
    together = REFERENCE.run(network, stimulus, Record.STATES)
    assert together.trains is not None
    assert together.states is not None
    total = dict.fromkeys(together.saturations, 0)
    for index in range(3):
        alone = REFERENCE.run(network, stimulus[index : index + 1], Record.STATES)
        assert alone.trains is not None
        assert alone.states is not None
        for name in alone.counts:
            assert np.array_equal(alone.counts[name][0], together.counts[name][index])
            assert np.array_equal(alone.trains[name][0], together.trains[name][index])
        for name in alone.states:
            assert np.array_equal(alone.states[name][0], together.states[name][index])
            total[name] += alone.saturations[name]
    assert total == together.saturations


def test_levels_of_record_change_nothing_else() -> None:
    network = random_unet("rate", 7, size=8, width=2)
    stimulus = random_stimulus(network, 7)
    runs = [REFERENCE.run(network, stimulus, record) for record in Record]
    assert [run.trains is not None for run in runs] == [False, True, True]
    assert [run.states is not None for run in runs] == [False, False, True]
    full = runs[2]
    assert full.trains is not None
    for name, train in full.trains.items():
        assert train.shape == (2, network.steps, *network.population(name).shape)
        assert train.dtype == np.int32
        for run in runs:
            assert np.array_equal(run.counts[name], train.sum(1))
            assert np.array_equal(run.events[name], np.count_nonzero(train, 1))


def test_a_run_names_its_network_its_stimulus_and_its_engine() -> None:
    network = random_unet(size=8, width=2)
    stimulus = random_stimulus(network)
    run = REFERENCE.run(network, stimulus)
    assert run.backend == "reference"
    assert run.network == artifact.digest(network)
    assert run.stimulus == digest_stimulus(stimulus)
    assert set(run.engines.values()) == {"int64"}
    assert set(run.engines) == set(run.counts) - {"input"}
    assert run.seconds > 0
    assert all(array.dtype == np.int64 for array in (*run.counts.values(), *run.events.values()))


def test_progress_is_told_every_step() -> None:
    network = random_unet("rate", size=8, width=2, steps=3)
    told: list[tuple[int, int]] = []
    REFERENCE.run(network, random_stimulus(network), progress=lambda done, total: told.append((done, total)))
    assert told == [(step + 1, network.duration) for step in range(network.duration)]


def test_spikes_still_under_way_at_the_end_are_an_error() -> None:
    network = neuron_network(MultiThreshold(np.array([1]), np.array([0]), -9, 9, 0, 9), 0, "exact")
    late = replace(network, steps=2, connections=(replace(network.connections[0], delay=7),))
    with pytest.raises(
        BackendError, match=r"^exact mode is not silent after 3 steps: n; the schedule's window is too short$"
    ):
        REFERENCE.run(late, pixel(3))
