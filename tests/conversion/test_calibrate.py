"""Percentiles and least-square units from histograms against the raw values."""

from __future__ import annotations

import numpy as np
import pytest

from snn_deploy.arrays import Array
from snn_deploy.conversion.calibrate import BINS, ActivationProbe, Statistics, calibrate, percentile
from snn_deploy.conversion.layers import group_layers
from snn_deploy.conversion.normalize import GRID, choose_unit
from snn_deploy.conversion.options import preset
from snn_deploy.data.images import Images
from snn_deploy.errors import ConversionError, StimulusError
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


def test_statistics_are_finite() -> None:
    with pytest.raises(ConversionError, match=r"^statistics: mean holds NaN or infinity; measure .* finite images$"):
        Statistics(np.linspace(0, 1, 3), np.ones((1, 2), np.int64), np.array([np.nan]), np.ones(1))


def test_activations_as_good_as_zero_are_counted() -> None:
    nodes = (Node("tiny", Conv(np.full((1, 1, 1, 1), 1e-42), np.zeros(1)), ("x",)), Node("relu", Relu(), ("tiny",)))
    graph = Graph("tiny", "x", (1, 4, 4), nodes, (("relu", "relu"),))
    assert calibrate(graph, group_layers(graph), [np.ones((1, 1, 4, 4), np.float32)])["relu"].histogram.sum() == 16
