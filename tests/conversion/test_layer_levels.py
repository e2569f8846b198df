"""Levels by layer: those that rounding costs most get more, up to what leaves weights their bits."""

from __future__ import annotations

import numpy as np
import pytest

from snn_deploy.backend.registry import load_backend
from snn_deploy.conversion.calibrate import ActivationProbe
from snn_deploy.conversion.layer_cost import LayerCost, measure_costs
from snn_deploy.conversion.layer_levels import MOST_LEVELS, allot_levels
from snn_deploy.conversion.loss import Truth, measure_loss
from snn_deploy.conversion.lower import lower
from snn_deploy.conversion.options import Options
from snn_deploy.data.images import Images
from snn_deploy.errors import ConversionError

from .conftest import UNet


def test_levels_double_until_rounding_costs_little() -> None:
    costs = (
        LayerCost("a", 0.9, "rounding"),
        LayerCost("b", 0.009, "rounding"),
        LayerCost("c", 0.9, "weights"),
        LayerCost("d", 0.004, "rounding"),
    )
    assert allot_levels(costs, 127, 0.004) == (("a", MOST_LEVELS), ("b", 511))
    assert allot_levels(costs[1:2], 127, 0.0045) == (("b", 255),)
    assert allot_levels(costs, 127, 0.9) == ()


def test_one_layer_has_more_levels(small_unet: UNet, small_images: Images) -> None:
    options = Options(levels=31, layer_levels=(("b.relu", 1023),))
    conversion = lower(small_unet(), small_unet(), small_images, options)
    plain = lower(small_unet(), small_unet(), small_images, Options(levels=31))
    tops = {
        population.name: population.count_range
        for population in conversion.network.populations
        if conversion.network.population(population.name).neuron is not None
    }
    assert tops["b.relu"] == (0, 1023)
    assert tops["a.relu"] == tops["d.relu"] == (0, 31)
    name = "b.relu"
    assert conversion.scales.unit[name].max() < 0.05 * plain.scales.unit[name].max()
    assert conversion.network.config["layer_levels"] == "b.relu 1023"
    assert "layer_levels" not in plain.network.config


def test_more_levels_where_they_count_lose_less(small_unet: UNet, small_images: Images) -> None:
    """Of a skip 20 times stronger than the rest; what is lost is foretold by the costs."""
    graph = small_unet()
    truth = Truth(small_images[:1], (ActivationProbe(graph, [n.name for n in graph.nodes])(small_images[0]),))
    backend = load_backend("reference")
    coarse = lower(graph, graph, small_images, Options(levels=15))
    levels = allot_levels(measure_costs(coarse, graph, small_images[:1]), 15, 0.004)
    finer = lower(graph, graph, small_images, Options(levels=15, layer_levels=levels))
    assert measure_loss(finer, truth, backend).error < 0.2 * measure_loss(coarse, truth, backend).error


def test_levels_of_single_layers_are_checked() -> None:
    with pytest.raises(ConversionError, match=r"^a: 0 levels; allowed are 1 to 65535$"):
        Options(layer_levels=(("a", 0),))
    with pytest.raises(ConversionError, match=r"^levels of single layers exist in exact mode only$"):
        Options(mode="rate", layer_levels=(("a", 3),))
    options = Options(levels=31, layer_levels=(("a", 255), ("b", 15)))
    assert [options.at(name).levels for name in "abc"] == [255, 31, 31]
    assert Options().at("a") is not None
    assert options.at("a").layer_levels == ()


def test_thresholds_are_halved_as_often_as_it_takes(small_unet: UNet, small_images: Images) -> None:
    """With 2 bits of weights too, whose 65535 levels fill 24 bits many times."""
    conversion = lower(small_unet(), small_unet(), small_images, Options(levels=65535, weight_bits=2))
    assert min(bound.headroom_bits for bound in conversion.bounds) >= 0
    thetas = [
        int(np.min(population.neuron.theta)) for population in conversion.network.populations if population.neuron
    ]
    assert min(thetas) == 1
