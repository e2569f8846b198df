"""What is decided before anything runs: formats on both sides of their limits, and how each population is computed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from snn_deploy.arrays import Int64
from snn_deploy.backend.protocol import Record
from snn_deploy.errors import BackendUnavailableError
from snn_deploy.network.cuba_lif import CubaLif
from snn_deploy.network.kernels import ConvKernel, Kernel, SpatialKernel, identity
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Connection, Network, Output, Population
from snn_deploy.network.neuron import Neuron
from snn_deploy.network.schedule import align
from snn_deploy.network.sigma_delta import SigmaDelta
from snn_deploy.network.streaming import prepare_stream
from snn_deploy.testing import random_stimulus, random_unet
from snn_deploy_cpu import CpuBackend
from snn_deploy_cpu import plan as planning
from snn_deploy_cpu.conv import autotune
from snn_deploy_cpu.conv.operators import DepthwiseConv, FloatConv, Operator, PixelMap
from snn_deploy_cpu.neurons.cuba_lif import CubaLifNeurons
from snn_deploy_cpu.neurons.multi_threshold import ThresholdNeurons
from snn_deploy_cpu.neurons.sigma_delta import SigmaDeltaNeurons
from snn_deploy_cpu.plan import Engine, Formats, NeuronLayer, PassThroughLayer, prepare
from snn_deploy_reference import ReferenceBackend


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
    ("theta", "format_"),
    [
        ([8, 16], np.float32),
        ([8, 12], np.float64),
        ([12, 8], np.float64),
        ([1, 2**20], np.float32),
        ([3, 3], np.float64),
    ],
)
def test_quotients_of_large_payloads_need_double_precision_unless_thresholds_are_powers_of_two(
    theta: list[int], format_: type
) -> None:
    neuron = MultiThreshold(np.array(theta), np.zeros(2, np.int64), -(2**20), 2**20)
    zero, unit = np.zeros((2, 1, 1), np.int64), np.ones(2)
    populations = (
        Population("input", (2, 4, 4), None, zero, unit, input_min=-(2**20), input_max=2**20),
        Population("fires", (2, 4, 4), neuron, zero, unit),
    )
    edges = (Connection("edge", "input", "fires", identity(2, 7), 0),)
    network = align(Network("n", "rate", 1, populations, edges, (Output("output", "fires"),)))
    assert planning._quotient_format(network, network.population("fires"), neuron, np.float32) is format_


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


@pytest.mark.parametrize(
    ("short", "settles"), [({}, True), ({"payload_max": 62}, False), ({"payload_min": -62}, False)]
)
def test_a_frame_settles_where_payloads_hold_every_swing(short: dict[str, Any], settles: bool) -> None:
    """From 63 down to 0 and back."""
    network = prepare_stream(random_unet("exact"))
    populations = tuple(
        replace(population, neuron=replace(population.neuron, **short))
        if population.neuron is not None and population.name == "enc2"
        else population
        for population in network.populations
    )
    layers = {layer.population.name: layer for layer in prepare(replace(network, populations=populations), None).layers}
    layer = layers["enc2"]
    assert isinstance(layer, NeuronLayer)
    assert layer.settles == settles


def upsampling(exponent: int) -> Network:
    """Pixels doubled, times ``2**exponent``, between two layers."""
    one, zero, unit = np.ones(8, np.int64), np.zeros((8, 1, 1), np.int64), np.ones(8)
    network, _ = single(0, 9, 4)
    double = np.arange(16).reshape(4, 4).repeat(2, 0).repeat(2, 1).reshape(-1)
    relay = MultiThreshold(one, 0 * one, -99, 99)
    wide = MultiThreshold(7 * one, 0 * one, 0, 9)
    pixels = SpatialKernel((4, 4), (8, 8), np.arange(65), double, np.ones(64, np.int8))
    kernel = ConvKernel(np.ones((8, 8, 3, 3), np.int8), pads=(1, 1, 1, 1))
    return align(
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
                Connection("b", "small", "large", pixels, exponent),
                Connection("c", "large", "after", kernel, 0),
            ),
            outputs=(Output("output", "after"),),
        )
    )


@pytest.mark.parametrize("late", ["b", "c"])
def test_late_events_are_not_fused(late: str) -> None:
    network = upsampling(0)
    connections = tuple(
        replace(each, delay=each.delay + 2) if each.name == late else each for each in network.connections
    )
    network = replace(network, steps=6, connections=connections)
    after = {layer.population.name: layer for layer in prepare(network, None).layers}["after"]
    assert isinstance(after, NeuronLayer)
    (connection,) = after.inputs
    assert connection.autotuner is not None
    assert (connection.autotuner.task.source, connection.autotuner.task.upsampled) == ("large", None)
    stimulus = random_stimulus(network)
    found = CpuBackend(direct=True).run(network, stimulus, Record.TRAINS)
    expected = ReferenceBackend().run(network, stimulus, Record.TRAINS)
    assert all(np.array_equal(found.trains[name], expected.trains[name]) for name in expected.counts)  # type: ignore[index]


@pytest.mark.parametrize("exponent", [0, 1])
def test_an_upsampling_is_fused_with_the_convolution_after_it(exponent: int) -> None:
    """The convolution reads the payloads before the upsampling, which is then not computed; one that scales is not fused."""
    network = upsampling(exponent)
    layers = {layer.population.name: layer for layer in prepare(network, None).layers}
    assert isinstance(layers["large"], PassThroughLayer)
    assert layers["large"].operator.copies_pixels == (exponent == 0)
    after = layers["after"]
    assert isinstance(after, NeuronLayer)
    (connection,) = after.inputs
    assert connection.autotuner is not None
    if exponent:
        assert (connection.source, connection.autotuner.task.source) == ("large", "large")
        return
    assert (connection.source, connection.autotuner.task.source) == ("large", "small")
    assert connection.autotuner.task.macs == 16 * 8 * 8 * 9
    assert connection.autotuner.task.channels == 8


def planned(
    kernel: Kernel,
    *,
    payload: tuple[int, int] = (0, 9),
    exponent: int = 0,
    neuron: Neuron | None = None,
    channels: int = 1,
    engine: Engine | None = None,
    bias: Int64 | None = None,
) -> NeuronLayer:
    """One layer behind an input of 4x4 pixels, in rate mode, over two steps."""
    shape = kernel.output_shape((channels, 4, 4))
    count = shape[0]
    neuron = neuron or MultiThreshold(np.full(count, 7), np.zeros(count, np.int64), 0, 9)
    populations = (
        Population(
            "input",
            (channels, 4, 4),
            None,
            np.zeros((channels, 1, 1), np.int64),
            np.ones(channels),
            input_min=payload[0],
            input_max=payload[1],
        ),
        Population("fires", shape, neuron, np.zeros((count, 1, 1), np.int64) if bias is None else bias, np.ones(count)),
    )
    connection = Connection("edge", "input", "fires", kernel, exponent)
    network = Network("one", "rate", 2, populations, (connection,), (Output("output", "fires"),))
    (layer,) = prepare(align(network), engine).layers
    assert isinstance(layer, NeuronLayer)
    return layer


@pytest.mark.parametrize(
    ("payload", "engine", "found"),
    [
        (85, None, "f32"),
        (85, "f32", "f32"),
        (85, "int8", "f32"),  # the depthwise convolution has no 8-bit one
        (85, "f64", "f64"),
        (86, None, "f64"),
        (86, "f64", "f64"),
    ],
)
def test_currents_choose_the_format(payload: int, engine: Engine | None, found: str) -> None:
    """3 * 85 * 2**15 is below 2**23, and 3 * 86 * 2**15 is not."""
    layer = planned(identity(1, 3), payload=(0, payload), exponent=15, engine=engine)
    assert (layer.engine, layer.real) == (found, {"f32": np.float32, "f64": np.float64}[found])


@pytest.mark.parametrize(
    ("channels", "payload", "engine"),
    [(1, 2**22, "f32"), (1, 2**22, "int8"), (260, STATE_MAX, None), (260, STATE_MAX, "f64")],
)
def test_currents_that_no_format_holds_are_refused(channels: int, payload: int, engine: Engine | None) -> None:
    worst = 127 * channels * payload << 15
    message = f"^fires: its current reaches {worst}, more than engine {engine or 'f64'} computes exactly; .*"
    with pytest.raises(BackendUnavailableError, match=message + "reference backend$"):
        planned(
            ConvKernel(np.full((1, channels, 1, 1), 127, np.int8)),
            payload=(0, payload),
            exponent=15,
            channels=channels,
            engine=engine,
        )


@pytest.mark.parametrize(
    ("neuron", "state"),
    [
        (MultiThreshold(np.array([7]), np.array([0]), 0, 9), ThresholdNeurons),
        (CubaLif.of(np.array([640]), np.array([0]), current_decay=4096, voltage_decay=0), CubaLifNeurons),
        (SigmaDelta.of(np.array([0]), shift=1, payloads=(-9, 9)), SigmaDeltaNeurons),
    ],
)
def test_every_kind_of_neuron_has_its_own_state(neuron: Neuron, state: type) -> None:
    assert isinstance(planned(identity(1, 3), neuron=neuron).neurons, state)


def test_a_decaying_current_wider_than_float64_is_refused() -> None:
    neuron = CubaLif.of(np.array([640]), np.array([0]), current_decay=1, voltage_decay=0)
    with pytest.raises(
        BackendUnavailableError, match=r"^fires: its decaying current is wider than float64 .* backend$"
    ):
        planned(identity(1, 127), payload=(0, STATE_MAX), neuron=neuron, engine="f64")


PIXELS = SpatialKernel((4, 4), (4, 4), np.arange(17), np.arange(16)[::-1].copy(), np.ones(16, np.int8))


@pytest.mark.parametrize(
    ("groups", "engine", "found"),
    [
        (1, None, "int8"),
        (1, "int8", "int8"),
        (1, "f32", "f32"),
        (1, "f64", "f64"),
        (2, None, "f32"),
        (2, "int8", "f32"),
    ],
)
def test_kernels_in_8_bits_are_taken_where_there_are_any(groups: int, engine: Engine | None, found: str) -> None:
    layer = planned(ConvKernel(np.ones((2, 4 // groups, 2, 2), np.int8), groups=groups), channels=4, engine=engine)
    (connection,) = layer.constant_inputs
    assert (layer.engine, connection.autotuner is not None) == (found, found == "int8")


def test_without_kernels_eight_bits_are_refused_where_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (planning, autotune):
        monkeypatch.setattr(module, "select_kernels", lambda: None)
    kernel = ConvKernel(np.ones((2, 4, 2, 2), np.int8))
    assert planned(kernel, channels=4).engine == "f32"
    with pytest.raises(BackendUnavailableError, match=r"^backend cpu: engine int8 needs .*; install .* engine f32$"):
        planned(kernel, channels=4, engine="int8")


@pytest.mark.parametrize(
    ("kernel", "channels", "operator"),
    [
        (PIXELS, 1, PixelMap),
        (identity(2, 3), 2, DepthwiseConv),
        (ConvKernel(np.ones((2, 3, 1, 1), np.int8)), 3, FloatConv),
    ],
)
def test_kernels_have_their_operators(kernel: Kernel, channels: int, operator: type[Operator]) -> None:
    (connection,) = planned(kernel, channels=channels, engine="f32").constant_inputs
    assert type(connection.operator) is operator


OBLONG = ConvKernel(np.ones((2, 1, 2, 1), np.int8))
"""From 4x4 pixels to 2 channels of 3x4."""


@pytest.mark.parametrize("engine", ["f32", "f64"])
def test_biases_of_pixels_lie_as_the_maps_do(engine: Engine) -> None:
    """(H, W, C), in the format of currents; one number per channel is the neurons' own."""
    bias = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    layer = planned(OBLONG, bias=bias, engine=engine)
    assert layer.bias is not None
    assert layer.bias.dtype == layer.real
    assert np.array_equal(layer.bias, bias.transpose(1, 2, 0))
    assert layer.bias.flags.c_contiguous
    for alike in (bias[:, :1, :1], None):
        assert planned(OBLONG, bias=alike, engine=engine).bias is None


@pytest.mark.parametrize("exponent", [0, 3])
def test_compiled_loops_are_told_size_and_scale(exponent: int) -> None:
    (connection,) = planned(OBLONG, exponent=exponent).constant_inputs
    assert connection.autotuner is not None
    task = connection.autotuner.task
    assert (task.source, task.size, task.scale, task.upsampled) == ("input", (3, 4), 2**exponent, None)
    assert task.scale.dtype == np.float32
    assert (task.macs, task.channels) == (3 * 4 * 4, 2)


def test_networks_that_are_not_aligned_are_refused() -> None:
    network, _ = single(0, 9, 2)
    first, fires = network.populations
    for later in ((first, replace(fires, start=fires.start + 1)), (replace(first, start=1), fires)):
        with pytest.raises(
            BackendUnavailableError, match=r"^backend cpu: single: .* before its target's window.* backend$"
        ):
            prepare(replace(network, populations=later), None)


@pytest.mark.parametrize(("steps", "kind"), [(1, PassThroughLayer), (2, NeuronLayer)])
def test_an_input_is_passed_through_once(steps: int, kind: type) -> None:
    """What the host sends in every step is a constant current instead."""
    network, _ = single(0, 9, 2)
    relay = MultiThreshold(np.ones(1, np.int64), np.zeros(1, np.int64), -99, 99)
    populations = (network.input, replace(network.populations[1], neuron=relay))
    given = align(replace(network, mode="rate", steps=steps, populations=populations))
    (layer,) = prepare(given, None).layers
    assert type(layer) is kind


def test_only_a_single_step_settles() -> None:
    """Whatever payloads hold: later steps may send more."""
    neuron = MultiThreshold(np.array([7]), np.array([0]), -9, 9, 0, 5)
    assert not planned(identity(1, 3), neuron=neuron).settles


def chain(*sizes: int, relay: int | None = None) -> Network:
    """Populations of ``sizes`` channels of 4x4 pixels, one after the other; number ``relay`` copies the one before it."""
    network, _ = single(0, 9, 4)
    populations, connections = [network.input], []
    for place, (before, count) in enumerate(zip((1, *sizes), sizes, strict=False)):
        payload = (-99, 99) if place == relay else (0, 9)
        theta = np.full(count, 1 if place == relay else 7)
        neuron = MultiThreshold(theta, 0 * theta, *payload)
        populations.append(
            Population(f"p{place}", (count, 4, 4), neuron, np.zeros((count, 1, 1), np.int64), np.ones(count))
        )
        kernel: Kernel = PIXELS if place == relay else ConvKernel(np.full((count, before, 1, 1), 3, np.int8))
        connections.append(Connection(f"c{place}", populations[-2].name, f"p{place}", kernel, 0))
    outputs = (Output("output", populations[-1].name),)
    return align(replace(network, populations=tuple(populations), connections=tuple(connections), outputs=outputs))


@pytest.mark.parametrize(
    ("sizes", "relay", "last_reads", "peak"),
    [
        ((1,), None, (("p0",),), 16),
        ((1, 3, 2), None, ((), ("p0",), ("p1", "p2")), 16 * 5),
        ((3, 2, 1, 1), None, ((), ("p0",), ("p1",), ("p2", "p3")), 16 * 5),
        # a relay sends 16-bit payloads, which may be computed when its reader asks: what it copies lives until then
        ((2, 2, 1, 4), 1, ((), (), ("p0", "p1"), ("p2", "p3")), 16 * (2 + 2 * 2 + 1)),
        ((1, 1, 1), 1, ((), (), ("p0", "p1", "p2")), 16 * (1 + 2 + 1)),
    ],
)
def test_payloads_are_alive_until_they_are_read(
    sizes: tuple[int, ...], relay: int | None, last_reads: tuple[tuple[str, ...], ...], peak: int
) -> None:
    plan = prepare(chain(*sizes, relay=relay), None)
    assert [isinstance(layer, PassThroughLayer) for layer in plan.layers] == [
        place == relay for place in range(len(sizes))
    ]
    assert plan.last_reads == last_reads
    assert plan.peak_payload_bytes == peak
