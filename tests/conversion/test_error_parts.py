"""Parts of errors by hand: what clipping, rounding and weights do to single values, and whose fault an error is."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from snn_deploy.conversion.calibrate import Statistics
from snn_deploy.conversion.layer_cost import LayerCost, _split_error, measure_costs
from snn_deploy.conversion.layer_loss import NOTHING, _relative, measure_layers, name_causes
from snn_deploy.conversion.loss import LayerLoss, limit_counts
from snn_deploy.conversion.lower import Conversion, lower
from snn_deploy.conversion.options import preset
from snn_deploy.conversion.report import measure_clipping, report_connections
from snn_deploy.data.images import Images
from snn_deploy.graph.graph import Graph, Node
from snn_deploy.graph.ops import Conv, Linear, Relu
from tests.conversion.test_lower import IMAGES, KINDS, converted

CASES: list[tuple[str, dict[str, Any], dict[str, tuple[int, int]]]] = [
    ("exact", {"levels": 20, "input_levels": 30}, {"x": (-30, 30), "relu": (0, 20), "linear": (-20, 20)}),
    (
        "multi-threshold",
        {"steps": 4, "thresholds": 2, "input_levels": 30},
        {"x": (-30, 30), "relu": (0, 12), "linear": (-12, 12)},
    ),
    (
        "if",
        {"steps": 5, "input_levels": 30},
        {"x": (-30, 30), "relu": (0, 5)},
    ),
]


@pytest.mark.parametrize(("name", "fields", "limits"), CASES)
def test_errors_of_single_values(name: str, fields: dict[str, Any], limits: dict[str, tuple[int, int]]) -> None:
    """Sums of -3 to 3 limits, in thirds of a count; a run's counts are in steps of the unit over its steps."""
    conversion = converted(name, **fields)
    network = conversion.network
    for layer, (low, high) in limits.items():
        population = network.population(layer)
        steps = network.steps if network.mode == "rate" and layer != "x" else 1
        quantum = population.unit[:, None, None] / steps
        sums = (np.arange(-9 * high, 9 * high + 1) / 3)[None, None] * quantum
        true = 0.25 * sums
        parts = _split_error(conversion, layer, true[None].astype(np.float32), sums[None].astype(np.float32))
        counts = np.arange(-9 * high, 9 * high + 1) / 3
        inside = np.minimum(np.maximum(counts, low), high)
        scale = float(np.abs(sums).max())
        assert set(parts) == {"clipping", "rounding", "weights"}
        for cause, expected in (
            ("clipping", inside - counts),
            ("rounding", np.round(inside) - inside),
            ("weights", 0.75 * counts),
        ):
            found = parts[cause][0]  # type: ignore[index]
            np.testing.assert_allclose(
                found, expected * quantum, rtol=1e-5, atol=1e-6 * scale, err_msg=f"{layer} {cause}"
            )


def test_read_outs_err_by_their_weights_alone() -> None:
    conversion = converted("exact")
    sums = np.linspace(-1e6, 1e6, 5, dtype=np.float32).reshape(1, 1, 1, 5)
    parts = _split_error(conversion, "head", 0 * sums, sums)
    assert list(parts) == ["weights"]
    assert np.array_equal(parts["weights"], sums)


@pytest.mark.parametrize("channels", [1, 2])
def test_the_cost_of_the_input_is_its_rounding(channels: int) -> None:
    """An identity and a read-out with weights that integers hold: what moves the output is the input's count alone."""
    weight = np.eye(channels).reshape(channels, channels, 1, 1)
    nodes = (
        Node("a", Conv(weight, np.zeros(channels)), ("x",)),
        Node("lin", Linear(), ("a",)),
        Node("y", Conv(2 * weight, np.full(channels, 0.5)), ("lin",)),
    )
    graph = Graph("net", "x", (channels, 8, 8), nodes, (("y", "y"),))
    images = [image[:1, :channels] for image in IMAGES]
    conversion = _lowered(graph, images, input_levels=5)
    unit = conversion.scales.unit["x"][:, None, None]
    told: list[tuple[int, int]] = []
    costs = {each.name: each for each in measure_costs(conversion, graph, images, lambda *part: told.append(part))}
    assert told == [(number, 6) for number in range(1, 7)]
    moved = sum(np.square(2 * (np.rint(image / unit) * unit - image)).sum() for image in images)
    power = sum(np.square(2 * (image - image.mean((2, 3), keepdims=True))).sum() for image in images)
    assert costs["x"].cost == pytest.approx(math.sqrt(moved / power), rel=1e-4)
    assert costs["x"].cause == "rounding"
    assert costs["y"].cost < 1e-3
    assert set(costs) == {"x", "lin", "y"}


def _lowered(graph: Graph, images: Images, **fields: Any) -> Conversion:
    return lower(graph, graph, images, preset("exact", **fields))


def test_an_output_that_does_not_vary_costs_nothing() -> None:
    nodes = (
        Node("a", Conv(np.ones((1, 2, 1, 1)), np.zeros(1)), ("x",)),
        Node("r", Relu(), ("a",)),
        Node("y", Conv(np.zeros((1, 1, 1, 1)), np.ones(1)), ("r",)),
    )
    graph = Graph("flat", "x", (2, 8, 8), nodes, (("y", "y"),))
    images = [image[:1] for image in IMAGES]
    assert {each.cost for each in measure_costs(_lowered(graph, images), graph, images)} == {0.0}
    assert str(LayerCost("r", 0.01234, "clipping")) == "r (clipping, 1.23%)"


def test_counts_of_a_run_have_limits() -> None:
    for name, fields, limits in CASES:
        network = converted(name, **fields).network
        for layer, expected in limits.items():
            if layer != "x":
                repeats = network.steps if network.mode == "rate" else 1
                assert limit_counts(network.population(layer), repeats) == expected, (name, layer)
    assert limit_counts(network.input, 1) == (-30, 30)


@pytest.mark.parametrize(
    ("error", "values", "expected"),
    [
        ([3.0, 4.0], [0.0, 10.0], 0.5),
        ([0.0, 0.0], [1.0, 0.0], 0.0),
        ([0.0, 0.0], [0.0, 0.0], 0.0),
        ([0.0, 1.0], [0.0, 0.0], math.inf),
    ],
)
def test_errors_are_relative_to_the_values(error: list[float], values: list[float], expected: float) -> None:
    assert _relative(np.array(error), np.array(values)) == expected


@pytest.mark.parametrize(
    ("own", "error", "source", "cause"),
    [
        ((0.0, 0.0), 0.99 * NOTHING, 1.0, "none"),
        ((0.0, 0.0), NOTHING, 0.0, "inputs"),
        ((0.03, 0.04), 0.1, 1.0, "rounding"),
        ((0.03, 0.039), 0.1, 0.05, "inputs"),
        ((0.03, 0.039), 0.1, 0.0499, "weights"),
        ((0.04, 0.03), 0.1, 1.0, "clipping"),
        ((0.04, 0.04), 0.1, 1.0, "rounding"),
    ],
)
def test_whose_fault_an_error_is(own: tuple[float, float], error: float, source: float, cause: str) -> None:
    """Half of the error is enough: of the layer's own levels, then of the worse of two sources."""
    edges = [SimpleNamespace(source="a", target="t"), SimpleNamespace(source="b", target="t")]
    edges.append(SimpleNamespace(source="x", target="a"))
    losses = [
        LayerLoss("a", source, 0.0, 0.0),
        LayerLoss("b", 0.01, 0.0, 0.0),
        LayerLoss("t", error, *own),
    ]
    assert NOTHING == 1e-6
    assert name_causes(losses, cast(Any, SimpleNamespace(connections=edges)))["t"] == cause


@pytest.mark.parametrize(("name", "fields", "limits"), CASES[:2])
def test_losses_of_layers_by_hand(name: str, fields: dict[str, Any], limits: dict[str, tuple[int, int]]) -> None:
    """Counts of 3 where 3.4 units were true; one value lies twice beyond the limit."""
    conversion = converted(name, **fields)
    network = conversion.network
    steps = network.steps if network.mode == "rate" else 1
    counts, expected = {}, {}
    for layer in conversion.layers.layers:
        shape = (1, *network.population(layer.name).shape)
        quantum = network.population(layer.name).unit[:, None, None] / steps
        true = np.full(shape, 3.4)
        true[0, :, 0, 0] = 2 * limits.get(layer.name, (0, 1))[1]
        counts[layer.name] = np.full(shape, 3, np.int64)
        expected[layer.name] = (true * quantum).astype(np.float32)
    losses = {
        each.name: each
        for each in measure_layers(network, conversion.layers, cast(Any, SimpleNamespace(counts=counts)), expected)
    }
    for layer_name, (_, high) in limits.items():
        if layer_name == "x":
            continue
        unit = np.square(network.population(layer_name).unit).sum()
        rest = 8 * 8 - 1
        power = unit * (4 * high**2 + rest * 3.4**2)
        loss = losses[layer_name]
        assert loss.error == pytest.approx(math.sqrt(unit * ((2 * high - 3) ** 2 + rest * 0.16) / power), rel=1e-5)
        assert loss.clipping == pytest.approx(math.sqrt(unit * high**2 / power), rel=1e-5)
        assert loss.rounding == pytest.approx(math.sqrt(unit * rest * 0.16 / power), rel=1e-5)
    assert (losses["relay"].clipping, losses["relay"].rounding) == (0.0, 0.0)


def statistics(*counts: list[int]) -> Statistics:
    histogram = np.array(counts, np.int64)
    ones = np.ones(len(counts))
    return Statistics(np.arange(histogram.shape[1] + 1.0), histogram, ones, ones)


@pytest.mark.parametrize(
    ("unit", "top", "share"),
    [
        ([1.0], 2, 3 / 10),  # middles 0, 1.5, 2.5, 3.5 against 2.5
        ([1.0], 1, 7 / 10),
        ([0.99], 2, 7 / 10),
        ([1.0], 3, 0.0),
        ([1.0], 0, 9 / 10),
    ],
)
def test_values_beyond_half_a_count_more_are_clipped(unit: list[float], top: int, share: float) -> None:
    found = statistics([1, 2, 4, 3])
    assert measure_clipping(found, np.array(unit), top) == pytest.approx(share)
    both = statistics([1, 2, 4, 3], [10, 0, 0, 0])
    assert measure_clipping(both, np.array([*unit, 1.0]), top) == pytest.approx(share / 2)


def test_a_report_tells_of_every_connection() -> None:
    conversion = converted("exact", levels=20)
    reports = report_connections(conversion)
    edges = [(edge.name, edge.source, edge.target) for edge in conversion.network.connections]
    assert [(each.name, each.source, each.target) for each in reports] == edges
    for each in reports:
        unit = conversion.scales.unit[each.source]
        assert each.unit == (unit.min(), unit.max())
        assert each.dead == 0
    assert {each.name: each.weight_error for each in reports}["p"] == 0, "a pool's weights are integers"
    errors = [each.weight_error for each in reports if each.name in "ab"]
    assert all(0 < error < 0.02 for error in errors)


def test_weight_errors_are_those_of_the_integers() -> None:
    """Thresholds of 8 and an exponent of 1: real weights are a quarter of the integers."""
    conversion = converted("exact", levels=20, weight_bits=4)
    network = conversion.network
    (edge,) = (each for each in network.connections if each.name == "a")
    neuron = network.population("relu").neuron
    assert neuron is not None
    real = edge.kernel.weight * 2.0**edge.exponent / neuron.theta[:, None, None, None]  # type: ignore[union-attr]
    node = next(each for each in KINDS.nodes if each.name == "a")
    assert isinstance(node.op, Conv)
    scales = conversion.scales
    wanted = node.op.weight * scales.unit["x"][:, None, None] / scales.unit["relu"][:, None, None, None]
    expected = math.sqrt(np.square(real - wanted).mean() / np.square(wanted).mean())
    found = {each.name: each.weight_error for each in report_connections(conversion)}
    assert found["a"] == pytest.approx(expected, rel=1e-9)
    assert expected > 0.01
