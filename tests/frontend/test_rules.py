"""What single nodes become, by hand: axes, constants, names of parts, operators with all their numbers."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from onnx import NodeProto

from snn_deploy.arrays import Array
from snn_deploy.frontend.onnx import export, registry, to_onnx
from snn_deploy.frontend.onnx.call import RefusedError, Wire
from snn_deploy.graph.graph import Graph, Node
from snn_deploy.graph.ops import Affine, Clip, Conv, ConvTranspose, Host, LeakyRelu, MaxPool, Op, Relu
from tests.frontend.calls import X, apply, fields, wire
from tests.frontend.oracle import node


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


def number(value: float) -> Array:
    return np.array(value)


def axes(letters: str, *shape: int) -> Wire:
    channels, height, width = shape or (4, 6, 8)
    return Wire("x", (channels, height, width), letters, "x")


NARROW = axes("NCHW", 1, 6, 1)


# ---------------------------------------------------------------------- axes


@pytest.mark.parametrize(
    ("given", "since", "inputs", "letters"),
    [
        (node("Transpose", "x"), 13, [X], "WHCN"),
        (node("Transpose", "x", perm=[0, 2, 3, 1]), 1, [X], "NHWC"),
        (node("Transpose", "x", perm=[0, 3, 1, 2]), 13, [axes("NHWC")], "NCHW"),
        (node("Squeeze", "x"), 13, [NARROW], "H"),
        (node("Squeeze", "x a"), 13, [NARROW, ints(0)], "CHW"),
        (node("Squeeze", "x a"), 13, [NARROW, ints(-1, 1)], "NH"),
        (node("Squeeze", "x", axes=[1]), 11, [NARROW], "NHW"),
        (node("Unsqueeze", "x a"), 13, [axes("CHW"), ints(0)], "NCHW"),
        (node("Unsqueeze", "x a"), 13, [axes("NHW"), ints(1)], "NCHW"),
        (node("Unsqueeze", "x a"), 13, [axes("NHW"), ints(-1)], "NHWC"),
        (node("Unsqueeze", "x a"), 13, [axes("NHW"), ints(-3)], "NCHW"),
        (node("Unsqueeze", "x", axes=[3]), 11, [axes("NHW")], "NHWC"),
        (node("ArgMax", "x", axis=1), 13, [X], "NCHW"),
        (node("ArgMax", "x", axis=1, keepdims=0), 13, [X], "NHW"),
        (node("ArgMax", "x", axis=-1, keepdims=0), 13, [axes("NHWC")], "NHW"),
        (node("Identity", "x"), 13, [axes("NHWC")], "NHWC"),
    ],
)
def test_axes_are_followed(given: NodeProto, since: int, inputs: list[Wire | Array], letters: str) -> None:
    outcome, _ = apply(given, *inputs, since=since)
    assert wire(outcome).axes == letters
    assert wire(outcome).shape[1:] == inputs[0].shape[1:]


@pytest.mark.parametrize(
    ("given", "since", "batch", "values"),
    [
        (node("Shape", "x"), 1, 2, [2, 4, 6, 8]),
        (node("Shape", "x", start=1, end=3), 15, 2, [4, 6]),
        (node("Shape", "x", start=-1), 15, 2, [8]),
        (node("Shape", "x", end=-1), 15, 3, [3, 4, 6]),
        (node("Shape", "x", end=1), 15, 3, [3]),
        (node("Size", "x"), 13, 3, 3 * 4 * 6 * 8),
    ],
)
def test_sizes_of_maps_are_constants(given: NodeProto, since: int, batch: int, values: Any) -> None:
    outcome, _ = apply(given, X, since=since, batch=batch)
    (value,) = outcome.values
    assert not isinstance(value, Wire)
    assert value.dtype == np.int64
    assert value.tolist() == values
    channels_last, _ = apply(node("Shape", "x"), axes("NHWC"), since=1, batch=2)
    assert np.array_equal(np.asarray(channels_last.values[0]), [2, 6, 8, 4])


# ---------------------------------------------------------------------- refused beside accepted

ALL_AXES = "runs over all axes from its own on, as before operator set 13; export with set 13 or newer"


@pytest.mark.parametrize(
    ("given", "since", "inputs", "reason"),
    [
        (node("Softmax", "x", axis=0), 11, [X], ALL_AXES),
        (node("Softmax", "x", axis=-3), 11, [X], ALL_AXES),
        (node("Softmax", "x", axis=-3), 11, [axes("NCHW", 4, 1, 1)], None),
        (node("Softmax", "x"), 11, [axes("NCHW", 4, 1, 1)], None),
        (node("Softmax", "x"), 11, [X], ALL_AXES),
        (node("Softmax", "x", axis=-1), 11, [X], "runs over axis W; only channels are supported"),
        (node("Softmax", "x", axis=0), 11, [axes("CNHW", 4, 1, 1)], ALL_AXES),
        (node("Softmax", "x"), 13, [axes("NHWC")], None),
        (node("Softmax", "x"), 13, [X], "runs over axis W; only channels are supported"),
        (node("ArgMax", "x"), 13, [X], "runs over axis N; only channels are supported"),
        (node("Concat", "x x"), 11, [X, X], None),
        (node("MatMul", "x k"), 13, [axes("NHWC"), np.ones((4, 3))], None),
        (node("Dropout", "x - t"), 13, [X, None, np.array(False)], None),
        (node("Conv", "x w"), 11, [X, np.ones((5, 4, 3, 3))], None),
        (node("Conv", "x"), 11, [X], "input 1 is missing"),
        (
            node("Conv", "x w"),
            11,
            [X, np.ones((5, 4, 3, 3, 3))],
            "weight .* has 5 axes; only convolutions of one and two .*",
        ),
        (node("Conv", "x w"), 11, [X, np.ones((5, 4, 3, 3), np.complex64)], "input 1 holds complex numbers"),
        (node("Slice", "x s e"), 13, [X, ints(0, 0), ints(9, 4)], None),
        (node("Slice", "x - e"), 13, [X, None, ints(9, 4)], "does not say where it starts"),
        (node("Softmax", "x", axis=1), 11, [axes("NCH", 4, 1, 1)], None),
        (node("Softmax", "x", axis=-2), 11, [axes("NCH", 4, 6, 1)], ALL_AXES),
        (node("Resize", "x s"), 10, [X, np.array([1.0, 1, 2, 2])], None),
        (node("Resize", "x s"), 10, [X, np.array([1, 2.0, 1, 1])], "resizes other axes than height and width"),
        (node("Resize", "x s"), 10, [X, np.array([1, 2.0])], "2 scales or sizes for 4 axes"),
        (node("Pad", "x p - a"), 18, [X, ints(1, 1), None, ints(1)], None),
        (node("Pad", "x p v"), 13, [X, ints(0, 0, 1, 0, 0, 0, 0, 0), number(np.nan)], "pads with nan"),
        (node("Split", "x", "a b c", axis=1), 18, [X], "sizes [2, 2, 0] do not split 4 into 3"),
        (node("Resize", "x - - s"), 13, [X, None, None, ints(2, 4, 6, 8)], None),
        (node("Resize", "x - s"), 13, [X, None, np.array([2.0, 1, 1, 1])], "resizes other axes than height and width"),
        (node("Resize", "x - s"), 13, [X, None, np.array([0.5, 1, 1, 1])], "resizes other axes than height and width"),
        (node("Resize", "x - s"), 13, [X, None, np.array([1, 0.5, 1, 1])], "resizes other axes than height and width"),
        (node("Resize", "x - - s"), 13, [X, None, None, ints(2, 3, 6, 8)], "resizes other axes than height and width"),
        (node("Resize", "x - - s"), 13, [X, None, None, ints(1, 4, 6, 8)], "resizes other axes than height and width"),
    ],
)
def test_what_is_refused_and_what_lies_beside_it(
    given: NodeProto, since: int, inputs: list[Wire | Array | None], reason: str | None
) -> None:
    """In batches of two images."""
    if reason is None:
        apply(given, *inputs, since=since, batch=2)
        return
    with pytest.raises(RefusedError, match="^" + re.escape(reason).replace(r"\.\*", ".*") + "$"):
        apply(given, *inputs, since=since, batch=2)


@pytest.mark.parametrize(
    ("given", "since"),
    [
        (node("Relu", "x -"), 14),
        (node("LeakyRelu", "x -"), 16),
        (node("Clip", "x -", max=1.0), 6),
        (node("Clip", "x -"), 13),
        (node("Neg", "x -"), 13),
        (node("Sigmoid", "x -"), 13),
        (node("Softmax", "x -", axis=1), 11),
        (node("Softmax", "x -", axis=1), 13),
        (node("ArgMax", "x -", axis=1), 13),
        (node("Identity", "x -"), 13),
        (node("Dropout", "x -"), 7),
        (node("Cast", "x -", to=1), 13),
        (node("Shape", "x -"), 13),
        (node("Transpose", "x -"), 13),
        (node("Slice", "x -", starts=[0], ends=[2], axes=[2]), 1),
        (node("Split", "x -", "a b", axis=2), 13),
        (node("Pad", "x -", pads=[0, 0, 1, 0, 0, 0, 0, 0]), 2),
        (node("MaxPool", "x -", kernel_shape=[2, 2]), 12),
        (node("AveragePool", "x -", kernel_shape=[2, 2]), 11),
        (node("GlobalAveragePool", "x -"), 1),
        (node("ReduceMean", "x -", axes=[2, 3]), 13),
        (node("DepthToSpace", "x -", blocksize=2), 13),
        (node("SpaceToDepth", "x -", blocksize=2), 13),
    ],
)
def test_an_absent_last_input_changes_nothing(given: NodeProto, since: int) -> None:
    read = X if (given.op_type, since) != ("Softmax", 11) else axes("NCHW", 4, 1, 1)
    with_it, without_it = (apply(given, *inputs, since=since) for inputs in ((read, None), (read,)))
    assert [type(each.op) for each in with_it[1]] == [type(each.op) for each in without_it[1]]
    assert len(with_it[0].values) == len(given.output)


# ---------------------------------------------------------------------- names of parts


@pytest.mark.parametrize(
    ("given", "since", "inputs", "names"),
    [
        (node("Slice", "x s e a"), 13, [X, ints(1, 1), ints(3, 4), ints(-2, -1)], ["y.axis2", "y.axis3"]),
        (node("Slice", "x s e"), 13, [X, ints(0, 1, 1), ints(9, 3, 4)], ["y.axis1", "y.axis2"]),
        (node("Slice", "x", starts=[1], ends=[3], axes=[-3]), 1, [X], ["y.axis1"]),
        (node("Slice", "x", starts=[0, 1], ends=[1, 3]), 1, [X], ["y.axis1"]),
        (node("Split", "x", "a b c", axis=2), 18, [X], ["y.part0", "y.part1", "y.part2"]),
        (node("Split", "x", "a b", axis=1, split=[1, 3]), 11, [X], ["y.part0", "y.part1"]),
        (node("Pad", "x p"), 13, [X, ints(0, 1, 1, 0, 0, 0, 0, 0)], ["y", "y"]),
        (
            node("Pad", "x p v"),
            13,
            [X, ints(0, 1, 1, 0, 0, 0, 0, 0), number(2)],
            ["y.zeroed", "y.channels", "y.shifted", "y"],
        ),
        (node("Pad", "x", pads=[0, 0, 1, 0, 0, 0, 0, 0], value=2.0), 2, [X], ["y.zeroed", "y.shifted", "y"]),
        (node("Pad", "x", pads=[0, 0, 1, 0, 0, 0, 0, 0]), 2, [X], ["y"]),
        (node("Sub", "x x"), 13, [X, X], ["y.minus", "y"]),
        (node("Gather", "x i", axis=3), 13, [X, ints(2, 3)], ["y"]),
    ],
)
def test_parts_of_a_node_are_called_after_what_they_do(
    given: NodeProto, since: int, inputs: list[Wire | Array], names: list[str]
) -> None:
    outcome, made = apply(given, *inputs, since=since)
    assert [each.name for each in made] == names
    assert all(isinstance(value, Wire) for value in outcome.values)


def test_uneven_splits_leave_the_rest_for_the_last() -> None:
    outcome, _ = apply(node("Split", "x", "a b c", axis=3), X, since=18)
    assert [value.shape for value in outcome.values] == [(4, 6, 3), (4, 6, 3), (4, 6, 2)]
    outcome, _ = apply(node("Split", "x", "a b"), axes("CNHW"), since=13)
    assert [value.shape[0] for value in outcome.values] == [2, 2], "along the first axis"


# ---------------------------------------------------------------------- operators with their numbers

FLOAT_LIMIT = 3.4028234663852886e38
"""The largest float32."""


@pytest.mark.parametrize(
    ("given", "since", "inputs", "op"),
    [
        (node("LeakyRelu", "x"), 16, [X], LeakyRelu(np.full(4, 0.01))),
        (node("LeakyRelu", "x", alpha=0.25), 6, [X], LeakyRelu(np.full(4, 0.25))),
        (node("Clip", "x"), 6, [X], None),
        (node("Clip", "x", min=0.0), 6, [X], Relu()),
        (node("Clip", "x", max=6.0), 6, [X], Clip(-np.inf, 6.0)),
        (node("Clip", "x a b"), 13, [X, number(0), number(6)], Clip(0.0, 6.0)),
        (node("Clip", "x a b"), 13, [X, number(-FLOAT_LIMIT), number(FLOAT_LIMIT)], None),
        (node("Clip", "x a b"), 13, [X, number(-3.4e38), number(3.4e38)], None),
        (node("Clip", "x a b"), 13, [X, number(0), number(FLOAT_LIMIT)], Relu()),
        (node("Clip", "x a b"), 13, [X, number(1), number(FLOAT_LIMIT)], Clip(1.0, np.inf)),
        (node("Clip", "x a b"), 13, [X, number(-3.3e38), number(3.3e38)], Clip(-3.3e38, 3.3e38)),
        (node("Clip", "x - b"), 11, [X, None, number(2)], Clip(-np.inf, 2.0)),
        (node("Max", "x a"), 13, [X, number(0)], Relu()),
        (node("Max", "a x"), 13, [number(-1), X], Clip(-1.0, np.inf)),
        (node("Min", "x a"), 13, [X, number(3)], Clip(-np.inf, 3.0)),
        (node("Add", "x k"), 13, [X, number(2)], Affine(np.ones(4), np.full(4, 2.0))),
        (node("Add", "k x"), 13, [np.arange(4.0).reshape(4, 1, 1), X], Affine(np.ones(4), np.arange(4.0))),
        (node("Sub", "x k"), 13, [X, number(2)], Affine(np.ones(4), np.full(4, -2.0))),
        (node("Sub", "k x"), 13, [number(2), X], Affine(-np.ones(4), np.full(4, 2.0))),
        (node("Mul", "k x"), 13, [number(2), X], Affine(np.full(4, 2.0), np.zeros(4))),
        (node("Div", "x k"), 13, [X, number(2)], Affine(np.full(4, 0.5), np.zeros(4))),
        (node("Neg", "x"), 13, [X], Affine(-np.ones(4), np.zeros(4))),
        (
            node("BatchNormalization", "x s b m v", epsilon=0.25),
            15,
            [X, np.full(4, 3.0), np.full(4, 1.0), np.full(4, 4.0), np.full(4, 2.0)],
            Affine(np.full(4, 2.0), np.full(4, -7.0)),
        ),
        (
            node("BatchNormalization", "x s b m v"),
            15,
            [X, np.ones(4), np.zeros(4), np.zeros(4), np.zeros(4)],
            Affine(np.full(4, 1e-5**-0.5), np.zeros(4)),
        ),
    ],
)
def test_operators_by_hand(given: NodeProto, since: int, inputs: list[Wire | Array], op: Op | None) -> None:
    outcome, made = apply(given, *inputs, since=since)
    if op is None:
        assert made == []
        assert wire(outcome) is X
        return
    (found,) = made
    assert type(found.op) is type(op)
    for name, value in fields(op).items():
        if value is None:
            assert fields(found.op)[name] is None
        else:
            np.testing.assert_allclose(fields(found.op)[name], value, rtol=1e-7, err_msg=name)


@pytest.mark.parametrize(
    ("attributes", "window", "pads"),
    [
        ({"pads": [1, 2, 3, 4]}, (3, 3), (1, 2, 3, 4)),
        ({}, (3, 3), (0, 0, 0, 0)),
        ({"auto_pad": "VALID", "pads": [1, 1, 1, 1]}, (3, 3), (0, 0, 0, 0)),
        ({"auto_pad": "SAME_UPPER"}, (4, 3), (1, 1, 2, 1)),
        ({"auto_pad": "SAME_LOWER"}, (4, 3), (2, 1, 1, 1)),
        (
            {"auto_pad": "SAME_UPPER", "strides": [2, 3]},
            (4, 5),
            (1, 1, 1, 2),
        ),  # (3 - 1) * 2 + 4 - 6, (3 - 1) * 3 + 5 - 8
        ({"auto_pad": "SAME_UPPER", "strides": [4, 3]}, (1, 1), (0, 0, 0, 0)),  # never negative
        ({"auto_pad": "SAME_UPPER", "dilations": [1, 2]}, (2, 3), (0, 2, 1, 2)),
    ],
)
def test_pads_of_convolutions(attributes: dict[str, Any], window: tuple[int, int], pads: tuple[int, ...]) -> None:
    _, (made,) = apply(node("Conv", "x w", **attributes), X, np.ones((5, 4, *window)), since=11)
    assert isinstance(made.op, Conv)
    assert (made.op.pads, made.op.groups) == (pads, 1)
    assert made.op.strides == tuple(attributes.get("strides", (1, 1)))
    assert made.op.dilations == tuple(attributes.get("dilations", (1, 1)))
    assert not made.op.bias.any()


@pytest.mark.parametrize(
    ("attributes", "window", "pads"),
    [
        ({"pads": [1, 2, 0, 1]}, (3, 3), (1, 2, 0, 1)),
        ({"pads": [1, 2, 0, 1], "output_padding": [1, 0], "strides": [2, 2]}, (3, 3), (1, 2, -1, 1)),
        (
            {"auto_pad": "VALID", "pads": [1, 2, 0, 1], "strides": [2, 2], "output_padding": [0, 1]},
            (3, 3),
            (0, 0, 0, -1),
        ),
        # 3 * strides, and 5 * 2 + 4 - 12 of 14, 7 * 2 + 5 - 16 of 19
        ({"auto_pad": "SAME_UPPER", "strides": [2, 2]}, (4, 5), (1, 1, 1, 2)),
        ({"auto_pad": "SAME_LOWER", "strides": [2, 2]}, (4, 5), (1, 2, 1, 1)),
        ({"output_shape": [11, 16], "strides": [2, 2]}, (4, 5), (2, 2, 1, 1)),
        ({"output_shape": [1, 3, 11, 16], "strides": [2, 2]}, (4, 5), (2, 2, 1, 1)),
        ({"output_shape": [11, 16], "strides": [2, 2], "output_padding": [1, 1]}, (4, 5), (2, 2, 1, 1)),
        ({"output_shape": [6, 8], "dilations": [2, 1]}, (3, 2), (2, 1, 2, 0)),
    ],
)
def test_pads_of_transposed_convolutions(
    attributes: dict[str, Any], window: tuple[int, int], pads: tuple[int, ...]
) -> None:
    _, (made,) = apply(node("ConvTranspose", "x w", **attributes), X, np.ones((4, 3, *window)), since=11)
    assert isinstance(made.op, ConvTranspose)
    assert made.op.pads == pads
    assert made.op.bias.shape == (3,)


@pytest.mark.parametrize(
    ("attributes", "pads"),
    [
        ({"kernel_shape": [3, 3], "strides": [2, 2]}, (0, 0, 0, 0)),
        ({"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}, (0, 0, 1, 1)),
        ({"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}, (0, 0, 0, 0)),
        ({"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1}, (1, 1, 2, 2)),
        # the last window would start in the pads behind the map: 2 * 4 >= 6 + 1, 3 * 3 >= 8
        ({"kernel_shape": [2, 1], "strides": [4, 3], "pads": [1, 0, 1, 0], "ceil_mode": 1}, (1, 0, 1, 0)),
        ({"kernel_shape": [1, 2], "strides": [3, 8], "ceil_mode": 1}, (0, 0, 0, 0)),
        ({"kernel_shape": [3, 2], "strides": [1, 5], "pads": [0, 0, 2, 1], "ceil_mode": 1}, (0, 0, 2, 1)),
    ],
)
def test_pools_that_round_up_are_padded(attributes: dict[str, Any], pads: tuple[int, ...]) -> None:
    _, (made,) = apply(node("MaxPool", "x", **attributes), X, since=12)
    assert isinstance(made.op, MaxPool)
    assert (made.op.kernel, made.op.strides, made.op.pads) == (
        tuple(attributes["kernel_shape"]),
        tuple(attributes["strides"]),
        pads,
    )


@pytest.mark.parametrize("order", [[2, 3], [-2, -1], [-2, 3]])
def test_axes_of_resizing_may_count_from_the_end(order: list[int]) -> None:
    given = node("Resize", "x - s", mode="nearest", axes=order)
    _, (made,) = apply(given, X, None, np.array([2.0, 3.0]), since=18)
    assert fields(made.op) == {"scale": (2, 3)}
    with pytest.raises(IndexError):
        apply(node("Resize", "x - s", axes=[2, 4]), X, None, np.array([2.0, 3.0]), since=18)


def test_windows_of_one_pixel_are_the_default() -> None:
    for name, since in (("MaxPool", 12), ("AveragePool", 11)):
        _, (made,) = apply(node(name, "x"), X, since=since)
        assert fields(made.op) == {"kernel": (1, 1), "strides": (1, 1), "pads": (0, 0, 0, 0)}


# ---------------------------------------------------------------------- rules and export


def test_an_operator_has_one_rule() -> None:
    with pytest.raises(ValueError, match=r"^two rules for Relu-13$"):
        registry.operator("Relu", 13)(lambda call: call.folded(call.last_wire(0), ""))


@pytest.mark.parametrize(
    ("name", "keeps"),
    [
        ("InstanceNormalization", True),
        ("LayerNormalization", True),
        ("Elu", True),
        ("Pow", True),
        ("Einsum", False),
        ("QLinearConv", False),
        ("If", False),
        ("Conv", False),
    ],
)
def test_which_refused_operators_keep_the_shape(name: str, keeps: bool) -> None:
    """Nodes that read them are judged, too."""
    assert registry.keeps_shape(name) == keeps


def test_what_is_exported_names_its_operator_set() -> None:
    graph = Graph("net", "x", (2, 3, 4), (Node("y", Host("argmax"), ("x",)),), (("y", "y"), ("z", "x")))
    model = to_onnx(graph)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
    assert (model.ir_version, export.OPSET, export.IR_VERSION) == (8, 17, 8)
    shapes = [
        [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    ]
    assert shapes == [["N", 2, 3, 4], ["N", 1, 3, 4], ["N", 2, 3, 4]]
    assert [value.type.tensor_type.elem_type for value in model.graph.output] == [7, 1]
    assert [value.name for value in model.graph.output] == ["y", "x/copy"]
