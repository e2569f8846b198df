"""LeakyReLU and PReLU: one population with a threshold of its own below zero, or two of ReLUs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from snn_deploy.arrays import Float64
from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.stimulus import quantize_images
from snn_deploy.conversion.calibrate import ActivationProbe
from snn_deploy.conversion.double_precision import evaluate
from snn_deploy.conversion.lower import Conversion, lower
from snn_deploy.conversion.lower_layer import make_two_sided
from snn_deploy.conversion.options import Options, preset
from snn_deploy.data.images import Images
from snn_deploy.errors import GraphError
from snn_deploy.graph.graph import Graph, Node
from snn_deploy.graph.ops import Conv, LeakyRelu, MaxPool, Op, Relu
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.two_sided import TwoSided
from snn_deploy.passes import Form, normal_form
from snn_deploy.passes.check import check_normal_form

TRAINED = np.array([0.25, 0.01, 0.0, 1.0, 1.7, 0.33])
"""Slopes of a PReLU, one for each channel."""


def leaky(slope: Float64, pool: bool = False) -> Graph:
    rng = np.random.default_rng(5)
    nodes: list[tuple[str, Op, str]] = [
        ("c", Conv(rng.normal(0, 0.6, (6, 1, 3, 3)), np.linspace(-0.4, 0.4, 6), pads=(1, 1, 1, 1)), "x"),
        ("a", LeakyRelu(slope), "c"),
        *([("p", MaxPool((3, 3), (2, 2), (1, 1, 1, 1)), "a")] if pool else []),
        ("d", Conv(rng.normal(0, 0.3, (4, 6, 3, 3)), np.zeros(4), pads=(1, 1, 1, 1)), "p" if pool else "a"),
        ("b", LeakyRelu(np.full(4, 0.1)), "d"),
        ("y", Conv(rng.normal(0, 0.3, (2, 4, 1, 1)), np.zeros(2)), "b"),
    ]
    return Graph("leaky", "x", (1, 16, 16), tuple(Node(n, op, tuple(i.split())) for n, op, i in nodes), (("y", "y"),))


def convert(graph: Graph, images: Images, options: Options) -> Conversion:
    form = normal_form(graph, options.form)
    return lower(form, form, images, options)


def lose(graph: Graph, conversion: Conversion, images: Images) -> float:
    """The error relative to the output's variation."""
    network, square, power = conversion.network, 0.0, 0.0
    probe = ActivationProbe(normal_form(graph), ("y",))
    for image in images:
        expected = probe(image)["y"].astype(np.float64)
        run = load_backend("cpu").run(network, quantize_images(network, image))
        square += float(np.square(run.values(network) - expected).sum())
        power += float(np.square(expected - expected.mean()).sum())
    return float(np.sqrt(square / power))


@pytest.mark.parametrize("pool", [False, True], ids=["plain", "max-pool"])
@pytest.mark.parametrize(
    ("options", "error"),
    [
        (Options(), 0.05),
        (Options(levels=1023), 0.03),
        (Options(normalization="channel-wise"), 0.05),
        (Options(stream=True), 0.05),
        (Options(theta="integer", weight_bits=6), 0.08),
    ],
    ids=["default", "levels", "channel-wise", "stream", "integer"],
)
def test_one_population_has_both_slopes(options: Options, error: float, pool: bool, small_images: Images) -> None:
    graph = leaky(TRAINED, pool)
    one = convert(graph, small_images, options)
    kinds = {each.name: isinstance(each.neuron, TwoSided) for each in one.network.populations}
    assert (kinds["a"], kinds["b"]) == (True, True)
    assert not any("positive" in name for name in kinds)
    lost = lose(graph, one, small_images)
    assert lost < error
    two = convert(graph, small_images, replace(options, leaky="two"))
    assert not any(isinstance(each.neuron, TwoSided) for each in two.network.populations)
    assert len(two.network.populations) > len(one.network.populations)
    # both signs share the levels that ReLUs have each for themselves
    assert lost < 2 * lose(graph, two, small_images)


def test_counts_below_zero_end_where_calibration_ends(small_images: Images) -> None:
    network = convert(leaky(np.full(6, 0.01)), small_images, Options()).network
    neuron = network.population("a").neuron
    assert isinstance(neuron, TwoSided)
    assert neuron.count_range is not None
    assert neuron.count_range[0] in (-1, -2, -3)
    assert neuron.count_range[1] == 127
    assert np.array_equal(neuron.theta_below, 100 * neuron.theta)


@pytest.mark.parametrize(
    ("slope", "below"), [(0.5, 128), (0.01, 6400), (0.3, 213), (1.0, 64), (3.0, 21), (200.0, 1), (1e-9, STATE_MAX)]
)
def test_the_charge_of_a_negative_count_is_theta_over_the_slope(slope: float, below: int) -> None:
    neuron = make_two_sided(np.array([64]), np.array([slope]), -5, 127)
    assert neuron.theta_below.tolist() == [below]
    assert neuron.offset_below.tolist() == [STATE_MAX if below == STATE_MAX else below // 2 - 32]
    assert (neuron.payload_min, neuron.payload_max, neuron.count_range) == (-127, 127, (-5, 127))
    least = np.array([[[-STATE_MAX]]])
    assert int(neuron.settle(least)[0, 0, 0]) == (0 if below == STATE_MAX else -5)


def test_a_negative_slope_stays_two_populations(small_images: Images) -> None:
    """Its counts would be positive on both sides of zero."""
    graph = leaky(np.array([0.25, -0.1, 0.0, 1.0, 1.7, 0.33]))
    network = convert(graph, small_images, Options()).network
    assert {each.name for each in network.populations} >= {"a.positive", "a.negative", "b"}
    assert isinstance(network.population("b").neuron, TwoSided)
    with pytest.raises(GraphError, match="^a: a LeakyRelu whose slope is negative is two populations$"):
        check_normal_form(replace(graph, nodes=graph.nodes[:2], outputs=(("y", "a"),)))


def test_without_a_slope_it_is_a_relu(small_images: Images) -> None:
    network = convert(leaky(np.zeros(6)), small_images, Options()).network
    assert not isinstance(network.population("a").neuron, TwoSided)
    assert network.population("a").count_range == (0, 127)
    nodes = normal_form(leaky(np.zeros(6)), Form(two_sided=True)).nodes
    assert isinstance(next(node.op for node in nodes if node.name == "a"), Relu)


@pytest.mark.parametrize(
    "options",
    [preset("multi-threshold"), preset("sigma-delta"), preset("lif"), preset("akida"), Options(leaky="two")],
    ids=["rate", "sigma-delta", "lif", "akida", "two"],
)
def test_other_neurons_take_two(options: Options) -> None:
    assert not options.form.two_sided
    names = [node.name for node in normal_form(leaky(TRAINED), options.form).nodes]
    assert "a.positive" in names


def test_the_record_names_the_choice_only_where_it_is_not_the_default() -> None:
    assert "leaky" not in Options().record()
    assert Options(leaky="two").record()["leaky"] == "two"


def test_double_precision_has_both_slopes() -> None:
    graph, x = leaky(TRAINED), np.random.default_rng(0).normal(0, 1, (1, 16, 16))
    values = evaluate(normal_form(graph, Form(two_sided=True)), x)
    sums = values["c"] if "c" in values else values["a<-x"]
    assert np.array_equal(values["a"], np.where(sums < 0, TRAINED[:, None, None] * sums, sums))
