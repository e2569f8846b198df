"""What an activity says, from numbers chosen by hand, and the counts of one synapse of every kind."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from snn_deploy.activity.activity import Activity, ConnectionActivity, PopulationActivity
from snn_deploy.activity.counting import assume_activity, count_activity, count_per_step
from snn_deploy.activity.synapses import count_dense_macs, count_nonzero_taps, count_synapses, is_dense, locate_targets
from snn_deploy.backend.protocol import Record
from snn_deploy.backend.registry import load_backend
from snn_deploy.errors import NetworkError
from snn_deploy.network.kernels import ConvKernel, Kernel, SpatialKernel, TransposedKernel
from snn_deploy.testing import random_stimulus, random_unet


def ints(*values: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array(values, np.int64)


MEAN = np.zeros((1, 2, 2))
INPUT = PopulationActivity("in", 4, ints(3, 5), ints(4, 8), ints(0, 0), ints(0, 0), MEAN)
LAYER = PopulationActivity("a", 4, ints(1, 2), ints(6, 7), ints(1, 2), ints(15, 14), MEAN)
FIRST = ConnectionActivity("in->a", "in", "a", False, ints(10, 20), 36, 48)
SECOND = ConnectionActivity("a->a", "a", "a", True, ints(4, 3), 5, 6)
ACTIVITY = Activity("net", "by hand", 2, (INPUT, LAYER), (FIRST, SECOND))


def test_sums_over_populations_connections_and_images() -> None:
    assert (ACTIVITY.events, ACTIVITY.unit_spikes, ACTIVITY.synaptic_operations) == (11, 25, 37)
    assert (ACTIVITY.macs, ACTIVITY.dense_macs) == (41, 54)
    assert ACTIVITY.population("a") is LAYER
    assert ACTIVITY.arriving("a").tolist() == [14, 23]
    assert ACTIVITY.arriving("in").tolist() == [0, 0]
    unknown = replace(ACTIVITY, populations=(INPUT, replace(LAYER, unit_spikes=None)))
    assert unknown.unit_spikes is None


def test_the_record_holds_means_of_an_image() -> None:
    layers = [
        {
            "name": "in",
            "neurons": 4,
            "events": 4.0,
            "unit_spikes": 6.0,
            "synaptic_operations": 0.0,
            "active_updates": 0.0,
            "inactive_updates": 0.0,
        },
        {
            "name": "a",
            "neurons": 4,
            "events": 1.5,
            "unit_spikes": 6.5,
            "synaptic_operations": 18.5,
            "active_updates": 1.5,
            "inactive_updates": 14.5,
        },
    ]
    connections = [
        {"name": "in->a", "source": "in", "target": "a", "synaptic_operations": 15.0, "macs": 36, "dense_macs": 48},
        {"name": "a->a", "source": "a", "target": "a", "synaptic_operations": 3.5, "macs": 5, "dense_macs": 6},
    ]
    expected = {
        "network": "net",
        "basis": "by hand",
        "images": 2,
        "events": 5.5,
        "unit_spikes": 12.5,
        "synaptic_operations": 18.5,
        "macs": 41,
        "dense_macs": 54,
        "populations": layers,
        "connections": connections,
    }
    assert ACTIVITY.record() == expected
    unknown = replace(ACTIVITY, populations=(INPUT, replace(LAYER, unit_spikes=None)))
    layers[1] = layers[1] | {"unit_spikes": None}
    assert unknown.record() == expected | {"unit_spikes": None, "populations": [layers[0], layers[1]]}


def test_arrays_are_copied_and_locked() -> None:
    mean = np.ones((1, 2, 2))
    made = replace(INPUT, mean=mean)
    assert made.mean is not mean
    for array in (made.mean, made.events, made.unit_spikes, made.active, made.inactive, FIRST.synaptic_operations):
        assert array is not None
        assert not array.flags.writeable
    even = np.broadcast_to(np.float64(0.5), (1, 2, 2))
    assert replace(INPUT, mean=even).mean is even


PIXELS = SpatialKernel((2, 2), (1, 2), np.array([0, 2, 3]), np.array([0, 3, 1]), np.array([1, 0, 2], np.int8))


@pytest.mark.parametrize(
    ("kernel", "shape", "dense", "synapses", "macs"),
    [
        (ConvKernel(np.ones((5, 3, 2, 2), np.int8)), (3, 2, 2), True, 60, 60),
        (ConvKernel(np.ones((5, 3, 2, 1), np.int8)), (3, 2, 2), False, 60, 60),
        (ConvKernel(np.ones((4, 1, 2, 2), np.int8), groups=4), (4, 2, 2), False, 16, 16),
        (ConvKernel(np.ones((2, 1, 2, 2), np.int8), (2, 2), (1, 0, 0, 1)), (1, 3, 3), False, 2 * (2 + 1 + 4 + 2), 32),
        (TransposedKernel(np.ones((3, 2, 2, 2), np.int8), (2, 2)), (3, 1, 1), False, 24, 24),
        (PIXELS, (3, 2, 2), False, 6, 9),
    ],
)
def test_synapses_of_one_connection(
    kernel: Kernel, shape: tuple[int, int, int], dense: bool, synapses: int, macs: int
) -> None:
    assert is_dense(kernel, shape) == dense
    assert (count_synapses(kernel, shape), count_dense_macs(kernel, shape)) == (synapses, macs)


def test_pixel_maps_have_no_taps() -> None:
    with pytest.raises(NetworkError, match=r"^a pixel map has no taps$"):
        count_nonzero_taps(PIXELS)
    with pytest.raises(NetworkError, match=r"^a pixel map has no taps$"):
        locate_targets(PIXELS, (1, 2, 2))


@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_an_assumed_rate_is_that_of_every_neuron(rate: float) -> None:
    network = random_unet("rate", 1)
    activity = assume_activity(network, rate)
    assert (activity.network, activity.images) == (network.name, 1)
    for population, found in zip(network.populations, activity.populations, strict=True):
        updates = 0 if population.neuron is None else population.size * network.steps
        events = round(rate * network.steps * population.size)
        assert (found.name, found.neurons, found.unit_spikes) == (population.name, population.size, None)
        assert found.events.tolist() == [events]
        assert found.active.tolist() == [events if updates else 0]
        assert (found.active + found.inactive).tolist() == [updates]
        assert found.mean.shape == population.shape
        assert np.all(found.mean == rate * network.steps)
    for connection, each in zip(network.connections, activity.connections, strict=True):
        shape = network.population(connection.source).shape
        assert (each.source, each.target, each.dense) == (
            connection.source,
            connection.target,
            is_dense(connection.kernel, shape),
        )
        assert (each.synapses, each.dense_macs) == (
            count_synapses(connection.kernel, shape),
            count_dense_macs(connection.kernel, shape),
        )


@pytest.mark.parametrize("rate", [-0.001, 1.001])
def test_rates_beyond_every_step_are_refused(rate: float) -> None:
    with pytest.raises(NetworkError, match=rf"^rate {rate} events per neuron and step must lie in 0\.\.1$"):
        assume_activity(random_unet("rate", 1), rate)


def test_a_run_is_counted_population_by_population() -> None:
    network = random_unet("rate", 2, size=8, width=2)
    run = load_backend("reference").run(network, random_stimulus(network, 2), Record.TRAINS)
    activity = count_activity(network, run)
    assert activity.basis == "counted on 2 image(s), backend reference"
    assert [each.name for each in activity.connections] == [each.name for each in network.connections]
    for population in activity.populations:
        events = run.events[population.name]
        assert np.array_equal(population.mean, events.mean(0))
        assert np.array_equal(population.events, events.sum((1, 2, 3)))
    assert run.trains is not None
    steps = count_per_step(network, run)
    for name, train in run.trains.items():
        bits = [[sum(int(value).bit_count() for value in np.abs(step).ravel()) for step in image] for image in train]
        assert steps.unit_spikes[name].tolist() == bits
    fewer = replace(run, events={name: events for name, events in run.events.items() if name not in ("dec", "enc2")})
    with pytest.raises(NetworkError, match=r"^the run of reference contains no events of enc2, dec$"):
        count_activity(network, fewer)
