"""Tiles of any size, so that fewer cores are needed, or that no core waits long for another.

The compiler's rule (:mod:`snn_deploy.mapping.tiling`) cuts columns into powers of two and rows into halves; nothing known of
the chip asks for that, so a tool of its own may cut as it likes. A cut of a layer takes as long as its busiest core::

    time = operations of the busiest tile t_syn + neurons of a tile T t_neuron

More cores than the fewest are spent one layer after the other. One at a time, an image takes the sum over layers: for the one
that saves most by core. In a stream, steps are as long as the slowest layer takes: for that one. Of the cuts that are as good,
every layer gets the one to which fewest messages are sent, and the borders of chips are put where fewest messages cross
(:mod:`snn_deploy.mapping.borders`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TypeAlias

from snn_deploy.activity.activity import Activity
from snn_deploy.arrays import Float64
from snn_deploy.errors import TargetError
from snn_deploy.mapping.borders import choose_borders
from snn_deploy.mapping.fit import LayerMapping, Mapping, judge
from snn_deploy.mapping.layout import Layer
from snn_deploy.mapping.operations import map_operations, sum_parts
from snn_deploy.mapping.tiling import Tile, choose_free_tile, fits, list_splits, measure_uses, shares_taps
from snn_deploy.mapping.traffic import mean_messages
from snn_deploy.network.network import Network
from snn_deploy.targets.device import Target

SLACK = 0.02
"""How much longer a layer may take to be sent fewer messages."""

NOTE = "tiles of any size, not those that Intel's compiler would choose"
"""Warning of such a mapping."""


@dataclass(frozen=True)
class Cut:
    """A layer in tiles of one size on ``cores`` cores, the busiest of which takes ``time_ns`` for an image."""

    tile: Tile
    cores: int
    time_ns: float


Cuts: TypeAlias = Callable[[str, int], Sequence[Cut]]
"""The cuts of a layer, by its name, on at most so many more cores than the fewest; the first is on the fewest."""


def balance(
    network: Network, mapping: Mapping, target: Target, activity: Activity, more: float, *, streamed: bool = False
) -> Mapping:
    """``mapping`` of ``network`` with tiles of any size, on the fewest cores or at most ``more`` (a share) than these.

    One that leaves out a layer stays as it is. :class:`TargetError` for chips whose tiles have any size anyway.
    """
    if not shares_taps(target):
        raise TargetError(f"target {target.name}: its tiles have any size already; leave the balance out")
    if not mapping.is_placed:
        return mapping
    tiles = {layer.layer.name: _fewest(target, layer.layer) for layer in mapping.layers}
    left = math.floor(more * sum(tiles[layer.layer.name].cores(layer.layer) for layer in mapping.layers))
    if left:
        tiles |= _choose_tiles(network, mapping, target, activity, left, streamed)
    layers = tuple(_placed(layer, tiles[layer.layer.name], target) for layer in mapping.layers)
    placed = replace(mapping, layers=layers, warnings=(*mapping.warnings, NOTE))
    return judge(choose_borders(network, activity, placed, target), target)


def _choose_tiles(
    network: Network, mapping: Mapping, target: Target, activity: Activity, left: int, streamed: bool
) -> dict[str, Tile]:
    """Tiles with ``left`` more cores than the fewest."""
    layers = {layer.layer.name: layer.layer for layer in mapping.layers}

    @cache
    def operations(name: str) -> Float64:
        return map_operations(network, activity, name)

    @cache
    def cuts(name: str, most: int) -> tuple[Cut, ...]:
        return list_cuts(layers[name], operations(name), target, most, network.steps)

    chosen = (_spend_on_slowest if streamed else _spend_on_best)(tuple(layers), cuts, left)
    slowest = max(cut.time_ns for cut in chosen.values())
    tiles = {}
    for name, cut in chosen.items():
        limit = (slowest if streamed else cut.time_ns) * (1 + SLACK)
        more = 0 if cut.cores == cuts(name, 0)[0].cores else left
        as_good = [each.tile for each in cuts(name, more) if each.cores <= cut.cores and each.time_ns <= limit]
        tiles[name] = min(as_good, key=partial(_arriving, network, activity, name))
    return tiles


def _placed(mapped: LayerMapping, tile: Tile, target: Target) -> LayerMapping:
    return replace(mapped, tile=tile, uses=measure_uses(target, mapped.layer, tile))


def _fewest(target: Target, layer: Layer) -> Tile:
    tile = choose_free_tile(target, layer)
    if tile is None:
        raise TargetError(f"{layer.name}: not even one neuron fits a core of {target.name}")
    return tile


def list_cuts(layer: Layer, operations: Float64, target: Target, most: int, steps: int) -> tuple[Cut, ...]:
    """All cuts of ``layer`` into even tiles, from the fewest cores that hold it to ``most`` more.

    ``operations`` (C, H, W) float64 at each neuron for an image, whose membranes are updated in ``steps`` steps.
    """
    synapse, neuron = (target.quantity(f"time.{key}").value for key in ("synapse_ns", "neuron_ns"))
    fewest = _fewest(target, layer).cores(layer)
    allowed, found = range(fewest, fewest + most + 1), []
    for tile, busiest in _list_tiles(layer, operations, allowed):
        if fits(target, layer, tile):
            found.append(Cut(tile, tile.cores(layer), busiest * synapse + tile.size * steps * neuron))
    return tuple(found)


def _list_tiles(layer: Layer, operations: Float64, allowed: range) -> Iterator[tuple[Tile, float]]:
    """Even tiles on ``allowed`` numbers of cores, and the operations of the busiest; summed axis by axis, to sum little twice."""
    channels, rows, columns = (list_splits(length) for length in layer.shape)
    for c in channels:
        blocks = sum_parts(operations, c, 0)
        for r in rows:
            widths = [x for x in columns if Tile(c, r, x).cores(layer) in allowed]
            lines = sum_parts(blocks, r, 1) if widths else blocks
            for x in widths:
                yield Tile(c, r, x), float(sum_parts(lines, x, 2).max())


def select_front(cuts: Sequence[Cut]) -> tuple[Cut, ...]:
    """Those of ``cuts`` that take less time than all with as many or fewer cores, fewest cores first."""
    front: list[Cut] = []
    for cut in sorted(cuts, key=lambda cut: (cut.cores, cut.time_ns)):
        if not front or cut.time_ns < front[-1].time_ns:
            front.append(cut)
    return tuple(front)


def _arriving(network: Network, activity: Activity, name: str, tile: Tile) -> float:
    """Messages per image to population ``name`` in tiles of ``tile``, as if the events of a map were spread evenly."""
    shape = network.population(name).shape
    return sum(
        int(activity.population(connection.source).events.sum())
        * mean_messages(connection.kernel, network.population(connection.source).shape, shape, tile)
        for connection in network.incoming(name)
    )


def _spend_on_slowest(names: Sequence[str], cuts: Cuts, left: int) -> dict[str, Cut]:
    """``left`` more cores than the fewest: always for the slowest layer, as long as they last."""
    most, chosen = left, {name: select_front(cuts(name, 0))[0] for name in names}
    while True:
        slowest = max(names, key=lambda name: chosen[name].time_ns)
        finer = [cut for cut in select_front(cuts(slowest, most)) if cut.time_ns < chosen[slowest].time_ns]
        if not finer or finer[0].cores - chosen[slowest].cores > left:
            return chosen
        left -= finer[0].cores - chosen[slowest].cores
        chosen[slowest] = finer[0]


def _spend_on_best(names: Sequence[str], cuts: Cuts, left: int) -> dict[str, Cut]:
    """``left`` more cores than the fewest: always for the cut that saves most time by core."""
    fronts = {name: select_front(cuts(name, left)) for name in names}
    chosen = {name: front[0] for name, front in fronts.items()}
    while True:
        options = [
            ((chosen[name].time_ns - cut.time_ns) / (cut.cores - chosen[name].cores), name, cut)
            for name, front in fronts.items()
            for cut in front
            if 0 < cut.cores - chosen[name].cores <= left
        ]
        if not options:
            return chosen
        _, name, cut = max(options, key=lambda option: option[0])
        left -= cut.cores - chosen[name].cores
        chosen[name] = cut
