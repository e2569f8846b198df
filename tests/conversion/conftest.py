"""Small float U-Nets of random weights, images for them, and the trained denoiser on one crop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from snn_deploy.data import images
from snn_deploy.data.images import Images
from snn_deploy.frontend.onnx import read
from snn_deploy.graph.graph import Graph, Node
from snn_deploy.graph.ops import Add, AveragePool, Concat, Conv, ConvTranspose, MaxPool, Op, Relu
from snn_deploy.passes import normal_form

UNet = Callable[..., Graph]


def unet(
    seed: int = 0,
    *,
    skip: float = 1.0,
    pool: str = "average",
    dead: int = 0,
    silent: bool = False,
    residual: bool = True,
) -> Graph:
    """Two levels in normal form. ``skip`` scales what travels along the skip connection and undoes it behind the
    concat, so the function stays; ``dead`` channels of the first layer never fire, or the whole bottom (``silent``)."""
    rng = np.random.default_rng(seed)

    def conv(outputs: int, inputs: int, bias: float = 0.1, size: int = 3) -> Conv:
        weight = rng.normal(0, np.sqrt(2 / (inputs * size**2)), (outputs, inputs, size, size))
        return Conv(weight, rng.normal(0, bias, outputs), pads=(size // 2,) * 4)

    first = conv(6, 1)
    second = conv(6, 6)
    second = Conv(second.weight * skip, second.bias * skip, pads=second.pads)
    bottom = conv(12, 6)
    bottom = Conv(bottom.weight / skip, bottom.bias, pads=bottom.pads)
    if dead:
        bias = first.bias.copy()
        bias[:dead] = -100.0
        first = Conv(first.weight, bias, pads=first.pads)
    if silent:
        bottom = Conv(bottom.weight, np.full(12, -100.0), pads=bottom.pads)
    up = ConvTranspose(rng.normal(0, 0.3, (12, 6, 2, 2)), rng.normal(0, 0.1, 6), (2, 2))
    join = conv(6, 12)
    weight = join.weight.copy()
    weight[:, :6] /= skip
    pooling: Op = AveragePool((2, 2), (2, 2)) if pool == "average" else MaxPool((2, 2), (2, 2))
    nodes = [
        ("a", first, "x"), ("a.relu", Relu(), "a"), ("b", second, "a.relu"), ("b.relu", Relu(), "b"),
        ("pool", pooling, "b.relu"), ("c", bottom, "pool"), ("c.relu", Relu(), "c"), ("up", up, "c.relu"),
        ("up.relu", Relu(), "up"), ("cat", Concat(), "b.relu up.relu"), ("d", Conv(weight, join.bias, pads=join.pads), "cat"),
        ("d.relu", Relu(), "d"), ("head", conv(1, 6, 0.0), "d.relu"), ("out", Add(), "x head"),
    ]  # fmt: skip
    graph = Graph(
        "small",
        "x",
        (1, 16, 16),
        tuple(Node(name, op, tuple(inputs.split())) for name, op, inputs in nodes),
        (("restored", "out" if residual else "head"),),
    )
    return normal_form(graph)


@pytest.fixture(scope="session")
def small_unet() -> UNet:
    return unet


@pytest.fixture(scope="session")
def small_images() -> Images:
    """Four smooth random images (1, 1, 16, 16), some values negative."""
    rng = np.random.default_rng(1)
    waves = np.sin(np.arange(16)[:, None] / 3) * np.cos(np.arange(16) / 4)
    return [(0.5 + 0.4 * waves + rng.normal(0, 0.2, (1, 1, 16, 16))).astype(np.float32) for _ in range(4)]


@pytest.fixture(scope="session")
def denoiser(root: Path) -> Graph:
    """The trained denoiser at 64x64."""
    return normal_form(read(root / "models/denoiser_s25.onnx", (64, 64)).graph)


@pytest.fixture(scope="session")
def clean() -> Images:
    """Crops (1, 1, 64, 64) of three of scikit-image's photographs."""
    return [images.center_crop(images.load_photograph(name, 1), 64, 64) for name in ("camera", "coins", "chelsea")]


@pytest.fixture(scope="session")
def noisy(clean: Images) -> Images:
    """The same with noise of 25/255."""
    return [images.add_noise(image, 25.0, seed) for seed, image in enumerate(clean)]
