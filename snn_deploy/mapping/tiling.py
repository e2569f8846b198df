"""Tiling one layer over cores: tiles of rows x columns x channels that fit a core's memory.

Loihi 2 (fitted to the tables that Intel's compiler printed for three networks; it reproduces all 21 convolution rows):
the weights of a tile are shared by all its places, one list per input channel and tap,

    words = sum over groups of  I * K_h * K_w * ceil((c * bits + header) / 64)

with one bit more per weight where the stride along x exceeds 1. A map of pixels (interpolation, reflection) has explicit
lists, as dense layers do: one list and one axon for each source neuron that reaches the tile (inferred). Tiles are powers
of two wide, halvings of the height tall, and hold the largest halving of the channels whose words fit.

Loihi 1: reset by subtraction takes two compartments, and such neurons have discrete axons only (NxTF): one input axon
per source neuron that reaches the tile, lists shared by sources that meet the tile in the same way. This model is
derived from the documented memories; it is not checked against a published table.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from snn_deploy.mapping.layout import Layer, SynapseGroup, count_patterns, measure_receptive_field
from snn_deploy.targets.device import Target


@dataclass(frozen=True)
class Use:
    """Use of one resource on a core, and its limit."""

    resource: str
    used: int
    limit: int

    @property
    def fraction(self) -> float:
        """Used over limit; above 1 the tile does not fit."""
        return self.used / self.limit


@dataclass(frozen=True)
class Tile:
    """A core's share of a layer: ``channels`` x ``rows`` x ``columns`` neurons."""

    channels: int
    rows: int
    columns: int

    @property
    def size(self) -> int:
        """Number of neurons."""
        return self.channels * self.rows * self.columns

    def cores(self, layer: Layer) -> int:
        """Tiles that cover ``layer``."""
        channels, rows, columns = layer.shape
        return -(-channels // self.channels) * -(-rows // self.rows) * -(-columns // self.columns)


ONE_NEURON = Tile(1, 1, 1)


def count_synaptic_words(target: Target, layer: Layer, tile: Tile) -> int:
    """Words of synaptic memory of ``tile``."""
    return sum(_words(target, group, layer, tile) for group in layer.groups)


def _words(target: Target, group: SynapseGroup, layer: Layer, tile: Tile) -> int:
    word, header = target.integer("encoding.word_bits"), target.integer("encoding.list_header_bits")
    if group.kind == "dense":
        return _explicit_words(target, group, _count_sources(group, layer, tile), tile.size)
    if group.kind == "pixels":
        share = group.entries * tile.rows * tile.columns / math.prod(layer.shape[1:])
        synapses = math.ceil(share) * tile.channels
        lists = max(min(_count_sources(group, layer, tile), synapses), 1)
        return _explicit_words(target, group, lists, -(-synapses // lists))
    lists, weights = _count_channels(group, layer, tile), min(tile.channels, layer.shape[0] // group.groups)
    if shares_taps(target):
        bits = group.weight_bits + (target.integer("encoding.strided_weight_bits") if group.strides[1] > 1 else 0)
        return lists * math.prod(group.taps) * -(-(weights * bits + header) // word)
    bits = group.weight_bits + target.integer("encoding.dense_index_bits")
    longest = target.integer("encoding.list_synapses_max")
    rows, columns = (
        Counter(count_patterns(group.kind, group.taps[axis], group.strides[axis], group.dilations[axis], length))
        for axis, length in enumerate((tile.rows, tile.columns))
    )
    return lists * sum(
        times_y * times_x * -(-(y * x * weights * bits + header * -(-y * x * weights // longest)) // word)
        for y, times_y in rows.items()
        for x, times_x in columns.items()
    )


def _explicit_words(target: Target, group: SynapseGroup, lists: int, synapses: int) -> int:
    """Words of ``lists`` of ``synapses``, an index beside each weight."""
    bits = group.weight_bits + target.integer("encoding.dense_index_bits")
    header = target.integer("encoding.dense_header_bits")
    return lists * -(-(synapses * bits + header) // target.integer("encoding.word_bits"))


def _count_channels(group: SynapseGroup, layer: Layer, tile: Tile) -> int:
    """Source channels that the channels of ``tile`` read; a map of pixels reads each for itself."""
    groups = group.shape[0] if group.kind == "pixels" else group.groups
    covered = min(groups, -(-tile.channels // (layer.shape[0] // groups)))
    return covered * (group.shape[0] // groups)


def _count_sources(group: SynapseGroup, layer: Layer, tile: Tile) -> int:
    """Source neurons that reach ``tile``.

    For a map of pixels exact where rows and columns are read independently, as by every interpolation; at least as many
    otherwise.
    """
    rows, columns = measure_receptive_field(group, 0, tile.rows), measure_receptive_field(group, 1, tile.columns)
    return _count_channels(group, layer, tile) * rows * columns


def shares_taps(target: Target) -> bool:
    """Whether cores store a convolution's taps once for all pixels (Loihi 2), or a list per distinct set of taps (Loihi 1)."""
    return "encoding.strided_weight_bits" in target.figures


def measure_uses(target: Target, layer: Layer, tile: Tile) -> tuple[Use, ...]:
    """Use of each resource on a core with ``tile``.

    Output axons: at least one for each reader of each pixel, or neuron; on Loihi 2 words, of which the compiler's tables
    confirm one per neuron for dense layers and the host (PilotNet's last convolution, YOLO-KP's output), and one per pixel
    to 3 % of a core's memory. Delay slots: a power of two that holds the longest delay and two more, for each compartment
    (8 are guaranteed, 62 steps need fewer compartments: Davies et al. 2018; the rule itself is inferred).
    """
    neurons = tile.size * target.integer("limits.compartments_per_neuron")
    words = count_synaptic_words(target, layer, tile)
    measured = [
        Use("neurons", neurons, target.integer("limits.neurons_per_core")),
        Use("synaptic words", words, target.integer("limits.synaptic_memory_words")),
        Use("input axons", _input_axons(target, layer, tile), target.integer("limits.input_axons_per_core")),
    ]
    axons = (tile.size if layer.by_neuron or not shares_taps(target) else tile.rows * tile.columns) * layer.readers
    if "limits.output_axons_per_core" in target.figures:
        measured.append(Use("output axons", axons, target.integer("limits.output_axons_per_core")))
    if _is_own(target, "limits.delay_slots_per_core"):
        slots = neurons * (1 << (layer.delay + 1).bit_length())
        measured.append(Use("delay slots", slots, target.integer("limits.delay_slots_per_core")))
    if "limits.core_memory_words" in target.figures:
        total = neurons + words + axons
        measured.append(Use("core memory words", total, target.integer("limits.core_memory_words")))
    return tuple(measured)


def _is_own(target: Target, key: str) -> bool:
    """Whether ``target`` has the number, and not from another chip: delays of Loihi 2 have no published memory."""
    return key in target.figures and target.figures[key].basis != "inherited"


def _input_axons(target: Target, layer: Layer, tile: Tile) -> int:
    """Loihi 2: one per group, or per source neuron of explicit lists. Loihi 1: one per source neuron that reaches the tile."""
    return sum(
        1 if shares_taps(target) and group.kind in ("conv", "transposed") else _count_sources(group, layer, tile)
        for group in layer.groups
    )


def fits(target: Target, layer: Layer, tile: Tile) -> bool:
    """Whether ``tile`` fits a core."""
    return all(use.used <= use.limit for use in measure_uses(target, layer, tile))


def choose_tile(target: Target, layer: Layer) -> Tile | None:
    """The tile the compiler would choose; ``None`` where not even one neuron fits a core.

    On Loihi 2 the largest block of channels that fits anywhere, then the fewest cores, then the shortest border. On
    Loihi 1 the fewest cores of all tiles.
    """
    if not shares_taps(target):
        return choose_free_tile(target, layer)
    for channels in list_splits(layer.shape[0]) if layer.dense else _halvings(layer.shape[0]):
        candidates = [
            tile
            for columns in _powers_of_two(layer.shape[2])
            for rows in _halvings(layer.shape[1])
            if fits(target, layer, tile := Tile(channels, rows, columns))
        ]
        if candidates:
            return min(candidates, key=lambda tile: (tile.cores(layer), tile.rows + tile.columns, tile.size))
    return None


def choose_free_tile(target: Target, layer: Layer) -> Tile | None:
    """The tile that needs fewest cores when its sides are free: a lower bound for rectangular tiles.

    For each block of channels and width the tallest tile that fits is found by bisection: what a core uses never falls
    when a tile grows. Widths that cannot win even with cores full of neurons are passed over.
    """
    per_core = target.integer("limits.neurons_per_core") // target.integer("limits.compartments_per_neuron")
    best: tuple[tuple[int, int], Tile] | None = None
    for channels in list_splits(layer.shape[0]):
        for columns in list_splits(layer.shape[2]):
            fullest = min(per_core // (channels * columns), layer.shape[1])
            if fullest < 1 or (
                best is not None and Tile(channels, fullest, columns).cores(layer) > best[1].cores(layer)
            ):
                continue
            tallest = _count_rows(target, layer, channels, columns, fullest)
            if not tallest:
                continue
            even = -(-layer.shape[1] // -(-layer.shape[1] // tallest))
            tile = Tile(channels, even, columns)
            rank = tile.cores(layer), tile.rows + tile.columns
            if best is None or rank < best[0]:
                best = rank, tile
    return None if best is None else best[1]


def _count_rows(target: Target, layer: Layer, channels: int, columns: int, most: int) -> int:
    """The most rows, up to ``most``, of which a tile of ``channels`` and ``columns`` fits; 0 where not even one does."""
    heights = range(1, most + 1)
    return bisect_left(heights, True, key=lambda rows: not fits(target, layer, Tile(channels, rows, columns)))


def bound_cores(target: Target, layer: Layer) -> int:
    """Lower bound of the cores of any mapping: neurons over neurons per core."""
    per_core = target.integer("limits.neurons_per_core") // target.integer("limits.compartments_per_neuron")
    return -(-layer.size // per_core)


def _halvings(length: int) -> list[int]:
    """``ceil(length / 2**j)`` from ``length`` down to 1."""
    sizes = [length]
    while sizes[-1] > 1:
        sizes.append(-(-sizes[-1] // 2))
    return sizes


def _powers_of_two(length: int) -> Iterator[int]:
    """1, 2, 4, ... up to the first that reaches ``length``: the compiler reserves whole powers of two."""
    size = 1
    while size < length:
        yield size
        size *= 2
    yield size


def list_splits(length: int) -> list[int]:
    """Distinct ``ceil(length / n)``, largest first."""
    return sorted({-(-length // parts) for parts in range(1, length + 1)}, reverse=True)
