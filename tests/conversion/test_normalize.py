"""Normalization keeps the float function; connection-wise beats layer-wise; silence is no division by zero."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pytest

from snn_deploy.arrays import Array
from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.stimulus import quantize_images
from snn_deploy.conversion.calibrate import ActivationProbe, calibrate
from snn_deploy.conversion.layers import group_layers
from snn_deploy.conversion.lower import check_function, lower, normalize_graph
from snn_deploy.conversion.normalize import Scales, choose_scales
from snn_deploy.conversion.options import Options, preset
from snn_deploy.data.images import Images
from snn_deploy.errors import ConversionError
from snn_deploy.graph.graph import Graph, Node
from snn_deploy.graph.ops import Conv, Relu

from .conftest import UNet

TOLERANCE = 1e-5
"""Relative error of the largest output: single precision through six layers leaves 1e-6."""


def function_error(graph: Graph, images: Images, options: Options) -> float:
    layers = group_layers(graph)
    scales = choose_scales(layers, calibrate(graph, layers, images), options)
    normalized = ActivationProbe(normalize_graph(layers, scales), ())
    worst = 0.0
    for image in images:
        counts = normalized((image / scales.unit[layers.input][:, None, None]).astype(np.float32))
        expected = ActivationProbe(graph, ())(image)
        for _, value, _ in layers.outputs:
            got = counts[value] * scales.unit[value][:, None, None]
            worst = max(worst, float(np.abs(got - expected[value]).max() / np.abs(expected[value]).max()))
    return worst


def restore(graph: Graph, images: Images, options: Options) -> Array:
    network = lower(graph, graph, images, options).network
    run = load_backend("cpu").run(network, quantize_images(network, np.concatenate(images)))
    return run.values(network)


def mean_square(graph: Graph, images: Images, options: Options) -> float:
    expected: Mapping[str, Array] = ActivationProbe(graph, ())(np.concatenate(images))
    return float(np.square(restore(graph, images, options) - next(iter(expected.values()))).mean())


@pytest.mark.parametrize("normalization", ["connection-wise", "channel-wise"])
@pytest.mark.parametrize("mode", ["exact", "rate"])
@pytest.mark.parametrize("pool", ["average", "max"])
def test_normalization_keeps_the_function(
    small_unet: UNet, small_images: Images, normalization: str, mode: str, pool: str
) -> None:
    options = Options(mode=mode, normalization=normalization)  # type: ignore[arg-type]
    assert function_error(small_unet(pool=pool, skip=20.0), small_images, options) <= TOLERANCE


def test_equalization_keeps_the_function(denoiser: Graph, noisy: Images) -> None:
    options = preset("exact", equalization=True)
    unit = lower(denoiser, denoiser, noisy, options).scales.unit["/ups.0/ups.0.1/Relu"]
    assert unit.max() > 1.01 * unit.min()
    assert function_error(denoiser, noisy, options) <= TOLERANCE


@pytest.mark.parametrize("scale", ["mmse", "percentile", "max"])
def test_every_scale_keeps_the_function(small_unet: UNet, small_images: Images, scale: str) -> None:
    assert function_error(small_unet(skip=0.05), small_images, preset("exact", scale=scale)) <= TOLERANCE


def test_the_trained_denoiser_keeps_its_function(denoiser: Graph, noisy: Images) -> None:
    for normalization in ("connection-wise", "channel-wise"):
        assert function_error(denoiser, noisy, preset("exact", normalization=normalization)) <= TOLERANCE


@pytest.mark.parametrize(("error", "refused"), [(0.0, False), (2.0**-17, False), (2.0**-16, True), (0.5, True)])
def test_a_changed_function_is_refused(error: float, refused: bool) -> None:
    """A weight scaled by 1 + ``error``: 1e-5 lies between 2**-17 and 2**-16, both of which float32 holds exactly."""
    nodes = (
        Node("copy", Conv(np.ones((1, 1, 1, 1)), np.zeros(1)), ("x",)),
        Node("relu", Relu(), ("copy",)),
        Node("out", Conv(np.ones((1, 1, 1, 1)), np.zeros(1)), ("relu",)),
    )
    graph = Graph("copy", "x", (1, 2, 2), nodes, (("out", "out"),))
    units = dict.fromkeys(("x", "relu", "out"), np.ones(1))
    scales = Scales(units, {"copy": np.full(1, 1 + error), "out": np.ones(1)}, {})
    image = np.ones((1, 1, 2, 2), np.float32)
    if refused:
        message = rf"normalization changes the function by {error:.1e} of an output's largest summand; 1e-05 is allowed\..* preset$"
        with pytest.raises(ConversionError, match=message):
            check_function(graph, group_layers(graph), scales, image, Options())
    else:
        assert check_function(graph, group_layers(graph), scales, image, Options()) == error
    layer_wise = Options(mode="rate", normalization="layer-wise")
    assert check_function(graph, group_layers(graph), scales, image, layer_wise) == error


@pytest.mark.parametrize("seed", range(4))
def test_rounding_of_single_precision_is_not_a_changed_function(seed: int, small_images: Images) -> None:
    """Two large summands that nearly cancel: float32 is wrong by more than the tolerance, float64 is not."""
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(2, 1, 3, 3))
    nodes = (
        Node("wide", Conv(weight, rng.normal(size=2), pads=(1, 1, 1, 1)), ("x",)),
        Node("relu", Relu(), ("wide",)),
        Node("both", Conv(np.ones((2, 2, 1, 1)), np.zeros(2)), ("relu",)),
        Node("same", Relu(), ("both",)),
        Node("out", Conv(np.array([3e4, -3e4 * (1 + 1e-6)]).reshape(1, 2, 1, 1), np.zeros(1)), ("same",)),
    )
    image = small_images[0]
    graph = Graph("cancels", "x", (1, image.shape[2], image.shape[3]), nodes, (("out", "out"),))
    layers, options = group_layers(graph), Options()
    scales = choose_scales(layers, calibrate(graph, layers, small_images), options)
    assert function_error(graph, small_images, options) > TOLERANCE
    assert check_function(graph, layers, scales, image, options) < 1e-9  # 2e-16, times the cancellation by 1e6


def test_layer_wise_changes_the_function(small_unet: UNet, small_images: Images) -> None:
    options = preset("spiking-unet", normalization="layer-wise")
    assert function_error(small_unet(skip=5.0), small_images, options) > 0.01


@pytest.mark.parametrize("name", ["spiking-unet", "multi-threshold"])
def test_connection_wise_beats_layer_wise_on_unequal_skips(small_unet: UNet, small_images: Images, name: str) -> None:
    graph = small_unet(skip=5.0)
    losses = [
        mean_square(graph, small_images, preset(name, normalization=normalization))
        for normalization in ("connection-wise", "layer-wise")
    ]
    assert losses[0] < losses[1] / 2


def test_connection_wise_is_independent_of_the_scale_of_skips(small_unet: UNet, small_images: Images) -> None:
    losses = [mean_square(small_unet(skip=skip), small_images, preset("multi-threshold")) for skip in (1.0, 32.0)]
    assert losses[1] == pytest.approx(losses[0], rel=0.2)


@pytest.mark.extended
def test_mmse_beats_percentile_at_four_steps(denoiser: Graph, noisy: Images) -> None:
    losses = [
        mean_square(denoiser, noisy, preset("multi-threshold", steps=4, scale=scale, span="paper"))
        for scale in ("mmse", "percentile")
    ]
    assert losses[0] < losses[1]


@pytest.mark.parametrize("normalization", ["connection-wise", "channel-wise"])
@pytest.mark.parametrize("scale", ["mmse", "percentile", "max"])
@pytest.mark.parametrize("case", [{"dead": 2}, {"silent": True}, {"dead": 6}])
def test_dead_channels_and_silent_layers(
    small_unet: UNet, small_images: Images, normalization: str, scale: str, case: dict[str, int]
) -> None:
    graph = small_unet(**case)
    options = preset("exact", normalization=normalization, scale=scale)
    conversion = lower(graph, graph, small_images, options)
    assert conversion.scales.dead["a.relu"] == case.get("dead", 0)
    assert conversion.scales.dead["c.relu"] == (12 if "silent" in case else conversion.scales.dead["c.relu"])
    for population in conversion.network.populations:
        assert np.all(np.isfinite(population.unit))
    expected = next(iter(ActivationProbe(graph, ())(np.concatenate(small_images)).values()))
    error = restore(graph, small_images, options) - expected
    assert np.sqrt(np.square(error).mean()) < 0.03 * np.abs(expected).max()


def test_black_images_calibrate(small_unet: UNet, small_images: Images) -> None:
    black = [np.zeros_like(image) for image in small_images]
    graph = small_unet()
    assert np.all(np.isfinite(restore(graph, black, Options())))


def test_resampling_refuses_channel_units() -> None:
    from snn_deploy.conversion.normalize import scale_op
    from snn_deploy.graph.ops import Resample

    with pytest.raises(ConversionError, match="a resampling shares its weights over channels"):
        scale_op(Resample(np.eye(2), np.eye(2)), np.array([1.0, 2.0]), np.ones(2))


@pytest.mark.parametrize("normalization", ["connection-wise", "channel-wise"])
@pytest.mark.parametrize("pool", ["average", "max"])
def test_wider_units_keep_the_function(
    small_unet: UNet, small_images: Images, pool: str, normalization: Literal["connection-wise", "channel-wise"]
) -> None:
    """Those of relays follow the layer whose counts they pass on."""
    graph, options = small_unet(pool=pool), preset("exact", normalization=normalization)
    layers = group_layers(graph)
    scales = choose_scales(layers, calibrate(graph, layers, small_images), options)
    followed = set[str]()
    for layer in layers.layers:
        if layer.kind == "relu":
            wide = scales.widen(layers, layer.name, 4.0)
            assert wide.widened == {layer.name: 4.0}
            assert wide.widen(layers, layer.name, 2.0).widened == {layer.name: 8.0}
            changed = {name for name, unit in wide.unit.items() if np.array_equal(unit, 4 * scales.unit[name])}
            assert all(
                np.array_equal(wide.unit[name], unit) for name, unit in scales.unit.items() if name not in changed
            )
            followed |= changed - {layer.name}
            assert check_function(graph, layers, wide, small_images[0], options) <= TOLERANCE
    assert followed == {
        layer.name for layer in layers.layers if "relay" in layer.kind and layer.inputs[0].source != "x"
    }
