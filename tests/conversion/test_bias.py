"""Biases far larger, or far smaller, than the weights beside them: the unit is chosen so that both fit 24 bits."""

from __future__ import annotations

import numpy as np
import pytest

from snn_deploy.arrays import Float64
from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.stimulus import quantize_images
from snn_deploy.conversion import lower as lowering
from snn_deploy.conversion.bias import bias_in_counts, largest_threshold
from snn_deploy.conversion.calibrate import ActivationProbe, calibrate
from snn_deploy.conversion.layers import Kind, Layer, LayerInput, group_layers
from snn_deploy.conversion.lower import Conversion, lower
from snn_deploy.conversion.normalize import choose_scales
from snn_deploy.conversion.options import PRESETS, Options, preset
from snn_deploy.conversion.report import record
from snn_deploy.data.images import Images
from snn_deploy.errors import UnitError
from snn_deploy.graph.graph import Graph, Node
from snn_deploy.graph.ops import Conv, Relu, Resample
from snn_deploy.network.limits import STATE_MAX

PIXEL = (1, 1, 1, 1)


def chain(first: Float64, first_bias: Float64, last: Float64, last_bias: Float64, size: int = 16) -> Graph:
    """A 3x3 convolution of one channel, a ReLU, and a 1x1 read-out."""
    nodes = (
        Node("c", Conv(first, first_bias, pads=PIXEL), ("x",)),
        Node("r", Relu(), ("c",)),
        Node("y", Conv(last[:, :, None, None], last_bias), ("r",)),
    )
    return Graph("chain", "x", (1, size, size), nodes, (("y", "y"),))


def usual(channels: int = 2) -> Float64:
    return np.random.default_rng(0).normal(0.1, 0.4, (channels, 1, 3, 3))


@pytest.fixture(scope="module")
def images() -> Images:
    return [np.random.default_rng(seed).random((1, 1, 16, 16), np.float32) for seed in range(4)]


def converted(graph: Graph, images: Images, options: Options) -> tuple[Conversion, Float64]:
    """The conversion and the largest error (C,) of each output channel, relative to the channel's largest value."""
    conversion = lower(graph, graph, images, options)
    network = conversion.network
    found = load_backend("cpu").run(network, quantize_images(network, images[0])).values(network)
    (expected,) = ActivationProbe(graph, ())(images[0]).values()
    error = np.abs(found - expected).max((0, 2, 3)) / np.abs(expected).max((0, 2, 3))
    return conversion, error


@pytest.mark.parametrize("size", [1e-20, 1e-9, 1e-6, 1e-3, 0.0])
@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_read_out_with_weights_small_beside_its_bias(name: str, size: float, images: Images) -> None:
    """Weights of ``size`` change the output by about that; the bias takes half the range, so 2**-22 is its precision.

    A mantissa of lava-dl has 12 bits, which round to half of the last.
    """
    graph = chain(usual(), np.array([0.1, 0.2]), np.array([[1.0, 2.0]]) * size, np.array([0.5]))
    conversion, error = converted(graph, images, preset(name))
    assert error.max() < 10 * size + 2.0 ** (-13 if name == "netx" else -22)
    assert all(bound.headroom_bits >= 0 for bound in conversion.bounds)


def test_a_bias_alone_beside_channels_with_weights(images: Images) -> None:
    graph = chain(usual(), np.array([0.1, 0.2]), np.array([[1.0, 2.0], [0.0, 0.0]]), np.array([0.5, 0.0003]))
    _, error = converted(graph, images, preset("exact"))
    assert error[0] < 0.01
    assert error[1] < 2.0**-22


def test_a_read_out_of_nothing_is_nothing(images: Images) -> None:
    graph = chain(usual(), np.zeros(2), np.zeros((1, 2)), np.zeros(1))
    network = lower(graph, graph, images, Options()).network
    assert not load_backend("cpu").run(network, quantize_images(network, images[0])).values(network).any()


def test_a_resampling_read_out_has_one_unit(images: Images) -> None:
    nodes = (
        Node("c", Conv(usual(), np.array([0.1, 0.2]), pads=PIXEL), ("x",)),
        Node("r", Relu(), ("c",)),
        Node("up", Resample(np.full((4, 16), 1e-7), np.full((4, 16), 0.3)), ("r",)),
        Node("b", Conv(np.ones((2, 1, 4, 4)) * 1e-9, np.array([0.5, 4.0]), strides=(4, 4), groups=2), ("r",)),
    )
    from snn_deploy.graph.ops import Add

    graph = Graph("resampled", "x", (1, 16, 16), (*nodes, Node("y", Add(), ("up", "b"))), (("y", "y"),))
    conversion, error = converted(graph, images, preset("exact"))
    assert len(set(conversion.network.populations[-1].unit.tolist())) == 1
    assert error.max() < 1e-4


@pytest.mark.extended
@pytest.mark.parametrize(("levels", "most"), [(127, 0.02), (65535, 0.6)])
def test_a_wide_read_out_is_made_to_fit(images: Images, levels: int, most: float) -> None:
    """512 channels of full counts: at 8 bits of weights the worst case takes 26 bits, or 35, more than weights have."""
    graph = chain(usual(512) * 0 + 0.1, np.zeros(512), np.ones((1, 512)) * np.linspace(0.5, 1, 512), np.array([0.5]))
    nodes = (*graph.nodes[:2], Node("y", Conv(np.ones((1, 512, 3, 3)), np.array([0.5]), pads=PIXEL), ("r",)))
    graph = Graph("wide", "x", (1, 16, 16), nodes, (("y", "y"),))
    conversion, error = converted(graph, images, preset("exact", levels=levels))
    assert all(bound.headroom_bits >= 0 for bound in conversion.bounds)
    assert error.max() < most


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_neurons_that_never_fire_take_no_room(name: str, images: Images) -> None:
    """A bias of -1e9 would need 24 bits at no threshold; one that keeps the neuron silent on any image does."""
    last = np.array([[1.0, 2.0]])
    options = preset(name)
    graph = chain(usual(), np.array([0.1, -1e9]), last, np.array([0.5]))
    usually = chain(usual(), np.array([0.1, -30.0]), last, np.array([0.5]))
    conversion, error = converted(graph, images, options)
    assert error.max() < converted(usually, images, options)[1].max() + 1e-3
    network = conversion.network
    run = load_backend("reference").run(network, quantize_images(network, np.concatenate([*images, 1 - images[0]])))
    assert not run.counts["r"][:, 1].any()
    assert run.counts["r"][:, 0].any()


@pytest.fixture
def cancelling(images: Images) -> tuple[Graph, Images]:
    """Two huge summands that cancel: at one count of the small difference the bias alone exceeds 24 bits."""
    first = np.zeros((2, 1, 3, 3))
    first[0, 0, 1, 1], first[1, 0, 1, 1] = 1e6, 1.0
    bright = [np.full((1, 1, 16, 16), 0.5, np.float32) + image * 1e-6 for image in images]
    return chain(first, np.array([-0.5e6, 0.5]), np.array([[1.0, 1.0]]), np.array([0.0])), bright


@pytest.mark.parametrize("options", [Options(), Options(mode="rate", steps=1, thresholds=8)])
def test_a_unit_too_fine_for_its_bias_is_doubled_until_it_fits(
    cancelling: tuple[Graph, Images], options: Options
) -> None:
    graph, bright = cancelling
    layers = group_layers(graph)
    asked = choose_scales(layers, calibrate(graph, layers, bright), options).unit
    conversion = lower(graph, graph, bright, options)
    (factor,) = conversion.scales.widened.values()
    assert list(conversion.scales.widened) == ["r"]
    assert np.array_equal(conversion.scales.unit["r"], asked["r"] * factor)
    assert np.array_equal(conversion.network.population("r").unit, asked["r"] * factor)
    bias = float(np.abs(conversion.network.population("r").bias).max())
    assert STATE_MAX / 8 < bias <= STATE_MAX, "no wider than it has to be"
    assert {row["name"]: row["widened"] for row in record(conversion)["populations"]} == {"x": 1, "r": factor, "y": 1}


@pytest.mark.parametrize(("widest", "refused"), [(1.0, False), (0.99, True)])
def test_a_unit_that_was_widened_far_is_not_widened_again(
    cancelling: tuple[Graph, Images], widest: float, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert lowering.WIDEST == 2.0**64
    monkeypatch.setattr(lowering, "WIDEST", widest)
    graph, bright = cancelling
    if not refused:
        assert lower(graph, graph, bright, Options()).scales.widened["r"] > 1
        return
    with pytest.raises(UnitError, match=r"^r: its integers exceed 24 bits .* weight bits$"):
        lower(graph, graph, bright, Options())


def test_units_that_a_network_was_trained_for_stay(cancelling: tuple[Graph, Images]) -> None:
    graph, bright = cancelling
    layers = group_layers(graph)
    scales = choose_scales(layers, calibrate(graph, layers, bright), Options())
    with pytest.raises(
        UnitError, match=r"^r: its integers exceed 24 bits .* times; use fewer levels or weight bits$"
    ) as caught:
        lower(graph, graph, bright, Options(), scales)
    bias = np.abs(layers.layers[0].bias).max() / scales.unit["r"].min()
    assert caught.value.excess == pytest.approx(2 * bias / STATE_MAX, rel=0.01), "a bias takes half of the range"


def test_the_bias_uses_half_of_the_range(images: Images) -> None:
    graph = chain(usual(), np.array([0.1, 0.2]), np.zeros((1, 2)), np.array([0.5]))
    bias = lower(graph, graph, images, Options()).network.populations[-1].bias
    assert bias.max() == round(STATE_MAX / 2)


@pytest.mark.parametrize("magnitude", [1.0, 3.0, 1000.0, 2.0**20 + 1, 2.0**21])
@pytest.mark.parametrize("kind", ["relu", "output"])
def test_the_largest_threshold_leaves_the_bias_half_of_the_range(kind: Kind, magnitude: float) -> None:
    """The next power of two would be too large; a read-out's threshold is no power of two and leaves exactly half."""
    layer = Layer("a", kind, (2, 3, 3), (), np.zeros((2, 1, 1)), ("a",))
    counts = magnitude * np.array([0.5, -1.0])[:, None, None]
    taken = largest_threshold(layer, counts, np.full(2, 127.0), Options()) * np.abs(counts).max((1, 2))
    assert np.all(taken <= STATE_MAX / 2 * (1 + 1e-12))
    assert np.all(taken > STATE_MAX / 4 if kind == "relu" and magnitude > 2 else taken > 0)
    if kind == "output":
        assert taken == pytest.approx(STATE_MAX / 2)


LIF, NETX = preset("lif", steps=10), preset("netx", steps=10)
RATE, EXACT = preset("multi-threshold", steps=8), preset("exact")
HALF = STATE_MAX / 2


@pytest.mark.parametrize(
    ("kind", "options", "counts", "expected"),
    [
        ("output", EXACT, [2.0, 0.0], [HALF / 2, np.inf]),
        ("output", RATE, [2.0, -1.0], [HALF / 2, HALF]),
        ("output", LIF, [2.0, 1.0], [HALF / 20, HALF / 10]),
        # a mantissa of 4095, or ten steps of at most 131071: beside inputs of 2 the smaller one is the latter's
        ("output", NETX, [0.5, 1000.0], [131071 / 25, 4095 / 1000]),
        ("relu", EXACT, [0.0, 0.5], [2.0**21, 2.0**21]),
        ("relu", EXACT, [1.5, -2.0], [2.0**21, 2.0**20]),
        ("relu", EXACT, [3.0, 2.0**22], [2.0**20, 1.0]),
        ("relu", preset("sigma-delta"), [1.0, 3.0], [2.0**20, 2.0**20]),
        ("relu", LIF, [0.0, 0.0], [2.0**16, 2.0**16]),
        ("relu", LIF, [0.1, 0.0], [2.0**16, 2.0**16]),
        ("relu", LIF, [1.0, 0.0], [2.0**12, 2.0**12]),
        ("relu", NETX, [1.0, 0.0], [2.0**11, 2.0**11]),
        ("relu", LIF, [0.0, 1e6], [1.0, 1.0]),
        # the bias of a neuron that stays silent needs no more than -3 * 2 - 1
        ("relu", LIF, [-100.0, 0.0], [2.0**10, 2.0**10]),
        ("relu", LIF, [-3.0, 0.0], [2.0**11, 2.0**11]),
    ],
)
def test_the_largest_threshold_by_hand(
    kind: Kind, options: Options, counts: list[float], expected: list[float]
) -> None:
    layer = Layer("a", kind, (2, 3, 3), (), np.zeros((2, 1, 1)), ("a",))
    found = largest_threshold(layer, np.array(counts)[:, None, None], np.full(2, 2.0), options)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize(("kind", "expected"), [("output", HALF / 4), ("relu", 2.0**19)])
def test_a_resampling_shares_the_threshold_of_its_channels(kind: Kind, expected: float) -> None:
    op = LayerInput("up", "x", Resample(np.eye(3), np.eye(3)), ())
    layer = Layer("a", kind, (2, 3, 3), (op,), np.zeros((2, 1, 1)), ("a",))
    found = largest_threshold(layer, np.array([4.0, 1.0])[:, None, None], np.ones(2), EXACT)
    np.testing.assert_allclose(found, [expected] * 2, rtol=1e-12)


@pytest.mark.parametrize(
    ("kind", "counts", "greatest", "expected"),
    [
        ("relu", -5e8, 10.0, -31.0),
        ("relu", -4194303.0, 10.0, -4194303.0),  # less than half of the range
        ("relu", -4194303.5, 10.0, -4194303.5),  # half of it
        ("relu", -4194304.0, 10.0, -31.0),
        ("relu", -4194304.0, 2e6, -4194304.0),  # not silent: inputs may reach 6 million
        ("relu", 5e8, 10.0, 5e8),
        ("linear", -5e8, 10.0, -5e8),
    ],
)
def test_biases_that_no_input_overcomes_are_raised(kind: Kind, counts: float, greatest: float, expected: float) -> None:
    unit = np.array([2.0, 0.5])
    layer = Layer("a", kind, (2, 3, 3), (), counts * unit[:, None, None], ("a",))
    assert bias_in_counts(layer, unit, np.full(2, greatest)).ravel().tolist() == [expected] * 2
