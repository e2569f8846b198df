"""Neurons that are the same, against an enumeration of what each reads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from snn_deploy.arrays import Bool, Int64
from snn_deploy.errors import PlanError
from snn_deploy.network.dynamics import transmit
from snn_deploy.network.kernels import ConvKernel, Kernel, SpatialKernel, TransposedKernel
from snn_deploy.network.network import Connection, Network
from snn_deploy.planning.sameness import Part, _filled, _Side, find_same_neurons, move, ratios
from tests.planning.test_halo import bilinear, conv, network

RNG = np.random.default_rng(8)


def transposed(side: int, strides: tuple[int, int], **geometry: object) -> TransposedKernel:
    weight = RNG.integers(1, 5, (1, 1, side, side)).astype(np.int8)
    return TransposedKernel(weight, strides, **geometry)  # type: ignore[arg-type]


def readings(connection: Connection, shape: tuple[int, int]) -> Int64:
    """(H, W, h, w): the weight with which each pixel reads each pixel of a source of ``shape``, from unit impulses."""
    number = shape[0] * shape[1]
    answers = transmit(connection, np.eye(number, dtype=np.int64).reshape(number, 1, *shape))[:, 0]
    return np.moveaxis(answers, 0, -1).reshape(*answers.shape[1:], *shape)


def expected_of(net: Network, whole: tuple[int, int], size: tuple[int, int], corner: tuple[int, int]) -> Bool:
    """Pixels of ``y`` that read the same weights from the same pixels of the input, and none that the tile lacks."""
    large, small = net.at_size(*whole), net.at_size(*size)
    placed = find_same_neurons(large, small, corner)["y"].corner
    of_whole = readings(large.connections[0], whole)
    of_tile = readings(small.connections[0], size)
    same = np.zeros(of_tile.shape[:2], bool)
    for row in range(same.shape[0]):
        for column in range(same.shape[1]):
            there = placed[0] + row, placed[1] + column
            if there[0] < of_whole.shape[0] and there[1] < of_whole.shape[1]:
                around = np.zeros(whole, np.int64)
                around[corner[0] : corner[0] + size[0], corner[1] : corner[1] + size[1]] = of_tile[row, column]
                same[row, column] = np.array_equal(around, of_whole[there])
    return same


KERNELS: dict[str, Kernel] = {
    "3x3": conv(1, 1),
    "5x5": conv(1, 1, 5),
    "uneven pads": conv(1, 1, 4, pads=(1, 2, 2, 1)),
    "no pads": conv(1, 1, pads=(0, 0, 0, 0)),
    "cropping": conv(1, 1, 1, pads=(-1, -1, 1, 1)),
    "strided": conv(1, 1, strides=(2, 2)),
    "dilated": conv(1, 1, pads=(2, 4, 2, 4), dilations=(2, 4)),
    "transposed": transposed(2, (2, 2)),
    "transposed, overlapping": transposed(4, (2, 2), pads=(1, 1, 1, 1)),
    "transposed, uneven pads": transposed(3, (2, 2), pads=(0, 1, 1, 0)),
    "transposed, dilated": transposed(3, (2, 2), pads=(2, 2, 1, 1), dilations=(2, 2)),
    "transposed, one step": transposed(3, (1, 1), pads=(1, 1, 1, 1)),
    "bilinear": bilinear(8),
}


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
@pytest.mark.parametrize("corner", [(0, 0), (4, 2), (6, 8), (2, 6)])
def test_same_neurons_are_those_that_read_the_same(kernel: Kernel, corner: tuple[int, int]) -> None:
    size = (8, 8) if kernel is KERNELS["bilinear"] else (16, 16)
    net = network(("input", "y", kernel), size=size)
    whole, tile = (14, 16), (8, 8)
    found = find_same_neurons(net.at_size(*whole), net.at_size(*tile), corner)
    assert found["input"].same.all()
    expected = expected_of(net, whole, tile, corner)
    assert np.array_equal(found["y"].same, expected)
    assert expected.any()


def test_a_side_is_the_same_where_both_are_or_where_neither_is() -> None:
    same = RNG.random((3, 4)) < 0.6
    for corner in ((0, 0), (2, 1), (3, 4), (1, 0)):
        side = _Side(Part(corner, same), (6, 8))
        for pads in ((0, 0, 0, 0), (1, 2, 3, 4), (4, 3, 2, 1), (-1, -1, -1, 0), (0, -2, 5, -1)):
            top, left, bottom, right = pads
            expected = [
                [
                    (0 <= row < 3 and 0 <= column < 4 and bool(same[row, column]))
                    or not (0 <= row + corner[0] < 6 and 0 <= column + corner[1] < 8)
                    for column in range(-left, 4 + right)
                ]
                for row in range(-top, 3 + bottom)
            ]
            assert side.around(pads).tolist() == expected, (corner, pads)


@pytest.mark.parametrize("shift", [(0, 0), (0, 1), (1, 0)])
def test_a_bias_by_pixel_is_compared_at_its_place(shift: tuple[int, int]) -> None:
    """A bias that repeats itself every two pixels is the same where the tile starts on an even pixel."""
    net = network(("input", "y", conv(1, 1, 1)))
    rows, columns = np.arange(16)[:, None] % 2, np.arange(16) % 2
    last = replace(net.populations[-1], bias=(2 * rows + columns)[None].astype(np.int64))
    net = replace(net, populations=(net.input, last))
    small = replace(
        net,
        populations=(
            replace(net.input, shape=(1, 6, 6)),
            replace(last, shape=(1, 6, 6), bias=last.bias[:, :6, :6]),
        ),
    )
    part = find_same_neurons(net, small, (4 + shift[0], 6 + shift[1]))["y"]
    assert part.corner == (4 + shift[0], 6 + shift[1])
    assert part.same.all() == (shift == (0, 0))
    assert part.same.any() == (shift == (0, 0))


def test_pixel_maps_are_the_same_where_all_their_weights_are() -> None:
    """One weight of the whole's map is changed: the pixel that has it is another one, and no other is."""
    tile = network(("input", "y", bilinear(8)), size=(8, 8))
    (connection,) = tile.connections
    kernel = connection.kernel
    assert isinstance(kernel, SpatialKernel)
    for changed in (0, 7, 60):
        weights = kernel.data.copy()
        weights[changed] += 1
        whole = replace(tile, connections=(replace(connection, kernel=replace(kernel, data=weights)),))
        expected = np.ones(256, bool)
        expected[np.searchsorted(kernel.indptr, changed, side="right") - 1] = False
        assert np.array_equal(find_same_neurons(whole, tile, (0, 0))["y"].same, expected.reshape(16, 16))


def test_neurons_beyond_the_whole_are_not_the_same() -> None:
    net = network(("input", "y", conv(1, 1, 1)))
    part = find_same_neurons(net.at_size(8, 9), net.at_size(6, 6), (4, 5))["y"]
    assert part.same.tolist() == [[True] * 4 + [False] * 2] * 4 + [[False] * 6] * 2


def test_ratios_and_corners() -> None:
    strided = ConvKernel(np.ones((1, 1, 1, 1), np.int8), (2, 3))
    assert [str(each) for each in ratios(strided)] == ["1/2", "1/3"]
    assert [int(each) for each in ratios(transposed(2, (2, 3)))] == [2, 3]
    assert [int(each) for each in ratios(bilinear(8))] == [2, 2]
    assert move(strided, (4, 9)) == (2, 3)
    assert move(strided, (3, 9)) is None
    assert move(strided, (4, 8)) is None
    assert move(transposed(2, (2, 3)), (5, 7)) == (10, 21)
    net = network(("input", "y", conv(1, 1, strides=(2, 2))))
    with pytest.raises(PlanError, match=r"^y: a tile that starts at \(2, 3\) does not lie on its pixels$"):
        find_same_neurons(net.at_size(12, 12), net.at_size(6, 6), (2, 3))


def test_lists_are_filled_with_zeros() -> None:
    values = np.arange(1, 7).reshape(1, 2, 3)
    assert _filled(values, 5).tolist() == [[[1, 2, 3, 0, 0], [4, 5, 6, 0, 0]]]
    assert _filled(values, 3).tolist() == values.tolist()
