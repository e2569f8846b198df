"""Where tiles stand on an image: what each reads, what of it is kept, and the proof that it is what the whole image gives."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise

from snn_deploy.errors import PlanError
from snn_deploy.network.network import Network
from snn_deploy.planning.halo import Cut, Halo, Ratios
from snn_deploy.planning.sameness import find_same_neurons
from snn_deploy.shapes import Pair, Size

MOST_TILES = 2**16
"""Of one image: a plan from a stranger must not ask for more than anyone waits for."""


@dataclass(frozen=True)
class Window:
    """One tile along one axis: it reads ``start`` to ``stop`` of the image and keeps ``first`` to ``last``."""

    start: int
    stop: int
    first: int
    last: int


def cut_axis(extent: int, tile: int, halo: Halo, grid: int) -> tuple[Window, ...]:
    """Tiles of ``tile`` pixels that cover ``extent``; every kept pixel has the halo around it or the image's border.

    :class:`~snn_deploy.errors.PlanError` where no tiles of that size do.
    """
    if tile >= extent:
        return (Window(0, extent, 0, extent),)
    if extent > MOST_TILES * tile:
        raise PlanError(f"{extent} pixels in tiles of {tile}: more than {MOST_TILES:,} tiles; use larger ones")
    step = (tile - halo.both) // grid * grid
    if step < grid:
        raise PlanError(
            f"tiles of {tile} pixels keep nothing inside a halo of {halo.text}; use tiles of at least {halo.both + grid}"
        )
    if (extent - tile) % grid:
        raise PlanError(
            f"tiles of {tile} pixels do not end with the image's {extent} on a grid of {grid}; use"
            f" {tile - (tile - extent) % grid} or {tile + (extent - tile) % grid}"
        )
    number = -(-(extent - tile) // step)
    starts = [index * (extent - tile) // number // grid * grid for index in range(number + 1)]
    middles = [(after + halo.before + before + tile - halo.after) // 2 for before, after in pairwise(starts)]
    cuts = [0, *middles, extent]
    return tuple(
        Window(start, start + tile, first, last) for start, (first, last) in zip(starts, pairwise(cuts), strict=True)
    )


def kept(window: Window, ratio: Fraction, extent: int, whole: int) -> tuple[slice, slice]:
    """Where the kept pixels of a population lie in the tile's map and in the whole's, which has ``extent`` pixels.

    ``whole``: pixels of the image.
    """
    first = min(math.ceil(window.first * ratio), extent)
    last = extent if window.last == whole else min(math.ceil(window.last * ratio), extent)
    corner = int(window.start * ratio)
    return slice(first - corner, last - corner), slice(first, last)


Rectangle = tuple[slice, slice]
"""Rows and columns."""


@dataclass(frozen=True)
class Place:
    """One tile: the pixels of the image that it reads, and of each population the kept part, in the tile and in the whole."""

    read: Rectangle
    kept: Mapping[str, tuple[Rectangle, Rectangle]]

    @property
    def corner(self) -> Pair:
        """First row and column of the image that it reads."""
        return self.read[0].start, self.read[1].start


@dataclass(frozen=True)
class Tiling:
    """An image of ``image`` (H, W) pixels in tiles of ``tile`` (H, W) with a ``halo``, which start on ``grid``."""

    image: Size
    tile: Size
    halo: Halo
    grid: Pair

    def __post_init__(self) -> None:
        if any(tile > image for tile, image in zip(self.tile, self.image, strict=True)):
            raise PlanError(f"tiles of {_text(self.tile)} are larger than the image, {_text(self.image)}")
        if self.tiles > MOST_TILES:
            raise PlanError(
                f"{self.tiles:,} tiles of {_text(self.tile)}; at most {MOST_TILES:,} are allowed, use larger ones"
            )

    @cached_property
    def axes(self) -> tuple[tuple[Window, ...], tuple[Window, ...]]:
        """The tiles along rows and columns."""
        rows, columns = (
            cut_axis(extent, tile, self.halo, grid)
            for extent, tile, grid in zip(self.image, self.tile, self.grid, strict=True)
        )
        return rows, columns

    @property
    def tiles(self) -> int:
        """Number of tiles."""
        return len(self.axes[0]) * len(self.axes[1])

    @property
    def overhead(self) -> float:
        """Pixels computed per pixel of the image, at least 1."""
        return self.tiles * self.tile[0] * self.tile[1] / (self.image[0] * self.image[1])

    def places(self, whole: Network, ratios: Ratios) -> Iterator[Place]:
        """Every tile, row by row, of ``whole``, the network at the image's size."""
        for rows in self.axes[0]:
            for columns in self.axes[1]:
                kept_parts = {}
                for population in whole.populations:
                    ends = [
                        kept(window, ratios[population.name][axis], population.shape[axis + 1], self.image[axis])
                        for axis, window in enumerate((rows, columns))
                    ]
                    kept_parts[population.name] = (ends[0][0], ends[1][0]), (ends[0][1], ends[1][1])
                yield Place((slice(rows.start, rows.stop), slice(columns.start, columns.stop)), kept_parts)


def check_equal(tiling: Tiling, whole: Network, cut: Cut) -> None:
    """Prove that ``tiling`` gives what ``whole``, the network at the image's size, gives, for every image.

    Every kept neuron of every tile is one that :func:`~snn_deploy.planning.sameness.find_same_neurons` finds to be the
    same; :class:`~snn_deploy.errors.PlanError` names the first population of which one is not.
    """
    tile = whole.at_size(*tiling.tile)
    for place in tiling.places(whole, cut.ratios):
        parts = find_same_neurons(whole, tile, place.corner)
        for name, (inside, _) in place.kept.items():
            if not parts[name].same[inside].all():
                raise PlanError(
                    f"{name}: the tile at {place.corner} of {_text(tiling.tile)} pixels with a halo of {tiling.halo.text} does"
                    f" not give what the whole image gives; the exact halo is {cut.exact.text}"
                )


def _text(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
