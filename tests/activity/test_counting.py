"""Counting against a walk over every synapse, on random geometries and on whole runs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from snn_deploy.activity.counting import assume_activity, count_activity, count_per_step
from snn_deploy.activity.synapses import count_dense_macs, count_fan_out, count_synapses
from snn_deploy.backend.protocol import Record, Run
from snn_deploy.backend.registry import load_backend
from snn_deploy.errors import NetworkError
from snn_deploy.network import dynamics
from snn_deploy.network.kernels import ConvKernel, Kernel, SpatialKernel, TransposedKernel
from snn_deploy.network.network import Network
from snn_deploy.shapes import Shape
from snn_deploy.testing import random_stimulus, random_unet

Int64 = npt.NDArray[np.int64]


def walk(kernel: Kernel, shape: Shape) -> Int64:
    """Fan-out by sending one spike from each neuron through the kernel with each non-zero weight set to 1."""
    ones: Kernel
    if isinstance(kernel, SpatialKernel):
        ones = SpatialKernel(
            kernel.input_size, kernel.output_size, kernel.indptr, kernel.indices, (kernel.data != 0).astype(np.int8)
        )
    else:
        ones = type(kernel)(
            (kernel.weight != 0).astype(np.int8), kernel.strides, kernel.pads, kernel.dilations, kernel.groups
        )
    size = int(np.prod(shape))
    spikes = np.eye(size, dtype=np.int64).reshape(size, *shape)
    reached: Int64 = dynamics.apply(ones, spikes).reshape(size, -1).sum(1)
    return reached.reshape(shape)


@st.composite
def geometries(draw: st.DrawFn) -> tuple[Kernel, Shape]:
    """Convolutions, plain and transposed, and pixel maps, with every option that changes a border."""
    number = st.integers
    rng = np.random.default_rng(draw(number(0, 2**32 - 1)))
    height, width = draw(number(1, 7)), draw(number(1, 7))
    if draw(st.booleans()) and draw(st.booleans()):
        rows = height * width
        indptr = np.concatenate([[0], np.cumsum(rng.integers(0, 4, 6))])
        entries = int(indptr[-1])
        return SpatialKernel(
            (height, width),
            (2, 3),
            indptr,
            rng.integers(0, rows, entries),
            rng.integers(-1, 2, entries).astype(np.int8),
        ), (draw(number(1, 3)), height, width)
    groups = draw(number(1, 2))
    inputs, outputs = draw(number(1, 3)), draw(number(1, 3))
    taps = draw(number(1, 3)), draw(number(1, 3))
    strides = draw(number(1, 3)), draw(number(1, 3))
    dilations = draw(number(1, 2)), draw(number(1, 2))
    pads = tuple(draw(number(-1, 3)) for _ in range(4))
    plain = draw(st.booleans())
    channels = (groups * outputs, inputs) if plain else (groups * inputs, outputs)
    weight = (rng.integers(-2, 3, (*channels, *taps)) * (rng.random((*channels, *taps)) < 0.8)).astype(np.int8)
    kernel = (ConvKernel if plain else TransposedKernel)(
        weight, strides, (pads[0], pads[1], pads[2], pads[3]), dilations, groups
    )
    shape = (groups * inputs, height, width)
    try:
        kernel.output_shape(shape)
    except NetworkError:
        reject()
    return kernel, shape


@settings(max_examples=200, deadline=None, derandomize=True)
@given(geometries())
def test_fan_out_is_the_walk_over_all_synapses(geometry: tuple[Kernel, Shape]) -> None:
    kernel, shape = geometry
    assert np.array_equal(count_fan_out(kernel, shape), walk(kernel, shape))
    assert count_synapses(kernel, shape) == walk(kernel, shape).sum()


def test_the_usual_rules_count_too_much() -> None:
    """A 3x3 convolution with padding on 8x8: 484 pairs exist; padding included 576; one of nine weights is zero."""
    weight = np.ones((1, 1, 3, 3), np.int8)
    weight[0, 0, 1, 1] = 0
    kernel = ConvKernel(weight, pads=(1, 1, 1, 1))
    assert count_synapses(kernel, (1, 8, 8)) == 484 - 64
    assert count_dense_macs(kernel, (1, 8, 8)) == 576
    transposed = TransposedKernel(np.ones((2, 3, 3, 3), np.int8), (2, 2), (1, 1, 0, 0))
    assert count_dense_macs(transposed, (2, 4, 4)) == 2 * 3 * 9 * 16


@pytest.fixture(params=["exact", "rate"], scope="module")
def recorded(request: pytest.FixtureRequest) -> tuple[Network, Run]:
    network = random_unet(request.param, 3)
    return network, load_backend("reference").run(network, random_stimulus(network, 3), Record.TRAINS)


def test_a_run_counts_what_its_events_meet(recorded: tuple[Network, Run]) -> None:
    network, run = recorded
    activity = count_activity(network, run)
    steps = count_per_step(network, run)
    for connection, found in zip(network.connections, activity.connections, strict=True):
        expected = walk(connection.kernel, network.population(connection.source).shape)
        assert np.array_equal(found.synaptic_operations, (run.events[connection.source] * expected).sum((1, 2, 3)))
        assert np.array_equal(steps.synaptic_operations[connection.name].sum(1), found.synaptic_operations)
    for population in activity.populations:
        assert run.trains is not None
        assert population.unit_spikes is not None
        trains = run.trains[population.name]
        assert np.array_equal(steps.events[population.name], np.count_nonzero(trains, axis=(2, 3, 4)))
        assert np.array_equal(steps.unit_spikes[population.name].sum(1), population.unit_spikes)
        assert np.array_equal(population.events, np.count_nonzero(trains, axis=(1, 2, 3, 4)))
        bits = sum(int(value).bit_count() for value in np.abs(trains[0]).ravel())
        assert population.unit_spikes[0] == bits
    assert activity.synaptic_operations == sum(int(item.sum()) for item in steps.synaptic_operations.values())


def test_unit_spikes_without_trains() -> None:
    """One-shot networks send each count at once, so counts hold the payloads; in rate mode only the input's do."""
    for mode in ("exact", "rate"):
        network = random_unet(mode, 3)
        stimulus = random_stimulus(network, 3)
        full = count_activity(network, load_backend("reference").run(network, stimulus, Record.TRAINS))
        plain = count_activity(network, load_backend("reference").run(network, stimulus))
        assert plain.events == full.events
        known = [population.unit_spikes is not None for population in plain.populations]
        assert known == ([True] * len(known) if mode == "exact" else [True] + [False] * (len(known) - 1))
        for got, wanted in zip(plain.populations, full.populations, strict=True):
            if got.unit_spikes is not None and wanted.unit_spikes is not None:
                assert np.array_equal(got.unit_spikes, wanted.unit_spikes)
        assert (plain.unit_spikes is None) == (mode == "rate")


def test_every_neuron_is_updated_in_every_step() -> None:
    network = random_unet("rate", 1)
    activity = count_activity(network, load_backend("reference").run(network, random_stimulus(network, 1)))
    for population in activity.populations[1:]:
        assert np.array_equal(population.active, population.events)
        assert np.array_equal(population.active + population.inactive, [population.neurons * network.steps] * 2)


def test_an_assumed_rate() -> None:
    network = random_unet("rate", 1)
    activity = assume_activity(network, 0.25)
    assert activity.basis == "assumed: 0.25 events per neuron and step"
    for connection, found in zip(network.connections, activity.connections, strict=True):
        total = walk(connection.kernel, network.population(connection.source).shape).sum()
        assert found.synaptic_operations[0] == round(0.25 * network.steps * total)
    with pytest.raises(NetworkError, match=r"must lie in 0..1$"):
        assume_activity(network, 1.5)


def test_a_run_without_trains_cannot_be_counted_by_step() -> None:
    network = random_unet("exact", 1)
    run = load_backend("reference").run(network, random_stimulus(network, 1))
    with pytest.raises(NetworkError, match=r"record them to count step by step$"):
        count_per_step(network, run)
