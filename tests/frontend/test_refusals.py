"""Every reason to refuse a node, by one model each, and the models next to them that are not refused."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from onnx import NodeProto, helper

from snn_deploy.errors import BackendUnavailableError
from snn_deploy.frontend.onnx import axis_matrix, importer, inspect
from tests.frontend.oracle import build, node, numbers

SHAPE = (1, 4, 6, 8)


def reasons(
    nodes: Sequence[NodeProto], constants: Mapping[str, Any], *, opset: int = 17, shape: Sequence[int] = SHAPE
) -> dict[str, str]:
    """Why each refused node was refused, by its name."""
    ledger = inspect(build(opset, nodes, constants, shape).SerializeToString())
    return {row.node: row.note for row in ledger.refused}


def ints(*values: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array(values, np.int64)


W, NAN = numbers(4, 4, 3, 3), np.full((4, 4, 1, 1), np.nan, np.float32)
BN = {"s": numbers(4), "b": numbers(4), "m": numbers(4), "v": np.abs(numbers(4))}
LAST = node("Transpose", "x", "l", perm=[0, 2, 3, 1])

REFUSED: list[tuple[int, list[NodeProto], dict[str, Any], str]] = [
    # layout
    (17, [LAST, node("Concat", "x l", axis=1)], {}, "joins maps with axes NCHW, NHWC"),
    (
        17,
        [node("Concat", "x k", axis=1)],
        {"k": numbers(1, 2, 6, 7)},
        "joins a constant (1, 2, 6, 7) to a map [1, 4, 6, 8]; their sizes differ",
    ),
    (
        17,
        [node("Concat", "x k", axis=2)],
        {"k": numbers(1, 4, 2, 8)},
        "joins a constant (1, 4, 2, 8) to a map [1, 4, 6, 8]; only channels can be constant",
    ),
    (17, [node("Concat", "x x", axis=0)], {}, "joins along axis N; only channels, height and width are supported"),
    (
        17,
        [node("Conv", "x w", "c"), node("Concat", "x c", axis=3)],
        {"w": numbers(4, 4, 3, 1)},
        "joins maps (4, 6, 8), (4, 4, 8) along axis 3",
    ),
    (
        17,
        [node("Gemm", "x w")],
        {"w": numbers(4, 8)},
        "multiplies a map laid out as [1, 4, 6, 8]; only (batch, channels x rows x columns) is supported",
    ),
    (
        17,
        [node("Flatten", "x", "f"), node("Gemm", "f w")],
        {"w": numbers(8, 4)},
        "constant (4, 8) does not fit 192 values of the map",
    ),
    (
        17,
        [node("Flatten", "x", "f"), node("Gemm", "f w", transA=1)],
        {"w": numbers(8, 4)},
        "multiplies by a constant (8, 4) or transposes the map; only A times B is supported",
    ),
    (
        17,
        [node("Flatten", "x", "f"), node("Gemm", "f w b")],
        {"w": numbers(192, 4), "b": numbers(3)},
        "adds a constant (3,); one number for each of 4 outputs is supported",
    ),
    (17, [node("Dropout", "x - t")], {"t": np.array(True)}, "is in training mode; export the model in evaluation mode"),
    (17, [node("Dropout", "x", "y mask")], {}, "gives its mask as an output"),
    (17, [node("Cast", "x", to=9)], {}, "turns a map into type 9; only numbers are supported"),
    (
        17,
        [node("Squeeze", "x a")],
        {"a": ints(1, 0)},
        "drops axes [1, 0] of [1, 4, 6, 8], which have more than one entry",
    ),
    (
        17,
        [node("Unsqueeze", "x a")],
        {"a": ints(0, 1, 2, 3, 4)},
        "makes 9 axes; at most 8 are supported",
    ),
    (
        17,
        [node("Reshape", "x s")],
        {"s": ints(0, 0, 8, -1)},
        "turns a map [1, 4, 6, 8] into [1, 4, 8, 6], which cuts axes apart in a way that no transposition or pixel shuffling "
        "follows; if the sizes in it belong to another --size, export the model for this one",
    ),
    (
        17,
        [node("Reshape", "x s", "t"), node("Transpose", "t", perm=[0, 3, 1, 2, 4])],
        {"s": ints(1, 4, 2, 3, 8)},
        "gives an output of shape [1, 3, 4, 2, 8], whose values are not in the order NCHW or NHWC",
    ),
    (
        17,
        [node("Reshape", "x s", "t"), node("Relu", "t")],
        {"s": ints(1, 4, 48)},
        "reads a map reshaped to [1, 4, 48]; only (batch, channels, height, width) are supported, and reshapes that end in one",
    ),
    (
        17,
        [node("Reshape", "x s", "t"), node("InstanceNormalization", "t k k")],
        {"s": ints(0, 2, -1), "k": numbers(2)},
        "is a group normalization (a Reshape before it), which takes its statistics from each image at run time; train with "
        "batch normalization",
    ),
    (
        17,
        [node("Unsqueeze", "x a", "u"), node("Expand", "u s")],
        {"a": ints(1), "s": ints(1, 2, 1, 1, 1)},
        "repeats axis 1 of [1, 1, 4, 6, 8]; only a single channel, row or column, and rows and columns along an axis"
        " behind them, can be repeated",
    ),
    (17, [node("Tile", "x s")], {"s": ints(2, 1, 1, 1)}, "repeats the batch"),
    (17, [node("Tile", "x s")], {"s": ints(1, 1, 0, 1)}, "repeats axes NCHW [1, 1, 0, 1] times"),
    (17, [node("Transpose", "x", perm=[0, 1, 1, 2])], {}, "perm [0, 1, 1, 2] is not an order of 4 axes"),
    (17, [node("Slice", "x s e a")], {"s": ints(6), "e": ints(9), "a": ints(2)}, "leaves nothing of axis H"),
    (17, [node("Slice", "x s e a")], {"s": ints(1), "e": ints(9), "a": ints(0)}, "leaves nothing of axis N"),
    (17, [node("Gather", "x i")], {"i": ints(0, 0)}, "picks images out of a batch"),
    (
        17,
        [node("Gather", "x i", axis=1)],
        {"i": ints(1).reshape(1, 1)},
        "indices (1, 1) would change the number of axes",
    ),
    (17, [node("Gather", "x i", axis=1)], {"i": numbers(2)}, "indices of type float32 are not integers"),
    (17, [node("Split", "x s", "y z", axis=1)], {"s": ints(1, 2)}, "sizes [1, 2] do not split 4 into 2"),
    (17, [node("Split", "x s", "y z", axis=1)], {"s": ints(4, 0)}, "sizes [4, 0] do not split 4 into 2"),
    (17, [node("Split", "x s", "y z", axis=1)], {"s": ints(1, 2, 1)}, "sizes [1, 2, 1] do not split 4 into 2"),
    (17, [node("Pad", "x p")], {"p": ints(0, 0, 1, 1)}, "pads [0, 0, 1, 1] do not fit 4 axes"),
    (17, [node("Pad", "x p")], {"p": ints(0, 0, 0, 0, 1, 0, 0, 0)}, "pads the batch"),
    (17, [node("Pad", "x p")], {"p": ints(1, 0, 0, 0, 0, 0, 0, 0)}, "pads the batch"),
    (
        17,
        [node("Pad", "x p", mode="edge")],
        {"p": ints(0, 1, 0, 0, 0, 0, 0, 0)},
        "pads channels in mode 'edge'; only zeros are supported",
    ),
    (
        17,
        [node("Pad", "x p", mode="reflect")],
        {"p": ints(0, 0, 6, 0, 0, 0, 0, 0)},
        "pads 6 pixels by 6 and 0 in mode 'reflect'",
    ),
    (
        17,
        [node("Pad", "x p", mode="edge")],
        {"p": ints(0, 0, -3, 0, 0, 0, -3, 0)},
        "pads 6 pixels by -3 and -3 in mode 'edge'",
    ),
    (
        17,
        [node("Pad", "x p", mode="mirror")],
        {"p": ints(0, 0, 1, 0, 0, 0, 0, 0)},
        "mode 'mirror' is unknown; constant, edge, reflect and wrap are supported",
    ),
    (17, [node("Pad", "x p v")], {"p": ints(0, 0, 1, 0, 0, 0, 0, 0), "v": np.float32(np.inf)}, "pads with inf"),
    # convolutions
    (
        17,
        [node("Conv", "x w", auto_pad="SAME")],
        {"w": W},
        "auto_pad 'SAME' is unknown; NOTSET, VALID, SAME_UPPER and SAME_LOWER are supported",
    ),
    (17, [node("Conv", "x w", strides=[0, 1])], {"w": W}, "[0, 1] must be at least 1"),
    (17, [node("Conv", "x w", dilations=[1, 0])], {"w": W}, "[1, 0] must be at least 1"),
    (
        17,
        [node("Conv", "x w", strides=[1])],
        {"w": W},
        "strides [1] has 1 entries; only two spatial axes are supported",
    ),
    (
        17,
        [node("Conv", "x w")],
        {"w": numbers(4, 4, 3)},
        "weight (4, 4, 3) has 3 axes; only convolutions of one and two dimensions are supported",
    ),
    (17, [node("Conv", "x w")], {"w": NAN}, "input 1 holds NaN or infinity"),
    (17, [node("Conv", "x x")], {}, "input 1 is computed from the image by x; it must be a constant"),
    (17, [node("Conv", "w w")], {"w": W}, "input 0 must come from the image, not be a constant"),
    (17, [LAST, node("Conv", "l w")], {"w": W}, "reads a map with axes NHWC; this operator reads NCHW"),
    (
        17,
        [node("MatMul", "x k")],
        {"k": numbers(8, 3)},
        "multiplies axes NCHW by a constant (8, 3); only channels, last, are supported",
    ),
    (
        17,
        [LAST, node("MatMul", "l k")],
        {"k": numbers(1, 4, 3)},
        "multiplies axes NHWC by a constant (1, 4, 3); only channels, last, are supported",
    ),
    # pools
    (
        17,
        [node("MaxPool", "x", "y i", kernel_shape=[2, 2])],
        {},
        "gives the indices of its maxima, for unpooling; only values are supported",
    ),
    (
        17,
        [node("MaxPool", "x", kernel_shape=[2, 2], dilations=[1, 2])],
        {},
        "has dilations (1, 2); only 1 is supported",
    ),
    (
        17,
        [node("MaxPool", "x", kernel_shape=[2, 3], pads=[0, 3, 0, 0])],
        {},
        "pads (0, 3, 0, 0) leave windows of (2, 3) without a pixel",
    ),
    (
        17,
        [node("MaxPool", "x", kernel_shape=[2, 3], pads=[0, 0, 2, 0])],
        {},
        "pads (0, 0, 2, 0) leave windows of (2, 3) without a pixel",
    ),
    (
        17,
        [node("MaxPool", "x", kernel_shape=[2, 3], pads=[0, -1, 0, 0])],
        {},
        "pads (0, -1, 0, 0) leave windows of (2, 3) without a pixel",
    ),
    (
        17,
        [node("ReduceMean", "x", axes=[1, 2])],
        {},
        "is a mean over other axes than height and width, as layer and group normalization take it from each image at run time;"
        " train with batch normalization",
    ),
    (  # GroupNormalization of Keras
        17,
        [node("Reshape", "x groups", "g"), node("ReduceMean", "g", axes=[2, 3, 4])],
        {"groups": ints(1, 2, 2, 6, 8)},
        "is a mean over other axes than height and width, as layer and group normalization take it from each image at run time;"
        " train with batch normalization",
    ),
    # resize
    (
        17,
        [node("Resize", "x r s", coordinate_transformation_mode="tf_crop_and_resize")],
        {"r": numbers(8), "s": np.ones(4, np.float32)},
        "crops while it resizes (tf_crop_and_resize); use Slice and another coordinate mode",
    ),
    (
        18,
        [node("Resize", "x - - s", keep_aspect_ratio_policy="not_larger")],
        {"s": ints(1, 4, 12, 12)},
        "keeps the aspect ratio; only stretching is supported",
    ),
    (17, [node("Resize", "x - s")], {"s": np.array([2, 2], np.float32)}, "2 scales or sizes for 4 axes"),
    (
        17,
        [node("Resize", "x - s")],
        {"s": np.array([1, 2, 2, 2], np.float32)},
        "resizes other axes than height and width",
    ),
    (17, [node("Resize", "x - - s")], {"s": ints(1, 8, 6, 8)}, "resizes other axes than height and width"),
    (17, [node("Resize", "x - - s")], {"s": ints(2, 4, 6, 8)}, "resizes other axes than height and width"),
    (17, [node("Resize", "x - s")], {"s": np.array([1, 1, 0.1, 1], np.float32)}, "makes 0.6.* pixels out of 6"),
    # arithmetic and activations
    (
        17,
        [node("Conv", "x w", "c"), node("Add", "x c")],
        {"w": numbers(4, 4, 3, 3)},
        "adds maps (4, 6, 8) (NCHW) and (4, 4, 6) (NCHW); they must have one shape, or a single channel,"
        " row or column that is repeated",
    ),
    (
        17,
        [LAST, node("Sum", "x l")],
        {},
        "adds maps (4, 6, 8) (NCHW) and (4, 6, 8) (NHWC); they must have one shape, or a single channel,"
        " row or column that is repeated",
    ),
    (
        17,
        [node("Relu", "x", "r"), node("Div", "x r")],
        {},
        "divides one map by another (x and r), as Softsign and normalizations by each image's statistics do: spiking networks"
        " add, they do not divide; train with Relu and batch normalization in its place, or, for Softsign, convert --approximate",
    ),
    (
        17,
        [node("Relu", "x", "r"), node("MatMul", "x r")],
        {},
        "multiplies two maps as matrices (x and r), as attention does: spiking networks add, they do not multiply; train the"
        " model without attention, as a plain U-Net",
    ),
    (17, [node("Div", "x k")], {"k": np.array([1, 0, 2, 3], np.float32).reshape(4, 1, 1)}, "divides by zero"),
    (17, [node("Mul", "x k")], {"k": np.float32(np.inf)}, "a constant holds NaN or infinity"),
    (
        17,
        [node("Mul", "x k")],
        {"k": numbers(6, 8)},
        "a constant of shape (6, 8) differs from pixel to pixel; only one per channel is supported: train with one for all pixels"
        " (PReLU of Keras: shared_axes=[1, 2])",
    ),
    (17, [node("Mul", "x k")], {"k": numbers(3, 1, 1)}, "a constant of shape (3, 1, 1) does not fit 4 channels"),
    (
        17,
        [node("Mul", "x k")],
        {"k": numbers(1, 1, 4, 1, 1)},
        "a constant of shape (1, 1, 4, 1, 1) does not broadcast to a map",
    ),
    (
        17,
        [node("Max", "x a b")],
        {"a": np.float32(0), "b": np.float32(1)},
        "has 3 inputs; one map and one constant number are supported",
    ),
    (17, [node("Max", "x a")], {"a": numbers(2)}, "limit of shape (2,) is not one number"),
    (17, [node("Max", "x a")], {"a": np.float32(np.nan)}, "limit of shape (1,) is not one number"),
    (
        17,
        [node("Clip", "x a b")],
        {"a": np.float32(1), "b": np.float32(1)},
        "limits 1.0 and 1.0 leave nothing between them",
    ),
    (
        17,
        [node("BatchNormalization", "x s b m v", training_mode=1)],
        BN,
        "is in training mode; export the model in evaluation mode",
    ),
    (17, [node("BatchNormalization", "x s b m v")], BN | {"v": -np.ones(4, np.float32)}, "has a negative variance"),
    (
        17,
        [node("BatchNormalization", "x s b m v", epsilon=0.0)],
        BN | {"v": np.array([1, 0, 1, 1], np.float32)},
        "has a negative variance",
    ),
    # channels and pixels
    (17, [node("DepthToSpace", "x", blocksize=0)], {}, "blocksize 0 is not within 1 and 64"),
    (17, [node("DepthToSpace", "x", blocksize=65)], {}, "blocksize 65 is not within 1 and 64"),
    (17, [node("DepthToSpace", "x", blocksize=3)], {}, "4 channels do not fill blocks of 3 (mode DCR)"),
    (17, [node("DepthToSpace", "x", blocksize=2, mode="RDC")], {}, "4 channels do not fill blocks of 2 (mode RDC)"),
    (17, [node("SpaceToDepth", "x", blocksize=4)], {}, "blocks of 4 do not divide 6x8"),
    (17, [node("SpaceToDepth", "x", blocksize=3)], {}, "blocks of 3 do not divide 6x8"),
    # heads
    (
        17,
        [node("Greater", "x k")],
        {"k": numbers(2)},
        "compares with a constant of shape (2,); only one number is supported",
    ),
    (17, [node("Softmax", "x", axis=2)], {}, "runs over axis H; only channels are supported"),
    (17, [node("ArgMax", "x", axis=-1)], {}, "runs over axis W; only channels are supported"),
    (
        17,
        [node("ArgMax", "x", axis=1, select_last_index=1)],
        {},
        "takes the last of equal channels; the host takes the first",
    ),
    (
        11,
        [node("Softmax", "x", axis=1)],
        {},
        "runs over all axes from its own on, as before operator set 13; export with set 13 or newer",
    ),
]


@pytest.mark.parametrize(
    ("opset", "nodes", "constants", "reason"), REFUSED, ids=[reason[:40] for *_, reason in REFUSED]
)
def test_every_reason(opset: int, nodes: list[NodeProto], constants: dict[str, Any], reason: str) -> None:
    found = reasons(nodes, constants, opset=opset)
    assert list(found) == ["y"]
    pattern = re.escape(reason).replace(r"\.\*", ".*")
    assert re.fullmatch(pattern, found["y"]), found["y"]


ACCEPTED: list[tuple[int, list[NodeProto], dict[str, Any], tuple[int, ...]]] = [
    (17, [node("Concat", "x x", axis=-3)], {}, SHAPE),
    (17, [node("Dropout", "x - t")], {"t": np.array(False)}, SHAPE),
    (17, [helper.make_node("Dropout", ["x"], ["y", ""])], {}, SHAPE),
    *((17, [node("Cast", "x", to=kind)], {}, SHAPE) for kind in (1, 10, 11, 16)),
    (17, [node("Squeeze", "x a", "s"), node("Unsqueeze", "s a")], {"a": ints(1)}, (1, 1, 6, 8)),
    (17, [node("Squeeze", "x", "s"), node("Unsqueeze", "s a")], {"a": ints(-4)}, (1, 4, 6, 8)),
    (17, [node("Reshape", "x s")], {"s": ints(0, -1, 6, 8)}, SHAPE),
    (17, [node("Gather", "x i")], {"i": ints(0)}, SHAPE),
    (17, [node("Split", "x", "y z", axis=1)], {}, (1, 4, 6, 8)),
    (17, [node("Split", "x s", "y z", axis=3)], {"s": ints(7, 1)}, SHAPE),
    (17, [node("Pad", "x p", mode="reflect")], {"p": ints(0, 0, 5, 0, 0, 0, 0, 7)}, SHAPE),
    (17, [node("Pad", "x p", mode="edge")], {"p": ints(0, 0, -3, 0, 0, 0, -2, 0)}, SHAPE),
    (17, [helper.make_node("MaxPool", ["x"], ["y", ""], kernel_shape=[2, 2])], {}, SHAPE),
    (17, [node("MaxPool", "x", kernel_shape=[2, 3], pads=[1, 2, 1, 2])], {}, SHAPE),
    (17, [node("Resize", "x - s", mode="nearest")], {"s": np.array([1, 1, 1, 1], np.float32)}, SHAPE),
    (17, [node("Resize", "x - - s", mode="linear")], {"s": ints(1, 4, 1, 1)}, SHAPE),
    (17, [node("Clip", "x a b")], {"a": np.float32(0), "b": np.float32(1e-3)}, SHAPE),
    (17, [node("DepthToSpace", "x", blocksize=2)], {}, SHAPE),
    (17, [node("SpaceToDepth", "x", blocksize=2)], {}, SHAPE),
    (17, [node("DepthToSpace", "x", blocksize=1)], {}, SHAPE),
    (17, [node("BatchNormalization", "x s b m v")], BN | {"v": np.zeros(4, np.float32)}, SHAPE),
    (17, [node("Softmax", "x", axis=-3)], {}, SHAPE),
    (11, [node("Softmax", "x", axis=1)], {}, (1, 4, 1, 1)),
    (11, [LAST, node("Softmax", "l", axis=3)], {}, SHAPE),
    (11, [LAST, node("Softmax", "l", axis=-1)], {}, SHAPE),
    (17, [node("ArgMax", "x", axis=1)], {}, SHAPE),
    (17, [node("MatMul", "l k"), LAST][::-1], {"k": numbers(4, 3)}, SHAPE),
]


@pytest.mark.parametrize(("opset", "nodes", "constants", "shape"), ACCEPTED)
def test_what_lies_beside_is_accepted(
    opset: int, nodes: list[NodeProto], constants: dict[str, Any], shape: tuple[int, ...]
) -> None:
    assert reasons(nodes, constants, opset=opset, shape=shape) == {}


def test_what_onnxruntime_cannot_do_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def session(_: bytes) -> None:
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(axis_matrix, "session", session)
    found = reasons([node("Resize", "x - s", mode="linear")], {"s": np.array([1, 1, 1.37, 1], np.float32)})
    assert found == {"y": "onnxruntime cannot run it (no such kernel)"}


def test_without_onnxruntime_no_node_is_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BackendUnavailableError, match=r'not installed: pip install "snn-deploy\[cpu\]"$'):
        reasons([node("Resize", "x - s", mode="linear")], {"s": np.array([1, 1, 1.37, 1], np.float32)})


@pytest.mark.parametrize(
    ("given", "shape", "weights", "made"),
    [
        (node("SpaceToDepth", "x", blocksize=2), (1, 3, 4, 4), 9 * 16, 9 * 16 + 12),
        (node("SpaceToDepth", "x", blocksize=3), (1, 2, 3, 3), 4 * 81, 4 * 81 + 18),
        (node("DepthToSpace", "x", blocksize=2), (1, 12, 4, 4), 144, 144 + 3),
    ],
)
def test_weights_are_counted_before_they_are_made(
    given: NodeProto, shape: tuple[int, ...], weights: int, made: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights alone before, with the biases afterwards."""
    size = len(build(17, [given], {}, shape).SerializeToString())
    for limit, needs in ((weights - 1, weights), (weights, made), (made - 1, made), (made, None)):
        monkeypatch.setattr(importer, "MAX_WEIGHTS", limit - size)
        found = reasons([given], {}, shape=shape)
        assert found == ({} if needs is None else {"y": f"needs {needs} weights; at most {limit} are allowed"})
