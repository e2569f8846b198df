"""Placement of the cores, the load of each, and the messages between them.

Cores are numbered population by population in network order, within one by channels, then rows, then columns of tiles,
and fill chip after chip; on a chip they fill tile after tile of the mesh, row by row. An event becomes one message per
core that it reaches, so a pixel on the border of a tile is sent twice (visible in Loihi 2's counters of axon_out).

Where cores share a convolution's taps (Loihi 2), all cores of a population hold the grid of a whole tile: the neurons beyond the
map's edge pad it, are updated and receive what reaches them, as the chip's counters show (PilotNet, lava-dl's benchmark
notebook: two layers of partial tiles have 4 and 5 % more operations than without). They send nothing. Pixel maps and dense layers
have explicit lists, without.

Per axis everything follows from where taps land: a source row reaches the row tiles on which its taps land, a source
channel the blocks of channels to which it has a non-zero weight. Messages are exact where no tap is zero for a whole
block of channels, and an upper bound otherwise. Hops are those between mesh tiles, weighted by the events of each
source tile as if spread evenly within it. A map of pixels is followed pixel by pixel instead, so both are exact.
"""

from __future__ import annotations

import math
from collections.abc import Mapping as MappingType
from dataclasses import dataclass

import numpy as np

from snn_deploy.activity.activity import Activity
from snn_deploy.activity.synapses import locate_targets
from snn_deploy.arrays import Bool, Float64, Int32, Int64
from snn_deploy.errors import TargetError
from snn_deploy.mapping.fit import Mapping
from snn_deploy.mapping.tiling import Tile, shares_taps
from snn_deploy.network.kernels import ConvKernel, Kernel, SpatialKernel, TransposedKernel
from snn_deploy.network.network import Connection, Network
from snn_deploy.shapes import Shape
from snn_deploy.targets.device import Target


@dataclass(frozen=True)
class Block:
    """The cores of one population: the first one's number and the tiles along (C, H, W).

    ``padded``: every core holds a whole ``tile``, of which some neurons may lie beyond the map.
    """

    first: int
    tile: Tile
    grid: Shape
    padded: bool = False

    @property
    def cores(self) -> slice:
        """Their numbers."""
        return slice(self.first, self.first + math.prod(self.grid))

    def covered(self, shape: Shape) -> Shape:
        """What the cores of a population of ``shape`` hold together: more where tiles are padded."""
        if not self.padded:
            return shape
        channels, rows, columns = (part * number for part, number in zip(_sides(self.tile), self.grid, strict=True))
        return channels, rows, columns


@dataclass(frozen=True)
class Messages:
    """Messages of one connection per image: all, the hops of those that stay on their chip, and those that cross chips.

    Messages from the host are neither: where they enter the mesh is not known.
    """

    connection: str
    sent: float
    hops_ew: float
    hops_ns: float
    within_chips: float
    between_chips: float


@dataclass(frozen=True, eq=False)
class Traffic:
    """``operations`` (cores,) float64: synaptic operations per image on each core; ``neurons`` (cores,) int64 on it.

    ``loads``: the operations by connection, each on the cores of its target.
    """

    blocks: MappingType[str, Block]
    operations: Float64
    loads: MappingType[str, Float64]
    neurons: Int64
    messages: tuple[Messages, ...]

    @property
    def between_chips(self) -> float:
        """Messages per image that cross chips."""
        return sum(messages.between_chips for messages in self.messages)

    @property
    def within_chips(self) -> float:
        """Messages per image from core to core of one chip."""
        return sum(messages.within_chips for messages in self.messages)

    def count_neurons(self, population: str) -> int:
        """Neurons on the cores of ``population``, with those that pad its tiles."""
        return int(self.neurons[self.blocks[population].cores].sum())

    def sent(self, connection: str) -> Messages:
        """The messages of one connection."""
        return next(messages for messages in self.messages if messages.connection == connection)


def place_layers(mapping: Mapping, target: Target) -> dict[str, Block]:
    """The cores of each population; :class:`TargetError` for a population that does not fit a core."""
    blocks, first = {}, 0
    for mapped in mapping.layers:
        if mapped.tile is None:
            raise TargetError(
                f"{mapped.layer.name}: not even one neuron fits a core of {mapping.target}, so cores cannot be placed: "
                + "; ".join(problem.text for problem in mapping.problems)
            )
        channels, rows, columns = mapped.layer.shape
        shared = any(group.kind in ("conv", "transposed") for group in mapped.layer.groups)
        padded = shared and shares_taps(target)
        tile = mapped.tile
        if not padded:
            tile = Tile(min(tile.channels, channels), min(tile.rows, rows), min(tile.columns, columns))
        grid = -(-channels // tile.channels), -(-rows // tile.rows), -(-columns // tile.columns)
        blocks[mapped.layer.name] = Block(first, tile, grid, padded)
        first += math.prod(grid)
    return blocks


def measure_traffic(network: Network, activity: Activity, mapping: Mapping, target: Target) -> Traffic:
    """Operations of every core and messages of every connection, for the mean image of ``activity``."""
    blocks = place_layers(mapping, target)
    operations = np.zeros(mapping.cores)
    neurons = np.zeros(mapping.cores, np.int64)
    messages = []
    loads: dict[str, Float64] = {}
    for population in network.populations[1:]:
        block = blocks[population.name]
        covered = block.covered(population.shape)
        sizes = [_sizes(length, part) for length, part in zip(covered, _sides(block.tile), strict=True)]
        neurons[block.cores] = np.einsum("c,y,x->cyx", *sizes).ravel()
        for connection in network.incoming(population.name):
            mean = activity.population(connection.source).mean
            load = _operations(connection.kernel, mean, covered, block.tile).ravel()
            loads[connection.name] = load
            operations[block.cores] += load
            messages.append(_messages(network, connection, mean, blocks, target))
    return Traffic(blocks, operations, loads, neurons, tuple(messages))


def measure_operations(kernel: Kernel, events: Int32, shape: Shape, tile: Tile) -> Float64:
    """Operations (steps, cores of the target) float64 of ``events`` (steps, C, H, W) in the tiles of a target of ``shape``.

    The same numbers as in :class:`Traffic`, step by step: sums over the columns, then the rows, that reach a tile.
    """
    if isinstance(kernel, SpatialKernel):
        return np.stack([_operations(kernel, maps.astype(np.float64), shape, tile).ravel() for maps in events])
    taps = _taps_per_block(kernel, tile.channels)
    landed = locate_targets(kernel, (events.shape[1], events.shape[2], events.shape[3]), (shape[1], shape[2]))
    rows = _landings(landed[0], tile.rows, -(-shape[1] // tile.rows))
    columns = _landings(landed[1], tile.columns, -(-shape[2] // tile.columns))
    weights = taps.transpose(0, 2, 3, 1).reshape(taps.shape[0], -1).astype(np.float64)
    found = []
    for maps in events:
        narrow = np.matmul(maps.astype(np.float64), columns.reshape(columns.shape[0], -1))  # (C, H, K_w tiles)
        small = np.matmul(rows.reshape(rows.shape[0], -1).T, narrow)  # (C, K_h tiles, K_w tiles)
        parts = small.reshape(-1, *rows.shape[1:], *columns.shape[1:]).transpose(1, 3, 0, 2, 4)
        found.append((weights @ parts.reshape(weights.shape[1], -1)).ravel())
    return np.stack(found)


def _landings(landed: Int64, part: int, tiles: int) -> Float64:
    """1 where a source row (or column) reaches a tile under a tap: (H, K, tiles) float64 from its targets (K, H)."""
    met = np.zeros((landed.shape[1], landed.shape[0], tiles))
    taps, places = np.nonzero(landed >= 0)
    met[places, taps, landed[taps, places] // part] = 1
    return met


def _sides(tile: Tile) -> Shape:
    return tile.channels, tile.rows, tile.columns


def _sizes(length: int, part: int) -> Int64:
    """Lengths of the parts of an axis of ``length`` cut every ``part``."""
    return np.diff(np.append(np.arange(0, length, part), length))


def _taps_per_block(kernel: ConvKernel | TransposedKernel, part: int) -> Int64:
    """Non-zero weights (blocks, C_in, K_h, K_w) int64 from channels into blocks of ``part`` channels."""
    used = kernel.weight != 0
    if isinstance(kernel, TransposedKernel):
        by_group = used.reshape(kernel.groups, len(used) // kernel.groups, *used.shape[1:])
        used = np.concatenate(by_group.swapaxes(1, 2))
    outputs, inputs = used.shape[:2]
    counts = np.zeros((-(-outputs // part), inputs * kernel.groups, *used.shape[2:]), np.int64)
    for output in range(outputs):
        group = output // (outputs // kernel.groups)
        counts[output // part, group * inputs : (group + 1) * inputs] += used[output]
    return counts


def _operations(kernel: Kernel, mean: Float64, shape: Shape, tile: Tile) -> Float64:
    """Operations (blocks, row tiles, column tiles) float64 of ``mean`` events (C, H, W) in the tiles that cover ``shape``."""
    if isinstance(kernel, SpatialKernel):
        places = np.zeros((mean.shape[0], kernel.indptr.size - 1))
        connected = kernel.data != 0
        np.add.at(places.T, kernel.rows[connected], mean.reshape(mean.shape[0], -1).T[kernel.indices[connected]])
        per_block = _summed(places, tile.channels, 0)
        shape = mean.shape[0], *kernel.output_size
    else:
        taps = _taps_per_block(kernel, tile.channels).astype(np.float64)
        rows, columns = locate_targets(kernel, (mean.shape[0], mean.shape[1], mean.shape[2]), (shape[1], shape[2]))
        if not any(mean.strides):  # one value everywhere: the channels can be summed first
            taps, mean = taps.sum(1, keepdims=True), mean[:1]
        per_block = np.zeros((taps.shape[0], *shape[1:]))
        for h, target_rows in enumerate(rows):
            for w, target_columns in enumerate(columns):
                (y, to_y), (x, to_x) = _progressions(target_rows), _progressions(target_columns)
                per_block[:, to_y, to_x] += np.tensordot(taps[:, :, h, w], mean[:, y, x], 1)
    maps = per_block.reshape(-1, *shape[1:])
    return _summed(_summed(maps, tile.rows, 1), tile.columns, 2)


def _progressions(landed: Int64) -> tuple[slice, slice]:
    """Places of an axis that reach the target under one tap, and where they land: both are evenly spaced."""
    places = np.flatnonzero(landed >= 0)
    return _slice(places), _slice(landed[places])


def _slice(values: Int64) -> slice:
    """Evenly spaced ``values`` as a slice."""
    if values.size == 0:
        return slice(0, 0)
    step = int(values[1] - values[0]) if values.size > 1 else 1
    return slice(int(values[0]), int(values[-1]) + 1, step)


def _summed(values: Float64, part: int, axis: int) -> Float64:
    """Sums over runs of ``part`` along ``axis``."""
    return np.add.reduceat(values, np.arange(0, values.shape[axis], part), axis=axis)


def _reach(landed: Int64, part: int, tiles: int) -> Bool:
    """Whether each source row (or column) reaches each tile: (H, tiles) bool from its targets (K, H)."""
    reached = np.zeros((landed.shape[1], tiles), bool)
    taps, places = np.nonzero(landed >= 0)
    reached[places, landed[taps, places] // part] = True
    return reached


def _talks(kernel: ConvKernel | TransposedKernel, tile: Tile) -> Bool:
    """(blocks, C_in) bool: whether a source channel has a non-zero weight into a block of channels."""
    return np.asarray(_taps_per_block(kernel, tile.channels).any((2, 3)))


def count_messages(kernel: Kernel, source: Shape, target: Shape, tile: Tile) -> Int64:
    """Messages (C, H, W) int64 that one event of each source neuron becomes when ``target`` is cut into ``tile``."""
    grid = -(-target[0] // tile.channels), -(-target[1] // tile.rows), -(-target[2] // tile.columns)
    if isinstance(kernel, SpatialKernel):
        pixels, _ = _pixel_pairs(kernel, tile, grid)
        reached = np.bincount(pixels, minlength=source[1] * source[2]).astype(np.int64)
        return np.broadcast_to(reached.reshape(1, *source[1:]), source)
    rows, columns = locate_targets(kernel, source)
    blocks = np.count_nonzero(_talks(kernel, tile), axis=0)
    met = [
        _reach(landed, part, tiles).sum(1)
        for landed, part, tiles in ((rows, tile.rows, grid[1]), (columns, tile.columns, grid[2]))
    ]
    messages: Int64 = np.einsum("c,y,x->cyx", blocks.astype(np.int64), *met)
    return messages


def _pixel_pairs(kernel: SpatialKernel, tile: Tile, grid: Shape) -> tuple[Int64, Int64]:
    """Every source pixel with every tile along (H, W) that it reaches: two lists of the same length."""
    width, connected = kernel.output_size[1], kernel.data != 0
    rows, columns = kernel.rows[connected] // width, kernel.rows[connected] % width
    tiles = grid[1] * grid[2]
    key = kernel.indices[connected] * tiles + rows // tile.rows * grid[2] + columns // tile.columns
    pairs = np.unique(key)
    return pairs // tiles, pairs % tiles


def _messages(
    network: Network,
    connection: Connection,
    mean: Float64,
    blocks: MappingType[str, Block],
    target: Target,
) -> Messages:
    source, end = network.population(connection.source), network.population(connection.target)
    fan = count_messages(connection.kernel, source.shape, end.shape, blocks[end.name].tile)
    sent = float(np.einsum("cyx,cyx->", mean, fan))
    if source.neuron is None:
        return Messages(connection.name, sent, 0.0, 0.0, 0.0, 0.0)
    here, there = blocks[source.name], blocks[end.name]
    if isinstance(connection.kernel, SpatialKernel):
        begin, finish, weight = _pixel_routes(connection.kernel, mean, here, there)
    else:
        begin, finish, weight = _routes(connection.kernel, mean, here, there)
    return _hops(connection.name, begin + here.first, finish + there.first, weight, target, sent)


Routes = tuple[Int64, Int64, Float64]
"""Core within its block, core within the other block, and events from the one to the other: three lists."""


def _pixel_routes(kernel: SpatialKernel, events: Float64, here: Block, there: Block) -> Routes:
    """All pairs of tiles of which one holds a pixel that the other reads; a channel talks to itself only."""
    pixels, ends = _pixel_pairs(kernel, there.tile, there.grid)
    width = kernel.input_size[1]
    starts = pixels // width // here.tile.rows * here.grid[2] + pixels % width // here.tile.columns
    starts_grid, ends_grid = here.grid[1] * here.grid[2], there.grid[1] * there.grid[2]
    routes, of_route = np.unique(starts * ends_grid + ends, return_inverse=True)
    channels = np.arange(events.shape[0])
    blocks, first = np.unique(
        np.stack([channels // here.tile.channels, channels // there.tile.channels]), axis=1, return_index=True
    )
    per_block = np.add.reduceat(events.reshape(events.shape[0], -1), np.sort(first), axis=0)
    weight: Float64 = np.stack([np.bincount(of_route, block[pixels], routes.size) for block in per_block]).astype(float)
    begin = blocks[0][:, None] * starts_grid + routes // ends_grid
    finish = blocks[1][:, None] * ends_grid + routes % ends_grid
    return begin.ravel(), finish.ravel(), weight.ravel()


def _routes(kernel: ConvKernel | TransposedKernel, events: Float64, here: Block, there: Block) -> Routes:
    """All pairs of tiles that talk, with the events of the one as if they were spread evenly within it."""
    source: Shape = (events.shape[0], events.shape[1], events.shape[2])
    rows, columns = locate_targets(kernel, source)
    reach = (
        _talks(kernel, there.tile).T,
        _reach(rows, there.tile.rows, there.grid[1]),
        _reach(columns, there.tile.columns, there.grid[2]),
    )
    pairs = []
    for table, part in zip(reach, _sides(here.tile), strict=True):
        share = _summed(table.astype(np.float64), part, 0)
        talk = np.nonzero(share)
        pairs.append((*talk, share[talk] / _sizes(table.shape[0], part)[talk[0]]))
    begin = _index([axis[0] for axis in pairs], here.grid)
    finish = _index([axis[1] for axis in pairs], there.grid)
    per_tile = _summed(_summed(_summed(events, here.tile.channels, 0), here.tile.rows, 1), here.tile.columns, 2)
    weight = np.einsum("c,y,x->cyx", *(axis[2] for axis in pairs)).ravel() * per_tile.ravel()[begin]
    return begin, finish, weight


def _hops(name: str, begin: Int64, finish: Int64, weight: Float64, target: Target, sent: float) -> Messages:
    """Distances between cores ``begin`` and ``finish``, weighted; scaled to ``sent`` messages in all."""
    if not weight.sum():
        return Messages(name, sent, 0.0, 0.0, 0.0, 0.0)
    first, last = locate_cores(target, begin), locate_cores(target, finish)
    same = first[0] == last[0]
    scale = sent / weight.sum()
    return Messages(
        name,
        sent,
        float((weight * same * np.abs(first[1] - last[1])).sum() * scale),
        float((weight * same * np.abs(first[2] - last[2])).sum() * scale),
        float((weight * same).sum() * scale),
        float((weight * ~same).sum() * scale),
    )


def _index(axes: list[Int64], grid: Shape) -> Int64:
    """Core numbers within a block for every combination of three lists of tile indices."""
    index = (axes[0][:, None, None] * grid[1] + axes[1][None, :, None]) * grid[2] + axes[2][None, None, :]
    return np.asarray(index.ravel(), np.int64)


def locate_cores(target: Target, core: Int64) -> tuple[Int64, Int64, Int64]:
    """Chip, mesh column and mesh row of each core number."""
    per_chip = target.integer("limits.cores_per_chip")
    tile = core % per_chip // target.integer("mesh.tile_cores")
    columns = target.integer("mesh.tile_columns")
    return core // per_chip, tile % columns, tile // columns
