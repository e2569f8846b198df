"""How a network can be cut into tiles: the grid on which tiles start, and the halo that makes them equal to the whole image.

Both follow from the network itself. A tile must start where every population has a pixel: at a multiple of the *grid*, the
least common multiple of what one step of each population's map is on the image. Near its border a tile reads zeros where the
image continues; the *halo* is what :func:`~snn_deploy.planning.sameness.find_same_neurons` finds to differ there, in a tile
in the middle of an image that is large enough.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from snn_deploy.errors import NetworkError, PlanError
from snn_deploy.network.kernels import ConvKernel, SpatialKernel
from snn_deploy.network.network import Network
from snn_deploy.planning.sameness import Part, find_same_neurons, ratios
from snn_deploy.shapes import Pair

SMALLEST = 64
LARGEST = 2048
"""Pixels a side of the tiles that are examined, each twice the one before; what a halo takes more than half of is too small."""

Ratios = Mapping[str, tuple[Fraction, Fraction]]
"""By population: pixels of its map per pixel of the image, (rows, columns)."""


@dataclass(frozen=True)
class Halo:
    """Pixels of a tile that are computed and thrown away: ``before`` its first kept row and column, ``after`` the last."""

    before: int
    after: int

    def __post_init__(self) -> None:
        if min(self.before, self.after) < 0:
            raise ValueError(f"a halo of {self.before} and {self.after} pixels is negative")

    @property
    def both(self) -> int:
        """Pixels that a tile loses along each axis."""
        return self.before + self.after

    @property
    def text(self) -> str:
        """One number, or both where they differ."""
        return str(self.before) if self.before == self.after else f"{self.before}+{self.after}"


@dataclass(frozen=True)
class Cut:
    """How a network may be cut: the ``grid`` (rows, columns) on which tiles start, and halos.

    ``exact`` is the one that makes tiles equal to the whole image, ``least`` the smallest with which every kept pixel
    exists: 0 unless convolutions without padding make maps smaller than their share of the image.
    """

    ratios: Ratios
    grid: Pair
    exact: Halo
    least: Halo


def find_cut(network: Network) -> Cut:
    """Grid and halos of ``network``; :class:`~snn_deploy.errors.PlanError` where tiles cannot replace the whole image."""
    _check_dense(network)
    by_population = find_ratios(network)
    grid = find_grid(by_population)
    size = network.input.shape[1:]
    side = SMALLEST
    while side <= LARGEST:
        extents = [own % step + -(-side // step) * step for own, step in zip(size, grid, strict=True)]
        large = [extent + 2 * step * (extent // step) for extent, step in zip(extents, grid, strict=True)]
        corner = [extent // step * step for extent, step in zip(extents, grid, strict=True)]
        try:
            whole, tile = network.at_size(large[0], large[1]), network.at_size(extents[0], extents[1])
        except NetworkError:
            if side >= max(size):
                raise
            side *= 2
            continue
        parts = find_same_neurons(whole, tile, (corner[0], corner[1]))
        exact = _measure(parts, by_population, extents)
        if exact is not None and 2 * exact.both <= min(extents):
            return Cut(by_population, grid, exact, _least(tile, by_population))
        side *= 2
    raise PlanError(
        f"{network.name}: a pixel depends on more than {LARGEST // 2} pixels around it; tiles cannot equal the whole image"
    )


def find_ratios(network: Network) -> Ratios:
    """Pixels of each population's map per pixel of the image; :class:`~snn_deploy.errors.PlanError` where paths disagree."""
    found: dict[str, tuple[Fraction, Fraction]] = {network.input.name: (Fraction(1), Fraction(1))}
    for population, connections in network.layers():
        scales = set()
        for connection in connections:
            here = _ratios(connection.name, network, connection.kernel)
            rows, columns = (one * other for one, other in zip(found[connection.source], here, strict=True))
            scales.add((rows, columns))
        if len(scales) != 1:
            raise PlanError(
                f"{population.name}: its sources have different scales, {_listed(scales)} of the image; it cannot be tiled"
            )
        found[population.name] = scales.pop()
    return found


def find_grid(by_population: Ratios) -> Pair:
    """Rows and columns between places at which a tile may start."""
    rows, columns = (math.lcm(*(pair[axis].denominator for pair in by_population.values())) for axis in (0, 1))
    return rows, columns


def _ratios(name: str, network: Network, kernel: object) -> tuple[Fraction, Fraction]:
    if isinstance(kernel, SpatialKernel):
        try:
            return ratios(kernel)
        except NetworkError as error:
            raise PlanError(
                f"{network.name}: {name} sees the whole image ({error}); it cannot be cut into tiles"
            ) from error
    return ratios(kernel)  # type: ignore[arg-type]  # a convolution


def _listed(scales: set[tuple[Fraction, Fraction]]) -> str:
    return " and ".join(sorted(f"{rows}x{columns}" for rows, columns in scales))


def _check_dense(network: Network) -> None:
    """Refuse layers that read a whole map at once, as dense layers do, at the network's own size."""
    for connection in network.connections:
        kernel, source = connection.kernel, network.population(connection.source)
        if not isinstance(kernel, ConvKernel) or source.shape[1:] == (1, 1):
            continue
        whole = kernel.weight.shape[2:] == source.shape[1:] and not any(kernel.pads) and kernel.strides == (1, 1)
        if whole:
            height, width = source.shape[1:]
            raise PlanError(
                f"{network.name}: {connection.target} reads all {height}x{width} pixels of {connection.source}, the whole"
                " image; it cannot be cut into tiles"
            )


def _measure(parts: Mapping[str, Part], by_population: Ratios, extents: list[int]) -> Halo | None:
    """The halo outside of which all populations are the same; ``None`` where one is the same nowhere."""
    before = after = 0
    for name, part in parts.items():
        for axis in (0, 1):
            span = _middle(part, axis)
            if span is None:
                return None
            ratio = by_population[name][axis]
            if span[0]:
                before = max(before, math.floor((span[0] - 1) / ratio) + 1)
            after = max(after, extents[axis] - math.floor(span[1] / ratio))
    return Halo(before, after)


def _middle(part: Part, axis: int) -> tuple[int, int] | None:
    """First and last (excluded) row or column of the same neurons around the middle, where none differs."""
    rows, columns = part.same.shape
    middle = part.same[:, columns // 2] if axis == 0 else part.same[rows // 2]
    wrong = np.flatnonzero(~middle)
    half = middle.size // 2
    if wrong.size and half in wrong:
        return None
    first = int(wrong[wrong < half].max(initial=-1)) + 1
    last = int(wrong[wrong > half].min(initial=middle.size))
    inner = part.same[first:last] if axis == 0 else part.same[:, first:last]
    return (first, last) if inner.any() else None


def _least(tile: Network, by_population: Ratios) -> Halo:
    """Pixels of the image at the end for which some population has none."""
    missing = (
        whole - math.floor(extent / ratio)
        for population in tile.populations
        for extent, whole, ratio in zip(
            population.shape[1:], tile.input.shape[1:], by_population[population.name], strict=True
        )
    )
    return Halo(0, max(missing))
