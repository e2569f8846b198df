"""What a backend has compiled a network into, as read back from what it emits: the neutral form that proofs compare.

A reader takes the emission itself apart (the nodes of a file, the parameters of processes, the operators of a plan) and never
looks at the network it came from. What it does not recognise it refuses with
:class:`~snn_deploy.errors.CompiledFormError`. :mod:`snn_deploy.verification.proof` compares the form with the network.

A current is a sum over *parts*. A part reads every payload of its source by a function (:attr:`Part.reading`: the payload
itself, or one of its digits) and applies a linear map to what it has read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from snn_deploy.arrays import Int64, freeze
from snn_deploy.errors import CompiledFormError
from snn_deploy.shapes import Shape

NOWHERE = -1
"""Stands for a row, column or pixel of padding."""


@dataclass(frozen=True, eq=False)
class Windows:
    """``out[o, y, x] = sum_{i, h, w} weight[o, i, h, w] * in[g(o) * I + i, rows[y, h], columns[x, w]]``, padding left out.

    ``weight`` (O, I, K_h, K_w) int64, with I the channels of one of ``groups``. ``rows`` (H_out, K_h) and ``columns``
    (W_out, K_w) int64 name the pixel that each tap reads, :data:`NOWHERE` where it reads padding.
    """

    weight: Int64
    rows: Int64
    columns: Int64
    groups: int = 1

    def __post_init__(self) -> None:
        for name in ("weight", "rows", "columns"):
            object.__setattr__(self, name, freeze(getattr(self, name), np.int64))
        taps = (self.rows.shape[1], self.columns.shape[1])
        if self.weight.shape[2:] != taps or self.groups < 1 or self.weight.shape[0] % self.groups:
            raise CompiledFormError(f"weights {self.weight.shape} do not fit {taps} taps and {self.groups} groups")


@dataclass(frozen=True, eq=False)
class Pixels:
    """``out[c, targets[j]] += weights[j] * in[c, sources[j]]`` for every channel c and entry j; pixels count in C order."""

    targets: Int64
    sources: Int64
    weights: Int64

    def __post_init__(self) -> None:
        _freeze_entries(self, "a pixel map")


@dataclass(frozen=True, eq=False)
class Synapses:
    """``out[targets[j]] += weights[j] * in[sources[j]]`` over every entry j; neurons count in C order of (C, H, W)."""

    targets: Int64
    sources: Int64
    weights: Int64

    def __post_init__(self) -> None:
        _freeze_entries(self, "a list of synapses")


def _freeze_entries(entries: Pixels | Synapses, what: str) -> None:
    for name in ("targets", "sources", "weights"):
        object.__setattr__(entries, name, freeze(getattr(entries, name), np.int64))
    if not entries.targets.shape == entries.sources.shape == entries.weights.shape:
        raise CompiledFormError(f"the entries of {what} differ in number")


LinearMap: TypeAlias = Windows | Pixels | Synapses


@dataclass(frozen=True, eq=False)
class Part:
    """``linear`` applied to ``reading[payload - first]``; without a reading, to the payload itself.

    ``padding`` is what a tap reads beyond the edge of the map.
    """

    linear: LinearMap
    reading: Int64 | None = None
    first: int = 0
    padding: int = 0


@dataclass(frozen=True, eq=False)
class CompiledConnection:
    """The parts of one current; ``delay`` in steps, ``None`` in a form without time."""

    source: str
    target: str
    parts: tuple[Part, ...]
    delay: int | None = None


@dataclass(frozen=True, eq=False)
class Quantizer:
    """``count = clip(floor((sum + offset) / divisor), least, greatest)``: the firing of a form without time.

    ``offset`` (C, 1, 1) or (C, H, W), ``divisor`` (C,), int64.
    """

    offset: Int64
    divisor: Int64
    least: int
    greatest: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "offset", freeze(self.offset, np.int64))
        object.__setattr__(self, "divisor", freeze(self.divisor, np.int64))
        if self.divisor.ndim != 1 or self.divisor.min(initial=1) < 1:
            raise CompiledFormError("divisors are not one positive number for each channel")


@dataclass(frozen=True, eq=False)
class QuantizerSum:
    """The sum of several functions of one sum of currents, as the two sides of a two-sided neuron."""

    parts: tuple[Quantizer, ...]


@dataclass(frozen=True, eq=False)
class OpaqueFiring:
    """A firing whose structure no reader knows: ``evaluate`` gives counts of sums (C, H, W), int64, neuron by neuron.

    Sums of the same channel may stand in any number of places (C, 1, n) where the function is ``per_channel``.
    """

    evaluate: Callable[[Int64], Int64]
    reason: str
    per_channel: bool


Number: TypeAlias = Int64 | int | bool | str | None
"""A number of a neuron: one per channel, or one for all."""


Step: TypeAlias = Callable[[Int64, Int64, Int64], tuple[Int64, Int64, Int64]]
"""One step: membranes, second states and payloads after it, from membranes, second states and currents, all (n, C, 1, 1) int64."""


@dataclass(frozen=True, eq=False)
class SteppedFiring:
    """Neurons that are stepped in time by the equations of a known ``kind`` (:attr:`~snn_deploy.network.neuron.Neuron.kind`).

    ``numbers`` are theirs, named as an artifact names them. The population fires from step ``start`` on; ``bias`` (C, 1, 1) or
    (C, H, W) joins its current then, once or in every step (``bias_repeats``). ``step`` is the backend's own code of one step,
    no bias included, where it can be called by itself: it is run on states, which may refute it and proves nothing.
    """

    kind: str
    numbers: Mapping[str, Number]
    bias: Int64
    start: int
    bias_repeats: bool
    step: Step | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "bias", freeze(self.bias, np.int64))


Firing: TypeAlias = Quantizer | QuantizerSum | OpaqueFiring | SteppedFiring


@dataclass(frozen=True, eq=False)
class CompiledPopulation:
    """A population that fires; ``shape`` is (C, H, W)."""

    name: str
    shape: Shape
    firing: Firing


@dataclass(frozen=True)
class Accumulator:
    """A value of the form lies in ``low..high`` for all inputs, and its format holds ``least..greatest``."""

    name: str
    low: int
    high: int
    least: int
    greatest: int


@dataclass(frozen=True)
class Timing:
    """Every image has ``interval`` steps of its own, in the first ``input_steps`` of which the source sends it.

    ``is_local``: every population counts its own steps from its start, and delays are from number to number: 0 where it sees
    at a step what its source sends at the same one. Starts are 0 then, and ``interval`` is the window.
    """

    interval: int
    input_steps: int
    is_local: bool = False


@dataclass(frozen=True, eq=False)
class CompiledForm:
    """Everything that a backend computes of a network; a form without ``timing`` computes counts alone.

    ``digest`` is the SHA-256 of the emission, where it is a file. ``outside`` names what the form takes for granted: the kernels
    of libraries, the chip.
    """

    backend: str
    digest: str
    source: str
    source_shape: Shape
    populations: tuple[CompiledPopulation, ...]
    connections: tuple[CompiledConnection, ...]
    accumulators: tuple[Accumulator, ...]
    outside: tuple[str, ...]
    timing: Timing | None = None
