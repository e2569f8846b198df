"""Weights, thresholds and biases: what rounding costs, and that nothing overflows."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from snn_deploy.arrays import Array, Int8
from snn_deploy.backend.integer_ann import compute_integer_counts
from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.stimulus import quantize_images
from snn_deploy.conversion.layers import RELAYS, LinearOp
from snn_deploy.conversion.lower import Conversion, lower
from snn_deploy.conversion.normalize import scale_op
from snn_deploy.conversion.options import Options, preset
from snn_deploy.conversion.quantize import (
    NormalizedInput,
    greatest_sum,
    quantize,
    quantize_bias,
    quantize_output,
    quantize_relay,
)
from snn_deploy.data.images import Images
from snn_deploy.data.metrics import psnr_db
from snn_deploy.errors import ConversionError
from snn_deploy.graph.graph import Graph, Node
from snn_deploy.graph.ops import Conv, ConvTranspose, Relu, Resample
from snn_deploy.network.kernels import Kernel, SpatialKernel
from snn_deploy.network.limits import STATE_MAX

from .conftest import UNet


def linear(torch: ModuleType, op: LinearOp, maps: Any) -> Any:
    """``op`` without its bias, in double precision."""
    assert isinstance(op, (Conv, ConvTranspose))
    assert isinstance(op, Conv) or min(op.pads) == 0  # all that the tests' networks need
    weight, functional = torch.tensor(op.weight), torch.nn.functional
    if not isinstance(op, Conv):
        return functional.conv_transpose2d(maps, weight, stride=op.strides, groups=op.groups)
    top, left, bottom, right = op.pads
    padded = functional.pad(maps, (left, right, top, bottom))
    return functional.conv2d(padded, weight, stride=op.strides, groups=op.groups)


def float_weight_levels(conversion: Conversion, image: Array) -> Array:
    """The exact-mode network with integer counts but float weights: what 8 bits are measured against."""
    torch = pytest.importorskip("torch", reason="torch is absent: its convolutions stand for the float ones")
    network, layers, scales = conversion.network, conversion.layers, conversion.scales
    counts = {layers.input: torch.tensor(quantize_images(network, image), dtype=torch.float64)}
    for layer in layers.layers:
        unit = torch.tensor(scales.unit[layer.name])[:, None, None]
        total = torch.tensor(layer.bias) / unit
        for layer_input in layer.inputs:
            op = scale_op(layer_input.op, scales.unit[layer_input.source], scales.unit[layer.name])
            total = total + linear(torch, op, counts[layer_input.source])
        if layer.kind == "output":
            values: Array = (total * unit).numpy()
            return values
        if layer.kind in RELAYS:
            counts[layer.name] = total
        else:
            counts[layer.name] = torch.clamp(torch.floor(total + 0.5), 0, conversion.network.config["levels"])
    raise AssertionError("no output")


def score(network_values: Array, clean: Array) -> float:
    pairs = zip(network_values, clean, strict=True)
    return float(np.mean([psnr_db(restored[None], original[None]) for restored, original in pairs]))


@pytest.mark.parametrize(("bits", "allowed_db"), [(8, 0.02), pytest.param(6, 0.2, marks=pytest.mark.extended)])
def test_weight_bits_cost(denoiser: Graph, noisy: Images, clean: Images, bits: int, allowed_db: float) -> None:
    conversion = lower(denoiser, denoiser, noisy, preset("exact", weight_bits=bits))
    network, target = conversion.network, np.concatenate(clean)
    run = load_backend("cpu").run(network, quantize_images(network, np.concatenate(noisy)))
    reference = score(float_weight_levels(conversion, np.concatenate(noisy)), target)
    assert reference - score(run.values(network), target) <= allowed_db


@pytest.mark.parametrize("pool", ["average", "max"])
@pytest.mark.parametrize("levels", [7, 127])
def test_exact_counts_are_the_integer_networks(small_unet: UNet, small_images: Images, pool: str, levels: int) -> None:
    graph = small_unet(pool=pool, skip=3.0)
    network = lower(graph, graph, small_images, preset("exact", levels=levels)).network
    stimulus = quantize_images(network, np.concatenate(small_images))
    run = load_backend("reference").run(network, stimulus)
    expected = compute_integer_counts(network, stimulus)
    assert set(expected) == {population.name for population in network.populations}
    for name, counts in expected.items():
        np.testing.assert_array_equal(run.counts[name], counts, err_msg=name)
    assert any(counts.max() == levels for counts in expected.values())


def test_average_pool_relays_the_whole_sum(small_unet: UNet, small_images: Images) -> None:
    graph = small_unet()
    network = lower(graph, graph, small_images, Options()).network
    run = load_backend("reference").run(network, quantize_images(network, np.concatenate(small_images)))
    sources = run.counts["b.relu"]
    sums = sum(sources[:, :, y::2, x::2] for y in (0, 1) for x in (0, 1))
    np.testing.assert_array_equal(run.counts["pool"], sums)
    np.testing.assert_allclose(network.population("pool").unit * 4, network.population("b.relu").unit, rtol=1e-15)


@pytest.mark.parametrize("mode", ["exact", "rate"])
def test_max_pool_is_the_maximum(small_unet: UNet, small_images: Images, mode: str) -> None:
    graph = small_unet(pool="max")
    network = lower(graph, graph, small_images, Options(mode=mode)).network  # type: ignore[arg-type]
    run = load_backend("reference").run(network, quantize_images(network, np.concatenate(small_images)))
    sources = run.counts["b.relu"]
    highest = np.max([sources[:, :, y::2, x::2] for y in (0, 1) for x in (0, 1)], axis=0)
    np.testing.assert_array_equal(run.counts["pool"], highest)


def weight_of(kernel: Kernel) -> Int8:
    assert not isinstance(kernel, SpatialKernel)
    return kernel.weight


def _normalized(weight: Array, mean: float = 0.0) -> NormalizedInput:
    op = Conv(weight, np.zeros(weight.shape[0]))
    return NormalizedInput("w", op, np.full(weight.shape[1], mean), np.full(weight.shape[1], 1.0 + mean**2))


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("factor", [1.0, 0.3, 5.7])
def test_an_identity_into_the_read_out_is_exact(bits: int, factor: float) -> None:
    rng = np.random.default_rng(0)
    identity, head = np.full((1, 1, 1, 1), factor), rng.normal(0, 1e-4, (1, 6, 3, 3))
    quantized = quantize_output("out", [_normalized(identity), _normalized(head)], 1, bits)
    weight = weight_of(quantized.kernels[0]).astype(np.float64) * 2.0 ** quantized.exponents[0] / quantized.theta
    np.testing.assert_allclose(weight.ravel(), factor, rtol=1e-12)


def test_the_trained_residual_is_kept(denoiser: Graph, noisy: Images) -> None:
    network = lower(denoiser, denoiser, noisy, preset("exact")).network
    (output,) = network.outputs
    (residual,) = (
        connection
        for connection in network.connections
        if (connection.source, connection.target) == ("noisy", output.population)
    )
    weight = weight_of(residual.kernel).astype(np.float64) * 2.0**residual.exponent
    np.testing.assert_allclose(
        weight.ravel() * network.population(output.population).unit, network.input.unit, rtol=5e-4
    )


def test_bias_correction_takes_the_mean_error_out() -> None:
    rng = np.random.default_rng(0)
    weight = rng.normal(0, 1, (5, 7, 3, 3))
    quantized = quantize("layer", [_normalized(weight, mean=30.0)], 5, 4)
    step = 2.0 ** quantized.exponents[0] / quantized.theta[:, None, None, None]
    counts = rng.normal(0.0, 1.0, (400, 7, 3, 3))
    counts += 30.0 - counts.mean(0)
    error = np.einsum("oihw,bihw->bo", weight_of(quantized.kernels[0]) * step - weight, counts)
    assert np.abs(error.mean(0)).min() > 0.5
    np.testing.assert_allclose(error.mean(0), quantized.offset, atol=1e-9)
    assert quantized.noise == pytest.approx(np.square(error - quantized.offset).mean(0).sum(), rel=0.15)


def test_bias_correction_counts_what_a_transposed_pixel_sees() -> None:
    """Of a 2x2 kernel with stride 2, each output pixel sees one tap."""
    weight = np.random.default_rng(0).normal(0, 1, (3, 4, 2, 2))
    op = ConvTranspose(weight, np.zeros(4), (2, 2))
    quantized = quantize("layer", [NormalizedInput("w", op, np.full(3, 10.0), np.full(3, 101.0))], 4, 4)
    step = 2.0 ** quantized.exponents[0] / quantized.theta[None, :, None, None]
    expected = (weight_of(quantized.kernels[0]) * step - weight).sum(0).mean((1, 2)) * 10
    np.testing.assert_allclose(quantized.offset, expected, rtol=1e-9)


@pytest.mark.parametrize(("field", "gain_db"), [("bias_correction", 0.3), ("equalization", 0.1)])
def test_coarse_weights_are_helped(denoiser: Graph, noisy: Images, clean: Images, field: str, gain_db: float) -> None:
    scores = []
    for used in (True, False):
        options = preset("exact", weight_bits=4, rounding="nearest", **{field: used})
        network = lower(denoiser, denoiser, noisy, options).network
        run = load_backend("cpu").run(network, quantize_images(network, np.concatenate(noisy)))
        scores.append(score(run.values(network), np.concatenate(clean)))
    assert scores[0] > scores[1] + gain_db


def test_rounding_is_to_the_nearest_level() -> None:
    rng = np.random.default_rng(0)
    weight = rng.normal(0, 1, (5, 7, 3, 3))
    for bits in (8, 5, 4):
        quantized = quantize("layer", [_normalized(weight)], 5, bits)
        step = 2.0 ** quantized.exponents[0] / quantized.theta[:, None, None, None]
        kernel = weight_of(quantized.kernels[0])
        assert np.abs(kernel).max() <= 2 ** (bits - 1) - 1
        assert np.abs(kernel * step - weight).max() <= step.max() / 2 + 1e-12
        np.testing.assert_array_equal(np.log2(quantized.theta) % 1, 0)


def test_biases_are_rounded_to_the_nearest_integer_ties_to_even() -> None:
    bias = np.array([0.6, 0.4, 0.5, 1.5, -0.4, -0.6, -1.5])[:, None, None]
    assert quantize_bias("a", bias, np.ones(7)).ravel().tolist() == [1, 0, 0, 2, 0, -1, -2]
    assert quantize_bias("a", bias / 64, np.full(7, 64.0)).ravel().tolist() == [1, 0, 0, 2, 0, -1, -2]
    maps = quantize_bias("a", np.array([[[0.3, 0.7]], [[0.3, 0.7]]]), np.array([1.0, 4.0]))
    assert maps.tolist() == [[[0, 1]], [[1, 3]]]
    assert maps.dtype == np.int64


def test_unequal_connections_get_exponents() -> None:
    rng = np.random.default_rng(0)
    weights = [rng.normal(0, scale, (4, 4, 3, 3)) for scale in (1.0, 64.0)]
    quantized = quantize("layer", [_normalized(weight) for weight in weights], 4, 8)
    assert quantized.exponents[1] - quantized.exponents[0] in (5, 6, 7)
    with pytest.raises(ConversionError, match=r"layer: weights of 4.36e\+12 in counts, more than 127"):
        quantize("layer", [_normalized(weights[0] * 2.0**40)], 4, 8)


def test_channels_that_could_overflow_are_narrowed() -> None:
    """24 bits hold neither 576 inputs of 4095 counts times 127, nor anything that is not narrowed."""
    rng = np.random.default_rng(0)
    wide = np.abs(rng.normal(0, 0.05, (4, 64, 3, 3)))
    wide[3, 1:] = 0
    nodes = (
        Node("first", Conv(np.abs(rng.normal(0, 1, (64, 1, 3, 3))), np.zeros(64), pads=(1, 1, 1, 1)), ("x",)),
        Node("first.relu", Relu(), ("first",)),
        Node("wide", Conv(wide, np.zeros(4), pads=(1, 1, 1, 1)), ("first.relu",)),
        Node("wide.relu", Relu(), ("wide",)),
        Node("out", Conv(np.ones((1, 4, 1, 1)), np.zeros(1)), ("wide.relu",)),
    )
    graph = Graph("wide", "x", (1, 8, 8), nodes, (("out", "out"),))
    image = [rng.random((1, 1, 8, 8), np.float32)]
    conversion = lower(graph, graph, image, preset("exact", levels=4095))
    few = lower(graph, graph, image, preset("exact", levels=15))
    largest = [
        np.abs(weight_of(item.network.connections[1].kernel)).reshape(4, -1).max(1) for item in (conversion, few)
    ]
    assert np.all(largest[0][:3] < largest[1][:3])
    assert max(bound.current for bound in conversion.bounds) <= STATE_MAX
    expected = compute_integer_counts(conversion.network, quantize_images(conversion.network, image[0]))
    run = load_backend("reference").run(conversion.network, quantize_images(conversion.network, image[0]))
    for name, counts in expected.items():
        np.testing.assert_array_equal(run.counts[name], counts)


OPS: list[LinearOp] = [
    Conv(np.arange(-24.0, 24.0).reshape(4, 2, 3, 2) + 0.5, np.zeros(4), (2, 1), (1, 0, 0, 1), (1, 2), 2),
    ConvTranspose(np.arange(-36.0, 36.0).reshape(4, 3, 2, 3) + 0.5, np.zeros(6), (2, 3), (1, 0, 0, 1), (2, 1), 2),
    ConvTranspose(np.arange(-9.0, 9.0).reshape(3, 2, 1, 3) + 0.5, np.zeros(2), (3, 1)),
    Resample(np.array([[0.0, 2.0, 0.0], [1.0, 0.5, 0.0]]), np.array([[1.0, 0.5], [0.0, 2.0], [0.0, 0.0]])),
]


def channels_of(op: LinearOp) -> tuple[int, int]:
    """Input and output channels."""
    if isinstance(op, Conv):
        return op.weight.shape[1] * op.groups, op.weight.shape[0]
    return (3, 3) if isinstance(op, Resample) else (op.weight.shape[0], op.weight.shape[1] * op.groups)


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("bits", [8, 3])
def test_rounded_weights_stand_where_the_float_ones_stood(op: LinearOp, bits: int) -> None:
    """All weights fit 8 bits without error, so these must be the float operator; with 3 bits, error and noise by hand."""
    inputs, outputs = channels_of(op)
    rng = np.random.default_rng(0)
    mean, variance = rng.uniform(1, 9, inputs), rng.uniform(1, 9, inputs)
    source = NormalizedInput("w", op, mean, variance + mean**2)
    quantized = quantize("layer", [source], outputs, bits)
    (kernel,), (exponent,) = quantized.kernels, quantized.exponents
    step = 2.0**exponent / quantized.theta
    offset, noise = np.zeros(outputs), 0.0
    if isinstance(kernel, SpatialKernel):
        assert isinstance(op, Resample)
        assert len(set(step)) == 1
        found = np.zeros((6, 6))
        np.add.at(found, (kernel.rows, kernel.indices), kernel.data * step[0])
        assert (kernel.input_size, kernel.output_size) == ((3, 2), (2, 3))
        error = found - np.kron(op.rows, op.columns)
        offset = error.sum() * mean / 6
        noise = float((np.square(error).sum() * variance / 6).sum())
    else:
        assert not isinstance(op, Resample)
        assert kernel.weight.shape == op.weight.shape
        for field in ("strides", "pads", "dilations", "groups"):
            assert getattr(kernel, field) == getattr(op, field)
        places = op.strides[0] * op.strides[1] if isinstance(op, ConvTranspose) else 1
        for first, second in np.ndindex(op.weight.shape[:2]):
            if isinstance(op, Conv):
                output, channel = first, first // (outputs // op.groups) * (inputs // op.groups) + second
            else:
                output, channel = first // (inputs // op.groups) * (outputs // op.groups) + second, first
            error = kernel.weight[first, second] * step[output] - op.weight[first, second]
            offset[output] += error.sum() * mean[channel] / places
            noise += float(np.square(error).sum() * variance[channel] / places)
    if bits == 8:
        assert noise == 0
    np.testing.assert_allclose(quantized.offset, offset, rtol=1e-9, atol=1e-12)
    assert quantized.noise == pytest.approx(noise, rel=1e-9)


@pytest.mark.parametrize(
    ("size", "theta", "exponent"),
    [
        (2.0**-30, 2.0**22, 0),
        (127 * 2.0**-22, 2.0**22, 0),
        (128 * 2.0**-22, 2.0**21, 0),
        (127.0, 1.0, 0),
        (128.0, 1.0, 1),
        (2.0**20, 1.0, 14),
    ],
)
def test_thresholds_are_the_largest_powers_of_two_up_to_two_to_the_22(size: float, theta: float, exponent: int) -> None:
    quantized = quantize("layer", [_normalized(np.full((1, 1, 1, 1), size))], 1, 8)
    assert (quantized.theta.tolist(), quantized.exponents) == ([theta], (exponent,))


@pytest.mark.parametrize(
    ("payloads", "greatest"),
    [((0, 3), [3 * 3.0, 3 * 5.0]), ((-2, 3), [3 * 3.0 + 2 * 1.0, 3 * 5.0]), ((-4, 0), [4.0, 0.0])],
)
def test_the_greatest_sum_takes_the_better_end_of_each_payload(
    payloads: tuple[int, int], greatest: list[float]
) -> None:
    source = _normalized(np.array([[[[1.0, -1.0]], [[2.0, 0.0]]], [[[5.0, 0.0]], [[0.0, 0.0]]]]))
    assert greatest_sum([source], 2, [payloads]).tolist() == greatest
    assert greatest_sum([source, source], 2, [payloads, (0, 1)]).tolist() == [greatest[0] + 3, greatest[1] + 5]


@pytest.mark.parametrize(
    ("weight", "fits"), [(127.0, True), (-127.0, True), (128.0, False), (2.5, False), (3 + 1e-10, True)]
)
def test_relays_have_integer_weights(weight: float, fits: bool) -> None:
    source = _normalized(np.array([[[[weight, 1.0]]]]))
    if fits:
        quantized = quantize_relay("pool", [source], 1)
        assert (quantized.theta.tolist(), quantized.exponents, weight_of(quantized.kernels[0]).tolist()) == (
            [1.0],
            (0,),
            [[[[round(weight), 1]]]],
        )
    else:
        with pytest.raises(
            ConversionError, match=r"^pool: a relay's weights must be integers of at most 127; w has others$"
        ):
            quantize_relay("pool", [source], 1)


@pytest.mark.parametrize("size", [2.0**-12, 2.0**-3, 2.0**9])
def test_channels_without_weights_take_the_threshold_of_the_largest(size: float) -> None:
    """Theirs matters to nothing but their bias."""
    weight = np.array([127 * size, 0.0, 31 * size]).reshape(3, 1, 1, 1)
    theta = quantize("layer", [_normalized(weight)], 3, 8).theta
    assert theta[1] == theta[0] == max(1 / size, 1.0)
    assert quantize("layer", [_normalized(np.zeros((2, 1, 1, 1)))], 2, 8).theta.tolist() == [64.0, 64.0]
