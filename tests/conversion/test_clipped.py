"""Layers that clip: one population, whose largest count stands for the limit, in both modes and at any scale."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from snn_deploy.arrays import Float32
from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.stimulus import quantize_images
from snn_deploy.conversion.layers import group_layers
from snn_deploy.conversion.lower import Conversion, lower
from snn_deploy.conversion.options import Options
from snn_deploy.data.images import Images
from snn_deploy.graph.graph import Graph, Node
from snn_deploy.graph.ops import Clip, Conv, Op
from snn_deploy.passes import normal_form

LIMIT = 0.75


def clipped(low: float = 0.0, high: float = LIMIT) -> Graph:
    """Two convolutions of random weights around a clip that most values of some channels reach."""
    rng = np.random.default_rng(3)
    nodes: list[tuple[str, Op, str]] = [
        ("c", Conv(rng.normal(0, 0.5, (6, 1, 3, 3)), np.linspace(-0.5, 1.5, 6), pads=(1, 1, 1, 1)), "x"),
        ("r", Clip(low, high), "c"),
        ("y", Conv(rng.normal(0, 0.3, (2, 6, 1, 1)), np.zeros(2)), "r"),
    ]
    return Graph("clipped", "x", (1, 16, 16), tuple(Node(n, op, tuple(i.split())) for n, op, i in nodes), (("y", "y"),))


def evaluate(graph: Graph, image: Float32) -> Float32:
    first, clip, last = (node.op for node in graph.nodes)
    assert isinstance(first, Conv)
    assert isinstance(clip, Clip)
    assert isinstance(last, Conv)
    padded = np.pad(image[0, 0], 1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    sums = np.einsum("hwij,oij->ohw", windows, first.weight[:, 0]) + first.bias[:, None, None]
    values = np.clip(sums, clip.low, clip.high)
    out: Float32 = np.einsum("ohw,po->phw", values, last.weight[:, :, 0, 0]).astype(np.float32)
    return out


def convert(graph: Graph, images: Images, options: Options) -> Conversion:
    form = normal_form(graph, options.form)
    return lower(form, form, images, options)


def lose(graph: Graph, conversion: Conversion, image: Float32) -> float:
    """The error relative to the output's variation, also on values far beyond what was calibrated."""
    source, *others = conversion.network.populations
    network = replace(conversion.network, populations=(replace(source, input_min=-(2**16), input_max=2**16), *others))
    run = load_backend("reference").run(network, quantize_images(network, image))
    expected = evaluate(graph, image)
    return float(np.sqrt(np.mean(np.square(run.values(network)[0] - expected))) / expected.std())


@pytest.mark.parametrize("low", [0.0, -0.25])
@pytest.mark.parametrize(
    ("options", "error"),
    [
        (Options(), 0.02),
        (Options(levels=255, scale="max"), 0.02),
        (Options(levels=63, equalization=True), 0.04),
        (Options(normalization="channel-wise"), 0.1),  # channels end where their own calibrated values end
        (Options(mode="rate", steps=32, thresholds=4), 0.06),
        (Options(mode="rate", steps=64, thresholds=1), 0.06),
    ],
)
def test_one_population_clips(low: float, options: Options, error: float, small_images: Images) -> None:
    graph = clipped(low)
    conversion = convert(graph, small_images, options)
    names = [population.name for population in conversion.network.populations]
    assert names == ["x", "r" if low == 0 else "r.kept", "y"]
    clips = conversion.network.populations[1]
    assert clips.neuron is not None
    assert clips.neuron.payload_max == options.payload_max
    assert np.all(clips.unit * clips.neuron.payload_max <= (LIMIT - low) * (1 + 1e-12))
    for bright in (1, 4):
        assert lose(graph, conversion, bright * small_images[0]) < error, bright


@pytest.mark.parametrize("factor", [2.0, 8.0])
@pytest.mark.parametrize("options", [Options(scale="max"), Options(mode="rate", steps=32, thresholds=6, scale="max")])
def test_a_widened_unit_counts_fewer_up_to_its_limit(factor: float, options: Options, small_images: Images) -> None:
    form = normal_form(clipped(), options.form)
    layers = group_layers(form)
    usual = lower(form, form, small_images, options)
    wide = lower(form, form, small_images, options, scales=usual.scales.widen(layers, "r", factor))
    neuron = wide.network.population("r").neuron
    assert neuron is not None
    assert neuron.payload_max == round(options.payload_max / factor)
    if options.mode == "exact":
        assert neuron.count_range == (0, neuron.payload_max)
    assert lose(clipped(), wide, 4 * small_images[0]) < 0.04 * factor


def test_neurons_without_a_largest_count_clip_by_two_populations(small_images: Images) -> None:
    graph, options = clipped(), Options(neuron="sigma-delta")
    conversion = convert(graph, small_images, options)
    assert [each.name for each in conversion.network.populations] == ["x", "r.kept", "r.excess", "y"]
    assert lose(graph, conversion, small_images[0]) < 0.1
