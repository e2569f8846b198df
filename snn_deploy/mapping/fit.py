"""Does it fit, on how many cores, chips and boards; what limits it, and what to change.

Each population gets cores of its own, cut into tiles by :mod:`snn_deploy.mapping.tiling`. A misfit is a value, not an
exception: ``Mapping.problems`` holds every reason at once, ``Mapping.exit_status`` is 1 where there is one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from snn_deploy.errors import NetworkError, TargetError
from snn_deploy.mapping.constraints import (
    Problem,
    check_layer,
    check_network,
    check_resets,
    check_widths,
)
from snn_deploy.mapping.layout import Layer, describe_layers
from snn_deploy.mapping.tiling import Tile, Use, bound_cores, choose_free_tile, choose_tile, measure_uses, shares_taps
from snn_deploy.network.network import Network
from snn_deploy.targets.device import Board, Target

LIMITS = (
    "limits.cores_per_chip",
    "limits.neurons_per_core",
    "limits.compartments_per_neuron",
    "limits.synaptic_memory_words",
    "limits.input_axons_per_core",
    "limits.weight_bits",
    "limits.payload_bits",
    "limits.accumulator_bits",
    "limits.delay_max_steps",
    "encoding.word_bits",
    "encoding.list_header_bits",
    "encoding.dense_header_bits",
    "encoding.dense_index_bits",
)
"""What a target must state before anything can be mapped to it."""


@dataclass(frozen=True)
class LayerMapping:
    """One population on its cores. ``tile`` is ``None`` where no core holds even one of its neurons."""

    layer: Layer
    tile: Tile | None
    uses: tuple[Use, ...]
    neuron_bound: int
    free_bound: int | None

    @property
    def cores(self) -> int:
        """Cores of this population; the neuron bound where it does not fit at all."""
        return self.neuron_bound if self.tile is None else self.tile.cores(self.layer)

    @property
    def limit(self) -> Use:
        """The resource of which the largest part is used."""
        return max(self.uses, key=lambda use: use.fraction)

    def used(self, resource: str) -> Use:
        """The use of one resource by its name."""
        return next(use for use in self.uses if use.resource == resource)


@dataclass(frozen=True)
class Mapping:
    """A network on a device. ``warnings`` do not keep it from fitting; ``problems`` do."""

    network: str
    target: str
    layers: tuple[LayerMapping, ...]
    cores_per_chip: int
    boards: tuple[Board, ...]
    problems: tuple[Problem, ...]
    warnings: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.problems

    @property
    def exit_status(self) -> int:
        """What a command that was asked for a mapping returns: 0 fits, 1 does not."""
        return int(not self.fits)

    @property
    def cores(self) -> int:
        """Cores of all populations."""
        return sum(item.cores for item in self.layers)

    @property
    def neuron_bound(self) -> int:
        """Cores that no mapping can do without."""
        return sum(item.neuron_bound for item in self.layers)

    @property
    def free_bound(self) -> int | None:
        """Cores with tiles of free size; ``None`` where a population fits nowhere."""
        parts = [item.free_bound for item in self.layers]
        return None if any(part is None for part in parts) else sum(part for part in parts if part is not None)

    @property
    def chips(self) -> int:
        """Chips that hold the cores."""
        return -(-self.cores // self.cores_per_chip)

    @property
    def board(self) -> Board | None:
        """The smallest board that holds the chips."""
        return next((board for board in self.boards if board.chips >= self.chips), None)

    def record(self) -> dict[str, object]:
        """For JSON."""
        return {
            "network": self.network,
            "target": self.target,
            "fits": self.fits,
            "cores": self.cores,
            "chips": self.chips,
            "board": None if self.board is None else self.board.name,
            "neuron_bound": self.neuron_bound,
            "free_tile_bound": self.free_bound,
            "problems": [problem.text for problem in self.problems],
            "warnings": list(self.warnings),
            "layers": [
                {
                    "population": item.layer.name,
                    "shape": list(item.layer.shape),
                    "tile": None if item.tile is None else [item.tile.channels, item.tile.rows, item.tile.columns],
                    "cores": item.cores,
                    "limited_by": item.limit.resource,
                    "uses": {use.resource: {"used": use.used, "limit": use.limit} for use in item.uses},
                }
                for item in self.layers
            ],
        }


def map_network(network: Network, target: Target) -> Mapping:
    """Map ``network``; its weights are read for their bits and sums, and it is not run."""
    _check(target)
    problems = check_network(network, target)
    return _mapping(network.name, describe_layers(network), target, problems, check_resets(network, target))


def map_layers(name: str, layers: Sequence[Layer], target: Target) -> Mapping:
    """Map a network of which only shapes, geometry and weight bits are known."""
    _check(target)
    return _mapping(name, tuple(layers), target, (), ())


def _check(target: Target) -> None:
    if target.kind != "chip":
        raise TargetError(f"target {target.name} prices operations and has no cores; choose loihi1 or loihi2")
    target.require(*LIMITS)


def _mapping(
    name: str, layers: tuple[Layer, ...], target: Target, more: tuple[Problem, ...], warnings: tuple[str, ...]
) -> Mapping:
    if not layers:
        raise NetworkError(f"{name}: no population needs a core")
    mapped = tuple(_layer(layer, target) for layer in layers)
    problems = [
        problem for item in mapped for problem in check_layer(item.layer, item.uses, target, fits=item.tile is not None)
    ]
    found = Mapping(
        name,
        target.name,
        mapped,
        target.integer("limits.cores_per_chip"),
        target.boards,
        (*problems, *more),
        (*check_widths(layers, target), *warnings),
    )
    if target.boards and found.board is None:
        largest = target.boards[-1]
        too_many = Problem(
            name,
            f"{found.cores:,} cores on {found.chips:,} chips; the largest board, {largest.name}, has {largest.chips:,}",
            "use smaller images, fewer channels or tile-friendly sizes",
        )
        return replace(found, problems=(*found.problems, too_many))
    return found


def _layer(layer: Layer, target: Target) -> LayerMapping:
    tile = choose_tile(target, layer)
    free = choose_free_tile(target, layer) if shares_taps(target) else tile
    return LayerMapping(
        layer,
        tile,
        measure_uses(target, layer, tile or Tile(1, 1, 1)),
        bound_cores(target, layer),
        None if free is None else free.cores(layer),
    )


@dataclass(frozen=True)
class SizeOption:
    """The same network for another image size."""

    height: int
    width: int
    cores: int

    @property
    def cores_per_megapixel(self) -> float:
        """Cores over image size: lower is better use of each core."""
        return self.cores / (self.height * self.width) * 1e6


def suggest_sizes(network: Network, target: Target, spread: float = 0.3) -> tuple[SizeOption, ...]:
    """Image sizes within ``spread`` of the present one, best use of cores first; the present one is among them.

    Powers of two are the worst case on Loihi 2: a tile of 4096 neurons just misses the limit of 4095, so it is halved.
    """
    _check(target)
    _, height, width = network.input.shape
    step = max(
        height // min(population.shape[1] for population in network.populations),
        width // min(population.shape[2] for population in network.populations),
    )
    found = []
    for change in range(-int(spread * min(height, width) / step), int(spread * min(height, width) / step) + 1):
        rows, columns = height + change * step, width + change * step
        if min(rows, columns) < step:
            continue
        try:
            layers = describe_layers(network.at_size(rows, columns))
        except NetworkError:
            continue
        tiles = [choose_tile(target, layer) for layer in layers]
        if all(tile is not None for tile in tiles):
            cores = sum(tile.cores(layer) for tile, layer in zip(tiles, layers, strict=True) if tile is not None)
            found.append(SizeOption(rows, columns, cores))
    return tuple(sorted(found, key=lambda option: option.cores_per_megapixel))
