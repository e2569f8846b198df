"""Windows, crops and fused upsampling by tables, and against loops over single pixels."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from snn_deploy.network import dynamics
from snn_deploy.network.kernels import ConvKernel, TransposedKernel
from snn_deploy_cpu.conv.geometry import Convolution, UpsampledConv, Window, padded_crop
from snn_deploy_cpu.kernels.arguments import ConvGeometry


def conv(
    kernel: tuple[int, int] = (3, 3),
    strides: tuple[int, int] = (1, 1),
    pads: tuple[int, int, int, int] = (1, 1, 1, 1),
    dilations: tuple[int, int] = (1, 1),
    groups: int = 1,
) -> Convolution:
    return Convolution.of(ConvKernel(np.ones((4, 4 // groups, *kernel), np.int8), strides, pads, dilations, groups))


@pytest.mark.parametrize(
    ("form", "axis", "rows", "window"),
    [
        (conv(), 0, (0, 5), Window(-1, 6, 5, 0)),
        (conv(), 0, (2, 3), Window(1, 4, 1, 0)),
        (conv((1, 1), pads=(0, 0, 0, 0)), 1, (0, 7), Window(0, 7, 7, 0)),
        (conv(strides=(2, 1)), 0, (0, 3), Window(-1, 6, 3, 0)),
        (conv(strides=(2, 1)), 0, (1, 3), Window(1, 6, 2, 0)),
        (conv(dilations=(1, 3)), 1, (0, 4), Window(-1, 9, 4, 0)),
        (conv(pads=(-2, 0, 0, 0)), 0, (0, 2), Window(2, 6, 2, 0)),
        # two phases: rows 0 and 1 of the result are one position, and skip counts into it
        (Convolution.of(TransposedKernel(np.ones((2, 2, 2, 2), np.int8), (2, 2))), 0, (0, 6), Window(0, 3, 3, 0)),
        (Convolution.of(TransposedKernel(np.ones((2, 2, 2, 2), np.int8), (2, 2))), 0, (1, 4), Window(0, 2, 2, 1)),
        (
            Convolution.of(TransposedKernel(np.ones((2, 2, 3, 3), np.int8), (2, 2), (1, 1, 0, 0))),
            0,
            (0, 4),
            Window(-1, 3, 3, 1),
        ),
    ],
)
def test_windows(form: Convolution, axis: int, rows: tuple[int, int], window: Window) -> None:
    assert form.input_window(axis, *rows) == window


@pytest.mark.parametrize(("size", "dilation", "extent"), [(1, 1, 1), (1, 5, 1), (3, 1, 3), (3, 2, 5), (2, 4, 5)])
def test_kernel_extent(size: int, dilation: int, extent: int) -> None:
    assert conv((size, 1), dilations=(dilation, 1), pads=(0, 0, 0, 0)).kernel_extent(0) == extent


def inside_of(ends: tuple[int, int], length: int) -> bool:
    return min(ends) >= 0 and max(ends) <= length


@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        ((0, 4), (0, 5)),
        ((1, 3), (2, 4)),
        ((-1, 5), (0, 5)),
        ((-2, 2), (3, 8)),
        ((3, 9), (-3, 1)),
        ((-4, -1), (0, 5)),
        ((0, 4), (7, 9)),
    ],
)
def test_crops_are_zero_outside_the_map(rows: tuple[int, int], columns: tuple[int, int]) -> None:
    x = np.arange(1, 2 * 4 * 5 * 3 + 1, dtype=np.int16).reshape(2, 4, 5, 3)
    crop = padded_crop(x, Window(*rows, 1, 0), Window(*columns, 1, 0))
    assert crop.shape == (2, rows[1] - rows[0], columns[1] - columns[0], 3)
    assert crop.dtype == x.dtype
    for (row, y), (column, c) in product(enumerate(range(*rows)), enumerate(range(*columns))):
        inside = 0 <= y < 4 and 0 <= c < 5
        np.testing.assert_array_equal(crop[:, row, column], x[:, y, c] if inside else 0)
    whole = crop.size > 0 and inside_of(rows, 4) and inside_of(columns, 5)
    assert np.shares_memory(crop, x) == whole


@pytest.mark.parametrize("strides", [(1, 1), (2, 3)])
@pytest.mark.parametrize("dilations", [(1, 1), (3, 2)])
def test_taps_read_strided_and_dilated_pixels(strides: tuple[int, int], dilations: tuple[int, int]) -> None:
    form, x = conv(strides=strides, dilations=dilations), np.arange(12 * 13).reshape(1, 12, 13, 1)
    for h, w in np.ndindex(3, 3):
        view = form.tap_view(x, (h, w), (2, 3))
        for i, j in np.ndindex(2, 3):
            assert view[0, i, j, 0] == x[0, i * strides[0] + h * dilations[0], j * strides[1] + w * dilations[1], 0]
        assert view.shape == (1, 2, 3, 1)


@pytest.mark.parametrize(
    ("kernel", "depthwise"),
    [
        (ConvKernel(np.ones((4, 1, 2, 2), np.int8), groups=4), True),
        (ConvKernel(np.ones((8, 1, 2, 2), np.int8), groups=4), False),
        (ConvKernel(np.ones((4, 2, 2, 2), np.int8), groups=2), False),
        (ConvKernel(np.ones((2, 2, 2, 2), np.int8), groups=2), False),
        (ConvKernel(np.ones((1, 1, 2, 2), np.int8)), True),
        (TransposedKernel(np.ones((4, 1, 1, 1), np.int8), (1, 1), groups=4), True),
        (TransposedKernel(np.ones((4, 1, 2, 2), np.int8), (2, 2), groups=4), False),
    ],
)
def test_depthwise(kernel: ConvKernel | TransposedKernel, depthwise: bool) -> None:
    assert Convolution.of(kernel).depthwise == depthwise


@pytest.mark.parametrize(
    ("form", "fuses"),
    [
        (conv(), True),
        (conv((2, 5), pads=(-1, 2, 3, 0)), True),
        (conv(strides=(2, 1)), False),
        (conv(dilations=(1, 2)), False),
        (conv(groups=2), False),
        (Convolution.of(TransposedKernel(np.ones((2, 2, 2, 2), np.int8), (2, 2))), False),
        (Convolution.of(TransposedKernel(np.ones((2, 2, 2, 2), np.int8), (1, 1), (1, 1, 1, 1))), False),
    ],
)
def test_what_fuses_with_an_upsampling_before_it(form: Convolution, fuses: bool) -> None:
    fused = form.upsampled(2)
    assert (fused is not None) == fuses
    if fused is not None:
        pointwise, upsampled = fused
        assert pointwise.weight.shape == (form.weight[:, 0].size, form.weight.shape[1], 1, 1)
        assert (upsampled.factor, upsampled.kernel, upsampled.pads) == (2, form.weight.shape[2:], form.pads)
        plain = Convolution.of(ConvKernel(pointwise.weight))
        assert (bytes(pointwise.geometry), pointwise.groups) == (bytes(plain.geometry), 1)


@pytest.mark.parametrize("factor", [1, 2, 3, 4])
@pytest.mark.parametrize("pad", [-2, -1, 0, 1, 2, 3])
def test_rings_have_room_before_the_map(factor: int, pad: int) -> None:
    """The first pixel that a row of the target reads, by looking at every tap."""
    left = UpsampledConv(factor, (3, 3), (pad, pad)).geometry.left
    assert left == max(0, -min((target - pad + tap) // factor for target in range(20) for tap in range(3)))


def weights(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int8]]:
    return np.random.default_rng(0).integers(-128, 128, shape).astype(np.int8)


@pytest.mark.parametrize(
    "kernel",
    [
        ConvKernel(weights(4, 3, 3, 2), (2, 1), (1, 0, 2, 1), (1, 3), 2),
        ConvKernel(weights(3, 2, 1, 4), (1, 3), (0, 2, 1, 1)),
        TransposedKernel(weights(4, 3, 5, 4), (2, 3), (1, 2, 0, 1), groups=2),
        TransposedKernel(weights(2, 3, 4, 7), (3, 2), (2, 1, 1, 0), dilations=(2, 1)),
        TransposedKernel(weights(2, 1, 3, 4), (3, 4), (0, 0, 0, 0), dilations=(1, 3)),
        TransposedKernel(weights(2, 2, 4, 5), (1, 1), (1, 1, 2, 2), dilations=(2, 1)),
    ],
)
def test_the_normal_form_slid_over_its_windows_is_the_convolution(kernel: ConvKernel | TransposedKernel) -> None:
    form, groups = Convolution.of(kernel), kernel.groups
    # no more taps than some phase has
    assert all(np.any(form.weight[:, :, edge]) and np.any(form.weight[..., edge]) for edge in (0, -1))
    size = form.weight.shape[2], form.weight.shape[3]
    pairs = (size, form.strides, form.dilations, form.pads, form.phases, form.crop)
    assert [tuple(getattr(form.geometry, name)) for name, *_ in ConvGeometry._fields_] == list(pairs)
    channels = kernel.weight.shape[0] if isinstance(kernel, TransposedKernel) else kernel.weight.shape[1] * groups
    x = np.random.default_rng(1).integers(-9, 10, (2, channels, 6, 9))
    expected = dynamics.apply(kernel, x)
    _, depth, height, width = expected.shape
    windows = form.input_window(0, 0, height), form.input_window(1, 0, width)
    crop = padded_crop(x.transpose(0, 2, 3, 1), *windows)
    positions = windows[0].outputs, windows[1].outputs
    outputs, inputs = form.weight.shape[:2]
    weight = form.weight.astype(np.int64).reshape(groups, outputs // groups, inputs, *form.weight.shape[2:])
    sums = np.zeros((2, *positions, groups, outputs // groups), np.int64)
    for h, w in np.ndindex(form.weight.shape[2], form.weight.shape[3]):
        read = form.tap_view(crop, (h, w), positions).reshape(2, *positions, groups, inputs)
        sums += np.einsum("nyxgi,goi->nyxgo", read, weight[..., h, w])
    phases = sums.reshape(2, *positions, groups, *form.phases, depth // groups).transpose(0, 1, 4, 2, 5, 3, 6)
    whole = phases.reshape(2, positions[0] * form.phases[0], positions[1] * form.phases[1], depth)
    result = whole[:, windows[0].skip : windows[0].skip + height, windows[1].skip : windows[1].skip + width]
    assert np.array_equal(result.transpose(0, 3, 1, 2), expected)
