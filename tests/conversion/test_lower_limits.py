"""Payloads and counts that sums may reach, by hand, and the tolerance of the check that normalization keeps the function."""

from __future__ import annotations

import numpy as np
import pytest

from snn_deploy.conversion import lower as lowering
from snn_deploy.conversion.calibrate import calibrate
from snn_deploy.conversion.layers import group_layers
from snn_deploy.conversion.lower import Conversion, check_function, lower
from snn_deploy.conversion.normalize import Scales, choose_scales, scale_op
from snn_deploy.conversion.options import Options, preset
from snn_deploy.conversion.quantize import NormalizedInput, quantize, quantize_bias
from snn_deploy.data.images import Images
from snn_deploy.errors import ConversionError, OverflowProofError
from snn_deploy.graph.graph import Graph, Node
from snn_deploy.graph.ops import Conv, Relay, Relu
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.sigma_delta import SigmaDelta

from .conftest import UNet

IMAGES: Images = [np.random.default_rng(seed).random((2, 1, 4, 4), np.float32) for seed in (3, 4)]


def sums(window: list[list[float]], *, rectify: bool, scale: float = 1.0) -> Graph:
    """A ReLU of the input, a relay that adds up windows of its counts, and a read-out."""
    weight = np.array(window)[None, None]
    nodes = (
        Node("a", Conv(np.full((1, 1, 1, 1), 0.7), np.zeros(1)), ("x",)),
        Node("relu", Relu(), ("a",)),
        Node("p", Conv(weight, np.zeros(1)), ("relu",)),
        Node("relay", Relay(rectify=rectify), ("p",)),
        Node("head", Conv(np.full((1, 1, 1, 1), scale), np.array([0.25])), ("relay",)),
    )
    return Graph("sums", "x", (1, 4, 4), nodes, (("y", "head"),))


def converted(name: str, graph: Graph, **fields: int) -> Conversion:
    return lower(graph, graph, IMAGES, preset(name, **fields))


MORE, LESS, NEGATIVE = [[1.0, 1.0], [1.0, -1.0]], [[-1.0, -1.0], [-1.0, 1.0]], [[-1.0, -1.0], [-1.0, -1.0]]


@pytest.mark.parametrize(
    ("name", "window", "rectify", "payloads", "counts"),
    [
        # single spikes: 0 or 1 of each of four neurons in a step
        ("if", MORE, False, (-1, 3), None),
        ("if", LESS, False, (-3, 1), None),
        ("if", NEGATIVE, False, (-4, 1), None),  # a range ends above 0
        ("if", MORE, True, (-3, 3), (0, STATE_MAX)),
        ("if", LESS, True, (-3, 3), (0, STATE_MAX)),
        # counts of 0..9, payloads of -9..9
        ("exact", MORE, False, (-36, 36), (-9, 27)),
        ("exact", LESS, False, (-36, 36), (-27, 9)),
        ("exact", LESS, True, (-36, 36), (0, 9)),
        ("sigma-delta", MORE, False, (-4 * 36, 4 * 36), (-36, 3 * 36)),
        ("sigma-delta", LESS, True, (-4 * 36, 4 * 36), (0, 36)),
    ],
)
def test_relays_forward_no_more_than_their_sources_send(
    name: str, window: list[list[float]], rectify: bool, payloads: tuple[int, int], counts: tuple[int, int] | None
) -> None:
    network = converted(name, sums(window, rectify=rectify), levels=9).network
    neuron = network.population("relay").neuron
    assert neuron is not None
    assert (neuron.payload_min, neuron.payload_max) == payloads
    assert (neuron.count_min, neuron.count_max) == (counts or (None, None))


@pytest.mark.parametrize("scale", [1.0, -1.0])
def test_read_outs_of_sigma_delta_neurons_forward_their_worst_case(scale: float) -> None:
    """The relay sends -144..144 and counts to -36..108."""
    network = converted("sigma-delta", sums(MORE, rectify=False, scale=scale), levels=9).network
    neuron = network.population("head").neuron
    assert isinstance(neuron, SigmaDelta)
    (edge,) = network.incoming("head")
    weight = int(edge.kernel.weight.item()) << edge.exponent  # type: ignore[union-attr]
    extra = abs(int(neuron.offset[0]))
    assert extra > 0
    assert (neuron.payload_min, neuron.payload_max) == (-144 * abs(weight) - extra, 144 * abs(weight) + extra)
    least, greatest = sorted((-36 * weight, 108 * weight))
    assert (neuron.count_min, neuron.count_max) == (least - extra, greatest + extra)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_sums_beyond_24_bits_are_refused_by_the_proof(sign: float) -> None:
    """144 neurons that count to 65535 each; limits are cut at 24 bits first."""
    window = np.full((12, 12), sign)
    small = sums([[sign]], rectify=False).nodes
    wide = Node("p", Conv(window[None, None], np.zeros(1)), ("relu",))
    nodes = tuple(wide if node.name == "p" else node for node in small)
    graph = Graph("sums", "x", (1, 16, 16), nodes, (("y", "head"),))
    images = [np.random.default_rng(0).random((1, 1, 16, 16), np.float32)]
    with pytest.raises(OverflowProofError, match=r"relay"):
        lower(graph, graph, images, preset("exact", levels=65535))


@pytest.fixture
def checked(small_unet: UNet, small_images: Images) -> tuple[Graph, Scales, Options, Images]:
    graph = small_unet(skip=3.0)
    layers, options = group_layers(graph), preset("exact")
    return graph, choose_scales(layers, calibrate(graph, layers, small_images), options), options, small_images


def test_double_precision_decides_above_the_tolerance(
    checked: tuple[Graph, Scales, Options, Images], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Errors at the tolerance are allowed, of single precision first and then of double precision, on the first image."""
    graph, scales, options, images = checked
    layers = group_layers(graph)

    def error(tolerance: float, image: int = 0) -> float:
        monkeypatch.setattr(lowering, "FUNCTION_TOLERANCE", tolerance)
        batch = np.concatenate([images[image], images[(image + 1) % 4]])
        return check_function(graph, layers, scales, batch, options)

    single = error(1.0)
    assert 0 < single < 1e-5
    assert error(single) == single
    double = error(np.nextafter(single, 0))
    assert 0 < double < 1e-12
    assert len({error(1e-12, image) for image in range(4)}) > 1, "each image has an error of its own"
    assert error(double) == double
    with pytest.raises(
        ConversionError, match=r"^normalization changes the function by .* allowed\. .* another preset$"
    ):
        error(np.nextafter(double, 0))


def test_the_tolerance_is_that_of_single_precision() -> None:
    assert lowering.FUNCTION_TOLERANCE == 1e-5


def one_hot(channels: int) -> tuple[Graph, Images]:
    """A sum of inputs of which one is 1 at a time: weights of 1 count, and a worst case as many times the usual one."""
    nodes = (
        Node("a", Conv(np.ones((1, channels, 1, 1)), np.zeros(1)), ("x",)),
        Node("relu", Relu(), ("a",)),
        Node("head", Conv(np.ones((1, 1, 1, 1)), np.zeros(1)), ("relu",)),
    )
    image = np.eye(channels, dtype=np.float32)[None, :, None]
    return Graph("hot", "x", (channels, 1, channels), nodes, (("y", "head"),)), [image]


@pytest.mark.parametrize(("channels", "theta"), [(127, 1), (64, 2), (3, 32), (1, 64)])
def test_thresholds_are_halved_until_the_worst_case_fits(channels: int, theta: int) -> None:
    """Counts of 65535 times weights of ``theta``, so many channels: at most 2**23 - 1. 64 would fill 7 bits."""
    graph, images = one_hot(channels)
    options = preset("exact", levels=65535, input_levels=65535, scale="max")
    neuron = lower(graph, graph, images, options).network.population("relu").neuron
    assert neuron is not None
    assert neuron.theta.tolist() == [theta]


def test_what_does_not_fit_at_a_threshold_of_one_is_refused() -> None:
    graph, images = one_hot(129)
    options = preset("exact", levels=65535, input_levels=65535, scale="max")
    with pytest.raises(OverflowProofError, match=r"relu"):
        lower(graph, graph, images, options)


@pytest.mark.parametrize("corrected", [True, False])
def test_biases_are_corrected_by_the_mean_count_of_their_sources(corrected: bool) -> None:
    """And thresholds chosen by the mean square around it."""
    rng = np.random.default_rng(0)
    op = Conv(rng.normal(0, 1, (3, 2, 3, 3)), rng.normal(0, 1, 3))
    nodes = (
        Node("a", op, ("x",)),
        Node("relu", Relu(), ("a",)),
        Node("head", Conv(np.ones((1, 3, 1, 1)), np.zeros(1)), ("relu",)),
    )
    graph = Graph("net", "x", (2, 5, 5), nodes, (("y", "head"),))
    options = preset("exact", weight_bits=3, input_levels=9, bias_correction=corrected, rounding="nearest")
    conversion = lower(graph, graph, [rng.random((1, 2, 5, 5), np.float32)], options)
    source, unit = conversion.statistics["x"], conversion.scales.unit
    normalized = scale_op(op, unit["x"], unit["relu"])
    mean, power = source.mean / unit["x"], source.power / np.square(unit["x"])
    given = NormalizedInput("a", normalized, mean if corrected else 0 * mean, power)
    quantized = quantize("relu", [given], 3, 3)
    bias = quantize_bias(
        "relu", op.bias[:, None, None] / unit["relu"][:, None, None] - quantized.offset[:, None, None], quantized.theta
    )
    population = conversion.network.population("relu")
    assert np.array_equal(population.bias, bias)
    assert population.neuron is not None
    assert population.neuron.theta.tolist() == quantized.theta.tolist()
    assert quantized.offset.any() == corrected
