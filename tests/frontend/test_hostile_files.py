"""Damaged and forged files: one of our errors, quickly, in little memory; or an import, where damage means nothing."""

from __future__ import annotations

import resource
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto

from snn_deploy.errors import ModelError, SnnDeployError, UnsupportedModelError
from snn_deploy.frontend.onnx import inspect, read
from snn_deploy.passes import normal_form
from tests.frontend.oracle import build, node, numbers


def small() -> bytes:
    """A little of everything: the structure is most of the file."""
    nodes = [
        node("Conv", "x w b", "c", pads=[1, 1, 1, 1]),
        node("BatchNormalization", "c b b b v", "n"),
        node("LeakyRelu", "n", "l", alpha=0.1),
        node("MaxPool", "l", "m", kernel_shape=[2, 2], strides=[2, 2]),
        node("Shape", "x", "s"),
        node("ConstantOfShape", "k", "f"),
        node("Slice", "s one three", "hw"),
        node("Resize", "m - scales", "r", mode="linear"),
        node("Pad", "r pads", "p", mode="reflect"),
        node("Concat", "p p l", "j", axis=1),
        node("ConvTranspose", "j w2", "t", strides=[2, 2]),
        node("Clip", "t", "q"),
        node("AveragePool", "q", "a", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Sigmoid", "a"),
    ]
    constants = {
        "w": numbers(2, 1, 3, 3),
        "b": numbers(2),
        "v": np.ones(2, np.float32),
        "k": np.array([4]),
        "one": np.array([1]),
        "three": np.array([3]),
        "scales": np.array([1, 1, 2, 2], np.float32),
        "pads": np.array([0, 0, 1, 1, 0, 0, -1, -1]),
        "w2": numbers(6, 1, 2, 2),
    }
    return bytes(build(13, nodes, constants, (1, 1, 8, 8)).SerializeToString())


def attempt(content: bytes) -> None:
    """Import ``content``: nothing but our errors, of one line, within 5 seconds and 2 GiB."""
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    message = ""
    try:
        normal_form(read(content).graph)
    except SnnDeployError as error:
        message = str(error)
    assert "\n" not in message
    assert len(message) < 20_000
    assert time.monotonic() - started < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2 * 2**20


def test_the_sound_file_is_read() -> None:
    assert not inspect(small()).refused


@pytest.mark.parametrize("start", range(8))
def test_truncated(start: int) -> None:
    content = small()
    for length in range(start, len(content), 8):
        with pytest.raises(ModelError, match=r"^model: .*$"):
            read(content[:length])


@settings(max_examples=250, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(small()) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_bytes_changed(changes: list[tuple[int, int]]) -> None:
    content = bytearray(small())
    for position, value in changes:
        content[position] ^= value
    attempt(bytes(content))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes(content: bytes) -> None:
    attempt(content)


HUGE = 2**31 - 1
FORGED = {
    "transposed stride": [node("ConvTranspose", "x w", strides=[HUGE, HUGE])],
    "padding": [node("Conv", "x w", pads=[HUGE, HUGE, HUGE, HUGE])],
    "edge": [node("Pad", "x far", mode="edge")],
    "upsampling": [node("Resize", "x - factors", mode="nearest")],
    "constant": [node("ConstantOfShape", "far", "f"), node("Add", "x f")],
    "range": [node("Range", "zero far_end one", "f"), node("Add", "x f")],
    "expanded": [node("Expand", "one far", "f"), node("Add", "x f")],
    "window": [node("MaxPool", "x", kernel_shape=[HUGE, 2], pads=[HUGE, 0, HUGE, 0])],
    "blocks": [node("DepthToSpace", "x", blocksize=HUGE)],
}


@pytest.mark.parametrize("case", FORGED)
def test_forged_sizes(case: str) -> None:
    constants = {
        "w": numbers(1, 1, 3, 3),
        "far": np.array([0, 0, HUGE, HUGE, 0, 0, HUGE, HUGE]),
        "factors": np.array([1, 1, 1e9, 1e9], np.float32),
        "zero": np.int64(0),
        "one": np.int64(1),
        "far_end": np.int64(2**60),
    }
    content = build(13, FORGED[case], constants, (1, 1, 8, 8)).SerializeToString()
    attempt(content)
    with pytest.raises(UnsupportedModelError, match=r"cannot be mapped: "):
        read(content)


def test_forged_weight() -> None:
    model = build(13, [node("Conv", "x w")], {}, (1, 1, 8, 8))
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2**40, 1, 1, 1], raw_data=b"1234")
    model.graph.initializer.append(weight)
    attempt(model.SerializeToString())
    with pytest.raises(ModelError, match=r"^model: breaks the ONNX specification \(.*\)$"):
        read(model.SerializeToString())


def test_weights_that_are_not_numbers() -> None:
    weight = numbers(1, 1, 3, 3)
    weight[0, 0, 1, 1] = np.nan
    with pytest.raises(UnsupportedModelError, match=r"y \(Conv\): input 1 holds NaN or infinity$"):
        read(build(13, [node("Conv", "x w")], {"w": weight}, (1, 1, 8, 8)).SerializeToString())
