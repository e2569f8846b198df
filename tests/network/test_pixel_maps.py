"""Pixel maps at another size are those that resampling gives there, and what does not repeat itself is refused."""

from collections.abc import Callable

import numpy as np
import pytest

from snn_deploy.arrays import Float64, Int64
from snn_deploy.errors import NetworkError
from snn_deploy.network.kernels import SpatialKernel
from snn_deploy.network.pixel_maps import find_rhythms, resize_bias, resize_pixel_map

Axis = Callable[[int], Float64]


def bilinear(length: int) -> Float64:
    """Twice as many pixels, between centers (half_pixel), weights in quarters."""
    at = np.clip((np.arange(2 * length) + 0.5) / 2 - 0.5, 0, length - 1)
    return np.asarray(np.maximum(0, 1 - np.abs(at[:, None] - np.arange(length))) * 4, np.float64)


def two_thirds(length: int) -> Float64:
    """Two pixels of three, the first and the mean of the other two."""
    matrix = np.zeros((length // 3 * 2, length))
    for block in range(length // 3):
        matrix[2 * block, 3 * block] = 4
        matrix[2 * block + 1, 3 * block + 1 : 3 * block + 3] = 2
    return matrix


def reflected(length: int) -> Float64:
    """Two pixels reflected at each end."""
    return np.eye(length)[np.pad(np.arange(length), 2, mode="reflect")] * 3.0


def wrapped(length: int) -> Float64:
    """Two pixels of the other end before the first, three after the last."""
    return np.eye(length)[np.pad(np.arange(length), (2, 3), mode="wrap")] * 3.0


def rolled(length: int) -> Float64:
    """All pixels, three further on."""
    return np.roll(np.eye(length), 3, 0) * 2.0


def aligned(length: int) -> Float64:
    """Twice as many pixels from corner to corner."""
    at = np.linspace(0, length - 1, 2 * length)
    return np.asarray(np.maximum(0, 1 - np.abs(at[:, None] - np.arange(length))) * 60, np.float64)


def cropped(length: int) -> Float64:
    """All but the first and the last two pixels."""
    return np.eye(length)[1:-2] * 2.0


def mean(length: int) -> Float64:
    """One pixel of all."""
    return np.ones((1, length))


def kernel(rows: Float64, columns: Float64) -> SpatialKernel:
    dense = np.rint(np.kron(rows, columns)).astype(np.int64)
    target, taken = np.nonzero(dense)
    pointers = np.concatenate([[0], np.cumsum(np.bincount(target, minlength=dense.shape[0]))])
    sizes = (rows.shape[1], columns.shape[1]), (rows.shape[0], columns.shape[0])
    return SpatialKernel(*sizes, pointers, taken, dense[target, taken].astype(np.int8))


@pytest.mark.parametrize(
    ("rows", "columns", "size", "other"),
    [
        (bilinear, bilinear, (7, 8), (12, 5)),
        (bilinear, reflected, (6, 12), (4, 9)),
        (two_thirds, bilinear, (12, 8), (21, 30)),
        (reflected, two_thirds, (14, 18), (9, 12)),
        (cropped, bilinear, (9, 8), (6, 12)),
        (bilinear, cropped, (6, 8), (5, 11)),
        (wrapped, rolled, (12, 14), (20, 9)),
        (rolled, wrapped, (9, 20), (14, 9)),
    ],
)
def test_another_size_is_what_resampling_gives_there(
    rows: Axis, columns: Axis, size: tuple[int, int], other: tuple[int, int]
) -> None:
    resized = resize_pixel_map(kernel(rows(size[0]), columns(size[1])), other)
    expected = kernel(rows(other[0]), columns(other[1]))
    assert (resized.input_size, resized.output_size) == (expected.input_size, expected.output_size)
    for name in ("indptr", "indices", "data"):
        np.testing.assert_array_equal(getattr(resized, name), getattr(expected, name))
    assert resize_pixel_map(expected, other) is expected


def test_the_rhythm_is_the_shortest_and_names_its_border() -> None:
    rows, columns = find_rhythms(kernel(bilinear(9), two_thirds(18)))
    assert (rows.outputs, rows.inputs, rows.border) == (2, 1, 1)
    assert (columns.outputs, columns.inputs, columns.border, columns.ratio) == (2, 3, 0, columns.ratio)


@pytest.mark.parametrize("axis", [aligned, mean])
def test_what_does_not_repeat_itself_has_no_other_size(axis: Axis) -> None:
    with pytest.raises(NetworkError, match=r"^the pixel map from 8x8 to \d+x16 does not repeat itself; convert again"):
        resize_pixel_map(kernel(axis(8), bilinear(8)), (10, 8))
    with pytest.raises(
        NetworkError, match=r"repeats itself every 3 pixels behind a border of 0; 13 pixels do not fit it$"
    ):
        resize_pixel_map(kernel(two_thirds(12), bilinear(8)), (13, 8))


def test_a_bias_by_pixel_keeps_its_borders_and_its_phase() -> None:
    def bias(height: int, width: int) -> Int64:
        rows, columns = np.arange(height)[:, None], np.arange(width)
        inner = rows % 2 * 10 + columns % 4
        border = (np.minimum(rows, height - 1 - rows) < 2) * 100 + (columns < 1) * 1000
        stacked: Int64 = np.stack([inner + border, 3 * inner]).astype(np.int64)
        return stacked

    np.testing.assert_array_equal(resize_bias("a", bias(12, 12), (20, 16)), bias(20, 16))
    np.testing.assert_array_equal(resize_bias("a", bias(16, 16), (10, 12)), bias(10, 12))
    with pytest.raises(NetworkError, match=r"^a: its bias differs by pixel and does not repeat itself; convert again"):
        resize_bias("a", bias(12, 12), (2, 12))  # borders of two pixels at both ends


def test_so_few_pixels_may_be_reflected_or_wrapped() -> None:
    """Of four pixels the last but one is the second reflected and the second wrapped."""
    for border in (reflected, wrapped):
        with pytest.raises(
            NetworkError, match=r" repeats itself every 1 pixels behind a border of \d; 9 pixels do not fit"
        ):
            resize_pixel_map(kernel(border(4), bilinear(8)), (9, 8))


def test_a_map_that_is_smaller_than_its_borders_is_refused() -> None:
    """Of 12 rows and 2 reflected at each end, 3 rows are the fewest that can be reflected."""
    whole = kernel(reflected(12), bilinear(8))
    assert find_rhythms(whole)[0].border == 2
    for rows in (1, 2):
        with pytest.raises(NetworkError, match=rf" behind a border of 2; {rows} pixels do not fit it$"):
            resize_pixel_map(whole, (rows, 8))
    for rows in range(3, 12):
        resized = resize_pixel_map(whole, (rows, 8))
        np.testing.assert_array_equal(resized.indices, kernel(reflected(rows), bilinear(8)).indices)
