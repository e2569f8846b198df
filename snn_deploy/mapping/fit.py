"""Whether a network fits a device, on how many cores, chips and boards, and which resource is the limit.

Each population gets cores of its own, cut into tiles by :mod:`snn_deploy.mapping.tiling`. A network that does
not fit is a value, not an exception: ``Mapping.problems`` lists every violation, and ``Mapping.exit_status`` is then 1.
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
from snn_deploy.mapping.tiling import (
    ONE_NEURON,
    Tile,
    Use,
    bound_cores,
    choose_free_tile,
    choose_tile,
    measure_uses,
    shares_taps,
)
from snn_deploy.network.network import Network
from snn_deploy.targets.device import Board, Target

FEWER_CORES = "use smaller images, fewer channels or tile-friendly sizes"
"""Remedy where no board has enough chips."""

LIMITS = (
    "limits.cores_per_chip",
    "limits.neurons_per_core",
    "limits.compartments_per_neuron",
    "limits.synaptic_memory_words",
    "limits.input_axons_per_core",
    "limits.weight_bits",
    "limits.payload_bits",
    "limits.accumulator_bits",
    "limits.state_bits",
    "limits.delay_max_steps",
    "encoding.word_bits",
    "encoding.list_header_bits",
    "encoding.dense_header_bits",
    "encoding.dense_index_bits",
)
"""Limits that a target must have to be mapped to."""


@dataclass(frozen=True)
class LayerMapping:
    """One population on its cores. ``tile`` is ``None`` where not even one of its neurons fits a core.

    ``begins_chip``: its first core is the first one of a chip, even if the chip before has more.
    """

    layer: Layer
    tile: Tile | None
    uses: tuple[Use, ...]
    neuron_bound: int
    free_bound: int | None
    begins_chip: bool = False

    @property
    def cores(self) -> int:
        """Cores of this population; the lower bound by neurons where it does not fit at all."""
        return self.neuron_bound if self.tile is None else self.tile.cores(self.layer)

    @property
    def limit(self) -> Use:
        """The most used resource, relative to its limit."""
        return max(self.uses, key=lambda use: use.fraction)

    def used(self, resource: str) -> Use:
        """The use of one resource by its name."""
        return next(use for use in self.uses if use.resource == resource)


@dataclass(frozen=True)
class Mapping:
    """A network on a device. It fits unless it has ``problems``; ``warnings`` do not count."""

    network: str
    target: str
    layers: tuple[LayerMapping, ...]
    cores_per_chip: int
    boards: tuple[Board, ...]
    problems: tuple[Problem, ...]
    warnings: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """Whether there are no problems."""
        return not self.problems

    @property
    def is_placed(self) -> bool:
        """Whether every population has cores. If not, there are no totals: cores, chips and a board would leave some out."""
        return all(layer.tile is not None for layer in self.layers)

    @property
    def unplaced(self) -> tuple[str, ...]:
        """Populations of which not even one neuron fits a core."""
        return tuple(layer.layer.name for layer in self.layers if layer.tile is None)

    @property
    def exit_status(self) -> int:
        """Exit status of a command that maps a network: 0 if it fits, else 1."""
        return int(not self.fits)

    @property
    def cores(self) -> int:
        """Cores of all populations; a lower bound, which is not shown, where some are not placed (``is_placed``)."""
        return sum(layer.cores for layer in self.layers)

    @property
    def neuron_bound(self) -> int:
        """Lower bound of the cores of any mapping: neurons over neurons per core."""
        return sum(layer.neuron_bound for layer in self.layers)

    @property
    def free_bound(self) -> int | None:
        """Cores with tiles of any size; ``None`` where a population does not fit at all."""
        bounds = [layer.free_bound for layer in self.layers]
        return None if any(bound is None for bound in bounds) else sum(bound for bound in bounds if bound is not None)

    @property
    def places(self) -> tuple[int, ...]:
        """The place of each population's first core, counted chip after chip; its others follow."""
        places, free = [], 0
        for layer in self.layers:
            first = -(-free // self.cores_per_chip) * self.cores_per_chip if layer.begins_chip else free
            places.append(first)
            free = first + layer.cores
        return tuple(places)

    @property
    def chips(self) -> int:
        """Chips that hold the cores."""
        return -(-(self.places[-1] + self.layers[-1].cores) // self.cores_per_chip)

    @property
    def board(self) -> Board | None:
        """The smallest board that holds the chips; ``None`` too where some populations have no cores."""
        if not self.is_placed:
            return None
        return next((board for board in self.boards if board.chips >= self.chips), None)

    def record(self) -> dict[str, object]:
        """For JSON."""
        return {
            "network": self.network,
            "target": self.target,
            "fits": self.fits,
            "cores": self.cores if self.is_placed else None,
            "chips": self.chips if self.is_placed else None,
            "board": None if self.board is None else self.board.name,
            "neuron_bound": self.neuron_bound,
            "free_tile_bound": self.free_bound,
            "problems": [problem.text for problem in self.problems],
            "warnings": list(self.warnings),
            "layers": [
                {
                    "population": layer.layer.name,
                    "shape": list(layer.layer.shape),
                    "tile": None if layer.tile is None else [layer.tile.channels, layer.tile.rows, layer.tile.columns],
                    "cores": None if layer.tile is None else layer.cores,
                    "begins_chip": layer.begins_chip,
                    "limited_by": layer.limit.resource,
                    "uses": {use.resource: {"used": use.used, "limit": use.limit} for use in layer.uses},
                }
                for layer in self.layers
            ],
        }


def map_network(network: Network, target: Target) -> Mapping:
    """Map ``network``; uses the width and the sums of its weights and does not run it."""
    _check(target)
    problems = check_network(network, target)
    return _mapping(network.name, describe_layers(network), target, problems, check_resets(network, target))


def map_layers(name: str, layers: Sequence[Layer], target: Target) -> Mapping:
    """Map a network given by shapes, geometry and weight bits only."""
    _check(target)
    return _mapping(name, tuple(layers), target, (), ())


def _check(target: Target) -> None:
    if target.kind != "chip":
        raise TargetError(
            f"target {target.name} has energy coefficients of operations but no cores; choose loihi1 or loihi2"
        )
    target.require(*LIMITS)


def _mapping(
    name: str, layers: tuple[Layer, ...], target: Target, more: tuple[Problem, ...], warnings: tuple[str, ...]
) -> Mapping:
    if not layers:
        raise NetworkError(f"{name}: no population to map; the network needs at least one besides its input")
    mapped = tuple(_layer(layer, target) for layer in layers)
    problems = [problem for layer in mapped for problem in check_layer(layer.layer, layer.uses, target)]
    mapping = Mapping(
        name,
        target.name,
        mapped,
        target.integer("limits.cores_per_chip"),
        target.boards,
        (*problems, *more),
        (*check_widths(layers, target), *warnings),
    )
    return judge(mapping, target)


def judge(mapping: Mapping, target: Target) -> Mapping:
    """``mapping`` with a problem if, and only if, no board of ``target`` has enough chips."""
    problems = tuple(problem for problem in mapping.problems if problem.remedy != FEWER_CORES)
    if target.boards and mapping.is_placed and mapping.board is None:
        largest = target.boards[-1]
        found = f"{mapping.cores:,} cores on {mapping.chips:,} chips; the largest board, {largest.name}, has {largest.chips:,}"
        problems += (Problem(mapping.network, found, FEWER_CORES),)
    return replace(mapping, problems=problems)


def _layer(layer: Layer, target: Target) -> LayerMapping:
    tile = choose_tile(target, layer)
    free = choose_free_tile(target, layer) if shares_taps(target) else tile
    return LayerMapping(
        layer,
        tile,
        measure_uses(target, layer, tile or ONE_NEURON),
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
        """Cores over image size; lower means that each core is used better."""
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
    options = []
    most = int(spread * min(height, width) / step)
    for change in range(-most, most + 1):
        rows, columns = height + change * step, width + change * step
        try:
            layers = describe_layers(network.at_size(rows, columns))
        except NetworkError:
            continue
        tiles = [choose_tile(target, layer) for layer in layers]
        if all(tile is not None for tile in tiles):
            cores = sum(tile.cores(layer) for tile, layer in zip(tiles, layers, strict=True) if tile is not None)
            options.append(SizeOption(rows, columns, cores))
    return tuple(sorted(options, key=lambda option: option.cores_per_megapixel))
