"""Images of sizes that a network does not support: messages name the sizes that it does, and they are true."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from snn_deploy.data.stimulus import find_largest_size, is_fixed, prepare_stimulus
from snn_deploy.errors import NetworkError, StimulusError
from snn_deploy.network.kernels import ConvKernel, TransposedKernel
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Connection, Network, Output, Population
from snn_deploy.network.schedule import align
from snn_deploy.testing import random_unet


def unet(stride: int, depth: int) -> Network:
    """``depth`` convolutions of ``stride``, as many transposed ones, and a skip from the first map to the last."""
    one = np.ones(1, np.int64)
    neuron = MultiThreshold(one, 0 * one, 0, 15, 0, 15)
    side = stride**depth
    sides = [
        side,
        *(side // stride**level for level in range(depth + 1)),
        *(stride**level for level in range(1, depth + 1)),
    ]
    populations, connections = [], []
    copy = ConvKernel(np.ones((1, 1, 1, 1), np.int8))
    window = np.ones((1, 1, stride, stride), np.int8)
    for index, length in enumerate(sides):
        name = f"p{index}"
        firing = None if index == 0 else neuron
        populations.append(
            Population(name, (1, length, length), firing, np.zeros((1, 1, 1), np.int64), np.ones(1), input_max=15)
        )
        if index:
            down, up = ConvKernel(window, (stride, stride)), TransposedKernel(window, (stride, stride))
            kernel = copy if index == 1 else down if index < depth + 2 else up
            connections.append(Connection(f"c{index}", f"p{index - 1}", name, kernel))
    connections.append(Connection("skip", "p1", populations[-1].name, copy))
    outputs = (Output("out", populations[-1].name),)
    return align(Network("unet", "exact", 1, tuple(populations), tuple(connections), outputs))


CASES = [
    (unet(2, 2), 33, 35, "crop the image to 32x32 or pad it to 36x36"),
    (unet(2, 2), 3, 35, "pad it to 4x36"),
    (unet(2, 1), 37, 51, "crop the image to 36x50 or pad it to 38x52"),
    (unet(2, 3), 64, 65, "crop the image to 64x64 or pad it to 64x72"),
    (unet(3, 2), 33, 35, "crop the image to 27x27 or pad it to 36x36"),
    (
        random_unet("exact", 0, size=16),
        512,
        512,
        "resizing, reflection or biases by pixel fix it to 16x16: convert the model again with size 512x512, "
        "or crop the image to 16x16",
    ),
    (
        random_unet("exact", 0, size=16),
        33,
        36,
        "resizing, reflection or biases by pixel fix it to 16x16: convert the model again with size 32x36 or 36x36, "
        "or crop the image to 16x16",
    ),
    (
        random_unet("exact", 0, size=16),
        12,
        40,
        "resizing, reflection or biases by pixel fix it to 16x16: convert the model again with size 12x40",
    ),
]


@pytest.mark.parametrize(("network", "height", "width", "advice"), CASES)
def test_messages_name_sizes_that_fit(network: Network, height: int, width: int, advice: str) -> None:
    channels = network.input.shape[0]
    with pytest.raises(StimulusError) as caught:
        prepare_stimulus(network, np.zeros((1, channels, height, width), np.float32), "a.png")
    name = network.name
    assert str(caught.value) == f"a.png: {name} does not support {height}x{width} pixels; {advice}"
    if not is_fixed(network):
        for rows, columns in re.findall(r"(\d+)x(\d+)", advice):
            image = np.zeros((1, channels, int(rows), int(columns)), np.float32)
            assert prepare_stimulus(network, image)[0].input.shape[1:] == (int(rows), int(columns))


@pytest.mark.parametrize(
    ("network", "limit", "size"),
    [
        (unet(2, 2), (64, 64), (64, 64)),
        (unet(2, 2), (63, 66), (60, 64)),
        (unet(2, 2), (3, 3), None),
        (unet(3, 2), (64, 64), (63, 63)),
        (random_unet("exact", 0, size=16), (64, 64), (16, 16)),
        (random_unet("exact", 0, size=16), (15, 64), None),
    ],
)
def test_the_largest_size_within_a_limit(
    network: Network, limit: tuple[int, int], size: tuple[int, int] | None
) -> None:
    assert find_largest_size(network, *limit) == size
    if size is not None:
        network.at_size(*size)


def test_what_is_made_pixel_by_pixel_fixes_a_size() -> None:
    assert is_fixed(random_unet("exact", 0))
    network = unet(2, 1)
    assert not is_fixed(network)
    last = network.populations[-1]
    biased = replace(last, bias=np.arange(last.size, dtype=np.int64).reshape(last.shape))
    assert is_fixed(replace(network, populations=(*network.populations[:-1], biased)))
    with pytest.raises(NetworkError):
        random_unet("exact", 0, size=16).at_size(32, 32)
