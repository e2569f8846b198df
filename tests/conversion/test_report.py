"""The report of a conversion against the raw values."""

from __future__ import annotations

from dataclasses import asdict
from typing import cast

import numpy as np
import pytest

from snn_deploy.conversion.calibrate import ActivationProbe, Statistics
from snn_deploy.conversion.choose import Choice, Trial
from snn_deploy.conversion.convert import Converted
from snn_deploy.conversion.loss import IMAGES, LayerLoss, Loss
from snn_deploy.conversion.lower import lower
from snn_deploy.conversion.options import Options, preset
from snn_deploy.conversion.report import measure_clipping, record, record_choice, report_connections
from snn_deploy.data.images import Images
from snn_deploy.graph.graph import Graph, Node
from snn_deploy.graph.ops import Add, Conv, ConvTranspose, Relu, Resample

from .conftest import UNet


@pytest.mark.parametrize("normalization", ["connection-wise", "channel-wise"])
@pytest.mark.parametrize("mode", ["exact", "rate"])
def test_clipped_shares_and_dead_channels(
    small_unet: UNet, small_images: Images, normalization: str, mode: str
) -> None:
    graph = small_unet(dead=2)
    options = preset(
        "exact" if mode == "exact" else "multi-threshold",
        normalization=normalization,
        scale="percentile",
        percentile=90.0,
    )
    conversion = lower(graph, graph, small_images, options)
    reports = {report.name: report for report in report_connections(conversion)}
    assert set(reports) == {connection.name for connection in conversion.network.connections}
    report = next(report for report in reports.values() if report.source == "a.relu")
    probe = ActivationProbe(graph, ["a.relu"])
    values = np.concatenate([probe(image)["a.relu"] for image in small_images])
    unit = conversion.scales.unit["a.relu"]
    top = options.levels if mode == "exact" else options.payload_max
    expected = float((values > (top + 0.5) * unit[:, None, None]).mean())
    assert report.clipped == pytest.approx(expected, abs=0.003)
    assert expected > 0.02
    assert report.dead == 2
    assert report.unit == (unit.min(), unit.max())


def test_weight_errors_fall_with_bits(small_unet: UNet, small_images: Images) -> None:
    graph = small_unet()
    errors = []
    for bits in (8, 4):
        reports = report_connections(
            lower(graph, graph, small_images, preset("exact", weight_bits=bits, rounding="nearest"))
        )
        errors.append({report.name: report.weight_error for report in reports})
    for name, error in errors[0].items():
        assert error < 0.03, name
        if "pool" not in name:
            assert errors[1][name] > error or error < 1e-9, name
    pooled = [error for name, error in errors[0].items() if name.startswith("pool<-")]
    assert pooled == [0.0]


def test_the_record_holds_options_layers_and_connections(small_unet: UNet, small_images: Images) -> None:
    graph = small_unet(dead=2)
    conversion = lower(graph, graph, small_images, preset("multi-threshold", steps=5))
    network = conversion.network
    layers = tuple(
        LayerLoss(name, 0.25, 0.125, np.inf) for name in [population.name for population in network.populations][1:]
    )
    found = record(conversion, Loss(layers, 0.5))
    assert {key: found[key] for key in ("name", "mode", "steps", "options", "function_error", "loss")} == {
        "name": network.name,
        "mode": "rate",
        "steps": 5,
        "options": network.config,
        "function_error": conversion.function_error,
        "loss": {"error": 0.5, "images": IMAGES},
    }
    headroom = {bound.population: round(bound.headroom_bits, 2) for bound in conversion.bounds}
    for population, each in zip(network.populations, found["populations"], strict=True):
        assert each == {
            "name": population.name,
            "shape": list(population.shape),
            "start": population.start,
            "unit": [population.unit.min(), population.unit.max()],
            "headroom_bits": headroom.get(population.name),
            "widened": 1.0,
            "dead_channels": 2 if population.name == "a.relu" else conversion.scales.dead.get(population.name, 0),
            "loss": None if population.neuron is None else {"error": 0.25, "clipping": 0.125, "rounding": np.inf},
        }
    assert found["connections"] == [asdict(report) for report in report_connections(conversion)]
    plain = record(conversion)
    assert plain["loss"] is None
    assert [each["loss"] for each in plain["populations"]] == [None] * len(network.populations)


def test_the_record_of_a_choice(small_unet: UNet, small_images: Images) -> None:
    graph = small_unet()
    converted = cast("Converted", lower(graph, graph, small_images, Options()))
    given = Trial(Options(), Loss((), np.inf))
    kept = Trial(Options(levels=255, scale="max"), Loss((), 0.5))
    refused = Trial(Options(theta="integer"), None, "too wide")
    assert record_choice(Choice(converted, kept, (given, kept, refused), "because")) == {
        "reason": "because",
        "trials": [
            {"changes": {}, "error": np.inf, "refusal": None},
            {"changes": {"levels": 255, "scale": "max"}, "error": 0.5, "refusal": None},
            {"changes": {"theta": "integer"}, "error": None, "refusal": "too wide"},
        ],
    }


@pytest.mark.parametrize(
    ("edges", "unit", "top", "share"),
    [
        # centers 0, 1.5, 2.5, 3.5; counts up to ``top`` and a half are held
        ([0.0, 1.0, 2.0, 3.0, 4.0], [1.0], 3, 0 / 18),
        ([0.0, 1.0, 2.0, 3.0, 4.0], [1.0], 2, 1 / 18),
        ([0.0, 1.0, 2.0, 3.0, 4.0], [1.0], 1, 9 / 18),
        ([0.0, 1.0, 2.0, 3.0, 4.0], [0.5], 2, 17 / 18),
        ([-4.0, -3.0, -2.0, -1.0, 0.0], [1.0], 2, 1 / 18),
        ([0.0, 1.0, 2.0, 3.0, 4.0], [1.0, 0.5], 2, 18 / 36),
    ],
)
def test_the_clipped_share_by_hand(edges: list[float], unit: list[float], top: int, share: float) -> None:
    counts = np.array([[1, 8, 8, 1]] * len(unit), np.int64)
    found = Statistics(np.array(edges), counts, np.ones(len(unit)), np.ones(len(unit)))
    assert measure_clipping(found, np.array(unit), top) == share


def test_weight_errors_by_hand() -> None:
    """The root mean square error of weights between counts, over that of the weights themselves."""
    rng = np.random.default_rng(0)
    pads = (1, 1, 1, 1)
    nodes = (
        Node("a", Conv(rng.normal(0, 1, (4, 1, 3, 3)), np.zeros(4), pads=pads), ("x",)),
        Node("r", Relu(), ("a",)),
        Node("t", ConvTranspose(rng.normal(0, 1, (4, 1, 3, 3)), np.zeros(2), pads=pads, groups=2), ("r",)),
        Node("s", Relu(), ("t",)),
        Node("up", Resample(np.eye(6), np.eye(6)), ("s",)),
        Node("c", Conv(rng.normal(0, 1, (2, 2, 1, 1)), np.zeros(2)), ("s",)),
        Node("zero", Conv(np.zeros((2, 2, 1, 1)), np.zeros(2)), ("s",)),
        Node("sum", Add(), ("up", "c", "zero")),
        Node("e", Relu(), ("sum",)),
        Node("head", Conv(rng.normal(0, 1, (2, 2, 1, 1)), np.zeros(2)), ("e",)),
    )
    graph = Graph("net", "x", (1, 6, 6), nodes, (("y", "head"),))
    conversion = lower(graph, graph, [rng.random((1, 1, 6, 6), np.float32)], preset("exact", weight_bits=4))
    network, units = conversion.network, conversion.scales.unit
    found = {report.name: report.weight_error for report in report_connections(conversion)}
    assert (found["up"], found["zero"]) == (0.0, 0.0)
    for name, target in (("a", "r"), ("t", "s"), ("c", "e"), ("head", "head")):
        (edge,) = (each for each in network.connections if each.name == name)
        population = network.population(target)
        assert population.neuron is not None
        weight = vars(graph.node_of[name].op)["weight"]
        wanted, made = np.zeros(weight.shape), np.zeros(weight.shape)
        for first, second in np.ndindex(weight.shape[:2]):
            # of the transposed convolution, two inputs lead to each of two outputs
            source, output = (first, first // 2) if name == "t" else (second, first)
            wanted[first, second] = weight[first, second] * units[edge.source][source] / units[target][output]
            value = population.unit[output] / population.neuron.quantum[output] / units[target][output]
            made[first, second] = vars(edge.kernel)["weight"][first, second] * 2.0**edge.exponent * value
        error = np.sqrt(np.square(made - wanted).mean() / np.square(wanted).mean())
        assert found[name] == pytest.approx(error, rel=1e-9)
        assert error > 1e-3
