"""Second-order rounding: by hand, against the convolutions it stands for, and what it saves in whole networks."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest

from snn_deploy.arrays import Array, Float64
from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.stimulus import quantize_images
from snn_deploy.conversion import second_order
from snn_deploy.conversion.double_precision import evaluate
from snn_deploy.conversion.layers import Layer, LayerInput, Layers
from snn_deploy.conversion.lower import Conversion, lower
from snn_deploy.conversion.options import Options
from snn_deploy.conversion.second_order import (
    SecondOrder,
    estimate_covariance,
    factorize,
    observe_counts,
    round_weights,
    sample_inputs,
)
from snn_deploy.data.images import Images
from snn_deploy.graph.graph import Graph, Node
from snn_deploy.graph.ops import Conv, ConvTranspose, Resample
from snn_deploy.network.kernels import ConvKernel, TransposedKernel

from .conftest import UNet

CORRELATED = np.array([[1.0, 0.9], [0.9, 1.0]])


def rounded(weight: list[float], covariance: Array = CORRELATED, limit: int = 7) -> list[float]:
    (integers,) = round_weights(np.array([weight]), factorize(covariance), limit).tolist()
    return cast("list[float]", integers)


def test_weights_make_up_for_errors_by_hand() -> None:
    assert rounded([0.4, 0.4]) == [1, 0]  # 0.4 + 0.9 * 0.4 rounds up: variance 0.088, of nearest 0.608
    assert rounded([0.4, 0.4], np.eye(2)) == [0, 0]
    assert rounded([0.5, 1.5], np.eye(2)) == [0, 2]  # ties to even
    assert rounded([0.0, 0.45]) == [0, 0]  # no synapse appears
    assert rounded([6.9, 9.0]) == [7, 7]  # the error of a limit is passed on, up to the limit
    assert rounded([2.0, 9.0]) == [4, 7]


def test_errors_of_another_connection_count_in_its_steps() -> None:
    group = second_order.Group((0, 1), slice(0, 1), np.arange(2), factorize(CORRELATED))
    fine, coarse = SecondOrder((False, True), (group,))([np.full((1, 1, 1), 0.4)] * 2, [0, 3], 7)
    assert (fine.item(), coarse.item()) == (3, 0)  # 0.4 + 0.9 * 8 * 0.4 = 3.28


def test_factors_are_triangular_and_multiply_back() -> None:
    samples = np.random.default_rng(0).integers(0, 9, (200, 75)).astype(np.float64)
    matrix = samples.T @ samples + np.eye(75)
    factor = factorize(matrix)
    assert np.all(np.tril(factor, -1) == 0)
    np.testing.assert_allclose(factor.T @ factor, matrix, rtol=1e-12)


@pytest.mark.parametrize(
    "op",
    [
        Conv(np.arange(1, 37).reshape(2, 2, 3, 3) / 7, np.zeros(2), (2, 1), (1, 0, 2, 1), (1, 2)),
        Conv(np.arange(1, 33).reshape(4, 1, 4, 2) / 7, np.zeros(4), (1, 1), (1, -1, 0, 1), groups=2),
    ],
    ids=["strides and dilations", "groups and a crop"],
)
def test_samples_are_what_output_pixels_read(op: Conv) -> None:
    counts = np.random.default_rng(0).integers(0, 9, (3, 7, 6, 2)).astype(np.float32)
    graph = Graph("case", "x", (2, 7, 6), (Node("y", op, ("x",)),), (("y", "y"),))
    expected = np.stack([evaluate(graph, np.moveaxis(image, 2, 0).astype(np.float64))["y"] for image in counts])
    samples = sample_inputs(op, counts, (expected.shape[2], expected.shape[3]))
    weight = op.weight.reshape(op.groups, -1, samples.shape[2])
    currents = np.einsum("pgk,gok->pgo", samples, weight).reshape(len(samples), -1)
    np.testing.assert_allclose(currents, np.moveaxis(expected, 1, 3).reshape(currents.shape), rtol=1e-12)


def test_samples_of_a_transposed_convolution_are_pixels_of_its_input(monkeypatch: pytest.MonkeyPatch) -> None:
    op = ConvTranspose(np.ones((4, 1, 2, 2)), np.zeros(2), (2, 2), groups=2)
    counts = np.arange(96, dtype=np.float32).reshape(2, 4, 3, 4)
    assert sample_inputs(op, counts, (8, 6)).tolist() == counts.reshape(24, 2, 2).tolist()
    monkeypatch.setattr(second_order, "POSITIONS", 5)
    drawn = sample_inputs(op, counts, (8, 6))
    assert drawn.tolist() == sample_inputs(op, counts, (8, 6)).tolist()
    assert len({tuple(pixel) for pixel in drawn.reshape(5, 4).tolist()}) == 5


def test_covariance_shrinks_towards_its_diagonal() -> None:
    samples = np.array([[1.0, 2.0, 3.0, 0.0], [3.0, 6.0, 3.0, 0.0], [2.0, 1.0, 3.0, 0.0], [6.0, 3.0, 3.0, 0.0]])
    share = 0.01 + 0.1 * 4 / 4
    expected = np.cov(samples.T, bias=True) * (1 - share)
    np.fill_diagonal(expected, [3.5, 3.5, 1.0, 1.0])  # inputs that never change: 1
    np.testing.assert_allclose(estimate_covariance(samples, centered=True), expected, atol=1e-15)
    moments = samples.T @ samples / 4 * (1 - share)
    np.fill_diagonal(moments, [12.5, 12.5, 9.0, 1.0])
    np.testing.assert_allclose(estimate_covariance(samples, centered=False), moments, rtol=1e-14)
    few = estimate_covariance(np.tile(samples, 10)[:2], centered=True)  # 40 inputs, 2 pixels: the diagonal remains
    np.testing.assert_array_equal(few, np.diag(np.diagonal(few)))


def _layer(*ops: Conv | ConvTranspose | Resample) -> tuple[Layer, dict[str, Array]]:
    rng = np.random.default_rng(3)
    inputs = tuple(LayerInput(f"c{index}", f"s{index}", op, ()) for index, op in enumerate(ops))
    layer = Layer("l", "relu", (4, 8, 8), inputs, np.zeros((4, 1, 1)), ())
    counts = {}
    for index, op in enumerate(ops):
        size = 4 if isinstance(op, ConvTranspose) else 8
        smooth = rng.normal(0, 1, (2, size, size, 4)).cumsum(1).cumsum(2) + rng.normal(0, 4, (2, 1, 1, 1)).cumsum(3)
        counts[f"s{index}"] = np.rint(np.abs(smooth) * 5).astype(np.float32)
    return layer, counts


def _weights(*ops: Conv | ConvTranspose) -> list[Float64]:
    shapes = [(4, 4 // op.groups, op.weight.shape[2] * op.weight.shape[3]) for op in ops]
    return [np.random.default_rng(4).normal(0, 1.5, shape) for shape in shapes]


def _conv(groups: int = 1) -> Conv:
    return Conv(np.ones((4, 4 // groups, 3, 3)), np.zeros(4), pads=(1, 1, 1, 1), groups=groups)


UP = ConvTranspose(np.ones((4, 4, 2, 2)), np.zeros(4), (2, 2))


@pytest.mark.parametrize("ops", [(_conv(),), (_conv(4),), (_conv(2),), (UP,), (_conv(), _conv()), (UP, _conv())])
def test_currents_vary_less(ops: tuple[Conv | ConvTranspose, ...]) -> None:
    layer, counts = _layer(*ops)
    weights, exponents = _weights(*ops), list(range(len(ops)))
    second = SecondOrder.of(layer, counts, centered=True)(weights, exponents, 7)
    nearest = [np.clip(np.rint(weight), -7, 7) for weight in weights]
    assert all(np.array_equal(part, np.rint(part)) and np.abs(part).max() <= 7 for part in second)

    def variance(choice: list[Float64]) -> float:
        total: Array = np.zeros(())
        for index, (op, part, weight) in enumerate(zip(ops, choice, weights, strict=True)):
            samples = sample_inputs(op, counts[f"s{index}"], (8, 8)).astype(np.float64)
            error = (part - weight) * 2.0**index
            if isinstance(op, ConvTranspose):
                return float(sum((samples[:, 0] @ error[:, :, tap].T).var(0).sum() for tap in range(4)))
            rows = error.reshape(op.groups, 4 // op.groups, -1)
            total = total + np.einsum("pgk,gok->pgo", samples, rows).reshape(len(samples), -1)
        return float(total.var(0).sum())

    assert variance(second) < 0.6 * variance(nearest)


def test_long_rows_are_rounded_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, counts = _layer(_conv())
    weights = _weights(_conv())
    whole = SecondOrder.of(layer, counts, centered=True)(weights, [0], 7)[0]
    monkeypatch.setattr(second_order, "BLOCK", 18)
    halves = SecondOrder.of(layer, counts, centered=True)(weights, [0], 7)[0]
    counts["s0"][..., 2:] = 0
    alone = SecondOrder.of(layer, counts, centered=True)(weights, [0], 7)[0]
    assert not np.array_equal(whole, halves)
    np.testing.assert_array_equal(halves[:, :2], alone[:, :2])  # the second half says nothing about the first


def test_dead_inputs_and_resamplings_are_rounded_to_the_nearest() -> None:
    layer, counts = _layer(_conv())
    counts["s0"][..., 1] = 0
    counts["s0"][..., 2] = 9
    (weight,) = _weights(_conv())
    (second,) = SecondOrder.of(layer, counts, centered=True)([weight], [0], 7)
    np.testing.assert_array_equal(second[:, 1], np.clip(np.rint(weight[:, 1]), -7, 7))
    assert not np.array_equal(second[:, 0], np.rint(weight[:, 0]))
    resampling, counts = _layer(Resample(np.eye(8), np.eye(8)))
    assert SecondOrder.of(resampling, counts, centered=True).groups == ()


@pytest.mark.parametrize(
    ("images", "values", "places"),
    [
        (1, 2**26, [0]),
        (7, 2**26, [0, 1, 2, 3, 4, 5, 6]),
        (8, 2**26, [0, 1, 2, 3, 4, 5, 6, 7]),
        (9, 2**26, [0, 1, 2, 3, 4, 5, 6, 7]),
        (16, 2**26, [0, 2, 4, 6, 8, 10, 12, 14]),
        (9, 3 * 2 * 48 * 2, [0, 3, 6]),
        (9, 3 * 2 * 48 * 2 - 1, [0, 4]),
        (9, 1, [0]),
    ],
)
def test_images_are_spread(images: int, values: int, places: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to eight, whose values of two layers of 48, in batches of two, are not too many."""
    assert (second_order.IMAGES, second_order.VALUES) == (8, 2**26)
    monkeypatch.setattr(second_order, "VALUES", values)
    shape = (3, 4, 4)
    layers = tuple(Layer(name, "relu", shape, (), np.zeros((3, 1, 1)), ()) for name in "ab")
    given = [np.full((2 if index == 1 or images == 1 else 1, 1, 1, 1), index, np.float32) for index in range(images)]
    chosen = second_order._spread(given, Layers("net", "x", (1, 4, 4), layers, ()))
    assert [int(image[0, 0, 0, 0]) for image in chosen] == places


@pytest.mark.parametrize(
    ("inputs", "block", "widths"), [(10, 5, [5, 5]), (11, 5, [4, 4, 3]), (9, 5, [5, 4]), (5, 5, [5]), (1, 5, [1])]
)
@pytest.mark.parametrize("groups", [1, 2])
def test_groups_have_at_most_a_block_of_inputs(
    inputs: int, block: int, widths: list[int], groups: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert second_order.BLOCK == 1152
    monkeypatch.setattr(second_order, "BLOCK", block)
    samples = np.random.default_rng(inputs).integers(0, 9, (60, groups, inputs)).astype(np.float32)
    found = second_order._factorize_groups((3, 4), samples, 6, centered=True)
    assert [len(group.columns) for group in found] == widths * groups
    height = 6 // groups
    assert [group.rows for group in found] == [
        slice(number * height, (number + 1) * height) for number in range(groups) for _ in widths
    ]
    for number in range(groups):
        own = found[number * len(widths) : (number + 1) * len(widths)]
        assert sorted(np.concatenate([group.columns for group in own]).tolist()) == list(range(inputs))
        for group in own:
            part = samples[:, number, group.columns].astype(np.float64)
            assert np.all(np.diff(part.var(0)) >= -1e-12), "the input with the least variance first"
            np.testing.assert_allclose(
                group.factor.T @ group.factor, estimate_covariance(part, centered=True), rtol=1e-9
            )
            assert group.members == (3, 4)


def test_connections_that_are_rounded_together() -> None:
    """All plain convolutions; those of groups and transposed ones alone."""
    assert second_order._rounded_together({0: UP, 1: _conv(), 3: _conv(2), 4: _conv()}) == [(1, 4), (0,), (3,)]
    assert second_order._rounded_together({2: UP}) == [(2,)]
    assert second_order._rounded_together({}) == []


@pytest.mark.parametrize("count", [3, 50])
def test_an_input_that_changes_once_has_its_variance(count: int) -> None:
    samples = np.zeros((count, 2))
    samples[0, 0] = 1.0
    found = estimate_covariance(samples, centered=True)
    np.testing.assert_allclose(np.diagonal(found), [(count - 1) / count**2, 1.0], rtol=1e-12)
    assert (second_order.DIAGONAL, second_order.SPARSE) == (0.01, 0.1)


@pytest.mark.parametrize("size", [1, 31, 32, 33, 64, 65])
def test_factors_of_any_number_of_panels(size: int) -> None:
    samples = np.random.default_rng(size).integers(0, 9, (3 * size, size)).astype(np.float64)
    matrix = samples.T @ samples + np.eye(size)
    expected = np.linalg.cholesky(matrix).T
    np.testing.assert_allclose(factorize(matrix), expected, rtol=1e-9, atol=1e-9)


def test_weights_of_transposed_convolutions_are_rounded_by_output_pixel() -> None:
    weight = np.arange(2 * 3 * 4.0).reshape(2, 3, 4)
    flat = second_order._flatten(weight, True)
    assert flat.shape == (8, 3)
    assert flat[5].tolist() == weight[1, :, 1].tolist()
    assert np.array_equal(second_order._unflatten(flat, weight, True), weight)
    plain = second_order._flatten(weight, False)
    assert plain[1].tolist() == weight[1].ravel().tolist()
    assert np.array_equal(second_order._unflatten(plain, weight, False), weight)


def _error(conversion: Conversion, images: Images, truth: Array) -> float:
    network = conversion.network
    run = load_backend("reference").run(network, quantize_images(network, np.concatenate(images)))
    (values,) = run.read_outputs(network).values()
    return float(np.sqrt(np.square(values - truth).mean()))


def test_networks_of_few_bits_lose_less(small_unet: UNet, small_images: Images) -> None:
    graph = small_unet()
    truth = np.stack([evaluate(graph, image[0].astype(np.float64))[graph.outputs[0][1]] for image in small_images])
    errors = []
    for changes in ({"rounding": "nearest"}, {}, {"theta": "integer"}):
        conversion = lower(graph, graph, small_images, Options(weight_bits=4, levels=1023, **changes))  # type: ignore[arg-type]
        errors.append(_error(conversion, small_images, truth))
        kernels = [connection.kernel for connection in conversion.network.connections]
        assert all(np.abs(kernel.weight).max() <= 7 for kernel in kernels if isinstance(kernel, ConvKernel))
        thetas = [p.neuron.theta for p in conversion.network.populations if p.neuron is not None]
        powers = all(np.all(theta & (theta - 1) == 0) for theta in thetas)
        assert powers is (changes != {"theta": "integer"})
    assert errors[1] < 0.8 * errors[0]
    assert errors[2] < 0.9 * errors[1]


def test_counts_are_those_of_the_neurons(
    small_unet: UNet, small_images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = small_unet()
    conversion = lower(graph, graph, small_images, Options(levels=15, scale="percentile", percentile=90))
    layers, scales = conversion.layers, conversion.scales
    counts = observe_counts(graph, layers, small_images, scales, Options(levels=15))
    values = evaluate(graph, small_images[2][0].astype(np.float64))["a.relu"]
    expected = np.minimum(np.rint(values / scales.unit["a.relu"][:, None, None]), 15)
    assert (np.moveaxis(counts["a.relu"][2], 2, 0) != expected).mean() < 0.01  # float32 rounds a tie otherwise
    assert counts["a.relu"].max() == 15
    assert counts["pool"].max() > 15
    assert set(counts) == {"x", *(layer.name for layer in layers.layers if layer.kind != "output")}
    monkeypatch.setattr(second_order, "VALUES", 2 * sum(int(np.prod(layer.shape)) for layer in layers.layers))
    fewer = observe_counts(graph, layers, small_images, scales, Options())
    np.testing.assert_array_equal(fewer["x"], counts["x"][::2])
    rate = observe_counts(graph, layers, small_images, scales, Options(mode="rate", steps=4))
    steps = np.moveaxis(np.concatenate(small_images[::2]), 1, 3) * (4 / scales.unit["x"])
    np.testing.assert_array_equal(rate["x"], np.rint(steps))
    coarse = observe_counts(graph, layers, small_images, scales, Options(mode="rate", steps=4, input_levels=2))
    assert coarse["x"].max() == 8, "two levels in each of four steps"


def test_one_image_and_dead_channels_are_enough(small_unet: UNet, small_images: Images) -> None:
    graph = small_unet(dead=2)
    once, again = (lower(graph, graph, small_images[:1], Options(weight_bits=4)) for _ in range(2))
    for first, second in zip(once.network.connections, again.network.connections, strict=True):
        assert isinstance(first.kernel, ConvKernel | TransposedKernel)
        assert isinstance(second.kernel, ConvKernel | TransposedKernel)
        assert first.kernel.weight.tobytes() == second.kernel.weight.tobytes()
