"""Neurons on named cores: the tiles of this project's mapping, one core for each, in the order of the populations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from snn_deploy.arrays import Int64
from snn_deploy.errors import BackendUnavailableError
from snn_deploy.mapping.fit import map_network
from snn_deploy.mapping.tiling import Tile
from snn_deploy.network.network import Network
from snn_deploy.shapes import Shape
from snn_deploy.targets.load import load_target

TARGET = "loihi1-sanafe"
"""The device that SANA-FE describes: cores of 1024 compartments, two for a neuron that subtracts its threshold."""

CORES = 128
"""Cores of SANA-FE's Loihi."""

NEURONS_PER_CORE = 1024


@dataclass(frozen=True, eq=False)
class Placement:
    """``cores`` (neurons,) int64, the core of each neuron in C order, by population; the first core that is ``free``."""

    cores: Mapping[str, Int64]
    free: int


def place(network: Network, others: int) -> Placement:
    """The tiles of ``network`` on cores, with room for ``others`` more neurons behind them.

    :class:`~snn_deploy.errors.BackendUnavailableError` where they need more than :data:`CORES`.
    """
    mapping = map_network(network, load_target(TARGET))
    if not mapping.is_placed:
        raise BackendUnavailableError(f"sanafe: {', '.join(mapping.unplaced)} does not fit the cores of {TARGET}")
    cores, first = {}, 0
    for layer in mapping.layers:
        if layer.tile is not None:
            cores[layer.layer.name] = first + _number_tiles(layer.layer.shape, layer.tile)
            first += layer.cores
    needed = first + -(-others // NEURONS_PER_CORE)
    if needed > CORES:
        raise BackendUnavailableError(
            f"sanafe: {network.name} needs {needed} cores at {network.input.shape[1]}x{network.input.shape[2]}, SANA-FE's Loihi"
            f" has {CORES}; use a smaller image (--crop)"
        )
    return Placement(cores, first)


def list_cores(architecture: Any) -> list[Any]:
    """Cores of a ``sanafe.Architecture`` by their number here (:func:`number_core`).

    Its tiles follow each other down the columns of the mesh; ours, and so the hops that are estimated, along the rows.
    """
    columns, rows, _ = _mesh()
    tiles = architecture.tiles
    return [core for row in range(rows) for column in range(columns) for core in tiles[column * rows + row].cores]


def number_core(column: int, row: int, offset: int) -> int:
    """The number of core ``offset`` in a tile of the mesh, as :func:`~snn_deploy.mapping.traffic.locate_cores` has it."""
    columns, _, cores = _mesh()
    return (row * columns + column) * cores + offset


@cache
def _mesh() -> tuple[int, int, int]:
    """Columns and rows of the mesh, and cores of one of its tiles."""
    target = load_target(TARGET)
    columns, rows, cores = (target.integer(f"mesh.tile_{what}") for what in ("columns", "rows", "cores"))
    return columns, rows, cores


def _number_tiles(shape: Shape, tile: Tile) -> Int64:
    """The number (neurons,) of the tile in which each neuron of ``shape`` lies."""
    rows, columns = -(-shape[1] // tile.rows), -(-shape[2] // tile.columns)
    axes = np.ogrid[: shape[0], : shape[1], : shape[2]]
    c, y, x = (axis // part for axis, part in zip(axes, (tile.channels, tile.rows, tile.columns), strict=True))
    numbers: Int64 = ((c * rows + y) * columns + x).astype(np.int64).ravel()
    return numbers
