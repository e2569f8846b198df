"""The loss of every layer of a run, and its cause."""

from dataclasses import replace

import numpy as np
import pytest

from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.stimulus import quantize_images
from snn_deploy.conversion.calibrate import ActivationProbe
from snn_deploy.conversion.layer_loss import measure_layers, name_causes
from snn_deploy.conversion.loss import LayerLoss
from snn_deploy.conversion.lower import lower
from snn_deploy.conversion.options import Options, preset
from snn_deploy.data.images import Images
from snn_deploy.testing import random_unet
from tests.conversion.conftest import UNet


@pytest.mark.parametrize("options", [Options(levels=63), preset("multi-threshold", steps=8)], ids=["exact", "rate"])
def test_errors_are_those_of_the_counts(small_unet: UNet, small_images: Images, options: Options) -> None:
    graph = small_unet()
    conversion = lower(graph, graph, small_images, options)
    network, image = conversion.network, small_images[0]
    expected = ActivationProbe(graph, [layer.name for layer in conversion.layers.layers])(image)
    run = load_backend("reference").run(network, quantize_images(network, image))
    losses = measure_layers(network, conversion.layers, run, expected)
    assert [loss.name for loss in losses] == [population.name for population in network.populations[1:]]
    steps = network.steps if network.mode == "rate" else 1
    for loss in losses:
        population, true = network.population(loss.name), expected[loss.name].astype(np.float64)
        values = run.counts[loss.name] * population.unit[:, None, None] / steps
        assert loss.error == pytest.approx(np.linalg.norm(values - true) / np.linalg.norm(true), rel=1e-9)
        assert (loss.rounding > 0) == (conversion.layers.layer(loss.name).kind == "relu")
    exact = {name: np.rint(true) for name, true in expected.items()}
    whole = replace(run, counts={**run.counts, **{name: values.astype(np.int64) for name, values in exact.items()}})
    units = {name: network.population(name).unit[:, None, None] / steps for name in exact}
    given = {name: (whole.counts[name] * units[name]).astype(np.float32) for name in exact}
    assert all(loss.error < 1e-6 for loss in measure_layers(network, conversion.layers, whole, given))


def test_causes() -> None:
    network = random_unet("exact", 0, size=8)
    names = [population.name for population in network.populations[1:]]
    reads_input = {each.target for each in network.connections if each.source == network.input.name}
    first = next(name for name in names if name in reads_input)
    second = next(each.target for each in network.connections if each.source == first)
    for own, error, cause in (
        ((0.0, 0.0), 1e-7, "none"),
        ((0.0, 0.06), 0.1, "rounding"),
        ((0.06, 0.01), 0.1, "clipping"),
        ((0.01, 0.01), 0.1, "weights"),
    ):
        losses = [LayerLoss(name, 0.0, 0.0, 0.0) for name in names]
        losses[names.index(first)] = LayerLoss(first, error, *own)
        assert name_causes(losses, network)[first] == cause
        losses[names.index(second)] = LayerLoss(second, 1.5 * error, 0.0, 0.0)
        assert name_causes(losses, network)[second] == ("none" if cause == "none" else "inputs")
