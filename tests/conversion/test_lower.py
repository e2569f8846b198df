"""Layers in integers: the neuron of every kind of layer in every mode, limits that are worst cases, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.stimulus import quantize_images
from snn_deploy.conversion.double_precision import evaluate
from snn_deploy.conversion.layers import group_layers
from snn_deploy.conversion.lower import Conversion, lower, normalize_graph
from snn_deploy.conversion.options import preset
from snn_deploy.data.images import Images
from snn_deploy.errors import ConversionError
from snn_deploy.graph.graph import Graph, Node
from snn_deploy.graph.ops import Add, AveragePool, Conv, ConvTranspose, Host, Linear, Nearest, Op, Relay, Relu, Resample
from snn_deploy.network.cuba_lif import CubaLif
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.network import Network, Population
from snn_deploy.network.sigma_delta import SigmaDelta

from .conftest import UNet


def chain(*nodes: tuple[str, Op, str], output: str = "head") -> Graph:
    """Nodes (name, operator, inputs) on two channels of 8x8."""
    parts = tuple(Node(name, op, tuple(inputs.split()), (f"{name} in the file",)) for name, op, inputs in nodes)
    return Graph("chain", "x", (2, 8, 8), parts, (("y", output),))


def conv(seed: int, channels: int = 2, scale: float = 1.0) -> Conv:
    rng = np.random.default_rng(seed)
    return Conv(rng.normal(0, scale, (channels, 2, 3, 3)), rng.normal(0, 0.1, channels), pads=(1, 1, 1, 1))


KINDS = chain(
    ("a", conv(0), "x"),
    ("relu", Relu(), "a"),
    ("b", conv(1), "relu"),
    ("linear", Linear(), "b"),
    ("p", AveragePool((2, 2), (2, 2)), "linear"),
    ("relay", Relay(), "p"),
    ("q", AveragePool((2, 2), (2, 2)), "relay"),
    ("rectified", Relay(rectify=True), "q"),
    ("head", conv(2), "rectified"),
)
IMAGES: Images = [np.random.default_rng(seed).normal(0, 1, (2, 2, 8, 8)).astype(np.float32) for seed in (3, 4)]


def converted(name: str, graph: Graph = KINDS, **fields: Any) -> Conversion:
    return lower(graph, graph, IMAGES, preset(name, **fields))


def numbers(population: Population) -> dict[str, Any]:
    neuron = population.neuron
    assert neuron is not None
    fields = ("payload_min", "payload_max", "count_min", "count_max", "strict", "reset")
    return {name: getattr(neuron, name) for name in fields}


@pytest.mark.parametrize(
    ("name", "fields", "layer", "start", "limits"),
    [
        ("exact", {"levels": 50}, "relu", 2, (-50, 50, 0, 50, False, "subtract")),
        ("exact", {"levels": 50}, "linear", 2, (-50, 50, -50, 50, False, "subtract")),
        ("exact", {"half_start": False}, "relu", 2, (-127, 127, 0, 127, False, "subtract")),
        ("multi-threshold", {"steps": 5}, "relu", 2, (-15, 15, 0, 75, False, "subtract")),
        ("multi-threshold", {"steps": 5}, "linear", 2, (-15, 15, None, None, False, "subtract")),
        (
            "multi-threshold",
            {"half_start": False, "strict": True},
            "linear",
            0,
            (-15, 15, None, None, True, "subtract"),
        ),
        ("spiking-unet", {}, "relu", 0, (0, 15, None, None, True, "subtract")),
        ("if-hard", {}, "relu", 0, (0, 1, None, None, False, "zero")),
        ("if-hard", {}, "linear", 0, (-1, 1, None, None, False, "zero")),
        ("multi-threshold", {"steps": 5, "reset": "zero", "strict": True}, "relu", 2, (-15, 15, 0, 75, True, "zero")),
    ],
)
def test_firing_neurons(
    name: str, fields: Mapping[str, Any], layer: str, start: int, limits: tuple[int | None, ...]
) -> None:
    population = converted(name, **fields).network.population(layer)
    assert population.neuron is not None
    assert tuple(numbers(population).values()) == limits
    expected = population.neuron.theta // start if start else 0 * population.neuron.theta
    assert np.array_equal(population.neuron.v0, expected)
    source = {"relu": "a", "linear": "b"}[layer]
    assert population.origin == (f"{layer} in the file", f"{source} in the file")


def worst(network: Network, name: str, *, counts: bool) -> tuple[int, int]:
    """Least and greatest sum that arrives, by trying the better end of every payload."""
    population, low, high = network.population(name), 0, 0
    bias = int(np.abs(population.bias).max())
    for connection in network.incoming(name):
        source = network.population(connection.source)
        ends = source.count_range if counts else source.payload_range
        assert ends is not None
        weight = connection.kernel.weight.astype(np.int64) << connection.exponent  # type: ignore[union-attr]
        low += int(np.minimum(weight * ends[0], weight * ends[1]).sum((1, 2, 3)).min())
        high += int(np.maximum(weight * ends[0], weight * ends[1]).sum((1, 2, 3)).max())
    return low - bias, high + bias


UNSIGNED = chain(
    ("a", conv(0), "x"),
    ("relu", Relu(), "a"),
    ("p", AveragePool((2, 2), (2, 2)), "relu"),
    ("rectified", Relay(rectify=True), "p"),
    ("head", conv(2), "rectified"),
)


@pytest.mark.parametrize(
    ("name", "graph", "layer"),
    [
        *((name, KINDS, layer) for name in ("exact", "multi-threshold") for layer in ("relay", "rectified", "head")),
        ("if", UNSIGNED, "rectified"),
        ("if", UNSIGNED, "head"),
    ],
)
def test_what_forwards_sums_is_limited_by_their_worst_case(name: str, graph: Graph, layer: str) -> None:
    network = converted(name, graph).network
    population = network.population(layer)
    neuron = population.neuron
    assert neuron is not None
    assert neuron.theta.tolist() == [1] * population.shape[0]
    assert neuron.v0.tolist() == [0] * population.shape[0]
    low, high = worst(network, layer, counts=False)
    payload = max(-low, high)
    limits: tuple[int | None, ...]
    if name == "exact":
        least, greatest = worst(network, layer, counts=True)
        limits = (-payload, payload, 0 if layer == "rectified" else least, greatest)
    else:
        limits = (-payload, payload, 0, STATE_MAX) if layer == "rectified" else (low, high, None, None)
    found = tuple(max(-STATE_MAX, min(value, STATE_MAX)) if value is not None else None for value in limits)
    assert (neuron.payload_min, neuron.payload_max, neuron.count_min, neuron.count_max) == found


def test_pools_fire_where_that_is_asked_for() -> None:
    """The plain relay becomes a firing population with the unit of its source; the rectified one never does."""
    network = converted("multi-threshold", pool="neuron").network
    relay, rectified = network.population("relay"), network.population("rectified")
    assert numbers(relay)["payload_max"] == 15
    assert relay.neuron is not None
    assert relay.neuron.theta.min() > 1
    assert np.array_equal(relay.unit, network.population("linear").unit)
    assert rectified.neuron is not None
    assert rectified.neuron.theta.tolist() == [1, 1]


def test_the_normalized_graph_computes_counts_of_the_same_function() -> None:
    """Every value of the normalized graph, times its unit, is the value of the float graph."""
    conversion = converted("exact")
    normalized = normalize_graph(conversion.layers, conversion.scales)
    image = IMAGES[0][0].astype(np.float64)
    counts = evaluate(normalized, image / conversion.scales.unit["x"][:, None, None])
    values = evaluate(KINDS, image)
    for name in ("relu", "linear", "relay", "rectified", "head"):
        unit = conversion.scales.unit[name][:, None, None]
        np.testing.assert_allclose(counts[name] * unit, values[name], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("size", [1.0, 2.0**-30, 2.0**20])
def test_the_error_of_the_function_is_relative(small_unet: UNet, small_images: Images, size: float) -> None:
    """Layer-wise normalization changes the function by the same share whatever the size of the output."""
    graph = small_unet(residual=False)
    nodes = tuple(
        replace(node, op=Conv(node.op.weight * size, node.op.bias * size, pads=node.op.pads))
        if node.name == "head" and isinstance(node.op, Conv)
        else node
        for node in graph.nodes
    )
    options = preset("multi-threshold", normalization="layer-wise")
    plain = lower(graph, graph, small_images, options).function_error
    scaled_graph = replace(graph, nodes=nodes)
    assert lower(scaled_graph, scaled_graph, small_images, options).function_error == pytest.approx(plain, rel=1e-4)
    assert plain > 0.01


@pytest.mark.parametrize(("shift", "least"), [(0.0, -100), (-1e-6, -100), (1e-6, 0), (10.0, 0)])
def test_inputs_have_the_sign_of_the_calibration_images(shift: float, least: int) -> None:
    """Of the smallest value, however little it lies below 0."""
    graph = chain(("head", conv(0), "x"))
    images = [np.abs(image) - np.abs(image).min() + np.float32(shift) if shift else image for image in IMAGES]
    network = lower(graph, graph, images, preset("exact", input_levels=100)).network
    assert (network.input.input_min, network.input.input_max) == (least, 100)
    assert (network.steps, network.mode, network.name) == (1, "exact", "chain")
    assert network.config == preset("exact", input_levels=100).record()


LAYERED = chain(
    ("a", conv(0), "x"),
    ("b", Conv(np.ones((2, 1, 1, 1)), np.arange(128.0).reshape(2, 8, 8), groups=2), "x"),
    ("sum", Add(), "a b"),
    ("relu", Relu(), "sum"),
    ("p", AveragePool((2, 4), (2, 4), (0, 0, 0, 0)), "relu"),
    ("relay", Relay(), "p"),
    ("up", Nearest((2, 4)), "relay"),
    ("wide", Relay(rectify=True), "up"),
    ("map", Resample(np.eye(8), np.eye(8)), "wide"),
    ("t", ConvTranspose(np.ones((2, 2, 1, 1)), np.array([3.0, 4.0])), "relu"),
    ("head", Add(), "map t"),
    ("sig", Host("sigmoid"), "head"),
    ("soft", Host("softmax"), "sig"),
    output="soft",
)


def test_graphs_are_grouped_into_layers() -> None:
    layers = group_layers(LAYERED)
    assert [(layer.name, layer.kind) for layer in layers.layers] == [
        ("relu", "relu"),
        ("relay", "relay"),
        ("wide", "rectified relay"),
        ("head", "output"),
    ]
    assert layers.outputs == (("y", "head", ("sigmoid", "softmax")),)
    assert [tuple((each.name, each.source) for each in layer.inputs) for layer in layers.layers] == [
        (("a", "x"), ("b", "x")),
        (("p", "relu"),),
        (("up", "relay"),),
        (("map", "wide"), ("t", "relu")),
    ]
    first, relay, wide, head = layers.layers
    assert np.array_equal(first.bias, conv(0).bias[:, None, None] + np.arange(128.0).reshape(2, 8, 8))
    assert np.array_equal(head.bias, [[[3.0]], [[4.0]]])
    pool, up = relay.inputs[0].op, wide.inputs[0].op
    assert isinstance(pool, Conv)
    assert isinstance(up, ConvTranspose)
    assert np.array_equal(pool.weight, np.full((2, 1, 2, 4), 1 / 8))
    assert (pool.strides, pool.pads, pool.groups) == ((2, 4), (0, 0, 0, 0), 2)
    assert np.array_equal(up.weight, np.ones((2, 1, 2, 4)))
    assert (up.strides, up.groups) == ((2, 4), 2)
    assert [layer.shape for layer in layers.layers] == [(2, 8, 8), (2, 4, 2), (2, 8, 8), (2, 8, 8)]
    assert first.origin == tuple(f"{name} in the file" for name in ("relu", "sum", "a", "b"))
    assert head.origin == tuple(f"{name} in the file" for name in ("head", "map", "t"))
    assert layers.layer("wide") is wide


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (
            chain(("head", Relu(), "x")),
            "head: an activation directly on the input; it needs a linear operator before it",
        ),
        (
            chain(("a", conv(0), "x"), ("s", Add(), "x a"), ("head", Relu(), "s")),
            "s: adds the input itself; it needs an identity convolution before it",
        ),
        (
            chain(("a", conv(0), "x"), ("b", conv(1), "a"), ("head", Relu(), "b")),
            "b: reads a, which is not an activation; the graph is not in normal form",
        ),
        (
            chain(("a", Relu(), "x"), ("head", Relu(), "a")),
            "a: an activation directly on the input; it needs a linear operator before it",
        ),
        (
            chain(("a", conv(0), "x"), ("r", Relu(), "a"), ("h", Host("sigmoid"), "r"), ("head", Relu(), "h")),
            "h: Host is not a linear operator in normal form",
        ),
    ],
)
def test_what_is_not_in_normal_form_is_named(graph: Graph, message: str) -> None:
    with pytest.raises(ConversionError, match=f"^{message}$"):
        group_layers(graph)


@pytest.mark.parametrize(
    ("name", "kinds"), [("lif", (CubaLif, CubaLif, SigmaDelta)), ("sigma-delta", (SigmaDelta,) * 3)]
)
def test_lavas_own_neurons_have_no_bias_beside_their_own(name: str, kinds: tuple[type, ...]) -> None:
    graph = chain(
        ("a", conv(0), "x"),
        ("relu", Relu(), "a"),
        ("p", AveragePool((2, 2), (2, 2)), "relu"),
        ("relay", Relay(), "p"),
        ("head", conv(2), "relay"),
    )
    conversion = converted(name, graph)
    layers = [population for population, _ in conversion.network.layers()]
    for population, kind in zip(layers, kinds, strict=True):
        assert isinstance(population.neuron, kind)
        assert np.array_equal(population.bias, np.zeros((2, 1, 1)))
        assert population.origin[0] == f"{population.name} in the file"
    assert np.array_equal(layers[0].unit, conversion.scales.unit["relu"])
    values = evaluate(graph, IMAGES[0][0].astype(np.float64))["head"]
    network = conversion.network
    stimulus = quantize_images(network, IMAGES[0])
    found = load_backend("reference").run(network, stimulus).values(network)[0]
    if name == "sigma-delta":
        assert np.abs(found - values).max() < np.abs(values).max() * 0.05
    else:  # what a reset to zero loses is the same share everywhere, more or less
        assert np.corrcoef(found.ravel(), values.ravel())[0, 1] > 0.8


def test_a_layer_that_reads_a_fixed_map_has_one_threshold_for_each_of_its_channels() -> None:
    """Three pixels wide, two channels."""
    resample = Resample(np.eye(8)[:5] / 2, np.eye(8)[:3])
    graph = chain(
        ("a", resample, "x"), ("relu", Relu(), "a"), ("head", Conv(np.ones((2, 2, 1, 1)), np.zeros(2)), "relu")
    )
    population = converted("exact", graph).network.population("relu")
    assert population.shape == (2, 5, 3)
    assert population.neuron is not None
    assert population.neuron.theta.shape == (2,)
    assert population.bias.shape == (2, 1, 1)
