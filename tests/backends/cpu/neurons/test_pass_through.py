"""Pooling and resampling in integers against the specification, compiled and in NumPy, with ``==``."""

from __future__ import annotations

import numpy as np
import pytest

from snn_deploy.arrays import Array
from snn_deploy.network.dynamics import apply
from snn_deploy.network.kernels import ConvKernel, SpatialKernel
from snn_deploy_cpu.conv.geometry import Convolution
from snn_deploy_cpu.neurons.pass_through import PassThrough, PixelCopy, SumPooling


def check(operator: PassThrough, kernel: ConvKernel | SpatialKernel, exponent: int, x: Array) -> None:
    expected = np.moveaxis(apply(kernel, np.moveaxis(x.astype(np.int64), -1, 1)) << exponent, 1, -1)
    for dtype in (np.int16, np.int32, np.int64):
        out = np.zeros(expected.shape, dtype)
        operator(x, out)
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32])
@pytest.mark.parametrize("exponent", [0, 2])
@pytest.mark.parametrize(
    ("strides", "pads", "dilations"),
    [((2, 2), (0, 0, 0, 0), (1, 1)), ((1, 2), (1, 0, 2, 1), (1, 1)), ((2, 1), (-1, 1, 0, 0), (2, 3))],
)
def test_pooling(
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilations: tuple[int, int],
    exponent: int,
    dtype: type,
    instruction_set: str,
) -> None:
    weight = np.random.default_rng(0).integers(-3, 4, (5, 1, 2, 2))
    kernel = ConvKernel(weight.astype(np.int8), strides, pads, dilations, groups=5)
    x: Array = np.random.default_rng(1).integers(0, 90, (2, 8, 9, 5)).astype(dtype)
    check(SumPooling(Convolution.of(kernel), exponent), kernel, exponent, x)


def pixels(indices: list[int], data: list[int] | None = None, size: tuple[int, int] = (2, 2)) -> SpatialKernel:
    """A map of a 2x3 input to ``size``, one source for each pixel."""
    count = len(indices)
    return SpatialKernel((2, 3), size, np.arange(count + 1), np.array(indices), np.array(data or [1] * count))


@pytest.mark.parametrize(("weight", "exponent", "copies"), [(1, 0, True), (1, 1, False), (-3, 0, False)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16])
def test_pixel_copies(weight: int, exponent: int, copies: bool, dtype: type, instruction_set: str) -> None:
    kernel = pixels([5, 0, 0, 4], [weight] * 4)
    operator = PixelCopy(kernel, exponent)
    assert operator.copies_pixels == copies
    check(operator, kernel, exponent, np.arange(12).reshape(1, 2, 3, 2).astype(dtype))


@pytest.mark.parametrize(
    ("kernel", "covered"),
    [
        (pixels([5, 0, 0, 4]), True),
        (pixels([5, 0, 0, 4], [2, 2, 2, 2]), True),
        (pixels([5, 0, 0, 4], [2, 2, 1, 2]), False),
        (SpatialKernel((2, 3), (1, 2), np.array([0, 2, 3]), np.array([0, 1, 2]), np.ones(3, np.int8)), False),
        (SpatialKernel((2, 3), (1, 2), np.array([0, 0, 1]), np.array([2]), np.ones(1, np.int8)), False),
    ],
)
def test_what_copies_cover(kernel: SpatialKernel, covered: bool) -> None:
    assert PixelCopy.covers(kernel) == covered


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_upsampling_is_recognized(factor: int) -> None:
    repeated = np.arange(6).reshape(2, 3).repeat(factor, 0).repeat(factor, 1)
    indices = repeated.reshape(-1)
    assert PixelCopy.upsampling_factor(pixels(list(indices), size=repeated.shape)) == factor  # type: ignore[arg-type]
    assert PixelCopy.upsampling_factor(pixels(list(indices), [2] * indices.size, repeated.shape)) is None  # type: ignore[arg-type]
    assert PixelCopy.upsampling_factor(pixels(list(indices[::-1]), size=repeated.shape)) is None  # type: ignore[arg-type]
    assert PixelCopy.upsampling_factor(pixels(list(indices[:2]), size=(1, 2))) is None
