"""Percentiles and least-square units from histograms against the raw values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snn_deploy.arrays import Array
from snn_deploy.conversion import calibrate as calibration
from snn_deploy.conversion.calibrate import BINS, ActivationProbe, Statistics, calibrate, percentile
from snn_deploy.conversion.layers import group_layers
from snn_deploy.conversion.normalize import GRID, choose_unit
from snn_deploy.conversion.options import preset
from snn_deploy.data.images import Images
from snn_deploy.errors import ConversionError, StimulusError
from snn_deploy.frontend.onnx import session
from snn_deploy.graph.graph import Graph, Node
from snn_deploy.graph.ops import Conv, Relu

from .conftest import UNet

LAYERS = ("a.relu", "b.relu", "c.relu", "d.relu")


def raw(graph: Graph, images: Images, name: str) -> Array:
    probe = ActivationProbe(graph, LAYERS)
    return np.concatenate([probe(image)[name] for image in images]).astype(np.float64)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("zeros", [True, False])
def test_percentile_is_the_raw_values_percentile(
    small_unet: UNet, small_images: Images, name: str, zeros: bool
) -> None:
    graph = small_unet()
    statistics = calibrate(graph, group_layers(graph), small_images)[name]
    values = np.abs(raw(graph, small_images, name)).ravel()
    width = statistics.extent / BINS
    counted = values if zeros else values[values > width]
    for percent in (50, 90, 99, 99.9, 100):
        expected = np.percentile(counted, percent, method="inverted_cdf")
        assert percentile([statistics], percent, zeros=zeros) == pytest.approx(expected, abs=1.001 * width)


@pytest.mark.parametrize("budget", [4, 60, 127])
def test_the_least_square_unit_is_that_of_the_raw_values(small_unet: UNet, small_images: Images, budget: int) -> None:
    graph = small_unet()
    statistics = calibrate(graph, group_layers(graph), small_images)["b.relu"]
    values = raw(graph, small_images, "b.relu").ravel()

    def error(unit: float) -> float:
        return float(np.square(values - unit * np.minimum(np.rint(values / unit), budget)).mean())

    unit = choose_unit([statistics], preset("exact", levels=budget))
    best = min(error(unit) for unit in values.max() * GRID / budget)
    assert error(unit) <= best * 1.05 + 1e-12
    assert error(unit) < error(values.max() / budget * 1.5)


def test_power_is_the_mean_square(small_unet: UNet, small_images: Images) -> None:
    graph = small_unet()
    power = calibrate(graph, group_layers(graph), small_images)["c.relu"].power
    np.testing.assert_allclose(power, np.square(raw(graph, small_images, "c.relu")).mean((0, 2, 3)), rtol=1e-6)


@pytest.mark.parametrize("kept", [0, 1, 3])
def test_activations_that_are_not_kept_are_computed_again(
    small_unet: UNet, small_images: Images, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = small_unet()
    layers = group_layers(graph)
    images = [*small_images[:2], np.concatenate(small_images[:2])]
    expected = calibrate(graph, layers, images)
    calls: list[int] = []
    call = ActivationProbe.__call__

    def counted(self: ActivationProbe, image: Array) -> dict[str, Array]:
        calls.append(1)
        return call(self, image)

    monkeypatch.setattr(ActivationProbe, "__call__", counted)
    sizes = [4 * image.shape[0] * sum(int(np.prod(graph.shapes[name])) for name in expected) for image in images]
    monkeypatch.setattr(calibration, "KEPT_BYTES", sum(sizes[:kept]))
    found = calibrate(graph, layers, images)
    assert len(calls) == 2 * len(images) - kept
    for name, statistics in expected.items():
        for field in ("edges", "histogram", "mean", "power"):
            np.testing.assert_array_equal(getattr(found[name], field), getattr(statistics, field))


def test_signed_layers_count_magnitudes(small_unet: UNet, small_images: Images) -> None:
    graph = small_unet()
    statistics = calibrate(graph, group_layers(graph), small_images)["x"]
    values = np.abs(np.concatenate(small_images)).ravel()
    assert min(image.min() for image in small_images) < 0
    expected = np.percentile(values, 99, method="inverted_cdf")
    assert percentile([statistics], 99, zeros=True) == pytest.approx(expected, abs=2 * statistics.extent / BINS)


def test_bad_images_are_refused(small_unet: UNet, small_images: Images) -> None:
    graph = small_unet()
    with pytest.raises(ConversionError, match="calibration needs at least one image"):
        calibrate(graph, group_layers(graph), [])
    with pytest.raises(StimulusError, match=r"image \(1, 1, 8, 8\): the network expects \(batch, 1, 16, 16\)$"):
        calibrate(graph, group_layers(graph), [small_images[0][:, :, :8, :8]])


@pytest.mark.parametrize("name", LAYERS)
def test_the_extent_of_a_channel_is_its_own(small_unet: UNet, small_images: Images, name: str) -> None:
    graph = small_unet()
    statistics = calibrate(graph, group_layers(graph), small_images)[name]
    values = raw(graph, small_images, name)
    width = (statistics.edges[-1] - statistics.edges[0]) / BINS
    largest = np.abs(values).max(axis=(0, 2, 3))
    assert largest.min() < largest.max() - 2 * width  # else a common extent would pass
    for channel, expected in enumerate(largest):
        extent = statistics.channel(channel).extent
        assert expected <= extent <= expected + width * 1.001 if expected else extent == 0.0


def test_activations_that_overflow_are_refused_by_their_layer() -> None:
    nodes = (
        Node("big", Conv(np.full((1, 1, 1, 1), 1e30), np.zeros(1)), ("x",)),
        Node("relu", Relu(), ("big",)),
        Node("bigger", Conv(np.full((1, 1, 1, 1), 1e30), np.zeros(1)), ("relu",)),
        Node("end", Relu(), ("bigger",)),
    )
    graph = Graph("big", "x", (1, 4, 4), nodes, (("end", "end"),))
    image = np.ones((1, 1, 4, 4), np.float32)
    message = r"^end: its activations overflow float32 on a calibration image; scale the image or the weights down$"
    with pytest.raises(ConversionError, match=message):
        calibrate(graph, group_layers(graph), [image])
    with pytest.raises(
        StimulusError, match=r"^an image for the float network holds NaN or infinity; replace these values$"
    ):
        calibrate(graph, group_layers(graph), [image * np.float32(np.nan)])


def test_one_thread_runs_a_probe_unless_more_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []

    def recorded(model: bytes, threads: int) -> Any:
        taken.append(threads)
        return session(model, threads)

    monkeypatch.setattr(calibration, "session", recorded)
    graph = Graph("one", "x", (1, 1, 2), (Node("y", Relu(), ("x",)),), (("y", "y"),))
    for probe in (ActivationProbe(graph, ()), ActivationProbe(graph, (), 3)):
        assert probe(np.array([-1, 2], np.float32).reshape(1, 1, 1, 2))["y"].ravel().tolist() == [0, 2]
    assert taken == [1, 3]


def test_statistics_are_finite() -> None:
    with pytest.raises(ConversionError, match=r"^statistics: mean holds NaN or infinity; measure .* finite images$"):
        Statistics(np.linspace(0, 1, 3), np.ones((1, 2), np.int64), np.array([np.nan]), np.ones(1))


def test_activations_as_good_as_zero_are_counted() -> None:
    nodes = (Node("tiny", Conv(np.full((1, 1, 1, 1), 1e-42), np.zeros(1)), ("x",)), Node("relu", Relu(), ("tiny",)))
    graph = Graph("tiny", "x", (1, 4, 4), nodes, (("relu", "relu"),))
    assert calibrate(graph, group_layers(graph), [np.ones((1, 1, 4, 4), np.float32)])["relu"].histogram.sum() == 16


def by_hand(counts: list[list[int]], edges: list[float]) -> Statistics:
    channels = len(counts)
    return Statistics(np.array(edges), np.array(counts, np.int64), np.zeros(channels), np.ones(channels))


@pytest.mark.parametrize(
    ("edges", "centers"),
    [
        ([0.0, 1.0, 2.0, 4.0], [0.0, 1.5, 3.0]),
        ([-2.0, -1.0, 0.0, 1.0], [-1.5, -0.5, 0.0]),
        ([-3.0, -1.0, 1.0, 3.0], [-2.0, 0.0, 2.0]),
        ([1.0, 2.0, 3.0, 5.0], [1.5, 2.5, 4.0]),
    ],
)
def test_the_bin_of_zero_stands_for_zero(edges: list[float], centers: list[float]) -> None:
    assert by_hand([[1, 1, 1]], edges).centers.tolist() == centers


@pytest.mark.parametrize(
    ("counts", "extent"),
    [
        ([[0, 1, 0, 0]], 1.0),
        ([[1, 0, 1, 0]], 2.0),
        ([[1, 0, 0, 0]], 2.0),
        ([[0, 1, 0, 1]], 4.0),
        ([[0, 0, 1, 0]], 1.0),
        ([[0, 1, 1, 0]], 1.0),
    ],
)
def test_the_extent_is_the_far_edge_of_the_last_bin(counts: list[list[int]], extent: float) -> None:
    statistics = by_hand(counts, [-2.0, -1.0, 0.0, 1.0, 4.0])
    assert statistics.extent == extent
    assert by_hand([[0, 0, 0, 1], *counts], [-2.0, -1.0, 0.0, 1.0, 4.0]).channel(1).extent == extent
    assert Statistics(statistics.edges, statistics.histogram, statistics.mean, np.zeros(1)).extent == 0


@pytest.mark.parametrize(
    ("percent", "zeros", "value"),
    [
        (20, True, 1.0),
        (21, True, 2.0),
        (50, True, 2.0),
        (51, True, 3.0),
        (100, True, 4.0),
        (37, False, 2.0),
        (38, False, 3.0),
        (62, False, 3.0),
        (63, False, 4.0),
    ],
)
def test_percentiles_by_hand(percent: float, zeros: bool, value: float) -> None:
    """Magnitudes 1 (the bin of zero), 2, 3 and 4, of two layers together: 2, 3, 2 and 3 values."""
    one = by_hand([[3, 1, 1], [0, 1, 0]], [-4.0, -2.0, 0.0, 1.0])
    two = by_hand([[1, 1, 2]], [0.0, 1.0, 2.0, 3.0])
    assert percentile([one], 100, zeros=True) == 4.0
    counted = [by_hand([[2, 3, 2, 3]], [0.0, 1.0, 2.0, 3.0, 4.0])]
    assert percentile(counted, percent, zeros=zeros) == value
    assert percentile([two, one], 100, zeros=zeros) == 4.0


def test_percentiles_of_nothing_are_zero() -> None:
    assert percentile([by_hand([[7, 0]], [0.0, 1.0, 2.0])], 50, zeros=False) == 0.0
    assert percentile([by_hand([[7, 0]], [0.0, 1.0, 2.0])], 50, zeros=True) == 1.0
    below = by_hand([[0, 4, 9]], [-2.0, -1.0, 0.0, 1.0])
    assert percentile([below], 50, zeros=False) == 1.0, "the bin that ends at 0 holds no zeros"


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        ([0.0, 3.0], 0.0, 3.0),
        ([4.0, 6.0], 0.0, 6.0),
        ([-3.0, 0.0], -3.0, 0.0),
        ([-6.0, -4.0], -6.0, 0.0),
        ([-1.0, 3.0], None, None),
        ([-0.25, 0.75], None, None),
        ([0.0, 0.0], 0.0, 1.0),
    ],
)
def test_bins_have_an_edge_at_zero(values: list[float], low: float | None, high: float | None) -> None:
    graph = Graph("one", "x", (1, 1, 2), (Node("y", Conv(np.ones((1, 1, 1, 1)), np.zeros(1)), ("x",)),), (("y", "y"),))
    image = np.array(values, np.float32).reshape(1, 1, 1, 2)
    statistics = calibrate(graph, group_layers(graph), [image, image / 2])["x"]
    edges = statistics.edges
    assert (edges.size, statistics.histogram.shape) == (BINS + 1, (1, BINS))
    assert statistics.histogram.sum() == 4
    assert np.abs(edges).min() < 1e-12
    if low is not None:
        assert (edges[0], edges[-1]) == (low, high)
    else:
        width = (values[1] - values[0]) / (BINS - 1)
        assert np.allclose(np.diff(edges), width)
        assert values[0] - width < edges[0] <= values[0]
        assert values[1] - 1e-9 <= edges[-1] < values[1] + width
    for value in (*values, *(value / 2 for value in values)):
        place = min(int(np.searchsorted(edges, value + 1e-12, side="right")) - 1, BINS - 1)
        assert statistics.histogram[0, place] >= 1
    assert statistics.mean[0] == sum(values) * 1.5 / 4
    assert statistics.power[0] == sum(value**2 for value in values) * 1.25 / 4
