"""Executes a plan: group after group, tile after tile, and puts the parts of the tiles together.

``tiles.json`` lists the groups. ``sources`` are the populations whose counts a group reads, each with the side of the block of
pixels that become channels of one; ``tiles`` say what each tile reads of that, and which part of every population of ``members``
is kept as which part of the whole map: first row, row after the last, first column, column after the last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Records = dict[str, dict[str, Array]]
"""Arrays (B, ..., C, H, W) by population and kind."""

KINDS = ("counts", "events", "trains", "states", "currents")
"""Those that have a map each."""


def run_groups(
    groups: list[dict[str, Any]],
    stimulus: Array,
    shapes: dict[str, tuple[int, int, int]],
    run: Callable[[int, Array], Records],
) -> Records:
    """Records of every population for ``stimulus`` (B, C, H, W), payloads of the input, the first of ``shapes``.

    ``shapes`` (C, H, W) of the whole maps; ``run`` executes the group of a number on payloads of its tiles, and returns theirs.
    """
    maps = {next(iter(shapes)): stimulus}
    records: Records = {}
    for number, group in enumerate(groups):
        source = np.concatenate([_blocks(maps[name], block) for name, block in group["sources"]], axis=1)
        reads = [tile["read"] for tile in group["tiles"]]
        found = run(number, np.concatenate([_part(source, read) for read in reads]))
        for name in group["members"]:
            records[name] = {
                kind: _stitch(found[name][kind], name, group["tiles"], shapes[name], len(stimulus))
                for kind in KINDS
                if kind in found[name]
            }
            maps[name] = records[name]["counts"]
    return records


def _blocks(maps: Array, block: int) -> Array:
    """Channels (c, row, column) of every ``block`` x ``block`` pixels of (B, C, H, W)."""
    batch, channels, height, width = maps.shape
    cut = maps.reshape(batch, channels, height // block, block, width // block, block)
    return cut.transpose(0, 1, 3, 5, 2, 4).reshape(batch, -1, height // block, width // block)


def _part(maps: Array, box: list[int]) -> Array:
    return maps[..., box[0] : box[1], box[2] : box[3]]


def _stitch(values: Array, name: str, tiles: list[Any], shape: tuple[int, int, int], images: int) -> Array:
    """The map of ``shape`` from ``values`` of all tiles, each with all ``images``."""
    whole = np.zeros((images, *values.shape[1:-2], *shape[1:]), values.dtype)
    for number, tile in enumerate(tiles):
        inside, where = tile["kept"][name]
        _part(whole, where)[...] = _part(values[number * images : (number + 1) * images], inside)
    return whole
