"""Tiles of any size, so that fewer cores are needed, or that no core waits long for another.

The compiler's rule (:mod:`snn_deploy.mapping.tiling`) cuts columns into powers of two and rows into halves; nothing known of
the chip asks for that, so a tool of its own may cut as it likes. Every layer has cuts from the fewest cores on that it fits,
each with smaller tiles. More cores than the fewest are spent one layer after the other, where they save most time::

    time of a layer = operations / cores t_syn + neurons of a tile t_neuron

One at a time, an image takes the sum over layers; in a stream, steps are as long as the slowest of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping as MappingType
from dataclasses import dataclass, replace

from snn_deploy.activity.activity import Activity
from snn_deploy.errors import TargetError
from snn_deploy.mapping.fit import LayerMapping, Mapping, judge
from snn_deploy.mapping.layout import Layer
from snn_deploy.mapping.tiling import Tile, choose_free_tile, fits, measure_uses, shares_taps
from snn_deploy.targets.device import Target

NOTE = "tiles of any size, not those that Intel's compiler would choose"
"""Warning of such a mapping."""


@dataclass(frozen=True)
class Cut:
    """A layer in tiles of one size on ``cores`` cores."""

    tile: Tile
    cores: int


def balance(mapping: Mapping, target: Target, activity: Activity, more: float, *, streamed: bool = False) -> Mapping:
    """``mapping`` with tiles of any size, on the fewest cores or at most ``more`` (a share) than these.

    One that leaves out a layer stays as it is. :class:`TargetError` for chips whose tiles have any size anyway.
    """
    if not shares_taps(target):
        raise TargetError(f"target {target.name}: its tiles have any size already; leave the balance out")
    if not mapping.is_placed:
        return mapping
    cuts = {layer.layer.name: _fewest(target, layer.layer) for layer in mapping.layers}
    cuts = _spend(mapping, target, activity, cuts, math.floor(more * sum(cut.cores for cut in cuts.values())), streamed)
    layers = tuple(_placed(layer, cuts[layer.layer.name], target) for layer in mapping.layers)
    return judge(replace(mapping, layers=layers, warnings=(*mapping.warnings, NOTE)), target)


def _placed(mapped: LayerMapping, cut: Cut, target: Target) -> LayerMapping:
    return replace(mapped, tile=cut.tile, uses=measure_uses(target, mapped.layer, cut.tile))


def _fewest(target: Target, layer: Layer) -> Cut:
    tile = choose_free_tile(target, layer)
    if tile is None:
        raise TargetError(f"{layer.name}: not even one neuron fits a core of {target.name}")
    return Cut(tile, tile.cores(layer))


def _spend(
    mapping: Mapping, target: Target, activity: Activity, cuts: MappingType[str, Cut], left: int, streamed: bool
) -> dict[str, Cut]:
    """``cuts`` with ``left`` more cores: at each turn for the layer that saves most by core, or the slowest of a stream."""
    chosen = dict(cuts)
    layers = {layer.layer.name: layer.layer for layer in mapping.layers}
    synapse, neuron = (target.quantity(f"time.{key}").value for key in ("synapse_ns", "neuron_ns"))
    operations = {name: float(activity.arriving(name).sum()) / activity.images for name in layers}

    def seconds(name: str, cut: Cut) -> float:
        return operations[name] / cut.cores * synapse + cut.tile.size * neuron

    finer = {name: _finer(target, layer, chosen[name], left) for name, layer in layers.items()}
    while True:
        options = {
            name: found
            for name, found in finer.items()
            if found is not None and found.cores - chosen[name].cores <= left
        }
        if streamed:
            slowest = max(layers, key=lambda name: seconds(name, chosen[name]))
            options = {name: found for name, found in options.items() if name == slowest}
        gains = {
            name: (seconds(name, chosen[name]) - seconds(name, found)) / (found.cores - chosen[name].cores)
            for name, found in options.items()
        }
        best = max(gains, key=lambda name: gains[name], default=None)
        if best is None or gains[best] <= 0:
            return chosen
        left -= options[best].cores - chosen[best].cores
        chosen[best] = options[best]
        finer[best] = _finer(target, layers[best], chosen[best], left)


def _finer(target: Target, layer: Layer, cut: Cut, most: int) -> Cut | None:
    """The next cut with smaller tiles, at most ``most`` more cores; of those with equally many the smallest tiles."""
    channels, rows, columns = layer.shape
    best: tuple[int, int, Cut] | None = None
    for parts_c in range(1, channels + 1):
        for parts_x in range(1, columns + 1):
            grid = parts_c * parts_x
            if grid > cut.cores + most:
                break
            for parts_y in range(max(-(-(cut.cores + 1) // grid), 1), min(rows, (cut.cores + most) // grid) + 1):
                tile = Tile(-(-channels // parts_c), -(-rows // parts_y), -(-columns // parts_x))
                cores = tile.cores(layer)
                if cores <= cut.cores or tile.size >= cut.tile.size or not fits(target, layer, tile):
                    continue
                if best is None or (cores, tile.size) < best[:2]:
                    best = cores, tile.size, Cut(tile, cores)
                break
    return None if best is None else best[2]
