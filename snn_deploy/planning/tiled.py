"""A backend that runs a network on a large image in tiles, one after the other, and puts the results together."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from snn_deploy.arrays import Array, Int64
from snn_deploy.backend.protocol import Backend, Progress, Record, Run
from snn_deploy.backend.registry import run_backend
from snn_deploy.backend.stimulus import check_stimulus, digest_stimulus
from snn_deploy.errors import StimulusError
from snn_deploy.network import artifact
from snn_deploy.network.network import Network, Population
from snn_deploy.planning.halo import find_ratios
from snn_deploy.planning.windows import Place, Tiling

NEURONS_AT_ONCE = 2**24
"""Neurons of the tiles that a backend is given at once, at least one tile."""

Scalar = TypeVar("Scalar", bound=np.generic)

SUFFIX = " in tiles"
"""What the name of a backend that runs tiles ends in."""


@dataclass(frozen=True, eq=False)
class TiledBackend:
    """``inner`` on the tiles of ``tiling``: the run (:class:`Run`) of the whole image, stitched.

    Counts, events, trains and states are those of the kept neurons. Saturations are summed over all tiles, their halos
    included. ``watch`` is called with every tile's run, before anything is thrown away.
    """

    inner: Backend
    tiling: Tiling
    watch: Callable[[Network, Run], None] | None = None

    @property
    def name(self) -> str:
        """Its own and the tiled backend's."""
        return self.inner.name + SUFFIX

    def run(
        self,
        network: Network,
        stimulus: Int64,
        record: Record = Record.COUNTS,
        progress: Progress | None = None,
    ) -> Run:
        """Run ``network``, which has the image's size, on payloads (B, C, H, W) int64."""
        begun = time.perf_counter()
        check_stimulus(network, stimulus)
        if network.input.shape[1:] != self.tiling.image:
            height, width = self.tiling.image
            raise StimulusError(
                f"the tiles are of images of {height}x{width}, not of {stimulus.shape[2]}x{stimulus.shape[3]}"
            )
        tile = network.at_size(*self.tiling.tile)
        stitched = _Stitched(network, stimulus.shape[0])
        saturations = dict.fromkeys((population.name for population in network.populations), 0)
        engines: dict[str, str] = {}
        done = 0
        for places in self._batches(network, tile, stimulus.shape[0]):
            payloads = np.concatenate([stimulus[:, :, place.read[0], place.read[1]] for place in places])
            run = run_backend(self.inner, tile, payloads, record)
            if self.watch is not None:
                self.watch(tile, run)
            stitched.add(places, run)
            engines |= run.engines
            for name, number in run.saturations.items():
                saturations[name] += number
            done += len(places)
            if progress is not None:
                progress(done, self.tiling.tiles)
        return Run(
            self.name,
            artifact.digest(network),
            digest_stimulus(stimulus),
            _Widened(stitched.counts, np.int64),
            _Widened(stitched.events, np.int64),
            _Widened(stitched.trains, np.int32) if stitched.trains else None,
            _Widened(stitched.states, np.int32) if stitched.states else None,
            _Widened(stitched.second_states, np.int32) if stitched.second_states else None,
            saturations,
            engines,
            time.perf_counter() - begun,
        )

    def _batches(self, network: Network, tile: Network, images: int) -> Iterator[tuple[Place, ...]]:
        most = max(NEURONS_AT_ONCE // (images * sum(population.size for population in tile.populations)), 1)
        places = tuple(self.tiling.places(network, find_ratios(network)))
        for first in range(0, len(places), most):
            yield places[first : first + most]


@dataclass(frozen=True, eq=False)
class _Widened(Mapping[str, npt.NDArray[Scalar]], Generic[Scalar]):
    """Maps in narrow formats, read as ``dtype``."""

    arrays: Mapping[str, Array]
    dtype: type[Scalar]

    def __getitem__(self, name: str) -> npt.NDArray[Scalar]:
        return self.arrays[name].astype(self.dtype)

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)


class _Stitched:
    """The kept parts of all tiles so far, of every population, in the narrowest formats that hold them."""

    def __init__(self, network: Network, images: int) -> None:
        self._network, self._images = network, images
        self.counts: dict[str, Array] = {}
        self.events: dict[str, Array] = {}
        self.trains: dict[str, Array] = {}
        self.states: dict[str, Array] = {}
        self.second_states: dict[str, Array] = {}

    def add(self, places: Sequence[Place], run: Run) -> None:
        """Keep of ``run``, a batch of ``places`` with all images each, what its places keep."""
        for maps, found in (
            (self.counts, run.counts),
            (self.events, run.events),
            (self.trains, run.trains),
            (self.states, run.states),
            (self.second_states, run.second_states),
        ):
            for name in found or ():
                self._add(maps, name, found[name] if found else None, places)

    def _add(self, maps: dict[str, Array], name: str, values: Array | None, places: Sequence[Place]) -> None:
        if values is None:
            return
        population = self._network.population(name)
        if name not in maps:
            shape = self._images, *values.shape[1:-2], *population.shape[1:]
            maps[name] = np.zeros(shape, _narrowest(population, self._network.steps, values.dtype))
        for index, place in enumerate(places):
            inside, where = place.kept[name]
            part = values[index * self._images : (index + 1) * self._images]
            maps[name][..., where[0], where[1]] = part[..., inside[0], inside[1]]


def _narrowest(population: Population, steps: int, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """int16 for counts that it holds, else ``dtype``; states are int32 as they come."""
    largest = max(-population.payload_range[0], population.payload_range[1]) * steps
    return np.dtype(np.int16) if dtype == np.int64 and max(largest, steps) < 2**15 else dtype
