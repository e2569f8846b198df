"""The autotuner: which computation of a convolution is the fastest, measured on the machine, on the payloads at hand.

A library's convolution, the direct path and the sparse one end in the same integers. A layer's first chunks run through
the library; when it has done enough work that compiling another computation would pay, that one is timed, once for each
half octave of density where it depends on it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from snn_deploy.arrays import Int64
from snn_deploy_cpu.conv.compiled import CompiledConv, ConvTask
from snn_deploy_cpu.conv.direct import DirectConv
from snn_deploy_cpu.conv.float_conv import Real
from snn_deploy_cpu.conv.geometry import Convolution, Maps
from snn_deploy_cpu.conv.payload_stats import ALL_BITS, PayloadStats, density_under
from snn_deploy_cpu.conv.sparse import MAX_ROW_PAYLOADS, SparseConv
from snn_deploy_cpu.kernels.dispatch import compiled_kernels

MAX_SPARSE_DENSITY = 0.5
"""Density above which the sparse path was never faster; nothing is timed there."""

TRIALS = 3
"""Times that each candidate is run where they are compared."""

TIMED_MACS = 2**27
"""Work for a comparison: some milliseconds, on fewer rows the fixed cost of a library's call would count."""

MIN_MACS = 2**22
"""Less work in a step stays with the library: a call's fixed cost would decide."""

WARMUP_MACS = 2**31
"""Work that a layer leaves to the library before a candidate is compiled, which takes two seconds, once on a machine."""

MIN_SPEEDUP = 1 / 0.95
"""Speed-up over a rival that a candidate must show: what is timed alone is not quite what a run takes."""

RowsOf: TypeAlias = Callable[[slice, int, int], object]
"""Computes rows of maps: (maps, row_begin, row_end)."""

Candidate: TypeAlias = CompiledConv
"""A compiled computation that may replace the library's."""

_compiled: set[tuple[object, ...]] = set()
"""Kinds of candidates and formats whose loops have run in this process."""


@dataclass(frozen=True)
class Overrides:
    """What is not left to measurement; ``None`` leaves it.

    ``sparse_below``: the sparse path exactly below this density. ``direct``: the direct path wherever it exists, or nowhere.
    """

    sparse_below: float | None = None
    direct: bool | None = None

    def decide(self, candidate: Candidate, density: float) -> bool | None:
        """Whether ``candidate`` is to be taken at this density; ``None``: if it is the fastest."""
        if isinstance(candidate, DirectConv):
            return self.direct
        return None if self.sparse_below is None else density < self.sparse_below


class Autotuner:
    """The candidates for one convolution ``task``, and what is known of their speed."""

    def __init__(self, task: ConvTask) -> None:
        self.task = task
        self._macs = 0
        self._wins: dict[tuple[object, ...], bool] = {}
        self._candidates: dict[tuple[bool, int], tuple[Int64, tuple[Candidate, ...]]] = {}

    @staticmethod
    def covers(conv: Convolution, real: Real) -> bool:
        """Whether there are candidates for ``conv`` here."""
        return conv.groups == 1 and real is np.float32 and compiled_kernels() is not None

    def candidates(self, x: Maps, stats: PayloadStats, bits: int = ALL_BITS) -> tuple[Candidate, ...]:
        """The candidates for ``x`` (N, H, W, C) under the mask ``bits``, exact for payloads with these ``stats``; maybe none.

        What is exact for some payloads of each channel is remembered, and is exact for all smaller ones.
        """
        if math.prod(x.shape[2:]) >= MAX_ROW_PAYLOADS:
            return ()
        signed, channel_max = stats.limits_under(bits)
        known = self._candidates.get((signed, bits))
        # limits only grow, so a layer changes kernels a few times at first and then no more
        if known is None or np.any(channel_max > known[0]):
            limits = channel_max if known is None else np.maximum(channel_max, known[0])
            # direct first: where both win over the library, sparse must then beat the direct path
            offered = (kind.of(self.task, bits, signed, limits) for kind in (DirectConv, SparseConv))
            known = self._candidates[signed, bits] = limits, tuple(conv for conv in offered if conv is not None)
        return known[1]

    def best(
        self, x: Maps, measure: Callable[[], PayloadStats], bits: int, library: RowsOf, overrides: Overrides
    ) -> Candidate | None:
        """The fastest candidate, ``None`` for the library, which is called with maps and rows."""
        worthwhile = self.task.macs >= MIN_MACS
        # before the statistics, which cost a pass over the payloads
        if overrides == Overrides() and not worthwhile:
            return None
        self._macs += x.shape[0] * self.task.macs
        stats, best = measure(), None
        density = stats.density if bits == ALL_BITS else density_under(x, bits)
        for candidate in self.candidates(x, stats, bits):
            decided = overrides.decide(candidate, density)
            if decided is None:
                decided = worthwhile and self._beats(candidate, best, x, density, library)
            best = candidate if decided else best
        return best

    def _beats(self, candidate: Candidate, best: Candidate | None, x: Maps, density: float, library: RowsOf) -> bool:
        """Whether ``candidate`` is clearly faster than ``best``, or than the library; timed on the last maps."""
        task, level = self.task, None
        if isinstance(candidate, SparseConv):
            if density >= MAX_SPARSE_DENSITY:
                return False
            # the direct path costs the same at any density, the sparse one in proportion
            level = round(2 * math.log2(density)) if density else -math.inf
        key = (type(candidate), candidate.bits, candidate.payload, candidate.accumulate_depth, level, type(best))
        if key not in self._wins:
            kind = (type(candidate), task.upsampled is None, candidate.payload, x.dtype)
            # compiling takes seconds, once; a short run should not pay for it
            if kind not in _compiled and self._macs < WARMUP_MACS:
                return False
            # the last maps of the chunk: at its first step membranes may still be at rest
            height, last = task.size[0], slice(-min(len(x), 1 + TIMED_MACS // task.macs), None)
            # at least four rows: edges cost more, and a timing of nothing but edges misleads
            rows = min(height, max(4, TIMED_MACS * height // task.macs))
            rival = library if best is None else lambda maps, *band: best.accumulate(None, x[maps], *band)
            ours, theirs = time_in_turn(
                lambda: candidate.accumulate(None, x[last], 0, rows), lambda: rival(last, 0, rows)
            )
            self._wins[key] = ours * MIN_SPEEDUP < theirs
            _compiled.add(kind)
        return self._wins[key]


def time_in_turn(*rivals: Callable[[], object]) -> list[float]:
    """Seconds of the shortest of :data:`TRIALS` runs of each, after one that warms up.

    They take turns: what else the machine does then falls on all of them.
    """
    for work in rivals:
        work()
    seconds = []
    for _ in range(TRIALS):
        for work in rivals:
            started = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - started)
    return [min(seconds[place :: len(rivals)]) for place in range(len(rivals))]
