"""What compiled loops take, by name. Nothing here needs numba.

Python passes ``tuple(...)`` of these and compiled loops name the fields again: every named tuple that
crosses costs a call 0.6 microseconds more (numba 0.6x looks its type up in Python).
A compiled function that takes one would also have the class in its cached signature, which numba cannot read any more once
the class is renamed; so only inlined functions do.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from snn_deploy.arrays import Array
from snn_deploy.shapes import Pair


class ConvGeometry(NamedTuple):
    """Which input pixels a convolution reads (:class:`snn_deploy_cpu.conv.geometry.Convolution`), each as (rows, columns)."""

    kernel: Pair
    strides: Pair
    dilations: Pair
    pads: Pair
    phases: Pair
    crop: Pair


class UpsampleGeometry(NamedTuple):
    """Which low-resolution products a pixel of the target adds (:class:`snn_deploy_cpu.conv.geometry.UpsampledConv`).

    ``left`` pixels of the row ring buffer stand before the map's own.
    """

    factor: int
    kernel: Pair
    pads: Pair
    left: int


class CurrentRows(NamedTuple):
    """Where currents are written: ``out`` (n_slots, rows, W', C') float32, whose row 0 is row ``row_begin`` of the target.

    One slot for each map, or a single one that maps share where currents are used up at once. Sums times ``scale``, a
    power of two, are written where ``overwrite``, and added to what stands there otherwise.
    """

    out: Array
    row_begin: int
    scale: np.float32
    overwrite: bool


class RowRing(NamedTuple):
    """A ring buffer of input rows as a kernel reads them: row y of a map stands in slot ``y % slots`` of ``values``."""

    values: Array
    slots: int
    left: int


class Thresholds(NamedTuple):
    """How multi-threshold neurons fire: ``clip(floor((v + rounding) * reciprocal), payload_min, payload_max)``.

    ``theta`` and ``reciprocal`` (1 / theta) are (tile,), float32 or float64; ``rounding`` is 1/2, or -1/2 for neurons
    that fire strictly above their threshold.
    """

    theta: Array
    reciprocal: Array
    rounding: float
    payload_min: float
    payload_max: float


class FusedNeurons(NamedTuple):
    """Neurons that a convolution steps itself, row by row, while their currents are in the first-level cache.

    ``v`` float32 are the membranes of all ``images``, none where the convolution only computes currents. ``drive``
    (N,) where ``per_neuron``, else (tile,), enters the first ``driven_steps`` of the steps that ``payloads`` (T, N)
    have room for. ``thresholds`` are the fields of :class:`Thresholds`.
    """

    v: Array
    drive: Array
    per_neuron: bool
    driven_steps: int
    images: int
    payloads: Array
    thresholds: tuple[Any, ...]


_EMPTY = np.empty(0, np.float32)

NO_NEURONS = FusedNeurons(_EMPTY, _EMPTY, False, 0, 1, np.empty((0, 0), np.uint8), (_EMPTY, _EMPTY, 0.0, 0.0, 0.0))
"""For a convolution that only computes currents; of the types that neurons with 8-bit payloads have, so it is compiled once."""
