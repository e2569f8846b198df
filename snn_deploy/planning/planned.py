"""A backend that executes a plan: group after group, tile after tile, on another backend."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from snn_deploy.arrays import Int64
from snn_deploy.backend.protocol import Backend, Progress, Record, Run
from snn_deploy.backend.stimulus import check_stimulus, digest_stimulus
from snn_deploy.errors import PlanError
from snn_deploy.network import artifact
from snn_deploy.network.network import Network
from snn_deploy.planning.groups import Stage, cut_stage
from snn_deploy.planning.halo import find_grid, find_ratios
from snn_deploy.planning.plan import Group, Plan
from snn_deploy.planning.tiled import SUFFIX, TiledBackend
from snn_deploy.planning.windows import Tiling

Watch = Callable[[int, Network, Run], None]
"""Called with the number of a group, its network at a tile's size, and the run of some of its tiles."""

Scalar = TypeVar("Scalar", bound=np.generic)


def cut_stages(network: Network, groups: tuple[Group, ...]) -> Iterator[tuple[Stage, Tiling]]:
    """Every group of ``network``, which has the image's size, as a network with its tiles."""
    for group in groups:
        stage = cut_stage(network, group.populations)
        _, height, width = stage.network.input.shape
        tile = min(group.tile[0], height), min(group.tile[1], width)
        grid = find_grid(find_ratios(stage.network))
        yield stage, Tiling((height, width), tile, group.halo, grid)


class PlannedBackend:
    """``inner``, executing ``plan``: the stitched run of the whole image, with all counts, trains and states.

    Saturations are summed over all tiles, their halos included. ``watch`` sees every run before anything is thrown away.
    """

    def __init__(self, inner: Backend, plan: Plan, watch: Watch | None = None) -> None:
        self.name = inner.name + SUFFIX
        self._inner, self._plan, self._watch = inner, plan, watch

    def run(
        self, network: Network, stimulus: Int64, record: Record = Record.COUNTS, progress: Progress | None = None
    ) -> Run:
        """Run ``network``, which has the image's size, on payloads (B, C, H, W) int64."""
        begun = time.perf_counter()
        check_stimulus(network, stimulus)
        check_image(self._plan, network)
        stages = tuple(cut_stages(network, self._plan.groups))
        total, done = sum(tiling.tiles for _, tiling in stages), 0
        known: dict[str, Run] = {}
        for number, (stage, tiling) in enumerate(stages):
            inner = TiledBackend(self._inner, tiling, _numbered(self._watch, number))
            payloads = (
                stimulus
                if number == 0
                else stage.read({source.name: known[source.name].counts[source.name] for source in stage.sources})
            )
            run = inner.run(stage.network, payloads, record, _shifted(progress, done, total))
            known |= dict.fromkeys(stage.members if number else (network.input.name, *stage.members), run)
            done += tiling.tiles
        return Run(
            self.name,
            artifact.digest(network),
            digest_stimulus(stimulus),
            _Joined({name: run.counts for name, run in known.items()}),
            _Joined({name: run.events for name, run in known.items()}),
            _join({name: run.trains for name, run in known.items()}),
            _join({name: run.states for name, run in known.items()}),
            _join({name: run.second_states for name, run in known.items()}),
            {name: run.saturations[name] for name, run in known.items()},
            {name: run.engines[name] for name, run in known.items() if name in run.engines},
            time.perf_counter() - begun,
        )


def check_image(plan: Plan, network: Network) -> None:
    """:class:`~snn_deploy.errors.PlanError` unless ``network`` has the size of the plan's images."""
    _, height, width = network.input.shape
    if (height, width) != plan.image:
        raise PlanError(
            f"the plan is of images of {plan.image[0]}x{plan.image[1]}, this one has {height}x{width}; crop it, or make a"
            " plan for its size"
        )


def _numbered(watch: Watch | None, number: int) -> Callable[[Network, Run], None] | None:
    return None if watch is None else lambda network, run: watch(number, network, run)


def _shifted(progress: Progress | None, done: int, total: int) -> Progress | None:
    return None if progress is None else lambda part, _: progress(done + part, total)


@dataclass(frozen=True, eq=False)
class _Joined(Mapping[str, npt.NDArray[Scalar]], Generic[Scalar]):
    """By population, the mapping in which its array stands."""

    homes: Mapping[str, Mapping[str, npt.NDArray[Scalar]]]

    def __getitem__(self, name: str) -> npt.NDArray[Scalar]:
        return self.homes[name][name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.homes)

    def __len__(self) -> int:
        return len(self.homes)


def _join(
    homes: Mapping[str, Mapping[str, npt.NDArray[Scalar]] | None],
) -> Mapping[str, npt.NDArray[Scalar]] | None:
    """``None`` where nothing was recorded; populations without an array, as the input's states, are left out."""
    given = {name: home for name, home in homes.items() if home is not None and name in home}
    return _Joined(given) if given else None
