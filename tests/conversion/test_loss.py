"""What a conversion is said to lose is what it loses."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.stimulus import quantize_images
from snn_deploy.conversion.calibrate import ActivationProbe
from snn_deploy.conversion.convert import convert
from snn_deploy.conversion.layers import group_layers
from snn_deploy.conversion.loss import LayerLoss, Loss, Truth, measure_loss
from snn_deploy.conversion.lower import Conversion, lower
from snn_deploy.conversion.options import Options, preset
from snn_deploy.data.images import Images
from snn_deploy.frontend.onnx import read
from snn_deploy.passes import normal_form

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "models/denoiser_s25.onnx"
BACKEND = load_backend("cpu")


@pytest.fixture(scope="module")
def images() -> Images:
    rng = np.random.default_rng(3)
    waves = np.sin(np.arange(32)[:, None] / 4) * np.cos(np.arange(32)[None, :] / 3)
    return [(0.5 + 0.3 * waves + rng.normal(0, 0.1, (1, 1, 32, 32))).astype(np.float32) for _ in range(3)]


@pytest.fixture(scope="module")
def truth(images: Images) -> Truth:
    return Truth.of(MODEL, images)


def measured(images: Images, truth: Truth, options: Options) -> tuple[Conversion, Loss]:
    conversion = convert(MODEL, images, options).conversion
    return conversion, measure_loss(conversion, truth, BACKEND)


@pytest.mark.parametrize(
    "options",
    [preset("exact", levels=63), pytest.param(preset("multi-threshold", steps=4), marks=pytest.mark.extended)],
)
def test_the_error_is_that_of_counts_times_unit(images: Images, truth: Truth, options: Options) -> None:
    conversion, loss = measured(images, truth, options)
    network = conversion.network
    graph = normal_form(read(MODEL, (32, 32)).graph)
    names = [layer.name for layer in group_layers(graph).layers]
    probe = ActivationProbe(graph, names)
    steps = network.steps if network.mode == "rate" else 1
    batch = np.concatenate(images)
    run = load_backend("reference").run(network, quantize_images(network, batch))
    references = [probe(image) for image in images]
    for name in names:
        float_values = np.concatenate([values[name] for values in references]).astype(np.float64)
        spiking = run.counts[name] * network.population(name).unit[:, None, None] / steps
        expected = np.linalg.norm(spiking - float_values) / np.linalg.norm(float_values)
        layer_loss = loss.layer(name)
        assert layer_loss is not None
        assert layer_loss.error == pytest.approx(expected, rel=1e-6)
        assert expected > 0
    output = network.outputs[0].population
    deviations = float_values - float_values.mean((0, 2, 3), keepdims=True)  # of the output, the last of the names
    assert names[-1] == output
    assert loss.error == pytest.approx(np.linalg.norm(spiking - float_values) / np.linalg.norm(deviations), rel=1e-6)
    assert loss.error > 2 * expected
    assert loss.snr_db == pytest.approx(-20 * math.log10(loss.error))


@pytest.mark.parametrize(
    ("options", "clips"),
    [
        (preset("exact", levels=15), True),
        pytest.param(preset("exact", scale="percentile", percentile=95.0), True, marks=pytest.mark.extended),
        (preset("spiking-unet", steps=4), False),
    ],
)
def test_clipping_and_rounding_are_those_of_the_raw_values(
    images: Images, truth: Truth, options: Options, clips: bool
) -> None:
    conversion, loss = measured(images, truth, options)
    network, clipped, rounded = conversion.network, 0, 0
    for layer in conversion.layers.layers:
        if layer.kind != "relu":
            continue
        values = np.concatenate([outputs[layer.name] for outputs in truth.values]).astype(np.float64)
        population = network.population(layer.name)
        steps = network.steps if network.mode == "rate" else 1
        quantum = population.unit[:, None, None] / steps
        top = (population.payload_range[1] * steps) if network.mode == "rate" else options.levels
        inside = np.minimum(values, top * quantum)
        power = np.square(values).sum()
        clipping = math.sqrt(np.square(values - inside).sum() / power)
        rounding = math.sqrt(np.square(inside - np.rint(inside / quantum) * quantum).sum() / power)
        layer_loss = loss.layer(layer.name)
        assert layer_loss is not None
        assert layer_loss.clipping == pytest.approx(clipping, rel=0.02, abs=2e-4)  # of 8192 bins
        assert layer_loss.rounding == pytest.approx(rounding, rel=0.02, abs=2e-4)
        clipped += clipping > 1e-3
        rounded += rounding > 1e-3
    assert (clipped > 0) is clips
    assert rounded >= 11  # of 12 layers


def test_fewer_bits_lose_more(images: Images, truth: Truth) -> None:
    options = [preset("exact", weight_bits=bits, rounding="nearest") for bits in (8, 6, 4)]
    errors = [measured(images, truth, choice)[1].error for choice in options]
    assert errors[0] < 0.5 * errors[1] < 0.25 * errors[2]


def test_a_loss_is_measured_on_four_images(images: Images) -> None:
    truth = Truth.of(MODEL, [image[:, :, :8, :8] for image in (*images, *images)])
    assert len(truth.images) == len(truth.values) == 4


def test_the_costliest_layers_and_why() -> None:
    layers = [LayerLoss("a", 0.9, 0.0, 0.0), LayerLoss("b", 0.1, 0.03, 0.04), LayerLoss("c", 0.1, 0.06, 0.02)]
    layers += [LayerLoss("d", 0.1, 0.0, 0.01), LayerLoss("e", 0.1, 0.0, 0.005)]
    found = [(layer.name, cause) for layer, cause in Loss(tuple(layers), 0.5).name_costliest()]
    assert found == [("c", "clipping"), ("b", "rounding"), ("d", "rounding")]
    assert Loss(tuple(layers[:1]), 0.5).name_costliest() == ()


def test_a_perfect_output_has_no_noise() -> None:
    assert Loss((), 0.0).snr_db == math.inf


def test_silent_layers_have_no_error(small_unet, small_images: Images) -> None:  # type: ignore[no-untyped-def]
    graph = small_unet(silent=True)
    conversion = lower(graph, graph, small_images, Options())
    probe = ActivationProbe(graph, [layer.name for layer in conversion.layers.layers])
    truth = Truth(small_images[:1], (probe(small_images[0]),))
    loss = measure_loss(conversion, truth, BACKEND)
    silent = loss.layer("c.relu")
    assert silent is not None
    assert (silent.error, silent.clipping, silent.rounding) == (0.0, 0.0, 0.0)
    assert 0 < loss.error < 0.05


def test_layers_without_levels_lose_nothing_by_them(small_unet, small_images: Images) -> None:  # type: ignore[no-untyped-def]
    """Pools and read-outs; and an error where nothing should be is infinite."""
    graph = small_unet()
    conversion = lower(graph, graph, small_images, Options())
    values = ActivationProbe(graph, [layer.name for layer in conversion.layers.layers])(small_images[0])
    loss = measure_loss(conversion, Truth(small_images[:1], (values | {"pool": values["pool"] * 0},)), BACKEND)
    kinds = {layer.name: layer.kind for layer in conversion.layers.layers}
    assert {kinds[each.name] for each in loss.layers if (each.clipping, each.rounding) == (0.0, 0.0)} == {
        "relay",
        "output",
    }
    pool = loss.layer("pool")
    assert pool is not None
    assert pool.error == math.inf
