"""Real networks in Lava and in the cpu backend: every event of every neuron in every step, both modes, streams too."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from snn_deploy.backend.protocol import Record, Run
from snn_deploy.backend.registry import load_backend
from snn_deploy.conversion import convert as pipeline
from snn_deploy.conversion.options import Options, preset
from snn_deploy.network.network import Network
from snn_deploy.testing import random_stimulus
from snn_deploy_lava import LavaBackend

ROOT = Path(__file__).parents[3]
FOREIGN = ROOT / ".." / "shared" / "models"

OWN = ("denoiser_s25", "segmenter_isbi")

# All but the two that are refused: an attention gate, and statistics that InstanceNormalization takes from each image.
MAPPABLE: dict[str, tuple[int, int]] = {
    "fepegar_bn_prelu.ts17.fixed": (32, 32),
    "monai_basicunet_bn_relu.dyn18.fixed": (32, 32),
    "monai_basicunet_bn_relu.ts13.dynamic": (32, 32),
    "monai_basicunet_bn_relu.ts17.fixed": (32, 32),
    "monai_basicunet_bn_relu.ts17bn.fixed": (32, 32),
    "monai_unet_plain_relu.dyn18.dynamic": (32, 32),
    "monai_unet_plain_relu.ts17.fixed": (32, 32),
    "sasekazu_sed-gen-web__unet": (32, 32),
    "smp_unet_resnet18.dyn18.fixed": (64, 64),
}

pytestmark = [
    pytest.mark.lava,
    pytest.mark.skipif(importlib.util.find_spec("lava") is None, reason="lava-nc is not installed"),
]


def converted(model: Path, mode: str, size: tuple[int, int]) -> Network:
    options = Options() if mode == "exact" else preset("multi-threshold", steps=4)
    rng = np.random.default_rng(0)
    shape = (1, pipeline.input_channels(model, size), *size)
    smooth = np.add.outer(np.sin(np.arange(size[0]) / 5), np.cos(np.arange(size[1]) / 7)) / 4 + 0.5
    images = [(0.8 * smooth + 0.2 * rng.random(shape)).astype(np.float32) for _ in range(2)]
    return pipeline.convert(model, images, options, size).conversion.network


def assert_equal(actual: Run, expected: Run) -> None:
    """Counts, events and trains of every population."""
    for field in ("counts", "events", "trains"):
        reference, recorded = getattr(expected, field), getattr(actual, field)
        assert set(reference) == set(recorded)
        for name, values in reference.items():
            assert np.array_equal(recorded[name], values), (field, name)
    assert sum(int(values.sum()) for values in expected.events.values()) > 0


def check(network: Network, *, stream: bool) -> None:
    stimulus = random_stimulus(network, batch=2 if stream else 1)
    expected = load_backend("cpu").run(network, stimulus, Record.TRAINS)
    assert_equal(LavaBackend(stream=stream).run(network, stimulus, Record.TRAINS), expected)


@pytest.mark.extended
def test_a_stream_of_the_trained_denoiser() -> None:
    check(converted(ROOT / "models" / "denoiser_s25.onnx", "exact", (16, 16)), stream=True)


@pytest.mark.slow
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("mode", ["exact", "rate"])
@pytest.mark.parametrize("name", OWN)
def test_the_trained_networks(name: str, mode: str, stream: bool) -> None:
    check(converted(ROOT / "models" / f"{name}.onnx", mode, (32, 32)), stream=stream)


@pytest.mark.slow
@pytest.mark.skipif(not FOREIGN.exists(), reason="../shared/models is absent")
@pytest.mark.parametrize("mode", ["exact", "rate"])
@pytest.mark.parametrize("name", MAPPABLE)
def test_foreign_networks(name: str, mode: str) -> None:
    """One image alone, then two in a stream."""
    network = converted(FOREIGN / f"{name}.onnx", mode, MAPPABLE[name])
    check(network, stream=False)
    check(network, stream=True)
