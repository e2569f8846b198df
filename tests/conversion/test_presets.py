"""The neurons of the presets, against the published equations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from snn_deploy.arrays import Array
from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.stimulus import quantize_images
from snn_deploy.conversion.lower import lower
from snn_deploy.conversion.options import preset
from snn_deploy.data.images import Images
from snn_deploy.errors import NetworkError
from snn_deploy.network import artifact
from snn_deploy.network.dynamics import advance
from snn_deploy.network.multi_threshold import MultiThreshold

from .conftest import UNet


def published(current: Array, steps: int, thresholds: tuple[float, ...]) -> Array:
    """Output of the published multi-threshold neuron (arXiv 2307.10974): strict, in descending order, v0 = 0."""
    v, total = np.zeros_like(current), np.zeros_like(current)
    for _ in range(steps):
        v = v + current
        for threshold in thresholds:
            fired = v > threshold
            v, total = v - threshold * fired, total + threshold * fired
    return total


def test_spiking_unet_is_the_published_neuron(small_unet: UNet, small_images: Images) -> None:
    graph = small_unet()
    network = lower(graph, graph, small_images, preset("spiking-unet", steps=8)).network
    neuron = network.population("b.relu").neuron
    assert neuron is not None
    current = np.arange(-64, 300)[:, None, None, None].astype(np.int64)  # in 1/64 of lambda
    unit = MultiThreshold(np.array([16]), np.array([0]), neuron.payload_min, neuron.payload_max, strict=neuron.strict)
    v, count = np.zeros_like(current), np.zeros_like(current)
    for _ in range(8):
        v, count, _ = advance(unit, v, count, current)
    np.testing.assert_array_equal(count / 4, published(current / 64, 8, (2.0, 1.0, 0.5, 0.25)))


def test_spiking_unet_pools_with_neurons(small_unet: UNet, small_images: Images) -> None:
    graph = small_unet()
    network = lower(graph, graph, small_images, preset("spiking-unet")).network
    pool = network.population("pool")
    assert pool.neuron is not None
    assert not pool.neuron.relays
    assert pool.neuron.payload_max == 15
    np.testing.assert_array_equal(pool.unit, network.population("b.relu").unit)


@pytest.mark.parametrize(("name", "payloads", "half"), [("if", (0, 1), 0), ("multi-threshold", (-15, 15), 2)])
def test_payloads_and_starts(
    small_unet: UNet, small_images: Images, name: str, payloads: tuple[int, int], half: int
) -> None:
    graph = small_unet()
    neuron = lower(graph, graph, small_images, preset(name)).network.population("b.relu").neuron
    assert neuron is not None
    assert (neuron.payload_min, neuron.payload_max) == payloads
    np.testing.assert_array_equal(neuron.v0, neuron.theta // half if half else 0 * neuron.theta)


def test_hard_reset_empties_the_membrane() -> None:
    neuron = MultiThreshold(np.array([10]), np.array([0]), 0, 1, reset="zero")
    v, count = np.array([[[[3]]]]), np.array([[[[0]]]])
    seen = []
    for current in (4, 8, 9, 25, 0):
        v, count, payload = advance(neuron, v, count, np.array([[[[current]]]]))
        seen.append((int(v.item()), int(payload.item())))
    assert seen == [(7, 0), (0, 1), (9, 0), (0, 1), (0, 0)]


def test_hard_reset_loses_and_is_kept_in_the_artifact(small_unet: UNet, small_images: Images, tmp_path: Path) -> None:
    graph = small_unet()
    totals = []
    for name in ("if", "if-hard"):
        network = lower(graph, graph, small_images, preset(name, steps=16)).network
        artifact.save(network, tmp_path / "n.snn")
        loaded = artifact.load(tmp_path / "n.snn")
        run = load_backend("reference").run(loaded, quantize_images(loaded, small_images[0]))
        totals.append(int(run.counts["a.relu"].sum()))
    assert totals[1] < totals[0]
    on_cpu = load_backend("cpu").run(loaded, quantize_images(loaded, small_images[0]))
    assert all(np.array_equal(on_cpu.counts[name], counts) for name, counts in run.counts.items())


def test_exact_mode_refuses_hard_reset(small_unet: UNet, small_images: Images) -> None:
    from dataclasses import replace

    graph = small_unet()
    network = lower(graph, graph, small_images, preset("exact")).network
    first = network.populations[1]
    assert first.neuron is not None
    hard = replace(first, neuron=replace(first.neuron, reset="zero"))
    with pytest.raises(
        NetworkError, match=f"{first.name}: a reset to zero loses charge; exact mode resets by subtraction"
    ):
        replace(network, populations=(network.populations[0], hard, *network.populations[2:]))
