"""Dense layers over whole maps, lines as maps of height 1, circular padding by hand, and means, against onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, NodeProto

from snn_deploy.errors import ModelError
from snn_deploy.frontend.onnx import inspect, own_channels, own_sides, own_size, read, to_onnx
from snn_deploy.frontend.onnx.sorting import sort_nodes
from snn_deploy.passes import normal_form
from tests.frontend.oracle import build, check, node, numbers, relative, run

W = {"w": numbers(5, 60), "b": numbers(5), "k": numbers(60, 5)}


def equal(model: ModelProto, x: Any) -> None:
    """As float graph and in normal form; shapes may differ by axes of one entry."""
    graph = read(model.SerializeToString()).graph
    (expected,) = run(model, x)
    given = x.transpose(0, 2, 1) if own_channels(model.SerializeToString()) != x.shape[1] else x
    for each in (graph, normal_form(graph)):
        (made,) = run(to_onnx(each), given.reshape(1, *graph.input_shape))
        assert relative(expected, made.reshape(expected.shape)) < 1e-5


DENSE: dict[str, tuple[list[NodeProto], dict[str, Any]]] = {
    "flatten": ([node("Flatten", "x", "f"), node("Gemm", "f w b", transB=1)], {}),
    "factors": ([node("Flatten", "x", "f"), node("Gemm", "f k b", alpha=0.5, beta=2.0)], {}),
    "channels last": (
        [
            node("Transpose", "x", "l", perm=[0, 2, 3, 1]),
            node("Reshape", "l flat", "f"),
            node("MatMul", "f k", "m"),
            node("Add", "m b"),
        ],
        {"flat": np.array([1, -1])},
    ),
    "behind a mean": (
        [node("GlobalAveragePool", "x", "g"), node("Flatten", "g", "f"), node("Gemm", "f v b", transB=1)],
        {"v": numbers(5, 3)},
    ),
    "and back to a map": (
        [
            node("Flatten", "x", "f"),
            node("Gemm", "f w b", "g", transB=1),
            node("Relu", "g", "r"),
            node("Reshape", "r deep", "d"),
            node("ConvTranspose", "d t", strides=[2, 2]),
        ],
        {"deep": np.array([1, 5, 1, 1]), "t": numbers(5, 2, 2, 2)},
    ),
    "and back to a map with channels last": (
        [
            node("Flatten", "x", "f"),
            node("Gemm", "f v", "g", transB=1),
            node("Relu", "g", "r"),
            node("Reshape", "r deep", "d"),
            node("Transpose", "d", "l", perm=[0, 3, 1, 2]),
            node("Conv", "l c", pads=[1, 1, 1, 1]),
        ],
        {"v": numbers(24, 60), "deep": np.array([1, 2, 3, 4]), "c": numbers(2, 4, 3, 3)},
    ),
    "mean, axes dropped": (
        [node("ReduceMean", "x", "m", axes=[2, 3], keepdims=0), node("Gemm", "m v", transB=1)],
        {"v": numbers(5, 3)},
    ),
}


@pytest.mark.parametrize("case", DENSE)
def test_dense_layers(case: str) -> None:
    nodes, constants = DENSE[case]
    used = {name for each in nodes for name in each.input}
    known = {name: value for name, value in (W | constants).items() if name in used}
    equal(build(13, nodes, known, (1, 3, 4, 5)), numbers(1, 3, 4, 5))


@pytest.mark.parametrize("axes", [[2], [3], [-1, -2]])
def test_means_over_a_part_of_space(axes: list[int]) -> None:
    check(13, [node("ReduceMean", "x", axes=axes)], {}, (4, 6, 5))


@pytest.mark.parametrize("axis", [2, 3])
def test_maps_side_by_side(axis: int) -> None:
    """Circular padding is exported like this: the end, the whole, the beginning."""
    nodes = [
        node("Slice", "x minus big at", "end"),
        node("Slice", "x zero one at", "begin"),
        node("Concat", "end x begin", axis=axis),
    ]
    constants = {name: np.array([value]) for name, value in (("minus", -2), ("big", 99), ("zero", 0), ("one", 1))}
    check(13, nodes, constants | {"at": np.array([axis])}, (4, 6, 5))


@pytest.mark.parametrize("differs", [False, True])
def test_constant_channels(differs: bool) -> None:
    """A fixed noise level joined to the image; also one that differs from pixel to pixel, before zero padding."""
    plane = numbers(1, 2, 6, 5) if differs else np.tile(numbers(1, 2, 1, 1), (1, 1, 6, 5))
    nodes = [node("Concat", "k x", "j", axis=1), node("Conv", "j w", pads=[1, 1, 1, 1])]
    check(13, nodes, {"k": plane, "w": numbers(3, 6, 3, 3)}, (4, 6, 5))


LINES: dict[str, tuple[list[NodeProto], dict[str, Any]]] = {
    "convolutions": (
        [
            node("Conv", "x w b", "c", pads=[2, 1], strides=[2], dilations=[2]),
            node("Relu", "c", "r"),
            node("ConvTranspose", "r t", strides=[2], output_padding=[1], pads=[1, 0]),
        ],
        {"w": numbers(5, 3, 3), "b": numbers(5), "t": numbers(5, 2, 4)},
    ),
    "pools": (
        [
            node("MaxPool", "x", "m", kernel_shape=[3], strides=[2], pads=[1, 1]),
            node("AveragePool", "m", "a", kernel_shape=[2], strides=[2]),
            node("Concat", "a a", axis=1),
        ],
        {},
    ),
    "norm, pads and constants": (
        [
            node("BatchNormalization", "x s s s v", "n"),
            node("Pad", "n p", "q", mode="reflect"),
            node("Mul", "q k", "m"),
            node("Add", "m one"),
        ],
        {
            "s": numbers(3),
            "v": np.abs(numbers(3)) + 0.1,
            "p": np.array([0, 0, 2, 0, 0, 1]),
            "k": numbers(3, 1),
            "one": np.float32(0.3),
        },
    ),
    "resizing": ([node("Resize", "x - scales", mode="linear")], {"scales": np.array([1, 1, 2], np.float32)}),
    "a mean": ([node("GlobalAveragePool", "x", "g"), node("Conv", "g w")], {"w": numbers(2, 3, 1)}),
    "to two dimensions and back": (
        [node("Unsqueeze", "x two", "u"), node("Conv", "u w", "c", pads=[0, 1, 0, 1]), node("Squeeze", "c two")],
        {"two": np.array([2]), "w": numbers(4, 3, 1, 3)},
    ),
}


@pytest.mark.parametrize("case", LINES)
def test_lines(case: str) -> None:
    nodes, constants = LINES[case]
    equal(_line(build(13, nodes, constants, (1, 3, 16))), numbers(1, 3, 16))


def _line(model: ModelProto) -> ModelProto:
    for value in model.graph.output:
        del value.type.tensor_type.shape.dim[3:]
    return model


def test_lines_with_channels_last() -> None:
    nodes = [
        node("Transpose", "x", "t", perm=[0, 2, 1]),
        node("Conv", "t w", "c"),
        node("Transpose", "c", perm=[0, 2, 1]),
    ]
    model = _line(build(13, nodes, {"w": numbers(4, 3, 3)}, (1, 16, 3)))
    assert own_channels(model.SerializeToString()) == 3
    equal(model, numbers(1, 16, 3))


def test_sizes_of_lines() -> None:
    open_line = _line(build(13, [node("Conv", "x w")], {"w": numbers(4, 3, 3)}, (1, 3, "length"))).SerializeToString()
    assert (own_sides(open_line), own_size(open_line)) == ((1, 0), None)
    assert read(open_line, (1, 20)).graph.input_shape == (3, 1, 20)
    with pytest.raises(ModelError, match=r"reads lines, not maps; give their length as --size 1x20$"):
        read(open_line, (20, 20))


def test_nodes_out_of_order_are_sorted_and_it_is_said() -> None:
    """Those that may stay do."""
    ordered = [
        node("Relu", "x", "a"),
        node("Conv", "a w", "b"),
        node("Neg", "x", "c"),
        node("Concat", "b c", axis=1),
    ]
    constants = {"w": numbers(2, 2, 1, 1)}
    right = build(13, ordered, constants, (1, 2, 4, 4))
    wrong = build(13, [ordered[index] for index in (3, 1, 2, 0)], constants, (1, 2, 4, 4))
    x = numbers(1, 2, 4, 4)
    graph = read(wrong.SerializeToString()).graph
    assert relative(run(right, x)[0], run(to_onnx(graph), x)[0]) < 1e-6
    ledger = inspect(wrong.SerializeToString())
    assert [row.node for row in ledger.rows] == ["c", "a", "b", "y"]
    assert ledger.remarks == (
        "its nodes are not in the order in which they are computed, as ONNX demands; they were sorted",
    )
    assert inspect(right.SerializeToString()).remarks == ()
    circle = build(13, [node("Add", "x b", "a"), node("Relu", "a", "b"), node("Neg", "b")], {}, (1, 2, 4, 4))
    assert not sort_nodes(circle.graph)
    with pytest.raises(ModelError, match="breaks the ONNX specification"):
        read(circle.SerializeToString())
