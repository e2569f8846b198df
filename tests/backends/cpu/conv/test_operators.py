"""Every operator on bands of rows against the specification, with ``==``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random

import numpy as np
import pytest

from snn_deploy.arrays import Array, Int8
from snn_deploy.errors import NetworkError
from snn_deploy.network.dynamics import apply
from snn_deploy.network.kernels import ConvKernel, Kernel, SpatialKernel, TransposedKernel
from snn_deploy_cpu.conv.compiled import ConvTask
from snn_deploy_cpu.conv.direct import DirectConv
from snn_deploy_cpu.conv.float_conv import NumpyConvolution, OnnxRuntimeConvolution
from snn_deploy_cpu.conv.geometry import Convolution
from snn_deploy_cpu.conv.operators import DepthwiseConv, FloatConv, Operator, PixelMap
from snn_deploy_cpu.conv.sparse import SparseConv
from snn_deploy_cpu.kernels.library import Kernels


def weights(*shape: int) -> Int8:
    return np.random.default_rng(sum(shape)).integers(-128, 128, shape).astype(np.int8)


KERNELS: dict[str, ConvKernel | TransposedKernel] = {
    "same": ConvKernel(weights(6, 4, 3, 3), pads=(1, 1, 1, 1)),
    "uneven pads": ConvKernel(weights(6, 4, 3, 2), (1, 2), (2, 0, 1, 3)),
    "groups": ConvKernel(weights(6, 2, 3, 3), (2, 1), (1, 1, 1, 1), (1, 2), groups=2),
    "transposed": TransposedKernel(weights(4, 3, 3, 3), (2, 2), (1, 1, 0, 0)),
}


def check(operator: Operator, kernel: Kernel, exponent: int, x: Array) -> None:
    expected = np.moveaxis(apply(kernel, np.moveaxis(x.astype(np.int64), -1, 1)) << exponent, 1, -1)
    height = expected.shape[1]
    for begin, end in ((0, height), (0, 1), (1, height), (height // 2, height // 2 + 2)):
        if begin >= end or end > height:
            continue
        np.testing.assert_array_equal(operator(x, begin, end), expected[:, begin:end])


@pytest.mark.parametrize("exponent", [0, 3])
@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("library", [OnnxRuntimeConvolution, lambda conv: NumpyConvolution(conv, np.float32)])
def test_float_convolutions(library: Callable[..., object], name: str, exponent: int) -> None:
    if library is OnnxRuntimeConvolution:
        pytest.importorskip("onnxruntime")
    kernel = KERNELS[name]
    x = np.random.default_rng(0).integers(-60, 90, (2, 9, 8, 4)).astype(np.int16)
    width = kernel.output_shape((4, 9, 8))[2]
    check(FloatConv(Convolution.of(kernel), exponent, width, lambda: library), kernel, exponent, x)  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize("real", [np.float32, np.float64])
@pytest.mark.parametrize("exponent", [0, 3])
def test_depthwise_and_pixel_maps(exponent: int, real: type, instruction_set: str) -> None:
    x = np.random.default_rng(0).integers(-60, 90, (2, 9, 8, 4)).astype(np.int16)
    depthwise = ConvKernel(weights(4, 1, 3, 2), (2, 1), (1, -1, 0, 2), (1, 2), groups=4)
    width = depthwise.output_shape((4, 9, 8))[2]
    check(DepthwiseConv(Convolution.of(depthwise), exponent, width, real), depthwise, exponent, x)
    # pixels with no source, with one and with three
    lengths = np.resize([0, 1, 3], 30)
    indptr = np.append(0, lengths.cumsum())
    rng = np.random.default_rng(1)
    pixels = SpatialKernel((9, 8), (5, 6), indptr, rng.integers(0, 72, indptr[-1]), rng.integers(-100, 100, indptr[-1]))
    check(PixelMap(pixels, exponent, real), pixels, exponent, x)


def draw_geometry(random: Random) -> tuple[Kernel, tuple[int, int, int]] | None:
    """A convolution of small extents and what it reads, one channel to a group and single rows and columns among them."""
    groups, inputs, outputs = random.choice((1, 1, 2, 4)), random.choice((1, 1, 1, 2, 3)), random.choice((1, 2, 3, 8))
    shape = (groups * outputs, inputs, random.randint(1, 5), random.randint(1, 5))
    strides, dilations = (random.randint(1, 2), random.randint(1, 4)), (random.randint(1, 2), random.randint(1, 2))
    top, left, bottom, right = (random.randint(0, 2) for _ in range(4))
    pads = random.choice(((top, left, bottom, right), (top, left, top, left)))
    kernel = ConvKernel(weights(*shape), strides, pads, dilations, groups)
    reads = (groups * inputs, random.randint(1, 9), random.randint(1, 5))
    try:
        kernel.output_shape(reads)
    except NetworkError:  # the kernel is larger than the map
        return None
    return kernel, reads


@pytest.mark.parametrize("path", [OnnxRuntimeConvolution, DirectConv, SparseConv])
def test_any_geometry(path: type, kernels: Kernels) -> None:
    """Kernels larger than a map, pads larger than a kernel, a single sum to a row."""
    if path is OnnxRuntimeConvolution:
        pytest.importorskip("onnxruntime")
        if kernels.instruction_set != "baseline":
            pytest.skip("a library has no such choice")
    random = Random(0)
    for _ in range(60 if path is OnnxRuntimeConvolution else 300):
        drawn = draw_geometry(random)
        if drawn is None or (path is not OnnxRuntimeConvolution and drawn[0].groups > 1):  # type: ignore[union-attr]
            continue
        kernel, reads = drawn
        conv, (_, height, width) = Convolution.of(kernel), kernel.output_shape(reads)  # type: ignore[arg-type]
        low, high = random.choice(((0, 127), (-60, 60)))
        rng = np.random.default_rng(random.getrandbits(32))
        x = rng.integers(low, high + 1, (random.randint(1, 3), *reads[1:], reads[0])).astype(np.int16)
        if path is OnnxRuntimeConvolution:
            check(FloatConv(conv, 0, width, lambda: path), kernel, 0, x)
            continue
        task = ConvTask("source", conv, np.float32(1), (height, width))
        compiled = path.within(kernels, task, low < 0, np.full(reads[0], max(high, -low)))  # type: ignore[attr-defined]
        check(partial(compiled.accumulate, None), kernel, 0, x)
