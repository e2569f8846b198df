"""A device description: numbers with source, date, basis and error band; :mod:`snn_deploy.targets.load` reads them.

A missing number is never zero: reading it raises :class:`TargetError`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from snn_deploy.errors import TargetError
from snn_deploy.targets.quantity import Quantity

Basis = Literal["measured", "fitted", "simulated", "specified", "inherited"]
"""How a number was obtained. ``specified``: its source does not say how; ``inherited``: taken from another device."""

Kind = Literal["chip", "arithmetic", "formula"]

KEYS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "limits": (
            "cores_per_chip",
            "neurons_per_core",
            "compartments_per_neuron",
            "core_memory_words",
            "synaptic_memory_words",
            "input_axons_per_core",
            "output_axons_per_core",
            "weight_bits",
            "payload_bits",
            "state_bits",
            "accumulator_bits",
            "delay_max_steps",
            "delay_slots_per_core",
            "map_width_max_pixels",
        ),
        "encoding": (
            "word_bits",
            "list_header_bits",
            "strided_weight_bits",
            "dense_header_bits",
            "dense_index_bits",
            "list_synapses_max",
        ),
        "mesh": ("tile_cores", "tile_columns", "tile_rows"),
        "energy": (
            "synapse_pj",
            "synapse_conv_pj",
            "synapse_dense_pj",
            "synapse_sparse_pj",
            "neuron_active_pj",
            "neuron_inactive_pj",
            "spike_pj",
            "message_pj",
            "hop_ew_pj",
            "hop_ns_pj",
            "accumulate_pj",
            "mac_pj",
        ),
        "time": ("synapse_ns", "neuron_ns", "step_floor_ns", "barrier_chip_ns", "barrier_chips_ns"),
        "power": ("static_chip_w",),
        "measured": ("dynamic_per_image_uj", "static_w", "step_us"),
    }
)
"""All numbers of a target file, by section."""

_SCALES = {"_pj": 1e-12, "_uj": 1e-6, "_ns": 1e-9, "_us": 1e-6, "_w": 1.0}


@dataclass(frozen=True)
class Source:
    """Source of a number: a citation and its date."""

    title: str
    date: str


@dataclass(frozen=True)
class Figure:
    """One number of a target: ``value`` in the unit at the end of ``key``; the true value lies within ``band`` times it."""

    key: str
    value: float
    source: Source
    basis: Basis
    band: tuple[float, float] = (1.0, 1.0)
    note: str = ""

    @property
    def quantity(self) -> Quantity:
        """The number in SI units (J, s, W, or a plain count), with its band."""
        scale = next((scale for suffix, scale in _SCALES.items() if self.key.endswith(suffix)), 1.0)
        return Quantity(self.value * scale, self.value * self.band[0] * scale, self.value * self.band[1] * scale)

    @property
    def citation(self) -> str:
        """One line: number, basis, band, source, date."""
        band = "" if self.band == (1.0, 1.0) else f", x{self.band[0]:g} to x{self.band[1]:g}"
        note = f" ({self.note})" if self.note else ""
        return f"{self.key} = {self.value:g} [{self.basis}{band}] {self.source.title}, {self.source.date}{note}"


@dataclass(frozen=True)
class Board:
    """A product with several chips."""

    name: str
    chips: int
    source: Source


@dataclass(frozen=True, eq=False)
class Target:
    """A device: ``figures`` maps ``section.key`` to its number, ``boards`` go from small to large."""

    name: str
    title: str
    kind: Kind
    figures: Mapping[str, Figure]
    boards: tuple[Board, ...] = ()
    notes: tuple[str, ...] = ()
    inherits: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "figures", MappingProxyType(dict(self.figures)))
        object.__setattr__(self, "boards", tuple(sorted(self.boards, key=lambda board: board.chips)))

    def __repr__(self) -> str:
        return f"Target({self.name}: {self.title}, {len(self.figures)} numbers)"

    def require(self, *keys: str) -> None:
        """Raise :class:`TargetError`, naming all of ``keys`` for which the target has no number."""
        missing = [key for key in keys if key not in self.figures]
        if missing:
            raise TargetError(
                f"target {self.name}: no {', '.join(missing)}; an estimate is refused rather than guessed: "
                f'write a file with inherit = "{self.name}" that adds the number, its source, basis and band'
            )

    def figure(self, key: str) -> Figure:
        """The number ``section.key``; :class:`TargetError` if the target lacks it."""
        self.require(key)
        return self.figures[key]

    def quantity(self, key: str) -> Quantity:
        """The number in SI units."""
        return self.figure(key).quantity

    def integer(self, key: str) -> int:
        """A limit as an integer."""
        return int(self.figure(key).value)
