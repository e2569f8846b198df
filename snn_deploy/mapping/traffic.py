"""Placement of the cores, the load of each, and the messages between them.

Cores are numbered population by population in network order, within one by channels, then rows, then columns of tiles. They
fill chip after chip, except where a population begins one (:mod:`snn_deploy.mapping.borders`); on a chip they fill tile after tile
of the mesh, row by row. An event becomes one message per
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
from snn_deploy.arrays import Bool, Float64, Int64
from snn_deploy.errors import TargetError
from snn_deploy.mapping.fit import Mapping
from snn_deploy.mapping.operations import count_operations, count_taps, sum_parts
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
    blocks, places = place_layers(mapping, target), list_places(mapping)
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
            load = count_operations(connection.kernel, mean, covered, block.tile).ravel()
            loads[connection.name] = load
            operations[block.cores] += load
            messages.append(_messages(network, connection, mean, blocks, places, target))
    return Traffic(blocks, operations, loads, neurons, tuple(messages))


def _sides(tile: Tile) -> Shape:
    return tile.channels, tile.rows, tile.columns


def _sizes(length: int, part: int) -> Int64:
    """Lengths of the parts of an axis of ``length`` cut every ``part``."""
    return np.diff(np.append(np.arange(0, length, part), length))


def _reach(landed: Int64, part: int, tiles: int) -> Bool:
    """Whether each source row (or column) reaches each tile: (H, tiles) bool from its targets (K, H)."""
    reached = np.zeros((landed.shape[1], tiles), bool)
    taps, places = np.nonzero(landed >= 0)
    reached[places, landed[taps, places] // part] = True
    return reached


def _talks(kernel: ConvKernel | TransposedKernel, tile: Tile) -> Bool:
    """(blocks, C_in) bool: whether a source channel has a non-zero weight into a block of channels."""
    return np.asarray(count_taps(kernel, tile.channels).any((2, 3)))


def count_messages(kernel: Kernel, source: Shape, target: Shape, tile: Tile) -> Int64:
    """Messages (C, H, W) int64 that one event of each source neuron becomes when ``target`` is cut into ``tile``."""
    if isinstance(kernel, SpatialKernel):
        pixels, _ = _pixel_pairs(kernel, tile, _grid(target, tile))
        reached = np.bincount(pixels, minlength=source[1] * source[2]).astype(np.int64)
        return np.broadcast_to(reached.reshape(1, *source[1:]), source)
    messages: Int64 = np.einsum("c,y,x->cyx", *_count_met(kernel, source, target, tile))
    return messages


def mean_messages(kernel: Kernel, source: Shape, target: Shape, tile: Tile) -> float:
    """The mean of :func:`count_messages` over the source's neurons."""
    if isinstance(kernel, SpatialKernel):
        return _pixel_pairs(kernel, tile, _grid(target, tile))[0].size / (source[1] * source[2])
    return math.prod(float(met.mean()) for met in _count_met(kernel, source, target, tile))


def _grid(target: Shape, tile: Tile) -> Shape:
    channels, rows, columns = (-(-length // part) for length, part in zip(target, _sides(tile), strict=True))
    return channels, rows, columns


def _count_met(
    kernel: ConvKernel | TransposedKernel, source: Shape, target: Shape, tile: Tile
) -> tuple[Int64, Int64, Int64]:
    """Along each axis the tiles that each source channel, row and column reaches."""
    grid = _grid(target, tile)
    rows, columns = locate_targets(kernel, source)
    blocks = np.count_nonzero(_talks(kernel, tile), axis=0).astype(np.int64)
    return blocks, _reach(rows, tile.rows, grid[1]).sum(1), _reach(columns, tile.columns, grid[2]).sum(1)


def _pixel_pairs(kernel: SpatialKernel, tile: Tile, grid: Shape) -> tuple[Int64, Int64]:
    """Every source pixel with every tile along (H, W) that it reaches: two lists of the same length."""
    width, connected = kernel.output_size[1], kernel.data != 0
    rows, columns = kernel.rows[connected] // width, kernel.rows[connected] % width
    tiles = grid[1] * grid[2]
    key = kernel.indices[connected] * tiles + rows // tile.rows * grid[2] + columns // tile.columns
    pairs = np.unique(key)
    return pairs // tiles, pairs % tiles


def list_places(mapping: Mapping) -> Int64:
    """The place (cores,) int64 of each core, counted chip after chip."""
    sizes = [layer.cores for layer in mapping.layers]
    firsts = np.cumsum([0, *sizes[:-1]])
    places: Int64 = np.arange(sum(sizes)) + np.repeat(np.asarray(mapping.places) - firsts, sizes)
    return places


def list_routes(network: Network, activity: Activity, mapping: Mapping, target: Target) -> tuple[Int64, Int64, Float64]:
    """Sending core, receiving core, and messages per image: three lists, of all connections between populations."""
    blocks = place_layers(mapping, target)
    found = [
        _routes_of(network, connection, activity.population(connection.source).mean, blocks)
        for connection in network.connections
        if connection.source != network.input.name
    ]
    begin, finish, weight = (np.concatenate(each) for each in zip(*found, strict=True))
    return begin, finish, weight


def _messages(
    network: Network,
    connection: Connection,
    mean: Float64,
    blocks: MappingType[str, Block],
    places: Int64,
    target: Target,
) -> Messages:
    if connection.source == network.input.name:
        return Messages(connection.name, _count_sent(network, connection, mean, blocks), 0.0, 0.0, 0.0, 0.0)
    begin, finish, weight = _routes_of(network, connection, mean, blocks)
    return _hops(connection.name, places[begin], places[finish], weight, target)


def _count_sent(network: Network, connection: Connection, mean: Float64, blocks: MappingType[str, Block]) -> float:
    source, end = network.population(connection.source), network.population(connection.target)
    fan = count_messages(connection.kernel, source.shape, end.shape, blocks[end.name].tile)
    return float(np.einsum("cyx,cyx->", mean, fan))


def _routes_of(network: Network, connection: Connection, mean: Float64, blocks: MappingType[str, Block]) -> Routes:
    """Routes between core numbers, with as many messages in all as are sent."""
    here, there = blocks[connection.source], blocks[connection.target]
    if isinstance(connection.kernel, SpatialKernel):
        begin, finish, weight = _pixel_routes(connection.kernel, mean, here, there)
    else:
        begin, finish, weight = _routes(connection.kernel, mean, here, there)
    total = weight.sum()
    scaled: Float64 = weight * (_count_sent(network, connection, mean, blocks) / total) if total else weight
    return begin + here.first, finish + there.first, scaled


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
        share = sum_parts(table.astype(np.float64), part, 0)
        talk = np.nonzero(share)
        pairs.append((*talk, share[talk] / _sizes(table.shape[0], part)[talk[0]]))
    begin = _index([axis[0] for axis in pairs], here.grid)
    finish = _index([axis[1] for axis in pairs], there.grid)
    per_tile = sum_parts(sum_parts(sum_parts(events, here.tile.channels, 0), here.tile.rows, 1), here.tile.columns, 2)
    weight = np.einsum("c,y,x->cyx", *(axis[2] for axis in pairs)).ravel() * per_tile.ravel()[begin]
    return begin, finish, weight


def _hops(name: str, begin: Int64, finish: Int64, weight: Float64, target: Target) -> Messages:
    """Messages by the distance of places ``begin`` and ``finish``."""
    first, last = locate_cores(target, begin), locate_cores(target, finish)
    same = first[0] == last[0]
    return Messages(
        name,
        float(weight.sum()),
        float((weight * same * np.abs(first[1] - last[1])).sum()),
        float((weight * same * np.abs(first[2] - last[2])).sum()),
        float((weight * same).sum()),
        float((weight * ~same).sum()),
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
