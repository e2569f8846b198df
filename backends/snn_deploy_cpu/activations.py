"""What populations send, and where their results are written, channels last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from snn_deploy_cpu.buffer_pool import Rooms
from snn_deploy_cpu.conv.payload_stats import Extent
from snn_deploy_cpu.plan import Layer

Array = npt.NDArray[Any]


class Sent(dict[str, Array]):
    """Payloads (steps * images, H, W, C) of a chunk of steps, by population; some are computed when they are asked for.

    They stand in ``rooms`` until they are released.
    """

    def __init__(self, ready: dict[str, Array], rooms: Rooms) -> None:
        super().__init__(ready)
        self._rooms = rooms
        self._taken: dict[str, Array] = {}
        self._later: dict[str, Callable[[], Array]] = {}
        self._extents: dict[str, Extent] = {}

    def room(self, layer: Layer, sheet: Sheet, chunk: int) -> Array:
        """Room for the events (chunk, B * H * W * C) of a chunk; those of a single step are the counts."""
        if sheet.events is None:
            return sheet.counts.reshape(1, -1)
        room = self._taken[layer.population.name] = self._rooms.take((chunk, sheet.counts.size), layer.formats.payload)
        return room

    def later(self, name: str, compute: Callable[[], Array]) -> None:
        """``compute`` the payloads of a population when they are asked for, once."""
        self._later[name] = compute

    def measured(self, name: str, extent: Extent) -> None:
        """The payloads of ``name`` were measured while they were counted."""
        self._extents[name] = extent

    def extent(self, name: str) -> Extent:
        """How large the payloads of ``name`` are."""
        if name not in self._extents:
            self._extents[name] = Extent.of(self[name])
        return self._extents[name]

    def release(self, name: str) -> None:
        """Nobody will ask for the payloads of ``name`` any more."""
        self.pop(name, None)
        self._later.pop(name, None)
        room = self._taken.pop(name, None)
        if room is not None:
            self._rooms.give(room)

    def __missing__(self, name: str) -> Array:
        payloads = self[name] = self._later.pop(name)()
        return payloads


@dataclass(frozen=True, eq=False)
class Sheet:
    """Where one population's results of one group of images are written, channels last.

    ``counts`` and ``events`` are (B, H, W, C), ``trains``, ``states`` and ``currents`` (B, T, H, W, C). Networks of a single step
    need no ``events``: they are the counts that are not 0.
    """

    counts: Array
    events: Array | None
    trains: Array | None
    states: Array | None
    currents: Array | None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(B, H, W, C)."""
        images, height, width, channels = self.counts.shape
        return images, height, width, channels


def keep(trains: Array, payloads: Array, first: int) -> None:
    """Write a chunk's events (steps, B * H * W * C) into ``trains`` (B, T, H, W, C)."""
    steps, (images, _, *shape) = payloads.shape[0], trains.shape
    trains[:, first : first + steps] = payloads.reshape(steps, images, *shape).swapaxes(0, 1)
