"""What a plan costs, from a run of it: seconds, joules and messages of the host, tile after tile.

Tiles take turns: as many at once as the cores hold copies of, ``rounds = ceil(tiles / copies)``, each as long as the mean of
the group's tiles on the timeline of :mod:`snn_deploy.cost`. All chips at hand leak all the time::

    interval = sum over groups of  rounds * interval of a tile
    E        = sum over tiles of E_dynamic  +  chips P_static interval

The weights of a group are loaded once per image where there are several groups; no time or energy of that was published, so
neither is in any figure, and ``weight_words`` says how many words it takes.
"""

from __future__ import annotations

from dataclasses import dataclass

from snn_deploy.activity.counting import count_activity
from snn_deploy.arrays import Int64
from snn_deploy.backend.protocol import Backend, Progress, Run
from snn_deploy.cost.energy import estimate
from snn_deploy.cost.loads import choose_record
from snn_deploy.errors import PlanError
from snn_deploy.mapping.fit import Mapping, map_network
from snn_deploy.network.network import Network
from snn_deploy.planning.plan import Plan
from snn_deploy.planning.planned import PlannedBackend, cut_stages
from snn_deploy.targets.device import Target
from snn_deploy.targets.quantity import Quantity, total

RELOADING = "reloading weights between groups"
"""What no figure contains where layers take turns."""


@dataclass(frozen=True)
class GroupCost:
    """A group, per image: ``copies`` of its tile on ``cores`` each; ``dynamic_j`` and ``interval_s`` of all tiles.

    ``host_in`` and ``host_out``: events that the host sends and reads, halos included; ``weight_words`` on the chips.
    """

    tiles: int
    overhead: float
    cores: int
    copies: int
    interval_s: Quantity
    dynamic_j: Quantity
    host_in: float
    host_out: float
    weight_words: int


@dataclass(frozen=True)
class PlanCost:
    """A plan, per image. ``static_w``: leakage of all chips at hand."""

    groups: tuple[GroupCost, ...]
    static_w: Quantity
    excluded: tuple[str, ...]

    @property
    def interval_s(self) -> Quantity:
        """Seconds of an image."""
        return total([group.interval_s for group in self.groups])

    @property
    def images_per_s(self) -> Quantity:
        """Images per second."""
        return self.interval_s.inverse()

    @property
    def dynamic_j(self) -> Quantity:
        """Joules of all events of an image."""
        return total([group.dynamic_j for group in self.groups])

    @property
    def static_j(self) -> Quantity:
        """Joules that the chips leak while they compute an image."""
        return self.static_w * self.interval_s

    @property
    def total_j(self) -> Quantity:
        """Joules of an image."""
        return self.dynamic_j + self.static_j

    @property
    def tiles(self) -> int:
        """Tiles of all groups."""
        return sum(group.tiles for group in self.groups)

    @property
    def host_events(self) -> float:
        """Events between host and chips per image."""
        return sum(group.host_in + group.host_out for group in self.groups)

    def record(self) -> dict[str, object]:
        """For JSON: SI units, with bands."""
        return {
            "images_per_s": self.images_per_s.record(),
            "interval_s": self.interval_s.record(),
            "dynamic_j": self.dynamic_j.record(),
            "static_j": self.static_j.record(),
            "total_j": self.total_j.record(),
            "idle_w": self.static_w.record(),
            "host_events": self.host_events,
            "excluded": list(self.excluded),
            "groups": [
                {
                    "tiles": group.tiles,
                    "overhead": group.overhead,
                    "cores": group.cores,
                    "copies": group.copies,
                    "interval_s": group.interval_s.record(),
                    "dynamic_j": group.dynamic_j.record(),
                    "host_events_in": group.host_in,
                    "host_events_out": group.host_out,
                    "weight_words": group.weight_words,
                }
                for group in self.groups
            ],
        }


class _Meter:
    """Adds up the estimates of a group's tiles."""

    def __init__(self, network: Network, target: Target, cores: int) -> None:
        self.mapping = fit_tile(network, target, cores)
        self._target = target
        self.seconds: list[Quantity] = []
        self.joules: list[Quantity] = []
        self.host_in = self.host_out = 0.0
        self.excluded: dict[str, None] = {}

    def add(self, network: Network, run: Run) -> None:
        activity = count_activity(network, run)
        found = estimate(network, activity, self._target, mapping=self.mapping)
        if found.timing is None:
            raise PlanError(f"target {self._target.name} has no times; choose a chip, such as loihi2")
        tiles = float(activity.images)
        self.seconds.append(found.timing.interval_s * tiles)
        self.joules.append(found.dynamic_j * tiles)
        self.host_in += float(activity.population(network.input.name).events.sum())
        for name in {output.population for output in network.outputs}:
            self.host_out += float(activity.population(name).events.sum())
        self.excluded |= dict.fromkeys(found.excluded)


def fit_tile(network: Network, target: Target, cores: int) -> Mapping:
    """The mapping of ``network``, a tile; :class:`~snn_deploy.errors.PlanError` if it does not fit ``cores`` cores."""
    mapping = map_network(network, target)
    size = f"{network.input.shape[1]}x{network.input.shape[2]}"
    if not mapping.fits:
        raise PlanError(f"tiles of {size} do not fit {target.name}: {mapping.problems[0].text}")
    if mapping.cores > cores:
        raise PlanError(f"tiles of {size} take {mapping.cores:,} cores of {target.name}, and {cores:,} are there")
    return mapping


def measure_plan(
    plan: Plan,
    network: Network,
    payloads: Int64,
    backend: Backend,
    target: Target,
    progress: Progress | None = None,
) -> tuple[Run, PlanCost]:
    """Execute ``plan`` on ``payloads`` (B, C, H, W) int64 of ``network``, which has the image's size; means per image."""
    stages = tuple(cut_stages(network, plan.groups))
    tiles = [stage.network.at_size(*tiling.tile) for stage, tiling in stages]
    meters = [_Meter(tile, target, plan.hardware.cores) for tile in tiles]
    images = payloads.shape[0]
    watched = PlannedBackend(backend, plan, lambda number, tile, run: meters[number].add(tile, run))
    run = watched.run(network, payloads, max(choose_record(tile, 1) for tile in tiles), progress)
    groups = []
    for meter, (_, tiling) in zip(meters, stages, strict=True):
        copies = plan.hardware.cores // meter.mapping.cores
        rounds = -(-tiling.tiles // copies)
        groups.append(
            GroupCost(
                tiling.tiles,
                tiling.overhead,
                meter.mapping.cores,
                copies,
                total(meter.seconds) * (rounds / tiling.tiles / images),
                total(meter.joules) * (1 / images),
                meter.host_in / images,
                meter.host_out / images,
                sum(layer.used("synaptic words").used * layer.cores for layer in meter.mapping.layers),
            )
        )
    excluded = dict.fromkeys(name for meter in meters for name in meter.excluded)
    if len(groups) > 1:
        excluded[RELOADING] = None
    static_w = target.quantity("power.static_chip_w") * float(plan.hardware.chips)
    return run, PlanCost(tuple(groups), static_w, tuple(excluded))
