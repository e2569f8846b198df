"""The interface of a population's neurons: what the executor asks of every kind.

Neurons are flat and channels last: neuron ``((image * H + y) * W + x) * C + channel`` of N = images * H * W * C.
Coefficients of channels are repeated to the length of a *tile*, a multiple of C near :data:`TILE`, so that loops over
neurons index them without a modulo.
"""

from __future__ import annotations

from typing import Protocol, TypeAlias

import numpy as np

from snn_deploy.arrays import Array

Floats: TypeAlias = Array
Integers: TypeAlias = Array

TILE = 2048
"""Neurons per tile, about: membranes, currents and thresholds of a tile fit into 32 KiB."""


class Neurons(Protocol):
    """The coefficients of one population's neurons, and their steps.

    ``start`` (tile,) are the initial membranes, in the format that membranes have; ``bias`` (tile,) joins the current
    while the population is driven.
    """

    @property
    def start(self) -> Floats:
        """Initial membranes (tile,)."""
        ...

    @property
    def bias(self) -> Floats:
        """Biases (tile,), in the format of currents."""
        ...

    @property
    def has_second_state(self) -> bool:
        """Whether there is a state (N,) beside the membrane: a running count, a decaying current, the sum of deltas sent."""
        ...

    @property
    def fuses(self) -> bool:
        """Whether compiled convolutions may step the neurons of a row as soon as its currents are complete."""
        ...

    def step_many(
        self,
        v: Floats,
        second: Floats | None,
        currents: Floats,
        drive: Floats | None,
        driven_steps: int,
        payloads: Integers,
        begin: int,
    ) -> int:
        """Advance neurons ``begin ... begin + n`` by T steps; returns how many membranes left 24 bits.

        ``v`` and ``second`` (N,), ``None`` without a second state, are updated in place, and ``payloads`` (T, N)
        written. ``currents`` are (T, n), or (1, n) where every step has the same. ``drive`` (N,), bias and constant
        currents of each neuron, ``None`` for :attr:`bias` alone, enters the first ``driven_steps`` steps.
        """
        ...

    def would_fire(self, v: Floats, second: Floats | None) -> bool:
        """Whether any neuron would send a payload without further input."""
        ...


def repeat_to_tile(values: Array) -> Array:
    """``values`` (C,) repeated to the length of a tile."""
    return np.tile(values, max(1, TILE // values.size))
