"""What a network gave, in files: every output and every image is written, as what it is, or refused before a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from snn_deploy.backend.protocol import Run
from snn_deploy.data.result_files import ResultFiles
from snn_deploy.errors import ReportError
from snn_deploy.network.kernels import ConvKernel
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Connection, Network, Output, Population

Heads = dict[str, tuple[int, tuple[str, ...]]]
"""Channels and host functions of every output."""


def network_of(heads: Heads) -> Network:
    """An input of one channel, and a read-out for each head; one count is worth 1/4."""
    populations = [Population("input", (1, 2, 3), None, np.zeros((1, 1, 1), np.int64), np.ones(1), input_max=1)]
    connections = []
    for name, (channels, _) in heads.items():
        theta, bias = np.ones(channels, np.int64), np.zeros((channels, 1, 1), np.int64)
        neuron = MultiThreshold(theta, 0 * theta, -1000, 1000, -1000, 1000)
        populations.append(Population(name, (channels, 2, 3), neuron, bias, np.full(channels, 0.25), start=1))
        kernel = ConvKernel(np.ones((channels, 1, 1, 1), np.int8))
        connections.append(Connection(f"to {name}", "input", name, kernel))
    outputs = tuple(Output(name, name, host) for name, (_, host) in heads.items())
    return Network("heads", "exact", 1, tuple(populations), tuple(connections), outputs)


def run_of(network: Network, images: int) -> Run:
    """Counts 0, 1, 2, ... so that all values differ; channel order is turned from pixel to pixel."""
    counts = {}
    for population in network.populations:
        shape = (images, *population.shape)
        counts[population.name] = np.arange(np.prod(shape), dtype=np.int64).reshape(shape) * 7 % 5
    return Run("test", network.name, "", counts, counts)


def pixels(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    with Image.open(path) as picture:
        return np.asarray(picture)


GRAY, COLOR, CLASSES = (1, ()), (3, ()), (5, ("argmax",))
NAMES: list[tuple[Heads, int, str, list[str]]] = [
    ({"out": GRAY}, 1, "x.png", ["x.png"]),
    ({"out": GRAY}, 3, "x.png", ["x.0.png", "x.1.png", "x.2.png"]),
    ({"out": GRAY}, 11, "x.tif", [f"x.{index:02}.tif" for index in range(11)]),
    ({"out": GRAY}, 3, "x.npy", ["x.npy"]),
    ({"out": COLOR, "aux": CLASSES}, 1, "x.png", ["x.out.png", "x.aux.png"]),
    ({"out": GRAY, "aux": CLASSES}, 2, "x.png", ["x.out.0.png", "x.out.1.png", "x.aux.0.png", "x.aux.1.png"]),
    ({"out": GRAY, "aux": CLASSES}, 2, "x.npy", ["x.out.npy", "x.aux.npy"]),
    ({"/head/Conv.1": GRAY, "../../b": GRAY}, 1, "x.png", ["x.head_Conv.1.png", "x.b.png"]),
    ({"a/b": GRAY, "A b": GRAY, "é": GRAY}, 1, "x.png", ["x.0_a_b.png", "x.1_A_b.png", "x.2.png"]),
]


@pytest.mark.parametrize(("heads", "images", "name", "expected"), NAMES)
def test_every_output_and_image_has_its_file(
    heads: Heads, images: int, name: str, expected: list[str], tmp_path: Path
) -> None:
    network = network_of(heads)
    run = run_of(network, images)
    written = ResultFiles(tmp_path / name, network, images).write(run)
    assert [each.path.name for each in written] == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(expected)
    values = run.read_outputs(network)
    rest = iter(written)
    for output in network.outputs:
        parts = [values[output.name]] if name.endswith(".npy") else values[output.name][:, None]
        for part, each in zip(parts, rest, strict=False):
            if name.endswith(".npy"):
                assert np.array_equal(np.load(each.path), part)
            elif "argmax" in output.host:
                assert np.array_equal(pixels(each.path), part[0, 0])
            else:
                shown = np.rint(part[0].clip(0, 1) * 255)
                assert np.array_equal(pixels(each.path), shown[0] if len(shown) == 1 else np.moveaxis(shown, 0, 2))


@pytest.mark.parametrize(
    ("head", "options"),
    [
        ((5, ("argmax",)), {}),
        ((5, ()), {"labels": True}),
        ((3, ("softmax",)), {"labels": True}),
        ((3, ()), {"labels": True, "colors": True}),
        ((1, ("sigmoid",)), {"labels": True}),
        ((1, ()), {"labels": True}),
        ((5, ("softmax", "argmax", "to_channels_last")), {"colors": True}),
        ((300, ("argmax",)), {}),
    ],
)
@pytest.mark.parametrize("name", ["x.png", "x.npy"])
def test_labels_are_written_as_labels(
    head: tuple[int, tuple[str, ...]], options: dict[str, bool], name: str, tmp_path: Path
) -> None:
    network = network_of({"out": head})
    run = run_of(network, 1)
    if name == "x.npy":
        options = {"labels": True}
    (written,) = ResultFiles(tmp_path / name, network, 1, **options).write(run)
    values = run.counts["out"][0] * 0.25
    expected = values.argmax(0) if head[0] > 1 else (values[0] > 0)
    if head[1] == ("sigmoid",):
        expected = values[0] > 0  # the sigmoid of 0 is 1/2, which is class 0
    found = np.load(written.path)[0] if name == "x.npy" else pixels(written.path)
    assert found.dtype == (np.uint16 if head[0] > 255 else np.uint8)
    assert np.array_equal(found, expected)
    assert len(np.unique(found)) > 1
    assert written.clipped == 0


@pytest.mark.parametrize(
    ("heads", "name", "options", "message"),
    [
        (
            {"out": (5, ())},
            "x.png",
            {},
            r"output out has 5 channels, not gray values or colors; write \.npy, or",
        ),
        (
            {"out": (2, ("softmax",))},
            "x.png",
            {},
            "output out has 2 probabilities of classes, not gray values or colors; ",
        ),
        (
            {"out": (3, ("softmax",))},
            "x.png",
            {},
            "output out has 3 probabilities of classes, not gray values or colors; ",
        ),
        ({"out": GRAY, "aux": (4, ())}, "x.png", {}, r"output aux has 4 channels, .* model that ends in ArgMax\)$"),
        ({"out": CLASSES}, "x.jpg", {}, r"\.jpg does not keep labels; use"),
        ({"out": GRAY}, "x.gif", {}, r"unsupported image format \.gif; use"),
        ({"out": GRAY}, "x.png", {"colors": True}, "colors are those of label images, and none is written$"),
        ({"out": CLASSES}, "x.npy", {"colors": True}, "colors are those of label images, and none is written$"),
        ({"out": GRAY}, "folder/x.png", {}, "folder .* does not exist; make it first$"),
    ],
)
def test_what_cannot_be_written_is_refused_before_a_run(
    heads: Heads, name: str, options: dict[str, bool], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ReportError, match=message):
        ResultFiles(tmp_path / name, network_of(heads), 1, **options)


def test_a_picture_says_how_much_it_does_not_show(tmp_path: Path) -> None:
    network = network_of({"out": GRAY})
    counts = np.array([[[[-1, 0, 4], [5, 2, 1]]]])
    run = replace(run_of(network, 1), counts={"out": counts})
    assert [each.clipped for each in ResultFiles(tmp_path / "x.png", network, 1).write(run)] == [2 / 6]
    assert [each.clipped for each in ResultFiles(tmp_path / "x.npy", network, 1).write(run)] == [0]
