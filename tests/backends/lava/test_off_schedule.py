"""Lava's own neurons off the schedule of a stream: image by image, biases from their starts on, currents looked at."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from random import Random

import numpy as np
import pytest

from snn_deploy.arrays import Int64
from snn_deploy.backend.protocol import Record
from snn_deploy.backend.registry import load_backend
from snn_deploy.errors import BackendError, BackendUnavailableError
from snn_deploy.network.bounds import bound_population
from snn_deploy.network.kernels import ConvKernel
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.network import Connection, Network, Output, Population
from snn_deploy.network.sigma_delta import SigmaDelta
from snn_deploy.testing import random_stimulus, random_unet
from snn_deploy.testing.drawing import draw_late
from snn_deploy_lava import LavaBackend

pytestmark = [
    pytest.mark.lava,
    pytest.mark.skipif(importlib.util.find_spec("lava") is None, reason="lava-nc is not installed"),
]


def chain(weight: int, *, start: int = 1, delay: int = 1, steps: int = 6, bias: int = 700) -> Network:
    """Two layers of sigma-delta neurons that start together, the second with ten synapses of ``weight`` each."""
    kernels = (ConvKernel(np.full((10, 1, 1, 1), 64)), ConvKernel(np.full((1, 10, 1, 1), weight)))
    populations = [
        Population("image", (1, 2, 2), None, np.zeros((1, 1, 1), np.int64), np.ones(1), input_min=-255, input_max=255)
    ]
    connections = []
    for index, kernel in enumerate(kernels):
        outputs = kernel.weight.shape[0]
        neuron = SigmaDelta.of(
            np.full(outputs, bias), shift=2 + 8 * index, payloads=(-(2**15), 2**15), counts=(0, 2**15), threshold=3
        )
        name, source = f"layer{index}", populations[-1].name
        zero = np.zeros((outputs, 1, 1), np.int64)
        populations.append(Population(name, (outputs, 2, 2), neuron, zero, np.ones(outputs), start))
        connections.append(Connection(f"{source}->{name}", source, name, kernel, 0, delay))
    return Network("chain", "exact", steps, tuple(populations), tuple(connections), (Output("output", "layer1"),))


def frames(network: Network) -> Int64:
    return random_stimulus(network, 0, 2)


def test_biases_wait_for_their_starts_and_images_do_not_meet() -> None:
    network = chain(5, start=3, delay=3)
    expected = load_backend("reference").run(network, frames(network), Record.STATES)
    found = LavaBackend().run(network, frames(network), Record.STATES)
    assert np.any(expected.counts["layer1"][0] != expected.counts["layer1"][1])
    for field in ("counts", "events", "trains", "states", "second_states"):
        for name, values in getattr(expected, field).items():
            assert np.array_equal(getattr(found, field)[name], values), (field, name)
    assert found.stimulus == expected.stimulus
    counted = LavaBackend().run(network, frames(network))
    assert (counted.trains, counted.states, counted.second_states) == (None, None, None)
    assert np.array_equal(counted.counts["layer1"], expected.counts["layer1"])


def test_events_before_the_window_are_refused() -> None:
    early = chain(5, start=3)
    with pytest.raises(BackendUnavailableError, match=r"an event of image->layer0 arrives before its target's window"):
        LavaBackend().run(early, frames(early))


@pytest.mark.parametrize(("weight", "fits"), [(60, True), (127, False)])
def test_currents_that_nothing_bounds_are_looked_at(weight: int, fits: bool) -> None:
    network = chain(weight, bias=2**14)
    assert bound_population(network, network.populations[2]).current > STATE_MAX
    if fits:
        found = LavaBackend().run(network, frames(network))
        expected = load_backend("reference").run(network, frames(network))
        assert np.array_equal(found.counts["layer1"], expected.counts["layer1"])
        return
    with pytest.raises(BackendError, match=r"layer0->layer1: .*its current reaches \d+, and 24 bits hold 8388607"):
        LavaBackend().run(network, frames(network))
    with pytest.raises(BackendUnavailableError, match=r"24 bits of Lava's synapses: layer1 "):
        LavaBackend(stock_conv=True).run(network, frames(network))
    second = replace(network.connections[1], name="again")
    twice = replace(network, connections=(*network.connections, second))
    with pytest.raises(BackendUnavailableError, match=r"24 bits of Lava's synapses: layer1 "):
        LavaBackend().run(twice, frames(twice))


def test_an_event_outside_of_a_window_is_an_error() -> None:
    """Our own neurons and Lava's alike: it would be counted nowhere."""
    drawn = random_unet("exact", 0, size=8)
    first = replace(drawn.connections[0], delay=3)
    late = replace(drawn, steps=2, connections=(first, *drawn.connections[1:]))
    # what arrives late sets off no neuron
    silent = replace(late.populations[1].neuron, theta=np.full(4, 2**22), v0=np.zeros(4, np.int64))  # type: ignore[type-var]
    quiet = replace(late, populations=(late.input, replace(late.populations[1], neuron=silent), *late.populations[2:]))
    for network in (late, quiet, chain(5, start=1, delay=5, steps=4)):
        for backend in (LavaBackend(), load_backend("reference")):
            with pytest.raises(
                BackendError, match="^exact mode is not silent after .* the schedule's window is too short"
            ):
                backend.run(network, frames(network))


def test_drawn_networks_of_late_events_are_not_aligned() -> None:
    late = [not draw_late(Random(seed), stock=seed % 2 == 0).aligned for seed in range(16)]
    assert sum(late) >= 12
