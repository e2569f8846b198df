"""Operators of the float graph: their shapes are those of onnxruntime, and impossible ones are refused."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from onnx import helper

from snn_deploy.errors import GraphError
from snn_deploy.graph.host import ARGUMENTS
from snn_deploy.graph.ops import (
    Add,
    Affine,
    AveragePool,
    Clip,
    Concat,
    Conv,
    ConvTranspose,
    Host,
    LeakyRelu,
    Linear,
    MaxPool,
    Nearest,
    Op,
    Relay,
    Relu,
    Resample,
)


def onnx_shape(
    operator: str, size: tuple[int, ...], weight: tuple[int, ...] | None, **attributes: Any
) -> tuple[int, ...]:
    """Shape that onnxruntime really computes, without the batch axis."""
    names = ["x"] if weight is None else ["x", "w"]
    shapes = {"x": (1, *size), "w": weight}
    node = helper.make_node(operator, names, ["y"], **attributes)
    infos = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shapes[name]) for name in names]
    result = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)
    model = helper.make_model(
        helper.make_graph([node], "one", infos, [result]), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (value,) = session.run(None, {name: np.zeros(shapes[name] or (), np.float32) for name in names})
    return tuple(value.shape[1:])


PAIR = st.tuples(st.integers(1, 3), st.integers(1, 3))
SIZE = st.tuples(st.integers(1, 9), st.integers(1, 9))
PADS = st.tuples(*[st.integers(0, 2)] * 4)


def inferred(op: Op, shape: tuple[int, int, int]) -> tuple[int, int, int]:
    try:
        return op.infer((shape,))
    except GraphError:
        reject()


@settings(suppress_health_check=[HealthCheck.filter_too_much])
@given(st.booleans(), SIZE, PAIR, PAIR, PAIR, PADS, st.integers(1, 2), st.integers(1, 2), st.integers(1, 2))
def test_convolutions_have_the_shapes_of_onnxruntime(
    transposed: bool,
    size: tuple[int, int],
    kernel: tuple[int, int],
    strides: tuple[int, int],
    dilations: tuple[int, int],
    pads: tuple[int, int, int, int],
    groups: int,
    inputs: int,
    outputs: int,
) -> None:
    weight = (inputs * groups, outputs, *kernel) if transposed else (outputs * groups, inputs, *kernel)
    make = ConvTranspose if transposed else Conv
    op = make(np.zeros(weight), np.zeros(outputs * groups), strides, pads, dilations, groups)
    shape = inferred(op, (inputs * groups, *size))
    expected = onnx_shape(
        make.__name__, (inputs * groups, *size), weight, strides=strides, pads=pads, dilations=dilations, group=groups
    )
    assert shape == expected


@settings(suppress_health_check=[HealthCheck.filter_too_much])
@given(st.sampled_from([AveragePool, MaxPool]), SIZE, PAIR, PAIR, PADS)
def test_pools_have_the_shapes_of_onnxruntime(
    make: type[AveragePool] | type[MaxPool],
    size: tuple[int, int],
    kernel: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
) -> None:
    if any(pad >= side for pad, side in zip(pads, kernel * 2, strict=True)):
        reject()  # onnxruntime refuses windows of padding only
    shape = inferred(make(kernel, strides, pads), (2, *size))
    attributes: dict[str, object] = {"kernel_shape": kernel, "strides": strides, "pads": pads}
    assert shape == onnx_shape(make.__name__, (2, *size), None, **attributes)


def test_shapes_of_the_others() -> None:
    shape = (3, 4, 6)
    assert Affine(np.ones(3), np.zeros(3)).infer((shape,)) == shape
    assert Resample(np.ones((8, 4)), np.ones((2, 6))).infer((shape,)) == (3, 8, 2)
    assert Nearest((2, 3)).infer((shape,)) == (3, 8, 18)
    assert Concat().infer((shape, (1, 4, 6), shape)) == (7, 4, 6)
    assert Add().infer((shape, shape)) == shape
    for op in (Relu(), LeakyRelu(np.ones(3)), Clip(0, 6), Linear(), Relay(), Host("softmax")):
        assert op.infer((shape,)) == shape


@pytest.mark.parametrize(("op", "count"), [(Relu(), 1), (Nearest((2, 2)), 1), (Concat(), None), (Add(), None)])
def test_operators_say_how_many_inputs_they_take(op: Op, count: int | None) -> None:
    assert op.inputs == count


ONES = np.ones((2, 2, 3, 3))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Conv(ONES[0], np.zeros(2)), r"^Conv: weight \(2, 3, 3\) is not \(channels, channels, K_h, K_w\)$"),
        (lambda: Conv(ONES, np.zeros(3)), r"^Conv: bias \(3,\) is neither \(2,\) nor \(2, H, W\)$"),
        (lambda: Conv(ONES, np.zeros(2), strides=(0, 1)), "^Conv: sizes, strides, .* must be at least 1, not 0$"),
        (lambda: Conv(ONES, np.zeros(2), groups=0), "^Conv: sizes, strides, .* must be at least 1, not 0$"),
        (lambda: Conv(ONES[:, :, :0], np.zeros(2)), "^Conv: sizes, strides, .* must be at least 1, not 0$"),
        (
            lambda: ConvTranspose(ONES, np.zeros(2), groups=2),
            r"^ConvTranspose: bias \(2,\) is neither \(4,\) nor \(4, H, W\)$",
        ),
        (lambda: ConvTranspose(ONES, np.zeros(2), dilations=(1, -1)), "^ConvTranspose: .* must be at least 1, not -1$"),
        (lambda: Affine(np.ones(2), np.ones(3)), r"^Affine: scale \(2,\) and shift \(3,\) must both be \(C,\)$"),
        (lambda: Resample(np.ones(2), np.ones((2, 2))), "^Resample: rows and columns must be matrices$"),
        (lambda: AveragePool((2, 0), (1, 1)), "^AveragePool: .* must be at least 1, not 0$"),
        (lambda: MaxPool((2, 2), (0, 1)), "^MaxPool: .* must be at least 1, not 0$"),
        (lambda: Nearest((0, 1)), "^Nearest: .* must be at least 1, not 0$"),
        (lambda: Host("tan"), f"^unknown host function 'tan'; available: {', '.join(ARGUMENTS)}$"),
    ],
)
def test_impossible_operators_are_refused(make: Callable[[], Op], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        make()


@pytest.mark.parametrize(
    ("op", "shapes", "message"),
    [
        (
            Conv(ONES, np.zeros(2)),
            [(3, 9, 9)],
            r"^Conv: weight \(2, 2, 3, 3\) in 1 groups does not fit 3 input channels$",
        ),
        (Conv(ONES, np.zeros(2)), [(2, 2, 9)], "^Conv: kernel 3x3 does not fit into 2x9$"),
        (
            ConvTranspose(ONES, np.zeros(2)),
            [(3, 9, 9)],
            r"^ConvTranspose: weight \(2, 2, 3, 3\) does not fit 3 input channels$",
        ),
        (
            ConvTranspose(ONES, np.zeros(2), pads=(2, 0, 2, 0)),
            [(2, 1, 9)],
            r"^ConvTranspose: pads \(2, 0, 2, 0\) leave nothing$",
        ),
        (Affine(np.ones(2), np.ones(2)), [(3, 2, 2)], "^Affine: 2 channels, not 3$"),
        (Resample(np.ones((8, 4)), np.ones((2, 6))), [(1, 5, 6)], r"^Resample reads 4x6, not \(5, 6\)$"),
        (AveragePool((3, 3), (1, 1)), [(1, 2, 9)], r"^AveragePool: window \(3, 3\) does not fit into 2x9$"),
        (MaxPool((3, 3), (1, 1)), [(1, 2, 9)], r"^MaxPool: window \(3, 3\) does not fit into 2x9$"),
        (Concat(), [(1, 2, 3), (1, 2, 4)], r"^Concat needs maps of one size, not \(1, 2, 3\), \(1, 2, 4\)$"),
        (Add(), [(1, 2, 3), (2, 2, 3)], r"^Add needs inputs of one shape, not \(1, 2, 3\), \(2, 2, 3\)$"),
        (LeakyRelu(np.ones(2)), [(3, 2, 2)], r"^LeakyRelu: \(2,\) slopes for 3 channels$"),
    ],
)
def test_maps_that_do_not_fit_are_refused(op: Op, shapes: list[tuple[int, int, int]], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        op.infer(tuple(shapes))


def test_weights_are_copied_and_read_only() -> None:
    weight = ONES.copy()
    op = Conv(weight, np.zeros(2))
    weight[:] = 7
    assert op.weight.max() == 1
    with pytest.raises(ValueError, match="read-only"):
        op.weight[0] = 3
