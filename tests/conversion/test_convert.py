"""From a file to a network: sizes, names, and what the network's record says of where it came from."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snn_deploy.conversion.convert import calibration_size, convert, input_channels, input_size, open_float_probe
from snn_deploy.conversion.options import preset
from snn_deploy.errors import ConversionError, ModelError
from tests.frontend.oracle import build, node, numbers


def model(height: int | str = 6, width: int | str = 8) -> bytes:
    nodes = [node("Conv", "x w", "c", pads=[1, 1, 1, 1]), node("Relu", "c", "r"), node("Conv", "r v")]
    weights = {"w": numbers(3, 2, 3, 3), "v": numbers(1, 3, 1, 1)}
    return bytes(build(17, nodes, weights, (1, 2, height, width)).SerializeToString())


IMAGES = [np.random.default_rng(seed).random((seed, 2, 5, 4), np.float32) for seed in (1, 2)]


@pytest.mark.parametrize(
    ("content", "own", "asked", "size"),
    [
        (model(), (6, 8), None, (6, 8)),
        (model(), (6, 8), (7, 9), (7, 9)),
        (model(), (6, 8), (3, 3), (3, 3)),
        (model("h", "w"), None, None, (5, 4)),
        (model(6, "w"), None, None, (5, 4)),
        (model("h", 8), None, (7, 9), (7, 9)),
    ],
)
def test_sizes(
    content: bytes, own: tuple[int, int] | None, asked: tuple[int, int] | None, size: tuple[int, int]
) -> None:
    """That asked for, else the model's own, else that of the images."""
    assert convert(content, IMAGES, size=asked).conversion.network.input.shape == (2, *size)
    assert input_size(content) == (own or (128, 128))
    assert input_channels(content, size) == 2


def test_nets_of_one_row_are_calibrated_at_their_own_length() -> None:
    """A width that is free makes no picture of one row into a square."""
    assert (input_size(model(1, "w")), calibration_size(model(1, "w"), None)) == ((1, 1024), (1, 256))
    assert calibration_size(model("h", "w"), None) is None


def test_a_dense_layer_names_its_size() -> None:
    nodes = [node("Flatten", "x", "f"), node("Gemm", "f w b")]
    weights = {"w": numbers(35, 2), "b": numbers(2)}
    content = bytes(build(17, nodes, weights, (1, 1, 5, 7)).SerializeToString())
    message = r"does not support images of 9x20; use 5x7, the model's own size \(--size\)$"
    with pytest.raises(ModelError, match=message):
        input_channels(content, (9, 20))


def test_a_size_that_does_not_fit_names_the_nearest_that_do() -> None:
    """Of 42x40, 40x40 and 44x40 are the nearest; 32x32 and 48x48 would fit as well."""
    nodes = [
        node("MaxPool", "x", "half", kernel_shape=[2, 2], strides=[2, 2]),
        node("MaxPool", "half", "quarter", kernel_shape=[2, 2], strides=[2, 2]),
        node("ConvTranspose", "quarter w", "up", strides=[4, 4]),
        node("Add", "x up"),
    ]
    content = bytes(build(17, nodes, {"w": numbers(1, 1, 4, 4)}, (1, 1, "h", "w")).SerializeToString())
    with pytest.raises(ModelError, match=r"; use 40x40 or 44x40 \(--size\)$"):
        input_channels(content, (42, 40))


def test_lines_and_pixel_shuffles_name_sizes_too() -> None:
    half = node("MaxPool", "x", "half", kernel_shape=[2], strides=[2])
    line = build(17, [half, node("ConvTranspose", "half w", "up", strides=[2]), node("Add", "x up")],
                 {"w": numbers(1, 1, 2)}, (1, 1, "w"))  # fmt: skip
    with pytest.raises(ModelError, match=r" images of 1x301; use 1x300 or 1x302 \(--size\)$"):
        input_channels(bytes(line.SerializeToString()), (1, 301))
    shuffled = [node("SpaceToDepth", "x", "d", blocksize=2), node("DepthToSpace", "d", blocksize=2)]
    content = bytes(build(17, shuffled, {}, (1, 1, "h", "w")).SerializeToString())
    with pytest.raises(ModelError, match=r" images of 33x35; use 32x34 or 34x36 \(--size\)$"):
        input_channels(content, (33, 35))


@pytest.mark.parametrize(
    ("window", "size", "message"),
    [
        ((70, 5), (7, 30), r"images of 7x30; use a larger size than 7x30 \(--size\)$"),
        ((5, 70), (30, 7), r"images of 30x7; use a larger size than 30x7 \(--size\)$"),
        ((9, 9), (8, 9), r"images of 8x9; use 16x16 \(--size\)$"),
    ],
)
def test_a_kernel_that_does_not_fit_asks_for_more(window: tuple[int, int], size: tuple[int, int], message: str) -> None:
    content = bytes(
        build(17, [node("Conv", "x w")], {"w": numbers(1, 1, *window)}, (1, 1, "h", "w")).SerializeToString()
    )
    with pytest.raises(ModelError, match=message):
        input_channels(content, size)


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [
        (1, 300, (1, 300)),
        (1, "w", (1, 1024)),
        (2, "w", (128, 128)),
        ("h", 1, (128, 128)),
        (2, 3, (2, 3)),
        (3, 1, (3, 1)),
    ],
)
def test_sizes_that_a_model_has_or_gets(height: int | str, width: int | str, size: tuple[int, int]) -> None:
    given = build(13, [node("Relu", "x")], {}, (1, 2, height, width)).SerializeToString()
    assert input_size(given) == size


def test_images_of_two_sizes_are_refused() -> None:
    with pytest.raises(ConversionError, match=r"^calibration images must have one size; found \[\(5, 4\), \(5, 5\)\]$"):
        convert(model(), [*IMAGES, np.zeros((1, 2, 5, 5), np.float32)])
    with pytest.raises(ConversionError, match=r"^calibration images must have one size; found \[\]$"):
        convert(model(), [])


def test_the_record_says_where_a_network_comes_from(tmp_path: Path) -> None:
    digest = hashlib.sha256()
    for image in IMAGES:
        digest.update(repr(image.shape).encode() + image.tobytes())
    path = tmp_path / "net.v2.onnx"
    path.write_bytes(model())
    for given, name, file in ((path, "net.v2", "net.v2.onnx"), (model(), "model", "model")):
        converted = convert(given, IMAGES, preset("exact", levels=9))
        network = converted.conversion.network
        assert network.name == name
        assert network.config == preset("exact", levels=9).record() | {
            "model": file,
            "model_sha256": hashlib.sha256(model()).hexdigest(),
            "calibration_images": 3,
            "calibration_sha256": digest.hexdigest(),
        }
        assert converted.model.opset == 17


def test_names_that_are_not_utf8_are_escaped(tmp_path: Path) -> None:
    path = tmp_path / "n\udcff.onnx"
    try:
        path.write_bytes(model())
    except OSError:
        pytest.skip("this file system holds no names but UTF-8")
    network = convert(path, IMAGES).conversion.network
    assert (network.name, network.config["model"]) == (r"n\udcff", r"n\udcff.onnx")


def test_the_float_network_of_a_file() -> None:
    (values,) = open_float_probe(model(), (5, 4))(IMAGES[1]).values()
    assert values.shape == (2, 1, 5, 4)


@pytest.mark.parametrize(
    ("last", "shape", "size", "expected"),
    [
        ("Relu", ("n", 2, "h", "w"), None, None),
        ("Relu", ("n", 2, "h", "w"), (40, 256), (40, 256)),
        ("Relu", ("n", 2, "h", "w"), (40, 512), (40, 256)),
        ("Relu", ("n", 2, "h", "w"), (257, 40), (256, 40)),
        ("Relu", ("n", 2, "h", "w"), (256, 256), (256, 256)),
        ("ReduceMean", ("n", 2, "h", "w"), (257, 40), (257, 40)),
        ("Relu", ("n", 2, 1, "w"), (1, 256), (1, 256)),
        ("Relu", ("n", 2, 1, "w"), (1, 257), (1, 256)),
        ("Relu", ("n", 2, 1, "w"), None, (1, 256)),
        ("Relu", ("n", 2, 2, "w"), None, None),
        ("Relu", (1, 2, 300, 300), None, (300, 300)),
        ("Relu", (1, 2, 300, 300), (512, 512), (512, 512)),
        ("GlobalAveragePool", ("n", 2, "h", "w"), (512, 512), (512, 512)),
        ("Conv", ("n", 2, "h", "w"), (512, 512), (512, 512)),
    ],
)
def test_calibration_images_are_as_large_as_those_to_come(
    last: str, shape: tuple[int | str, ...], size: tuple[int, int] | None, expected: tuple[int, int] | None
) -> None:
    """Up to 256 pixels a side, unless the model fixes its size, averages over all of it, or does not take less."""
    constants = {"w": np.ones((1, 2, 300, 1), np.float32)} if last == "Conv" else {}
    axes: dict[str, Any] = {"axes": [2, 3]} if last == "ReduceMean" else {}
    given = build(13, [node(last, "x w" if constants else "x", **axes)], constants, shape).SerializeToString()
    assert calibration_size(given, size) == expected
