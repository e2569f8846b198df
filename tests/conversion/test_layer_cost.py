"""The cost of a layer is what its conversion alone changes at the output."""

from __future__ import annotations

import math
from typing import cast

import numpy as np
import pytest

from snn_deploy.backend.registry import load_backend
from snn_deploy.conversion.calibrate import ActivationProbe
from snn_deploy.conversion.layer_cost import LayerCost, measure_costs
from snn_deploy.conversion.loss import Truth, measure_loss
from snn_deploy.conversion.lower import Conversion, lower
from snn_deploy.conversion.options import Options, preset
from snn_deploy.data.images import Images
from snn_deploy.graph.graph import Graph

from .conftest import UNet


def costs_of(graph: Graph, images: Images, options: Options) -> tuple[Conversion, tuple[LayerCost, ...], float]:
    conversion = lower(graph, graph, images, options)
    truth = Truth(images[:1], (ActivationProbe(graph, [layer.name for layer in conversion.layers.layers])(images[0]),))
    loss = measure_loss(conversion, truth, load_backend("reference"))
    done: list[tuple[int, int]] = []
    costs = measure_costs(conversion, graph, images[:1], lambda *part: done.append(part))
    assert done == [(place + 1, len(costs)) for place in range(len(costs))]
    return conversion, costs, loss.error


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        (Options(levels=15), "rounding"),
        (Options(levels=4095, weight_bits=3), "weights"),
        (Options(levels=4095, scale="percentile", percentile=90.0), "clipping"),
        (preset("multi-threshold", steps=2), "rounding"),
        (preset("sigma-delta", levels=15), "rounding"),
    ],
)
def test_costs_add_up_and_have_their_cause(
    small_unet: UNet, small_images: Images, options: Options, cause: str
) -> None:
    conversion, costs, error = costs_of(small_unet(), small_images, options)
    assert {each.name for each in costs} == {
        "x",
        *(layer.name for layer in conversion.layers.layers if layer.kind != "relay"),
    }
    assert [each.cost for each in costs] == sorted((each.cost for each in costs), reverse=True)
    assert costs[0].cause == cause
    assert math.hypot(*(each.cost for each in costs)) == pytest.approx(error, rel=0.5)
    assert str(costs[0]) == f"{costs[0].name} ({cause}, {costs[0].cost:.2%})"


def test_a_cost_is_that_of_the_layer_alone(small_unet: UNet, small_images: Images) -> None:
    """The read-out's cost is the error of its own weights: the float network's values times its integers."""
    graph = small_unet(residual=False)
    conversion, costs, _ = costs_of(graph, small_images, Options(weight_bits=3, rounding="nearest"))
    layer = conversion.layers.layers[-1]
    probe = ActivationProbe(graph, [layer.inputs[0].source])(small_images[0])
    source, exact = probe[layer.inputs[0].source], probe[layer.name]
    connection = next(each for each in conversion.network.connections if each.target == layer.name)
    population = conversion.network.population(layer.name)
    scale = conversion.scales.assumed[connection.name]
    kernel = connection.kernel
    weight = cast("np.ndarray[tuple[int, ...], np.dtype[np.int8]]", kernel.weight) * 2.0**connection.exponent  # type: ignore[union-attr]
    padded = np.pad(source[0] / scale[:, None, None], ((0, 0), (1, 1), (1, 1)))
    height, width = exact.shape[2:]
    taps = [(k, m, padded[:, k : k + height, m : m + width]) for k in range(3) for m in range(3)]
    summed = sum(np.tensordot(weight[:, :, k, m], shifted, 1) for k, m, shifted in taps) + population.bias
    converted = summed * population.unit[:, None, None]
    variation = np.linalg.norm(exact - exact.mean((2, 3), keepdims=True))
    cost = next(each for each in costs if each.name == layer.name)
    assert cost.cost == pytest.approx(np.linalg.norm(converted - exact[0]) / variation, rel=1e-3)
    assert cost.cost > 0.01
