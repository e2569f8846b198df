"""Tiles along an axis: that they cover it, keep what the halo allows, and are as few as possible."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from snn_deploy.errors import PlanError
from snn_deploy.planning.halo import Cut, Halo, find_ratios
from snn_deploy.planning.windows import MOST_TILES, Tiling, Window, check_equal, cut_axis, kept
from tests.planning.test_halo import STRIDED, conv, network, unet


@pytest.mark.parametrize(
    ("extent", "tile", "halo", "grid", "expected"),
    [
        (8, 8, (3, 3), 2, [(0, 8, 0, 8)]),
        (8, 9, (3, 3), 2, [(0, 8, 0, 8)]),
        (8, 4, (0, 0), 1, [(0, 4, 0, 4), (4, 8, 4, 8)]),
        (8, 4, (0, 0), 4, [(0, 4, 0, 4), (4, 8, 4, 8)]),
        (9, 5, (0, 0), 1, [(0, 5, 0, 4), (4, 9, 4, 9)]),  # one pixel in both, split in the middle
        (10, 6, (1, 1), 1, [(0, 6, 0, 5), (4, 10, 5, 10)]),
        (11, 6, (1, 1), 1, [(0, 6, 0, 4), (2, 8, 4, 6), (5, 11, 6, 11)]),
        (10, 6, (2, 0), 1, [(0, 6, 0, 6), (4, 10, 6, 10)]),
        (10, 6, (0, 2), 1, [(0, 6, 0, 4), (4, 10, 4, 10)]),
        (12, 8, (1, 1), 4, [(0, 8, 0, 6), (4, 12, 6, 12)]),
    ],
)
def test_windows_of_an_axis(
    extent: int, tile: int, halo: tuple[int, int], grid: int, expected: list[tuple[int, ...]]
) -> None:
    assert cut_axis(extent, tile, Halo(*halo), grid) == tuple(Window(*each) for each in expected)


@pytest.mark.parametrize("grid", [1, 2, 3])
@pytest.mark.parametrize("halo", [(0, 0), (1, 1), (2, 0), (0, 3)])
def test_kept_pixels_have_the_halo_around_them(halo: tuple[int, int], grid: int) -> None:
    before, after = halo
    for extent in range(6, 40):
        for tile in range(4, extent):
            step = (tile - before - after) // grid * grid
            if step < grid or (extent - tile) % grid:
                with pytest.raises(PlanError, match=r"keep nothing inside a halo|do not end with the image's"):
                    cut_axis(extent, tile, Halo(before, after), grid)
                continue
            windows = cut_axis(extent, tile, Halo(before, after), grid)
            assert (windows[0].start, windows[0].first) == (0, 0)
            assert (windows[-1].stop, windows[-1].last) == (extent, extent)
            assert all(window.stop - window.start == tile and window.start % grid == 0 for window in windows)
            assert all(one.last == other.first for one, other in pairwise(windows))
            assert all(window.first >= window.start + before for window in windows[1:])
            assert all(window.last <= window.stop - after for window in windows[:-1])
            assert len(windows) == 1 + (extent - tile + step - 1) // step


def test_refusals_say_which_tiles_would_do() -> None:
    for tile, advised in ((7, (6, 8)), (9, (8, 10)), (11, (10, 12))):
        with pytest.raises(PlanError, match=rf"image's 16 on a grid of 2; use {advised[0]} or {advised[1]}$"):
            cut_axis(16, tile, Halo(1, 1), 2)
    with pytest.raises(PlanError, match=r"image's 20 on a grid of 5; use 5 or 10$"):
        cut_axis(20, 8, Halo(1, 1), 5)
    with pytest.raises(
        PlanError, match=r"^tiles of 5 pixels keep nothing inside a halo of 3\+1; use tiles of at least 6$"
    ):
        cut_axis(16, 5, Halo(3, 1), 2)
    assert len(cut_axis(16, 6, Halo(3, 1), 2)) == 6
    assert len(cut_axis(MOST_TILES, 1, Halo(0, 0), 1)) == MOST_TILES == 65_536
    Tiling((2**8, 2**8), (1, 1), Halo(0, 0), (1, 1))
    with pytest.raises(PlanError, match=r"^65,792 tiles of 1x1; at most 65,536 are allowed, use larger ones$"):
        Tiling((2**8, 2**8 + 1), (1, 1), Halo(0, 0), (1, 1))


@pytest.mark.parametrize(
    ("window", "ratio", "extent", "whole", "expected"),
    [
        (Window(4, 12, 6, 10), Fraction(1), 16, 16, ((2, 6), (6, 10))),
        (Window(4, 12, 6, 10), Fraction(2), 32, 16, ((4, 12), (12, 20))),
        (Window(4, 12, 6, 10), Fraction(1, 2), 8, 16, ((1, 3), (3, 5))),
        (Window(4, 12, 7, 9), Fraction(1, 2), 8, 16, ((2, 3), (4, 5))),  # rounded up: a pixel is kept where it starts
        (Window(8, 16, 11, 16), Fraction(1, 2), 9, 16, ((2, 5), (6, 9))),  # the last one keeps what is left over
        (Window(8, 16, 11, 15), Fraction(1), 13, 16, ((3, 5), (11, 13))),  # a map without padding ends sooner
        (Window(8, 16, 14, 15), Fraction(1), 13, 16, ((5, 5), (13, 13))),
    ],
)
def test_kept_pixels_of_a_population(
    window: Window, ratio: Fraction, extent: int, whole: int, expected: tuple[tuple[int, int], tuple[int, int]]
) -> None:
    assert kept(window, ratio, extent, whole) == (slice(*expected[0]), slice(*expected[1]))


def test_every_pixel_of_every_population_is_kept_once() -> None:
    net = unet(STRIDED).at_size(20, 14)
    tiling = Tiling((20, 14), (12, 10), Halo(2, 2), (2, 2))
    places = list(tiling.places(net, find_ratios(net)))
    assert (tiling.tiles, len(places)) == (4, 4)
    assert [place.corner for place in places] == [(0, 0), (0, 4), (8, 0), (8, 4)]
    assert [place.read for place in places][1] == (slice(0, 12), slice(4, 14))
    assert tiling.overhead == 4 * 12 * 10 / (20 * 14)
    for population in net.populations:
        seen = np.zeros(population.shape[1:], np.int64)
        for place in places:
            inside, where = place.kept[population.name]
            seen[where] += 1
            assert [part.stop - part.start for part in inside] == [part.stop - part.start for part in where]
        assert (seen == 1).all(), population.name


@pytest.mark.parametrize(("halo", "is_equal"), [((1, 1), True), ((2, 1), True), ((0, 1), False), ((2, 0), False)])
def test_tiles_are_equal_from_the_exact_halo_on(halo: tuple[int, int], is_equal: bool) -> None:
    net = network(("input", "y", conv(1, 1))).at_size(12, 12)
    cut = Cut(find_ratios(net), (1, 1), Halo(1, 1), Halo(0, 0))
    tiling = Tiling((12, 12), (7, 12), Halo(*halo), (1, 1))
    if is_equal:
        check_equal(tiling, net, cut)
    else:
        with pytest.raises(
            PlanError,
            match=rf"^y: the tile at \(\d, 0\) of 7x12 pixels with a halo of {halo[0]}\+{halo[1]} does not .* halo is 1$",
        ):
            check_equal(tiling, net, cut)
