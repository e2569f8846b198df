"""What is decided before anything runs: formats on both sides of their limits, and how each population is computed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from snn_deploy.network.kernels import ConvKernel, SpatialKernel, identity
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Connection, Network, Output, Population
from snn_deploy.network.schedule import align
from snn_deploy.testing import random_unet
from snn_deploy_cpu.plan import Formats, NeuronLayer, PassThroughLayer, prepare


def single(payload_min: int, payload_max: int, steps: int) -> tuple[Network, Population]:
    """A population of these payloads in rate mode."""
    neuron = MultiThreshold(np.full(1, 7), np.zeros(1, np.int64), payload_min, payload_max)
    zero, unit = np.zeros((1, 1, 1), np.int64), np.ones(1)
    network = Network(
        "single",
        "rate",
        steps,
        (
            Population("input", (1, 4, 4), None, zero, unit, input_min=-9, input_max=9),
            Population("fires", (1, 4, 4), neuron, zero, unit),
        ),
        (Connection("edge", "input", "fires", identity(1, 3), 0),),
        (Output("output", "fires"),),
    )
    return align(network), network.population("fires")


@pytest.mark.parametrize(
    ("payload_min", "payload_max", "steps", "formats"),
    [
        (0, 255, 1, (np.uint8, np.uint8, np.uint8)),
        (0, 256, 1, (np.int16, np.int16, np.uint8)),
        (-1, 1, 1, (np.int16, np.int16, np.uint8)),
        (0, 32767, 1, (np.int16, np.int16, np.uint8)),
        (0, 32768, 1, (np.int32, np.int32, np.uint8)),
        (-32768, 5, 1, (np.int16, np.int16, np.uint8)),
        (-32769, 5, 1, (np.int32, np.int32, np.uint8)),
        (0, 255, 257, (np.uint8, np.uint16, np.uint16)),
        (0, 255, 258, (np.uint8, np.int64, np.uint16)),
        (-1, 255, 2, (np.int16, np.int64, np.uint16)),
        (0, 1, 65535, (np.uint8, np.uint16, np.uint16)),
        (0, 1, 65536, (np.uint8, np.int64, np.int64)),
    ],
)
def test_formats_hold_what_can_be_sent(
    payload_min: int, payload_max: int, steps: int, formats: tuple[type, type, type]
) -> None:
    found = Formats.of(*single(payload_min, payload_max, steps))
    assert (found.payload, found.count, found.events) == formats


def test_layers_of_the_unet() -> None:
    rate, exact = prepare(random_unet("rate"), None), prepare(random_unet("exact"), None)
    for plan in (rate, exact):
        kinds = {layer.population.name: type(layer) for layer in plan.layers}
        assert [name for name, kind in kinds.items() if kind is PassThroughLayer] == ["pool"]
    layers = {layer.population.name: layer for layer in rate.layers}
    # what the input adds is the same in every step
    first = layers["enc1/a"]
    assert isinstance(first, NeuronLayer)
    assert (len(first.inputs), len(first.constant_inputs), first.settles) == (0, 1, False)
    assert all(layer.settles for layer in exact.layers if isinstance(layer, NeuronLayer))
    assert all(not layer.constant_inputs for layer in exact.layers if isinstance(layer, NeuronLayer))


@pytest.mark.parametrize(
    ("counts", "settles"), [((0, 63), True), ((0, 64), False), ((-63, 63), True), ((-64, 63), False)]
)
def test_a_single_step_settles_what_its_payloads_can_hold(counts: tuple[int, int], settles: bool) -> None:
    """Payloads of -63..63; where counts reach farther, membranes are needed to see that they end silent."""
    network = random_unet("exact")
    populations = tuple(
        replace(population, neuron=replace(population.neuron, count_min=counts[0], count_max=counts[1]))
        if population.neuron is not None and population.name == "dec"
        else population
        for population in network.populations
    )
    layers = {layer.population.name: layer for layer in prepare(replace(network, populations=populations), None).layers}
    layer = layers["dec"]
    assert isinstance(layer, NeuronLayer)
    assert layer.settles == settles
    assert layer.neurons.has_second_state != settles


def test_an_upsampling_is_fused_with_the_convolution_after_it() -> None:
    """The convolution reads the payloads before the upsampling, whose own need not be computed."""
    pytest.importorskip("numba")
    one, zero, unit = np.ones(8, np.int64), np.zeros((8, 1, 1), np.int64), np.ones(8)
    network, _ = single(0, 9, 4)
    double = np.arange(16).reshape(4, 4).repeat(2, 0).repeat(2, 1).reshape(-1)
    relay = MultiThreshold(one, 0 * one, -99, 99)
    wide = MultiThreshold(7 * one, 0 * one, 0, 9)
    pixels = SpatialKernel((4, 4), (8, 8), np.arange(65), double, np.ones(64, np.int8))
    kernel = ConvKernel(np.ones((8, 8, 3, 3), np.int8), pads=(1, 1, 1, 1))
    network = align(
        replace(
            network,
            populations=(
                network.input,
                Population("small", (8, 4, 4), wide, zero, unit),
                Population("large", (8, 8, 8), relay, zero, unit),
                Population("after", (8, 8, 8), wide, zero, unit),
            ),
            connections=(
                Connection("a", "input", "small", ConvKernel(np.ones((8, 1, 1, 1), np.int8)), 0),
                Connection("b", "small", "large", pixels, 0),
                Connection("c", "large", "after", kernel, 0),
            ),
            outputs=(Output("output", "after"),),
        )
    )
    layers = {layer.population.name: layer for layer in prepare(network, None).layers}
    assert isinstance(layers["large"], PassThroughLayer)
    assert layers["large"].operator.copies_pixels
    after = layers["after"]
    assert isinstance(after, NeuronLayer)
    (connection,) = after.inputs
    assert connection.autotuner is not None
    assert (connection.source, connection.autotuner.task.source) == ("large", "small")
    assert connection.autotuner.task.macs == 16 * 8 * 8 * 9
    assert connection.autotuner.task.channels == 8
