"""Layers of a plan as an emitter gets them: a network of a tile's size, and where its tiles stand on the whole maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

from snn_deploy.arrays import Int64
from snn_deploy.network.network import Network

Box: TypeAlias = tuple[int, int, int, int]
"""First row, row after the last, first column, column after the last."""


@dataclass(frozen=True)
class TilePlace:
    """``read`` of what the group reads, and by population which part of the tile becomes which part of the whole map."""

    read: Box
    kept: Mapping[str, tuple[Box, Box]]


@dataclass(frozen=True, eq=False)
class TiledGroup:
    """``network``, of a tile's size, computes ``members``.

    Its input is the counts of ``sources``, one after the other: of each (name, block), ``block`` pixels a side of its map are
    channels of one pixel.
    """

    network: Network
    members: tuple[str, ...]
    sources: tuple[tuple[str, int], ...]
    places: tuple[TilePlace, ...]

    def record(self) -> dict[str, object]:
        """For JSON."""
        return {
            "members": list(self.members),
            "sources": [list(source) for source in self.sources],
            "tiles": [
                {
                    "read": list(place.read),
                    "kept": {name: [list(inside), list(where)] for name, (inside, where) in place.kept.items()},
                }
                for place in self.places
            ],
        }


@runtime_checkable
class PlanEmitter(Protocol):
    """A backend that can also write the groups of a plan as a folder which runs without this project."""

    def emit_plan(
        self,
        network: Network,
        groups: Sequence[TiledGroup],
        directory: Path,
        stimulus: Int64,
        expected: Mapping[str, Int64],
        *,
        checked: bool = True,
    ) -> str:
        """Write ``network``, of the image's size, as ``groups``; ``expected`` counts of its outputs for ``stimulus``.

        ``checked`` as of :class:`~snn_deploy.backend.protocol.Emitter`. Returns the SHA-256 of the folder's manifest.
        """
        ...
