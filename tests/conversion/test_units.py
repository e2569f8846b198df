"""Units of counts by hand: from statistics of a few values, through relays, into weights of every layout; equalization."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from snn_deploy.arrays import Array, Float64
from snn_deploy.conversion.calibrate import Statistics
from snn_deploy.conversion.equalize import choose_channel_factors
from snn_deploy.conversion.layers import Kind, Layer, LayerInput, Layers, LinearOp
from snn_deploy.conversion.normalize import GRID, choose_scales, choose_unit, derive_relay_unit, fires_at_pool, scale_op
from snn_deploy.conversion.options import Options, preset
from snn_deploy.errors import ConversionError
from snn_deploy.graph.ops import Conv, ConvTranspose, Resample
from snn_deploy.passes.constant_map import apply_linear


def statistics(*counts: list[int], top: float = 4.0) -> Statistics:
    """Bins of equal width from 0 to ``top``; each list is a channel."""
    histogram = np.array(counts, np.int64)
    power = (histogram[:, 1:].sum(1) > 0).astype(np.float64)
    return Statistics(np.linspace(0, top, histogram.shape[1] + 1), histogram, power, power)


MOST = statistics([1, 8, 8, 1])
"""Percentiles: half of the values below 2, all below 4."""


@pytest.mark.parametrize(
    ("options", "unit"),
    [
        (Options(levels=10, scale="max"), 0.4),
        (Options(levels=10, scale="percentile", percentile=50), 0.2),
        (Options(levels=10, scale="percentile", percentile=100), 0.4),
        (Options(mode="rate", thresholds=3, scale="max"), 4 / 7),
        (Options(mode="rate", thresholds=3, scale="max", span="paper"), 2.0),
        (Options(mode="rate", thresholds=4, scale="max", span="paper"), 1.0),
        (Options(mode="rate", thresholds=1, scale="max", span="paper"), 4.0),
        (Options(mode="rate", thresholds=4, scale="percentile", percentile=50, span="paper"), 0.5),
        (Options(mode="exact", levels=10, thresholds=4, scale="max", span="paper"), 0.4),
    ],
)
def test_units_by_hand(options: Options, unit: float) -> None:
    assert choose_unit([MOST], options) == pytest.approx(unit, rel=1e-12)
    assert choose_unit([statistics([0, 0, 0, 0], top=8.0), MOST], options) == pytest.approx(unit, rel=1e-12)


def test_percentiles_of_zeros_may_not_count() -> None:
    """Of 90 zeros and ten values, the median is 0 (then the extent stands in), or one of the ten."""
    options = Options(levels=10, scale="percentile", percentile=50)
    zeros = statistics([90, 5, 4, 1])
    assert choose_unit([zeros], options) == pytest.approx(0.1)
    assert choose_unit([zeros], replace(options, percentile_of_zeros=False)) == pytest.approx(0.2)
    signed = Statistics(np.array([-1.0, 0.0, 1.0]), np.array([[0, 5]]), np.ones(1), np.ones(1))
    assert choose_unit([signed], replace(options, percentile_of_zeros=False)) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("options", "unit"), [(Options(levels=10), 0.1), (Options(mode="rate", thresholds=2, steps=5), 1 / 15)]
)
def test_the_unit_of_silence(options: Options, unit: float) -> None:
    assert choose_unit([statistics([7, 0, 0, 0])], options) == unit


@pytest.mark.parametrize(
    ("options", "budget", "steps"),
    [(Options(levels=5), 5, 1), (preset("multi-threshold", thresholds=1, steps=6), 6, 6)],
)
def test_the_least_square_unit_by_trying_all(options: Options, budget: int, steps: int) -> None:
    values = np.array([0.0, 1.5, 2.5, 3.5])
    counts = np.array([1, 8, 8, 1])
    quanta = 4.0 * GRID / budget
    errors = [float((counts * np.square(values - q * np.minimum(np.rint(values / q), budget))).sum()) for q in quanta]
    assert choose_unit([MOST], options) == pytest.approx(quanta[int(np.argmin(errors))] * steps, rel=1e-12)


def test_clipping_points_lie_between_a_fiftieth_and_the_whole_of_the_range() -> None:
    assert (GRID.size, GRID[0], GRID[-1]) == (120, 0.02, 1.0)
    np.testing.assert_allclose(GRID[1:] / GRID[:-1], 50 ** (1 / 119), rtol=1e-12)


def layer(kind: Kind, *inputs: tuple[str, LinearOp], channels: int = 2, name: str = "here") -> Layer:
    parts = tuple(LayerInput(f"{name}<-{source}", source, op, ()) for source, op in inputs)
    return Layer(name, kind, (channels, 4, 4), parts, np.zeros((channels, 1, 1)), ())


def depthwise(weight: Any) -> Conv:
    weight = np.asarray(weight, np.float64)
    return Conv(np.broadcast_to(weight, (2, 1, *weight.shape)).copy(), np.zeros(2), groups=2)


UNIT = {"a": np.array([1.0, 3.0]), "b": np.array([2.0, 6.0]), "wide": np.ones(3)}


@pytest.mark.parametrize(
    ("inputs", "unit"),
    [
        ([("a", depthwise([[0.25, 0.25]]))], [0.25, 0.75]),
        ([("a", depthwise([[1.0, 0.0], [-1.0, 2.0]]))], [1.0, 3.0]),
        ([("b", depthwise([[0.5, -1.5]])), ("a", depthwise([[1.0]]))], [1.0, 3.0]),
        ([("a", Resample(np.array([[0.5, 0.0], [1.0, 0.5]]), np.array([[0.25, 0.0]])))], [0.125, 0.375]),
        ([("a", Resample(np.array([[-0.5, 0.0]]), np.array([[1.0, 0.0]])))], [0.5, 1.5]),
    ],
)
def test_relays_count_their_smallest_weight(inputs: list[tuple[str, LinearOp]], unit: list[float]) -> None:
    assert derive_relay_unit(layer("relay", *inputs), UNIT).tolist() == unit


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([("a", depthwise([[1.0, 1.5]]))], "here: a relay needs integer multiples of one weight; here<-a has others"),
        (
            [("a", Resample(np.array([[1.0, 1.5]]), np.eye(1)))],
            "here: a relay needs integer multiples of one weight; .*",
        ),
        ([("wide", depthwise([[1.0]]))], "here: a relay must not mix channels; here<-wide does"),
        ([("a", depthwise([[1.0]])), ("b", depthwise([[1.0]]))], "here: a relay's sources must share one unit"),
    ],
)
def test_what_a_relay_cannot_count_is_refused(inputs: list[tuple[str, LinearOp]], message: str) -> None:
    with pytest.raises(ConversionError, match=f"^{message}$"):
        derive_relay_unit(layer("relay", *inputs), UNIT)


@pytest.mark.parametrize(
    ("kind", "weights", "pool", "fires"),
    [
        ("relay", [0.25], "neuron", True),
        ("relay", [0.25], "relay", False),
        ("rectified relay", [0.25], "neuron", False),
        ("relu", [0.25], "neuron", False),
        ("relay", [1.0], "neuron", False),
        ("relay", [-0.5, 1.0], "neuron", False),
        ("relay", [-0.5, 1.5], "neuron", True),
    ],
)
def test_average_pools_fire_where_asked_for(kind: Kind, weights: list[float], pool: str, fires: bool) -> None:
    inputs = [("a", depthwise([[weight]])) for weight in weights]
    options = Options(mode="rate", pool=pool)  # type: ignore[arg-type]
    assert fires_at_pool(layer(kind, *inputs), options) == fires


def numbers(*shape: int) -> Float64:
    return np.asarray(np.random.default_rng(sum(shape)).normal(0, 1, shape), np.float64)


@pytest.mark.parametrize(
    "op",
    [
        Conv(numbers(6, 4, 2, 3), numbers(6), (2, 1), (1, 0, 0, 1), (1, 2)),
        Conv(numbers(6, 2, 2, 3), numbers(6), groups=2),
        Conv(numbers(6, 4, 2, 3), numbers(6, 4, 5)),
        ConvTranspose(numbers(4, 3, 2, 3), numbers(3), (2, 1), (1, 0, 0, 1), (1, 2)),
        ConvTranspose(numbers(4, 3, 2, 3), numbers(6), groups=2),
        Resample(numbers(3, 5), numbers(2, 7)),
    ],
)
def test_operators_between_counts(op: LinearOp) -> None:
    """``op`` of values is ``op`` between counts, times the unit of its output."""
    outputs = 4 if isinstance(op, Resample) else len(op.bias)
    same = isinstance(op, Resample)
    source, target = np.full(4, 3.0), np.full(4, 0.5)
    if not same:
        source, target = np.arange(1.0, 5.0), np.arange(2.0, 2.0 + outputs)
    counts, scaled = numbers(4, 5, 7), scale_op(op, source, target)
    assert type(scaled) is type(op)
    expected = apply_linear(op, counts * source[:, None, None]) / target[:, None, None]
    np.testing.assert_allclose(apply_linear(scaled, counts), expected, rtol=1e-9, atol=1e-12)
    if not isinstance(op, Resample):
        assert not isinstance(scaled, Resample)
        np.testing.assert_allclose(scaled.bias, (op.bias.T / target).T, rtol=1e-12)


@pytest.mark.parametrize("size", [1.0, 2.0**-40])
def test_units_that_differ_are_told_apart_however_small_they_are(size: float) -> None:
    """Beyond the rounding of float64, 1e-12 of them."""
    op, inputs = Resample(np.eye(3), np.eye(3)), [("a", depthwise([[1.0]])), ("b", depthwise([[1.0]]))]
    for apart, refused in ((1 + 1e-13, False), (1 + 1e-9, True)):
        unit = {"a": np.array([size, size]), "b": np.array([size, size * apart])}
        if not refused:
            scale_op(op, unit["b"], unit["a"])
            derive_relay_unit(layer("relay", *inputs), unit)
            continue
        with pytest.raises(
            ConversionError, match=r"^a resampling shares its weights over channels, so .* normalization$"
        ):
            scale_op(op, unit["b"], unit["a"])
        with pytest.raises(ConversionError, match=r"^here: a relay's sources must share one unit$"):
            derive_relay_unit(layer("relay", *inputs), unit)


def values(top: float, channels: int = 2) -> Statistics:
    return statistics(*[[1, 0, 0, 4]] * channels, top=top)


def chain(kind: Kind = "relu", *, dead: bool = False) -> tuple[Layers, dict[str, Statistics]]:
    """x -> here -> relay -> next -> out; next also reads x."""
    layers = (
        layer(kind, ("x", depthwise([[1.0]]))),
        layer("relay", ("here", depthwise([[0.5, 0.5]])), name="relay"),
        layer("linear", ("relay", depthwise([[1.0]])), ("x", depthwise([[2.0]])), name="next"),
        layer("output", ("next", depthwise([[1.0]])), name="out"),
    )
    found = {"x": values(2.0), "here": values(8.0), "relay": values(8.0), "next": values(16.0)}
    if dead:
        found["here"] = statistics([5, 0, 0, 0], [1, 0, 0, 4], top=8.0)
    return Layers("net", "x", (2, 4, 4), layers, (("out", "out", ()),)), found


def test_units_of_all_layers() -> None:
    layers, found = chain(dead=True)
    scales = choose_scales(layers, found, Options(scale="max", levels=8, input_levels=4, slack=3))
    assert {name: unit.tolist() for name, unit in scales.unit.items()} == {
        "x": [0.5, 0.5],
        "here": [3.0, 3.0],
        "relay": [1.5, 1.5],
        "next": [6.0, 6.0],
        "out": [1.0, 1.0],
    }
    assert scales.dead == {"here": 1, "next": 0}
    sources = {each.name: each.source for part in layers.layers for each in part.inputs}
    assert all(np.array_equal(assumed, scales.unit[sources[name]]) for name, assumed in scales.assumed.items())


def test_units_of_channels_have_a_floor_and_the_dead_get_the_layers() -> None:
    layers, found = chain()
    found["here"] = statistics([5, 0, 0, 0], [1, 0, 0, 4], top=8.0)
    options = Options(scale="max", levels=8, normalization="channel-wise")
    assert choose_scales(layers, found, options).unit["here"].tolist() == [1.0, 1.0]
    found["here"] = statistics([5, 1, 0, 0], [1, 0, 0, 4], top=8.0)
    assert choose_scales(layers, found, options).unit["here"].tolist() == [0.5, 1.0]
    small = np.zeros((2, 1000), np.int64)
    small[0, :2], small[1, -1] = 1, 1
    found["here"] = statistics(*small.tolist(), top=8.0)
    assert choose_scales(layers, found, options).unit["here"].tolist() == [1 / 64, 1.0]


def test_layer_wise_units_are_those_of_all_sources_of_a_convolution() -> None:
    """next reads the relay (whose events come from here) as if all its sources' values had one unit."""
    layers, found = chain()
    options = Options(mode="rate", normalization="layer-wise", scale="max", thresholds=2, input_levels=4)
    scales = choose_scales(layers, found, options)
    assert scales.assumed["relay<-here"].tolist() == scales.unit["here"].tolist()
    assert scales.assumed["here<-x"].tolist() == scales.assumed["next<-x"].tolist() == [0.5, 0.5]
    wanted = choose_unit([found["relay"]], options) * scales.unit["relay"] / scales.unit["here"]
    assert scales.assumed["next<-relay"].tolist() == wanted.tolist()
    assert scales.assumed["out<-next"].tolist() == [choose_unit([found["next"]], options)] * 2


def test_pools_that_fire_have_the_unit_of_their_source() -> None:
    layers, found = chain()
    options = Options(mode="rate", pool="neuron", scale="max", thresholds=2, normalization="layer-wise")
    scales = choose_scales(layers, found, options)
    assert scales.unit["relay"].tolist() == scales.unit["here"].tolist()
    assert scales.assumed["next<-relay"].tolist() == [choose_unit([found["relay"]], options)] * 2


def test_an_input_of_zeros_has_a_unit() -> None:
    layers, found = chain()
    found["x"] = statistics([3, 0, 0, 0], [3, 0, 0, 0])
    assert choose_scales(layers, found, Options(input_levels=4)).unit["x"].tolist() == [0.25, 0.25]


def equalized(*readers: tuple[Kind, LinearOp], found: Statistics | None = None, kind: Kind = "relu") -> Array:
    layers = [layer(kind, ("x", depthwise([[1.0]])))]
    for number, (reader, op) in enumerate(readers):
        layers.append(layer(reader, ("here", op), name=f"r{number}"))
    net = Layers("net", "x", (2, 4, 4), tuple(layers), ())
    return choose_channel_factors(net, layers[0], found or values(8.0))


def columns(first: float, second: float) -> Conv:
    return Conv(np.array([[first, second], [second / 2, first / 2]]).reshape(2, 2, 1, 1), np.zeros(2))


@pytest.mark.parametrize(
    ("readers", "ratios"),
    [
        ([("relu", Conv(np.array([[[[1.0]], [[16.0]]]]), np.zeros(1)))], (1 / 16, 1.0)),
        ([("relu", Conv(np.array([[[[-4.0, 1.0]], [[0.0, 16.0]]]]), np.zeros(1)))], (1 / 4, 1.0)),
        ([("relu", Conv(np.array([[[[1.0]], [[16.0]]], [[[8.0]], [[16.0]]]]), np.zeros(2)))], (1 / 2, 1.0)),
        ([("relu", ConvTranspose(np.array([[[[1.0]]], [[[16.0]]]]), np.zeros(1)))], (1 / 16, 1.0)),
        ([("relu", ConvTranspose(np.array([[[[1.0]], [[3.0]]], [[[16.0]], [[4.0]]]]), np.zeros(2)))], (3 / 4, 1.0)),
        ([("relu", Conv(np.array([[[[1.0]]], [[[16.0]]]]), np.zeros(2), groups=2))], (1.0, 1.0)),
        (
            [
                ("relu", Conv(np.array([[[[1.0]], [[16.0]]]]), np.zeros(1))),
                ("output", Conv(np.array([[[[1.0]], [[2.0]]]]), np.zeros(1))),
            ],
            (1 / 2, 1.0),
        ),
        ([("relu", Conv(np.array([[[[0.0]], [[16.0]]]]), np.zeros(1)))], (1e-3, 1.0)),
    ],
)
def test_columns_are_balanced_against_each_other(
    readers: list[tuple[Kind, LinearOp]], ratios: tuple[float, float]
) -> None:
    """The fourth root of the geometric mean of the largest relative weights over each, within 0.3 and 3."""
    mean = np.sqrt(ratios[0] * ratios[1])
    expected = [(mean / ratio) ** 0.25 for ratio in ratios]
    wide = statistics([1, 1] + [0] * 98, [1, 1] + [0] * 98)
    np.testing.assert_allclose(equalized(*readers, found=wide), np.clip(expected, 0.3, 3.0), rtol=1e-12)


def test_channels_keep_the_range_that_they_use() -> None:
    """A channel whose values reach 3/4 of the layer's range is not scaled below that."""
    reader = ("relu", Conv(np.array([[[[1.0]], [[1e-3]]]]), np.zeros(1)))
    half = statistics([1, 0, 1, 0], [1, 0, 0, 1])
    kind: Kind = "relu"
    factors = equalized((kind, reader[1]), found=half)
    mean = np.sqrt(1e-3)
    np.testing.assert_allclose(factors, [max((mean / 1.0) ** 0.25, 0.75), (mean / 1e-3) ** 0.25], rtol=1e-12)


@pytest.mark.parametrize(
    ("kind", "readers"),
    [
        ("linear", [("relu", columns(1.0, 16.0))]),
        ("relu", []),
        ("relu", [("relu", columns(0.0, 0.0))]),
        ("relu", [("relu", columns(1.0, 16.0)), ("relu", Resample(np.eye(4), np.eye(4)))]),
    ],
)
def test_where_nothing_can_be_balanced_factors_are_one(kind: Kind, readers: list[tuple[Kind, LinearOp]]) -> None:
    assert equalized(*readers, kind=kind).tolist() == [1.0, 1.0]


def test_readers_behind_relays_count() -> None:
    reader = Conv(np.array([[[[1.0]], [[16.0]]]]), np.zeros(1))
    layers = (
        layer("relu", ("x", depthwise([[1.0]]))),
        layer("rectified relay", ("here", depthwise([[1.0]])), name="relay"),
        layer("relu", ("relay", reader), name="r"),
    )
    net = Layers("net", "x", (2, 4, 4), layers, ())
    wide = statistics([1, 1] + [0] * 98, [1, 1] + [0] * 98)
    np.testing.assert_allclose(choose_channel_factors(net, layers[0], wide), [np.sqrt(2), np.sqrt(0.5)], rtol=1e-12)


@pytest.mark.parametrize(
    ("largest", "factors"),
    [
        ([1e-4] + [1.0] * 7, [3.0] + [(1e-3 ** (1 / 8)) ** 0.25] * 7),
        ([1.0] + [1e-4] * 7, [0.3] + [(1e-3 ** (-1 / 8)) ** 0.25] * 7),
    ],
)
def test_factors_lie_between_a_third_and_three(largest: list[float], factors: list[float]) -> None:
    """One column of eight that is much smaller, or larger, than the others; below 1e-3 they count as that."""
    here = Layer("here", "relu", (8, 4, 4), (), np.zeros((8, 1, 1)), ())
    reader = LayerInput("r<-here", "here", Conv(np.array(largest).reshape(1, 8, 1, 1), np.zeros(1)), ())
    net = Layers("net", "x", (8, 4, 4), (here, Layer("r", "relu", (1, 4, 4), (reader,), np.zeros((1, 1, 1)), ())), ())
    wide = statistics(*[[1, 1] + [0] * 98] * 8)
    np.testing.assert_allclose(choose_channel_factors(net, here, wide), factors, rtol=1e-12)
