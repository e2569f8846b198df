"""Which neurons of a tile fire as those of the whole image do, whatever the image shows.

A tile's neuron at ``p`` stands for the whole's at ``p + corner``. Both send the same in every step if they have the same
bias, read the same weights from the same places, and every neuron that they read sends the same; a place outside of both
maps sends nothing to either. So the answer is found population by population, sources first, from geometry alone::

    same(p) = bias(p) = bias'(p + corner)  and  for every tap:  the source's neuron is the same, or outside of both maps

A tap all of whose weights are 0 reads nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from snn_deploy.arrays import Bool, Int64
from snn_deploy.errors import PlanError
from snn_deploy.network.kernels import ConvKernel, Kernel, SpatialKernel, TransposedKernel
from snn_deploy.network.network import Network, Population
from snn_deploy.network.pixel_maps import Taps, find_rhythms
from snn_deploy.shapes import Pads, Pair


@dataclass(frozen=True, eq=False)
class Part:
    """A population of a tile: ``corner``, its first row and column in the whole's map, and ``same`` (H, W) bool."""

    corner: Pair
    same: Bool


@dataclass(frozen=True, eq=False)
class _Side:
    """A source in the tile and in the whole image."""

    part: Part
    whole: Pair

    def around(self, pads: Pads) -> Bool:
        """Whether each place of the map with ``pads`` around it (negative: cut) is the same in both."""
        height, width = self.part.same.shape
        top, left, bottom, right = pads
        rows, columns = np.arange(-top, height + bottom), np.arange(-left, width + right)
        inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))
        same = self.part.same[np.clip(rows, 0, height - 1)[:, None], np.clip(columns, 0, width - 1)] & inside
        out = [
            (places + first < 0) | (places + first >= extent)
            for places, first, extent in zip((rows, columns), self.part.corner, self.whole, strict=True)
        ]
        around: Bool = same | out[0][:, None] | out[1]
        return around


def find_same_neurons(whole: Network, tile: Network, corner: Pair) -> Mapping[str, Part]:
    """Every population of ``tile``, the network ``whole`` at a smaller size whose first pixel is ``corner`` (row, column).

    :class:`~snn_deploy.errors.PlanError` where a population's pixels do not lie on those of the whole's.
    """
    _, height, width = tile.input.shape
    parts = {tile.input.name: Part(corner, np.ones((height, width), bool))}
    for population, connections in tile.layers():
        placed: Pair | None = None
        same = np.ones(population.shape[1:], bool)
        for connection in connections:
            source, large = parts[connection.source], whole.population(connection.source)
            here = move(connection.kernel, source.corner)
            if here is None or placed not in (None, here):
                raise PlanError(f"{population.name}: a tile that starts at {corner} does not lie on its pixels")
            placed = here
            kernel = next(each.kernel for each in whole.incoming(population.name) if each.name == connection.name)
            same &= _reads_the_same(connection.kernel, kernel, _Side(source, _size(large)), here, _size(population))
        if placed is None:
            raise PlanError(f"{population.name}: nothing reaches it")
        parts[population.name] = Part(placed, same & _same_bias(population, whole.population(population.name), placed))
    return parts


def ratios(kernel: Kernel) -> tuple[Fraction, Fraction]:
    """Output pixels per input pixel, by row and by column."""
    if isinstance(kernel, ConvKernel):
        return Fraction(1, kernel.strides[0]), Fraction(1, kernel.strides[1])
    if isinstance(kernel, TransposedKernel):
        return Fraction(kernel.strides[0]), Fraction(kernel.strides[1])
    rows, columns = find_rhythms(kernel)
    return rows.ratio, columns.ratio


def move(kernel: Kernel, corner: Pair) -> Pair | None:
    """Where the target's map starts if the source's starts at ``corner``; ``None`` between two pixels."""
    rows, columns = (ratio * first for ratio, first in zip(ratios(kernel), corner, strict=True))
    return (int(rows), int(columns)) if rows.denominator == columns.denominator == 1 else None


def _size(population: Population) -> Pair:
    return population.shape[1], population.shape[2]


def _same_bias(tile: Population, whole: Population, corner: Pair) -> Bool:
    """(H, W) or (1, 1) bool."""
    _, height, width = tile.shape
    large = np.broadcast_to(whole.bias, whole.shape)[:, corner[0] : corner[0] + height, corner[1] : corner[1] + width]
    small = np.broadcast_to(tile.bias, tile.shape)[:, : large.shape[1], : large.shape[2]]
    same = np.zeros((height, width), bool)
    same[: large.shape[1], : large.shape[2]] = (large == small).all(0)
    return same


def _reads_the_same(tile: Kernel, whole: Kernel, side: _Side, corner: Pair, size: Pair) -> Bool:
    if isinstance(tile, ConvKernel):
        return _convolved(tile, side, size)
    if isinstance(tile, TransposedKernel):
        return _convolved_transposed(tile, side, size)
    if not isinstance(whole, SpatialKernel):
        raise TypeError("the whole and the tile have kernels of different kinds")
    return _resampled(Taps.of(tile), Taps.of(whole), side, corner)


def _taps(weight: np.ndarray[tuple[int, ...], np.dtype[np.int8]]) -> list[tuple[int, int]]:
    rows, columns = np.nonzero(weight.any((0, 1)))
    return list(zip(rows.tolist(), columns.tolist(), strict=True))


def _convolved(kernel: ConvKernel, side: _Side, size: Pair) -> Bool:
    around, same = side.around(kernel.pads), np.ones(size, bool)
    for row, column in _taps(kernel.weight):
        first = row * kernel.dilations[0], column * kernel.dilations[1]
        same &= around[first[0] :: kernel.strides[0], first[1] :: kernel.strides[1]][: size[0], : size[1]]
    return same


def _convolved_transposed(kernel: TransposedKernel, side: _Side, size: Pair) -> Bool:
    """What differs is sent on; sources beyond the tile's border are those of the whole, which the tile lacks."""
    reach = [
        gap * extent + max(map(abs, kernel.pads))
        for gap, extent in zip(kernel.dilations, kernel.weight.shape[2:], strict=True)
    ]
    differs = ~side.around((reach[0], reach[1], reach[0], reach[1]))
    height, width = differs.shape
    full = np.zeros(kernel.full_size(height, width), bool)
    for row, column in _taps(kernel.weight):
        first = row * kernel.dilations[0], column * kernel.dilations[1]
        full[
            first[0] : first[0] + (height - 1) * kernel.strides[0] + 1 : kernel.strides[0],
            first[1] : first[1] + (width - 1) * kernel.strides[1] + 1 : kernel.strides[1],
        ] |= differs
    top, left = (extra * step + pad for extra, step, pad in zip(reach, kernel.strides, kernel.pads[:2], strict=True))
    same: Bool = ~full[top : top + size[0], left : left + size[1]]
    return same


def _resampled(tile: Taps, whole: Taps, side: _Side, corner: Pair) -> Bool:
    height, width, _ = tile.data.shape
    cut = slice(corner[0], corner[0] + height), slice(corner[1], corner[1] + width)
    most = max(tile.data.shape[2], whole.data.shape[2])
    first = side.part.corner
    pairs = [
        (_filled(small, most), _filled(large[cut] - offset, most))
        for small, large, offset in (
            (tile.rows, whole.rows, first[0]),
            (tile.columns, whole.columns, first[1]),
            (tile.data, whole.data, 0),
        )
    ]
    met = pairs[0][1].shape[:2]
    small, large = ([each[index][: met[0], : met[1]] for each in pairs] for index in (0, 1))
    empty = (small[2] == 0) & (large[2] == 0)
    equal = (small[2] == large[2]) & (small[0] == large[0]) & (small[1] == large[1])
    same = np.zeros((height, width), bool)
    same[: met[0], : met[1]] = (empty | (equal & side.part.same[small[0], small[1]])).all(2)
    return same


def _filled(values: Int64, most: int) -> Int64:
    """(H, W, ``most``): zeros behind the last of each list."""
    return np.pad(values, ((0, 0), (0, 0), (0, most - values.shape[2])))
