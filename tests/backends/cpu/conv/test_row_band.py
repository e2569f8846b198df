"""Bands of rows against the specification, with ``==``: on the whole map where pads allow it, cut out elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

from snn_deploy.arrays import Int8
from snn_deploy.network.dynamics import apply
from snn_deploy.network.kernels import ConvKernel, TransposedKernel
from snn_deploy_cpu.conv.float_conv import NumpyConvolution
from snn_deploy_cpu.conv.geometry import Convolution
from snn_deploy_cpu.conv.row_band import RowBand, RowBands


def weights(*shape: int) -> Int8:
    return np.random.default_rng(sum(shape)).integers(-128, 128, shape).astype(np.int8)


@pytest.mark.parametrize(
    ("pads", "rows", "whole", "library_pads"),
    [
        # 3x3 on 6 x 7: the library pads all sides alike, or columns only, or not at all
        ((1, 1, 1, 1), (0, 6), True, (1, 1)),
        ((1, 1, 1, 1), (0, 5), False, (0, 1)),
        ((1, 1, 1, 1), (1, 6), False, (0, 1)),
        ((0, 0, 0, 0), (0, 4), True, (0, 0)),
        ((0, 1, 0, 1), (0, 4), True, (0, 1)),
        ((2, 1, 1, 1), (0, 7), False, (0, 1)),
        ((1, 1, 1, 2), (0, 6), False, (0, 0)),
        ((1, -1, 1, -1), (0, 6), False, (0, 0)),
        ((-1, 1, -1, 1), (0, 2), False, (0, 1)),
    ],
)
def test_what_the_library_pads(
    pads: tuple[int, int, int, int], rows: tuple[int, int], whole: bool, library_pads: tuple[int, int]
) -> None:
    kernel = ConvKernel(weights(2, 3, 3, 3), pads=pads)
    columns = kernel.output_shape((3, 6, 7))[2]
    band = RowBand.of(Convolution.of(kernel), 6, 7, *rows, columns)
    assert (band.whole, band.pads, band.size) == (whole, library_pads, (rows[1] - rows[0], columns))


@pytest.mark.parametrize(
    "kernel",
    [
        ConvKernel(weights(4, 3, 3, 3), pads=(1, 1, 1, 1)),
        ConvKernel(weights(4, 3, 3, 2), pads=(2, 0, 1, 3)),
        ConvKernel(weights(4, 3, 3, 3), pads=(-2, 1, -1, -3)),
        ConvKernel(weights(4, 3, 3, 3), (1, 2), (2, 3, 2, 3), (2, 3)),
        ConvKernel(weights(4, 3, 1, 2), (3, 3), (1, 0, 0, 2)),
        ConvKernel(weights(6, 1, 3, 3), (2, 1), (1, 1, 1, 1), groups=3),
        TransposedKernel(weights(3, 5, 3, 3), (2, 2), (1, 1, 0, 0)),
        TransposedKernel(weights(3, 5, 2, 1), (3, 2), (1, 0, 0, 0)),
        TransposedKernel(weights(3, 2, 3, 2), (2, 3), (0, 1, 2, 0), (3, 2), 3),
        TransposedKernel(weights(3, 4, 3, 3), (2, 2), (-2, -1, -3, -1)),
    ],
)
def test_every_band_of_every_geometry(kernel: ConvKernel | TransposedKernel) -> None:
    x = np.random.default_rng(0).integers(-50, 50, (2, 9, 8, 3))
    expected = np.moveaxis(apply(kernel, np.moveaxis(x, -1, 1)), 1, -1)
    conv = Convolution.of(kernel)
    height, columns = expected.shape[1:3]
    primitive, bands = NumpyConvolution(conv, np.float64), RowBands(conv, columns)
    for begin in range(height):
        for end in range(begin + 1, height + 1):
            band = bands.of(x, begin, end)
            rows = band.depth_to_space(band.convolve(primitive, x))
            np.testing.assert_array_equal(rows, expected[:, begin:end])


def test_bands_are_made_once() -> None:
    bands, x = RowBands(Convolution.of(ConvKernel(weights(2, 3, 3, 3))), 6), np.zeros((1, 8, 8, 3))
    assert bands.of(x, 0, 2) is bands.of(x[..., :], 0, 2)
    assert bands.of(x, 0, 2) is not bands.of(x, 0, 3)
    assert bands.of(x, 0, 2) is not bands.of(x[:, :7], 0, 2)
