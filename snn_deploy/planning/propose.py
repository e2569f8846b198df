"""Plans worth trying on the hardware at hand, ranked by what their steps would take.

The rank of a tile is the time of its steps from the operations of the whole image, spread evenly over its cores; the plans
that are proposed are then executed and measured. For every halo the best tile with all layers on the chips at once; and,
where neurons send in one step, the best sequence of groups of layers with exact halos, found by dynamic programming over the
places where least is passed on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from snn_deploy.activity.activity import Activity
from snn_deploy.errors import NetworkError, PlanError
from snn_deploy.mapping.constraints import check_network
from snn_deploy.mapping.layout import describe_layers
from snn_deploy.mapping.tiling import Tile, choose_tile
from snn_deploy.network import artifact
from snn_deploy.network.network import Network
from snn_deploy.planning.groups import Stage, cut_stage
from snn_deploy.planning.halo import Cut, Halo, find_cut
from snn_deploy.planning.measure import fit_tile
from snn_deploy.planning.plan import Group, Hardware, Plan
from snn_deploy.planning.planned import cut_stages
from snn_deploy.planning.windows import Tiling, check_equal
from snn_deploy.targets.device import Target

SIZES = 8
"""Tile sizes that are tried for a group and a halo, the largest first."""

PLACES = 12
"""Most places between layers at which a network may be cut into groups."""

SEQUENCES = 3
"""Sequences of groups that are proposed, each with one group more."""

PARTS_OF_HALO = (0.25, 0.125, 0.0)
"""Smaller halos, as parts of the exact one."""


@dataclass(frozen=True, eq=False)
class Site:
    """What plans are made for: ``network`` at the image's size, hardware, and the operations of every population (per image)."""

    network: Network
    target: Target
    hardware: Hardware
    operations: Mapping[str, float]

    @classmethod
    def of(cls, network: Network, target: Target, hardware: Hardware, activity: Activity) -> Site:
        """With the operations that ``activity``, of the whole image, has counted."""
        operations = {
            population.name: float(activity.arriving(population.name).sum()) / activity.images
            for population in network.populations
        }
        return cls(network, target, hardware, operations)

    def place(self, tile: Network) -> Mapping[str, Tile] | None:
        """The cut of every population of ``tile`` over cores; ``None`` where they are more than there are."""
        placed: dict[str, Tile] = {}
        cores = 0
        for layer in describe_layers(tile):
            chosen = choose_tile(self.target, layer)
            cores += self.hardware.cores + 1 if chosen is None else chosen.cores(layer)
            if chosen is None or cores > self.hardware.cores:
                return None
            placed[layer.name] = chosen
        return placed

    def seconds(self, tile: Network, tiling: Tiling, placed: Mapping[str, Tile]) -> float:
        """What all tiles of ``tiling`` take, roughly."""
        share = tiling.tile[0] * tiling.tile[1] / (tiling.image[0] * tiling.image[1])
        synapse, neuron, barrier = (
            self.target.quantity(f"time.{name}").value for name in ("synapse_ns", "neuron_ns", "barrier_chip_ns")
        )
        cores = {layer.name: placed[layer.name].cores(layer) for layer in describe_layers(tile)}
        busy = sum(self.operations.get(name, 0.0) * share / number * synapse for name, number in cores.items())
        idle = tile.duration * (max(part.size for part in placed.values()) * neuron + barrier)
        copies = self.hardware.cores // sum(cores.values())
        return -(-tiling.tiles // copies) * (busy + idle)


def propose(site: Site, own: Network) -> Iterator[Plan]:
    """Plans of ``own``, the network as its file has it, for ``site``; exact ones are proved.

    :class:`~snn_deploy.errors.PlanError` where the network cannot be tiled, or nothing fits.
    """
    names = tuple(population.name for population in site.network.populations[1:])
    whole = cut_stage(site.network, names)
    cut = find_cut(own)
    digest = artifact.digest(own)

    def plan(groups: tuple[Group, ...], *, exact: bool) -> Plan:
        return Plan(own.name, digest, _size(site.network), groups, exact, site.hardware)

    found: dict[tuple[Group, ...], Plan] = {}
    for halo in _halos(cut):
        best = _best_tile(site, whole, cut, halo)
        if best is not None:
            is_whole = best[1].tile == _size(site.network)
            group = replace(best[1], halo=cut.exact) if is_whole else best[1]
            found.setdefault((group,), plan((group,), exact=is_whole or halo == cut.exact))
    if site.network.one_shot:
        for groups in _best_groups(site, names):
            found.setdefault(groups, plan(groups, exact=True))
    if not found:
        raise PlanError(_nothing_fits(site, whole, cut))
    for proposed in found.values():
        if proposed.exact:
            prove(proposed, site.network)
        yield proposed


def prove(plan: Plan, network: Network) -> None:
    """:class:`~snn_deploy.errors.PlanError` unless all tiles of ``plan`` equal ``network``, which has the image's size."""
    for stage, tiling in cut_stages(network, plan.groups):
        check_equal(tiling, stage.network, find_cut(stage.network))


def _size(network: Network) -> tuple[int, int]:
    return network.input.shape[1], network.input.shape[2]


def _halos(cut: Cut) -> list[Halo]:
    """The exact halo and smaller ones, none below the least."""
    smaller = [
        Halo(
            max(math.ceil(cut.exact.before * part), cut.least.before),
            max(math.ceil(cut.exact.after * part), cut.least.after),
        )
        for part in PARTS_OF_HALO
    ]
    return list(dict.fromkeys([cut.exact, *smaller]))


def _best_tile(site: Site, stage: Stage, cut: Cut, halo: Halo) -> tuple[float, Group] | None:
    """The tile that takes least time, with that time; ``None`` where none fits."""
    image = _size(stage.network)
    if check_network(stage.network, site.target):
        return None
    found = []
    for tile in _sizes(site, stage, cut, halo):
        try:
            tiling = Tiling(image, tile, halo, cut.grid)
            network = stage.network.at_size(*tile)
        except (PlanError, NetworkError):
            continue
        placed = site.place(network)
        if placed is not None:
            found.append((site.seconds(network, tiling, placed), Group(stage.members, tile, halo)))
    return min(found, key=lambda pair: pair[0], default=None)


def _sizes(site: Site, stage: Stage, cut: Cut, halo: Halo) -> Iterator[tuple[int, int]]:
    """Sizes of tiles, largest first: squares where the image allows, from what the neurons allow to what the halo needs."""
    height, width = _size(stage.network)
    neurons = sum(population.size for population in stage.network.populations[1:]) / (height * width)
    per_core = site.target.integer("limits.neurons_per_core") // site.target.integer("limits.compartments_per_neuron")
    largest = min(math.isqrt(int(site.hardware.cores * per_core / neurons)), max(height, width))
    least = halo.both + max(cut.grid)
    steps = sorted(
        {max(largest - round((largest - least) * part / SIZES), 1) for part in range(SIZES + 1)}, reverse=True
    )
    sizes = [
        tuple(_fitting(side, extent, grid) for extent, grid in zip((height, width), cut.grid, strict=True))
        for side in steps
    ]
    yield from dict.fromkeys((rows, columns) for rows, columns in sizes if min(rows, columns) > 0)


def _fitting(side: int, extent: int, grid: int) -> int:
    """The largest tile side up to ``side`` whose tiles end with the image."""
    return extent if side >= extent else side - (side - extent) % grid


def _nothing_fits(site: Site, whole: Stage, cut: Cut) -> str:
    """One line: what stands in the way of the smallest tile."""
    smallest = cut.least.both + max(cut.grid)
    sides = [
        _fitting(smallest + grid - 1, extent, grid) for extent, grid in zip(_size(whole.network), cut.grid, strict=True)
    ]
    try:
        fit_tile(whole.network.at_size(*sides), site.target, site.hardware.cores)
    except (PlanError, NetworkError) as error:
        return f"{whole.network.name}: no tile fits: {error}; exact tiles have at least {cut.exact.both + max(cut.grid)} pixels"
    return f"{whole.network.name}: no tile that was tried fits {site.hardware.cores:,} cores of {site.target.name}; use more chips"


def _best_groups(site: Site, names: Sequence[str]) -> Iterator[tuple[Group, ...]]:
    """Of the least number of groups that is possible, and of the next ones, the sequence that takes least time."""
    ends = [0, *_places(site.network, names), len(names)]
    best: list[list[tuple[float, tuple[Group, ...]] | None]] = [[(0.0, ()), *[None] * (len(ends) - 1)]]

    @cache
    def segment(first: int, last: int) -> tuple[float, Group] | None:
        try:
            stage = cut_stage(site.network, names[ends[first] : ends[last]])
            cut = find_cut(stage.network)
        except (PlanError, NetworkError):
            return None
        return _best_tile(site, stage, cut, cut.exact)

    numbers = 0
    while len(best) < len(ends) and numbers < SEQUENCES:
        longer: list[tuple[float, tuple[Group, ...]] | None] = [None] * len(ends)
        for last in range(1, len(ends)):
            options = [
                (before[0] + here[0], (*before[1], here[1]))
                for first, before in enumerate(best[-1][:last])
                if before is not None and (here := segment(first, last)) is not None
            ]
            longer[last] = min(options, key=lambda option: option[0], default=None)
        best.append(longer)
        if longer[-1] is not None:
            numbers += 1
            yield longer[-1][1]


def _places(network: Network, names: Sequence[str]) -> list[int]:
    """The places between layers past which the fewest neurons' counts are passed on, in order."""
    order = {name: index for index, name in enumerate(names)}

    def passed(place: int) -> int:
        read = {
            connection.source
            for connection in network.connections
            if order[connection.target] >= place and order.get(connection.source, -1) < place
        }
        return sum(network.population(name).size for name in read)

    by_size: Callable[[int], tuple[int, int]] = lambda place: (passed(place), place)  # noqa: E731
    return sorted(sorted(range(1, len(names)), key=by_size)[:PLACES])
