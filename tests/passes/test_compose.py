"""Composition of two linear operators against one after the other; the operators themselves against onnxruntime."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest

from snn_deploy.frontend.onnx import to_onnx
from snn_deploy.graph.graph import Graph, Node
from snn_deploy.graph.ops import Affine, AveragePool, Conv, ConvTranspose, Nearest, Op, Relu, Resample
from snn_deploy.passes import constant_map
from snn_deploy.passes.compose import (
    MAX_GROWTH,
    compose,
    fuse,
    identity,
    is_identity,
    is_shift,
    scale_inputs,
    scale_of,
    scale_outputs,
    ungroup,
    widen,
)
from snn_deploy.passes.constant_map import apply_linear, pad, propagate_bias
from snn_deploy.shapes import Pads

Array = npt.NDArray[np.float64]
SHAPE = (4, 9, 7)


def numbers(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).integers(-9, 10, shape) / 4


def conv(
    outputs: int, *, window: tuple[int, int] = (3, 2), channels: int = 4, groups: int = 1, **fields: object
) -> Conv:
    return Conv(numbers(outputs, channels // groups, *window), np.zeros(outputs), groups=groups, **fields)  # type: ignore[arg-type]


def transposed(per_group: int, *, groups: int = 1, **fields: object) -> ConvTranspose:
    return ConvTranspose(numbers(4, per_group, 3, 2), np.zeros(per_group * groups), groups=groups, **fields)  # type: ignore[arg-type]


def shift(channels: int, pads: Pads) -> Conv:
    return identity(numbers(channels) + 3, pads)


LINEAR: list[Op] = [
    conv(6, strides=(2, 1), pads=(1, 0, 2, 1), dilations=(1, 3)),
    conv(6, groups=2, pads=(0, 1, 0, 0), dilations=(2, 1)),
    conv(4, groups=4, strides=(1, 3)),
    transposed(3, strides=(2, 3), pads=(1, 2, 0, 1)),
    transposed(3, groups=2, strides=(3, 1), dilations=(1, 2)),
    transposed(1, groups=4, strides=(2, 2), pads=(0, 1, 1, 0), dilations=(2, 1)),
    Resample(numbers(5, 9), numbers(3, 7)),
    Nearest((2, 3)),
    AveragePool((2, 3), (2, 1), (1, 0, 0, 2)),
    shift(4, (1, -1, 0, 2)),
]


def by_onnxruntime(op: Op, x: Array) -> Array:
    shape = (x.shape[0], x.shape[1], x.shape[2])
    graph = Graph("one", "x", shape, (Node("y", op, ("x",)),), (("y", "y"),))
    session = onnxruntime.InferenceSession(to_onnx(graph).SerializeToString())
    (value,) = session.run(None, {"x": x[None].astype(np.float32)})
    return np.asarray(value[0], np.float64)


@pytest.mark.parametrize("op", LINEAR, ids=lambda op: type(op).__name__)
def test_linear_operators(op: Op) -> None:
    """Multiples of 1/4 below 2**8: float32 is exact but for the averages."""
    x = numbers(*SHAPE)
    np.testing.assert_allclose(
        apply_linear(op, x), by_onnxruntime(op, x), rtol=0, atol=1e-5 if isinstance(op, AveragePool) else 0
    )
    with pytest.raises(TypeError, match=r"^Relu is not a linear operator$"):
        apply_linear(Relu(), x)


@pytest.mark.parametrize("op", LINEAR, ids=lambda op: type(op).__name__)
@pytest.mark.parametrize("flat", [True, False])
def test_constants_propagate_as_maps(op: Op, flat: bool) -> None:
    bias = numbers(4, 1, 1) + 0.5 if flat else numbers(*SHAPE)
    result = propagate_bias(op, bias, SHAPE)
    whole = apply_linear(op, np.broadcast_to(bias, SHAPE).copy())
    np.testing.assert_allclose(np.broadcast_to(result, whole.shape), whole, rtol=1e-12, atol=1e-12)
    constant = bool(np.all(whole == whole[:, :1, :1]))
    assert (result.shape[1:] == (1, 1)) == constant or result.shape == whole.shape
    nothing = propagate_bias(op, np.zeros((4, 1, 1)), SHAPE)
    assert nothing.shape == (whole.shape[0], 1, 1)
    assert not nothing.any()


@pytest.mark.parametrize("op", [op for op in LINEAR if isinstance(op, Conv | ConvTranspose)])
def test_a_constant_per_channel_costs_one_channel(op: Conv | ConvTranspose, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    def count(linear: Op, x: Array) -> Array:
        read.append(len(x))
        return apply_linear(linear, x)

    monkeypatch.setattr(constant_map, "apply_linear", count)
    propagate_bias(op, numbers(4, 1, 1) + 0.5, SHAPE)
    propagate_bias(op, numbers(*SHAPE), SHAPE)
    assert read == [1, 4]


@pytest.mark.parametrize("pads", [*product((-2, 0, 3), repeat=4)])
def test_pads_add_zeros_or_crop(pads: Pads) -> None:
    x, (top, left, bottom, right) = numbers(2, 6, 7) + 9, pads
    found = pad(x, pads)
    assert found.shape == (2, 6 + top + bottom, 7 + left + right)
    for _, row, column in np.ndindex(*found.shape):
        inside = 0 <= row - top < 6 and 0 <= column - left < 7
        assert np.array_equal(found[:, row, column], x[:, row - top, column - left] if inside else np.zeros(2))


CHANNELS = numbers(4) + 3


@pytest.mark.parametrize("op", [op for op in LINEAR if isinstance(op, Conv | ConvTranspose)])
def test_scales_and_groups_move_into_weights(op: Conv | ConvTranspose) -> None:
    x, plain = numbers(*SHAPE), apply_linear(op, numbers(*SHAPE))
    scale = np.arange(1.0, len(plain) + 1)
    assert np.array_equal(apply_linear(scale_outputs(op, scale), x), plain * scale[:, None, None])
    assert np.array_equal(apply_linear(scale_inputs(op, CHANNELS), x), apply_linear(op, x * CHANNELS[:, None, None]))
    assert np.array_equal(apply_linear(ungroup(op), x), plain)
    assert ungroup(op).groups == 1
    assert (ungroup(op) is op) == (op.groups == 1)
    wide = widen(op, 2, len(plain) + 5)
    padded = np.pad(plain, ((2, 3), (0, 0), (0, 0)))
    assert np.array_equal(apply_linear(wide, x), padded)
    assert wide.bias.shape == (len(plain) + 5,)


FIRST: list[Op] = [*LINEAR, identity(CHANNELS), identity(np.ones(4)), shift(4, (0, 1, 2, 0)), shift(4, (-1, 0, 0, -1))]


def seconds(channels: int) -> list[Op]:
    """Operators on ``channels`` channels."""
    weight = numbers(3, channels, 2, 3)
    return [
        Conv(weight, np.zeros(3)),
        Conv(weight, np.zeros(3), pads=(1, 0, 1, 2)),
        Conv(weight, np.zeros(3), (1, 2), (0, 1, 0, 0)),
        Conv(weight, np.zeros(3), dilations=(2, 1)),
        Conv(numbers(channels, 1, 2, 2), np.zeros(channels), pads=(1, 1, 0, 0), groups=channels),
        ConvTranspose(numbers(channels, 2, 2, 3), np.zeros(2), (2, 1)),
        shift(channels, (0, -1, -1, 0)),
        shift(channels, (-1, 0, 0, -1)),
        shift(channels, (0, 0, 0, 0)),
        shift(channels, (1, 0, 0, 0)),
        Nearest((2, 1)),
        AveragePool((2, 2), (1, 2)),
    ]


@pytest.mark.parametrize("first", FIRST, ids=lambda op: type(op).__name__)
def test_composed_operators_are_one_after_the_other(first: Op) -> None:
    x = numbers(*SHAPE)
    between = apply_linear(first, x)
    for second in [*seconds(len(between)), Resample(numbers(4, between.shape[1]), numbers(3, between.shape[2]))]:
        composed = compose(first, second)
        if composed is not None:
            np.testing.assert_allclose(apply_linear(composed, x), apply_linear(second, between), rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize(
    ("first", "second", "composes"),
    [
        (identity(CHANNELS), conv(3), True),
        (identity(CHANNELS), transposed(2), True),
        (identity(CHANNELS), Nearest((2, 2)), False),
        (identity(np.ones(4)), Nearest((2, 2)), True),
        (Resample(numbers(5, 9), numbers(3, 7)), Resample(numbers(4, 5), numbers(2, 3)), True),
        (Resample(numbers(5, 9), numbers(3, 7)), conv(3), False),
        (shift(4, (1, 1, 1, 1)), conv(3), True),
        (shift(4, (1, 0, 0, 2)), conv(3, pads=(1, 0, 1, 1)), True),
        (shift(4, (-1, 0, 0, 0)), conv(3, pads=(0, 1, 1, 1)), True),
        (shift(4, (-1, 0, 0, 0)), conv(3, pads=(1, 0, 0, 0)), False),
        (shift(4, (0, 1, 0, 0)), conv(3, pads=(1, 0, 0, 0)), True),
        (shift(4, (1, 0, 0, 0)), transposed(2), False),
        (conv(4), shift(4, (0, 0, 0, 0)), True),
        (conv(4), shift(4, (-1, 0, 0, 0)), True),
        (conv(4), shift(4, (1, -1, 0, 0)), False),
        (transposed(4), shift(4, (-1, 0, -1, 0)), True),
        (AveragePool((2, 2), (1, 1)), shift(4, (-1, 0, 0, 0)), False),
        (conv(4), conv(4), False),
        (Nearest((2, 3)), conv(3, pads=(1, 1, 1, 0)), True),
        (Nearest((2, 3)), conv(3, pads=(2, 1, 2, 1)), True),
        (Nearest((2, 3)), conv(3, pads=(3, 1, 2, 1)), False),
        (Nearest((2, 3)), conv(3, pads=(2, 1, 2, 2)), False),
        (Nearest((2, 3)), conv(4, groups=2), False),
        (Nearest((2, 3)), conv(4, strides=(1, 2)), False),
        (Nearest((2, 3)), conv(4, dilations=(2, 1)), False),
        (Nearest((8, 8)), conv(4, window=(1, 1)), True),
        (Nearest((8, 9)), conv(4, window=(1, 1)), False),
        (Nearest((33, 9)), conv(4, window=(2, 3)), True),
        (Nearest((34, 9)), conv(4, window=(2, 3)), False),
    ],
)
def test_what_composes(first: Op, second: Op, composes: bool) -> None:
    """A transposed convolution may have at most 64 times the taps: 34 * 11 <= 64 * 6 < 35 * 11."""
    assert MAX_GROWTH == 64
    assert (compose(first, second) is not None) == composes


UP = ConvTranspose(numbers(4, 6, 2, 2), np.zeros(6), (2, 2))
"""As U-Nets have it: half as many channels, twice as many pixels along each axis, nothing cropped."""


@pytest.mark.parametrize(
    ("first", "second", "pads"),
    [
        (UP, conv(5, window=(3, 3), channels=6, pads=(1, 1, 1, 1)), (1, 1, 1, 1)),
        (UP, conv(5, window=(3, 2), channels=6, pads=(2, 0, 1, 1)), (0, 1, 1, 0)),
        (UP, conv(5, window=(1, 1), channels=6), (0, 0, 0, 0)),
        (replace(UP, pads=(1, 0, -1, 2)), conv(2, window=(3, 3), channels=6, pads=(0, 1, 1, 0)), (3, 1, 0, 4)),
        (
            replace(UP, bias=np.zeros(12), groups=2),
            conv(3, window=(3, 3), channels=12, pads=(1, 1, 1, 1)),
            (1, 1, 1, 1),
        ),
        (UP, conv(4, window=(3, 3), channels=6, groups=2, pads=(1, 1, 1, 1)), (1, 1, 1, 1)),
        (UP, Conv(numbers(6, 1, 1, 1), np.zeros(6), pads=(-1, 0, 0, -1), groups=6), (1, 0, 0, 1)),
    ],
)
def test_upsampling_is_fused(first: ConvTranspose, second: Conv, pads: Pads) -> None:
    """Value for value what one after the other gives, borders included: zeros pad the map between, not what it was made of."""
    x, composed = numbers(4, 5, 3), fuse(first, second)
    if not isinstance(composed, ConvTranspose):
        pytest.fail("does not compose")
    assert (composed.pads, composed.strides, composed.groups) == (pads, first.strides, 1)
    np.testing.assert_allclose(
        apply_linear(composed, x), apply_linear(second, apply_linear(first, x)), rtol=1e-12, atol=1e-9
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (UP, conv(5, channels=6, strides=(2, 1))),
        (UP, conv(5, channels=6, dilations=(1, 2))),
        (replace(UP, dilations=(2, 1)), conv(5, channels=6)),
        (replace(UP, pads=(0, 1, 0, 0)), conv(5, channels=6, pads=(0, 1, 0, 0))),  # zeros where pixels were cropped
        (UP, conv(5, channels=6, pads=(3, 0, 0, 0))),  # rows that no kernel reaches
        (UP, Nearest((2, 2))),
        (conv(4), conv(4)),
    ],
)
def test_what_is_not_fused(first: Op, second: Op) -> None:
    assert fuse(first, second) is None


@pytest.mark.parametrize(
    ("inputs", "window", "strides", "fused"),
    [
        (
            6,
            2,
            (2, 2),
            True,
        ),  # 6 * 2 * 4 * 4 multiplications for each pixel of the input; apart 6 * 2 * 2 * 2 + 4 * 2 * 2 * 3 * 3
        (7, 2, (2, 2), False),
        (128, 1, (8, 8), True),  # 128 * 2, and apart 128 * 1 + 64 * 2
        (129, 1, (8, 8), False),
        (129, 1, (9, 8), False),  # a repetition counts 64 times at most
    ],
)
def test_fusing_must_not_multiply_more(inputs: int, window: int, strides: tuple[int, int], fused: bool) -> None:
    between, size = (2, 3) if window == 2 else (1, 1)
    first = ConvTranspose(numbers(inputs, between, window, window), np.zeros(between), strides)
    second = conv(2, window=(size, size), channels=between)
    assert (fuse(first, second) is not None) == fused


@pytest.mark.parametrize(
    ("op", "shifts", "same"),
    [
        (identity(CHANNELS), True, True),
        (shift(4, (1, 0, 0, 0)), True, False),
        (Conv(np.ones((4, 1, 1, 1)), np.zeros(4), (2, 1), groups=4), False, False),
        (Conv(np.ones((4, 1, 1, 2)), np.zeros(4), groups=4), False, False),
        (Conv(np.ones((4, 4, 1, 1)), np.zeros(4)), False, False),
        (Affine(np.ones(4), np.ones(4)), False, False),
    ],
)
def test_shifts_and_identities(op: Op, shifts: bool, same: bool) -> None:
    assert (is_shift(op), is_identity(op)) == (shifts, same)
    if shifts:
        assert len(scale_of(op)) == 4


def test_only_shifts_have_scales() -> None:
    with pytest.raises(TypeError, match=r"^Nearest has no scales$"):
        scale_of(Nearest((2, 2)))
