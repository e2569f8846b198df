"""Layers of Akida 2 compute what kernels of the network do, and every misfit has its reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from snn_deploy.errors import MisfitError
from snn_deploy.mapping.akida import EnginePlan, Misfit, plan_layers, split_bias
from snn_deploy.mapping.akida_layers import pad_before, place_convolutions, place_transposed, unfold
from snn_deploy.network import dynamics
from snn_deploy.network.kernels import ConvKernel, Kernel, SpatialKernel, TransposedKernel
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Connection, Network, Output, Population
from snn_deploy.network.neuron import Neuron
from snn_deploy.network.schedule import align
from snn_deploy.network.sigma_delta import SigmaDelta
from snn_deploy.shapes import Shape

PIXEL = (1, 1, 1, 1)


def weights(*shape: int) -> np.ndarray:  # type: ignore[type-arg]
    return np.random.default_rng(0).integers(-99, 99, shape).astype(np.int8)


def network(
    kernel: Kernel,
    shape: Shape = (1, 8, 8),
    *,
    second: Kernel | None = None,
    theta: int = 64,
    limits: tuple[int, int] = (0, 127),
    bias: int = 3,
    levels: int = 127,
) -> Network:
    """An input, one firing population, of ``kernel`` and perhaps of another layer, and a read-out."""
    channels, rows, columns = kernel.output_shape(shape)
    one, source = np.ones(1, np.int64), np.zeros((shape[0], 1, 1), np.int64)
    payload = max(128, limits[1])
    middle = MultiThreshold(np.full(channels, theta), np.full(channels, theta // 2), -payload, payload, *limits)
    populations = [
        Population("input", shape, None, source, np.ones(shape[0]), input_max=levels),
        Population("fires", (channels, rows, columns), middle, np.full((channels, 1, 1), bias), np.ones(channels)),
        Population(
            "output",
            (1, rows, columns),
            MultiThreshold(one, 0 * one, -(2**22), 2**22, -(2**22), 2**22),
            np.zeros((1, 1, 1), np.int64),
            np.ones(1),
        ),
    ]
    connections = [
        Connection("a", "input", "fires", kernel),
        Connection("b", "fires", "output", ConvKernel(weights(1, channels, 1, 1))),
    ]
    if second is not None:
        connections.append(Connection("c", "input", "fires", second))
    outputs = (Output("output", "output"),)
    return align(Network("small", "exact", 1, tuple(populations), tuple(connections), outputs))


def reasons(plan: EnginePlan) -> list[str]:
    return [f"{misfit.population}: {misfit.reason}" for misfit in plan.misfits]


CENTERED = ConvKernel(weights(2, 1, 3, 3), pads=PIXEL)


def test_a_network_that_fits() -> None:
    plan = plan_layers(network(CENTERED))
    assert plan.misfits == ()
    assert [(layer.name, layer.sources, layer.kind, layer.side) for layer in plan.layers] == [
        ("fires", ("input",), "conv", 3),
        ("output", ("fires",), "conv", 1),
    ]
    fires, output = plan.layers
    assert np.array_equal(fires.weight, CENTERED.weight)
    assert (fires.limits, output.limits) == ((0, 127), None)
    assert fires.output_shift.tolist() == [6, 6]
    assert (fires.bias.tolist(), fires.bias_shift.tolist()) == ([3, 3], [0, 0])


ONE_STRIDE = "in one sum; Akida's layers have one stride, 1 or 2"
KEPT = "pixels; Akida's layers keep the size, or halve it and round up"
PIXELS = SpatialKernel((8, 8), (8, 8), np.arange(65), np.arange(64), np.ones(64, np.int8))


@pytest.mark.parametrize(
    ("kernel", "size", "reason"),
    [
        (
            ConvKernel(weights(2, 1, 9, 9), pads=(4,) * 4),
            8,
            "a convolution of 9x9, strides (1, 1), pads (4, 4, 4, 4) is not centered in windows of 1, 3, 5, 7 pixels a side, as"
            " Akida's layers of stride 1 are",
        ),
        (
            ConvKernel(weights(2, 1, 5, 5), pads=(4,) * 4, dilations=(2, 2)),
            8,
            "a convolution of 5x5, strides (1, 1), pads (4, 4, 4, 4), dilations (2, 2) is not centered in windows of 1, 3, 5, 7"
            " pixels a side, as Akida's layers of stride 1 are",
        ),
        (ConvKernel(weights(1, 1, 3, 3)), 8, f"a convolution that makes 6x6 of 8x8 {KEPT}"),
        (ConvKernel(weights(1, 1, 2, 2), (2, 2)), 7, f"a convolution that makes 3x3 of 7x7 {KEPT}"),
        (ConvKernel(weights(1, 1, 1, 1), (3, 3)), 9, f"convolutions of strides (3, 3) {ONE_STRIDE}"),
        (ConvKernel(weights(1, 1, 1, 1), (2, 1)), 8, f"convolutions of strides (2, 1) {ONE_STRIDE}"),
        (
            TransposedKernel(weights(1, 1, 3, 3), (3, 3)),
            8,
            "a transposed convolution of strides (3, 3); Akida's have stride 2",
        ),
        (
            TransposedKernel(weights(1, 1, 3, 3), (2, 2)),
            8,
            "a transposed convolution that makes 17x17 pixels; Akida's make twice as many rows and columns as they read",
        ),
        (
            TransposedKernel(weights(1, 1, 6, 6), (2, 2), (2, 2, 2, 2)),
            8,
            "a transposed convolution of 6x6, strides (2, 2), pads (2, 2, 2, 2) is none of Akida's, which have stride 2 and 3 or"
            " 4 taps a side",
        ),
        (PIXELS, 8, "an interpolation, which is no convolution"),
    ],
)
def test_shapes_that_do_not_fit(kernel: Kernel, size: int, reason: str) -> None:
    assert reasons(plan_layers(network(kernel, (1, size, size)))) == [f"fires: {reason}"]


RANGES = "Akida's layers send 0..127 or -128..127; convert with --for akida"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"theta": 65}, "fires: a threshold of 65, which is no power of two; convert with --for akida"),
        ({"bias": 257}, "fires: a bias of 257, which has more than 8 significant bits; convert with --for akida"),
        ({"levels": 128}, "input: input counts of 0..128; Akida reads 8 bits with sign; convert with --for akida"),
        ({"limits": (-127, 127)}, f"fires: counts of -127..127; {RANGES}"),
        ({"limits": (0, 128)}, f"fires: counts of 0..128; {RANGES}"),
    ],
)
def test_numbers_that_do_not_fit(changes: dict[str, int], reason: str) -> None:
    wide = ConvKernel(np.full((2, 1, 3, 3), 99) * np.array([1, 1, -1]), pads=PIXEL)
    assert reasons(plan_layers(network(wide, **changes))) == [reason]  # type: ignore[arg-type]


def test_limits_that_never_bind_do_not_matter() -> None:
    """27 times 2 and the rounding stay below every limit."""
    small = ConvKernel(np.full((1, 1, 3, 3), 1, np.int8), pads=PIXEL)
    for limits, chosen in (((-127, 127), (0, 18)), ((0, 4000), (0, 18)), ((-5, 18), (0, 18)), ((-5, 17), (0, 17))):
        plan = plan_layers(network(small, theta=64, limits=limits, bias=0))
        assert plan.misfits == ()
        assert plan.layers[0].limits == chosen
    signed = replace(small, weight=-small.weight)
    for limits, fits in (((-18, 1), True), ((-17, 127), False), ((-128, 1), True), ((-128, 127), True)):
        plan = plan_layers(network(signed, theta=64, limits=limits, bias=0))
        assert [layer.limits for layer in plan.layers][:1] == [(-128, 127)] * fits + [None] * (not fits)
        assert bool(plan.misfits) != fits


def with_neuron(change: Callable[[Neuron], Neuron]) -> Network:
    """The network that fits, its firing neurons changed."""
    base = network(CENTERED)
    fires = base.populations[1]
    assert fires.neuron is not None
    return replace(base, populations=(base.input, replace(fires, neuron=change(fires.neuron)), base.populations[2]))


def test_neurons_that_do_not_fit() -> None:
    changes: tuple[Callable[[Neuron], Neuron], ...] = (
        lambda neuron: replace(neuron, strict=True),
        lambda neuron: replace(neuron, v0=np.zeros(2, np.int64)),
    )
    for change in changes:
        assert reasons(plan_layers(with_neuron(change))) == [
            "fires: counts that are not rounded to the nearest; convert with --for akida"
        ]
    stock = SigmaDelta.of(np.zeros(2, np.int64), shift=3, payloads=(-127, 127), counts=(0, 127))
    assert "fires: sigma-delta neurons; convert with --for akida" in reasons(plan_layers(with_neuron(lambda _: stock)))
    base = network(CENTERED)
    pixels = replace(base.populations[1], bias=np.zeros((2, 8, 8), np.int64))
    assert reasons(plan_layers(replace(base, populations=(base.input, pixels, base.populations[2])))) == [
        "fires: a bias for each pixel; Akida's layers have one for each channel"
    ]


def test_a_network_that_takes_several_steps() -> None:
    several = align(replace(network(CENTERED), mode="rate", steps=4))
    assert plan_layers(several).misfits[0] == Misfit(
        "small", "rate mode, or several steps; Akida sends every count once; convert with --for akida"
    )


def test_the_input_is_copied_where_more_than_one_layer_reads_it() -> None:
    plan = plan_layers(network(CENTERED, second=ConvKernel(weights(2, 1, 1, 1))))
    assert [layer.name for layer in plan.layers] == ["input (copy)", "fires", "output"]
    assert plan.layers[1].sources == ("input (copy)", "input (copy)")
    assert plan.layers[1].weight.shape == (2, 2, 3, 3)
    assert plan.layers[0].limits == (0, 127)


def test_strides_that_are_not_the_engines_take_a_layer_more() -> None:
    plan = plan_layers(network(ConvKernel(weights(2, 1, 3, 3), (2, 2), PIXEL)))
    assert [(layer.name, layer.stride) for layer in plan.layers] == [
        ("fires (stride 1)", 1),
        ("fires", 2),
        ("output", 1),
    ]
    plan = plan_layers(network(ConvKernel(weights(2, 1, 3, 3), (2, 2), (0, 0, 1, 1))))
    assert [(layer.name, layer.stride) for layer in plan.layers] == [("fires", 2), ("output", 1)]


def test_both_in_one_sum() -> None:
    with_pool = ConvKernel(weights(2, 1, 1, 1), (2, 2))
    assert reasons(plan_layers(network(ConvKernel(weights(2, 1, 3, 3), (2, 2), (0, 0, 1, 1)), second=with_pool))) == []


@pytest.mark.parametrize(
    ("bias", "mantissa", "shift"),
    [(127, 127, 0), (128, 64, 1), (-254, -127, 1), (0, 0, 0), (-(2**22), -64, 16)],
)
def test_mantissas(bias: int, mantissa: int, shift: int) -> None:
    found = split_bias(np.array([bias, 1]))
    assert [values.tolist() for values in found] == [[mantissa, 1], [shift, 0]]
    assert bias == mantissa << shift


@pytest.mark.parametrize("bias", [255, -257, 129])
def test_biases_without_one(bias: int) -> None:
    with pytest.raises(MisfitError, match=rf"^a bias of {bias}, which has more than 8 significant bits; convert"):
        split_bias(np.array([bias]))


@pytest.mark.parametrize(
    ("side", "stride", "extent", "before"),
    [(3, 1, 8, 1), (7, 1, 8, 3), (3, 2, 8, 0), (3, 2, 7, 1), (1, 2, 8, 0), (2, 2, 8, 0), (1, 2, 3, 0)],
)
def test_padding(side: int, stride: int, extent: int, before: int) -> None:
    assert pad_before(side, stride, extent) == before


def test_groups_and_gaps_are_written_out() -> None:
    kernel = ConvKernel(weights(4, 1, 3, 3), pads=(2, 2, 2, 2), dilations=(2, 2), groups=2)
    (whole,) = place_convolutions([kernel], (8, 8), 1, depthwise=False)
    assert whole.shape == (4, 2, 5, 5)
    maps = np.random.default_rng(1).integers(0, 9, (1, 2, 8, 8))
    written = dynamics.apply(ConvKernel(whole, pads=(2, 2, 2, 2)), maps)
    assert np.array_equal(written, dynamics.apply(kernel, maps))


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(("taps", "pads", "side"), [(2, (0, 0, 0, 0), 3), (3, (1, 1, 0, 0), 4), (4, (1, 1, 1, 1), 4)])
def test_transposed_ones(taps: int, pads: tuple[int, int, int, int], side: int, groups: int) -> None:
    kernel = TransposedKernel(weights(2, 3, taps, taps), (2, 2), pads, groups=groups)
    maps = np.random.default_rng(1).integers(0, 9, (1, 2, 5, 6))
    expected = dynamics.apply(kernel, maps)
    (whole,) = place_transposed([kernel], depthwise=False)
    assert whole.shape == (3 * groups, 2, side, side)
    cut = (side - 2) // 2
    engine = TransposedKernel(
        np.ascontiguousarray(whole.swapaxes(0, 1)), (2, 2), (cut, cut, side - 2 - cut, side - 2 - cut)
    )
    assert np.array_equal(dynamics.apply(engine, maps), expected)
    spread = np.zeros((1, 2, 10, 12), np.int64)
    spread[..., ::2, ::2] = maps
    assert np.array_equal(dynamics.apply(unfold(kernel), spread), expected)


def test_channels_that_do_not_mix_are_read_one_by_one() -> None:
    """Layers for that are smaller, and what the engine's own pools are made of."""
    kernels: tuple[tuple[Kernel, str], ...] = (
        (TransposedKernel(weights(2, 1, 2, 2), (2, 2), groups=2), "depthwise transposed"),
        (TransposedKernel(weights(2, 2, 2, 2), (2, 2)), "transposed"),
        (ConvKernel(weights(2, 1, 3, 3), pads=PIXEL, groups=2), "depthwise"),
        (ConvKernel(weights(2, 2, 3, 3), pads=PIXEL), "conv"),
        (ConvKernel(weights(4, 1, 3, 3), pads=PIXEL, groups=2), "conv"),
    )
    for kernel, kind in kernels:
        layer = plan_layers(network(kernel, (2, 8, 8))).layers[0]
        assert (layer.name, layer.kind) == ("fires", kind)
        assert layer.weight.shape[1] == (1 if kind.startswith("depthwise") else 2)
