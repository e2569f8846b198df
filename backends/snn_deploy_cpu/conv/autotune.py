"""The autotuner: which computation of a convolution is the fastest, measured on the machine, on the payloads at hand.

A library's convolution, the direct path and the sparse one end in the same integers. The direct path is taken wherever it is
exact and has vector instructions, which no library's float32 convolution beats (docs/reference/performance.md), and depthwise
convolutions have a path of their own. Whether the
sparse path is faster depends on density: when a layer has done enough work that a comparison would pay, the two are timed,
once for each half octave of density.
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
from snn_deploy_cpu.conv.depthwise import DepthwiseSums
from snn_deploy_cpu.conv.direct import DirectConv
from snn_deploy_cpu.conv.exactness import INT8_MAX
from snn_deploy_cpu.conv.float_conv import Real
from snn_deploy_cpu.conv.geometry import Maps
from snn_deploy_cpu.conv.payload_stats import LazyStats, PayloadStats
from snn_deploy_cpu.conv.sparse import MAX_ROW_PAYLOADS, SparseConv
from snn_deploy_cpu.kernels.library import INSTRUCTION_SETS, Kernels, select_kernels

MAX_SPARSE_DENSITY = 0.5
"""Density above which the sparse path was never faster; nothing is timed there."""

TRIALS = 3
"""Times that each candidate is run where they are compared."""

TIMED_MACS = 2**27
"""Work for a comparison: some milliseconds, on fewer rows the fixed cost of a call would count."""

MIN_MACS = 2**22
"""Less work in a step is not compared: it would not pay."""

WARMUP_MACS = 2**31
"""Work that a layer does before a comparison, which costs half as much."""

MIN_SPEEDUP = 1 / 0.95
"""Speed-up over a rival that a candidate must show: what is timed alone is not quite what a run takes."""

RowsOf: TypeAlias = Callable[[slice, int, int], object]
"""Computes rows of maps: (maps, row_begin, row_end)."""


@dataclass(frozen=True)
class Overrides:
    """What is not left to measurement; ``None`` leaves it.

    ``sparse_below``: the sparse path exactly below this density. ``direct``: the direct path wherever it exists, or nowhere.
    """

    sparse_below: float | None = None
    direct: bool | None = None


class Autotuner:
    """The compiled candidates for one convolution ``task``, and what is known of their speed."""

    def __init__(self, kernels: Kernels, task: ConvTask) -> None:
        self.task, self._kernels = task, kernels
        self._macs = 0
        self._wins: dict[tuple[object, ...], bool] = {}
        self._too_dense: set[tuple[float, bool]] = set()
        self._known: dict[tuple[type[CompiledConv], bool, bool], tuple[Int64, CompiledConv | None]] = {}
        self._depthwise = DepthwiseSums(kernels, task, np.int32) if task.conv.groups > 1 else None
        self._any_bytes = DirectConv.any_bytes(kernels, task) if kernels.sums_32_bits else None

    @classmethod
    def of(cls, task: ConvTask, real: Real) -> Autotuner | None:
        """The autotuner of ``task``; ``None`` where there are no candidates."""
        covered = task.conv.groups == 1 or task.conv.depthwise
        kernels = select_kernels() if covered and real is np.float32 else None
        return None if kernels is None else cls(kernels, task)

    def best(self, x: Maps, stats: LazyStats, library: RowsOf, overrides: Overrides) -> CompiledConv | None:
        """The fastest candidate for ``x`` (N, H, W, C), ``None`` for the library, which is called with maps and rows.

        ``stats`` cost a pass over the payloads and are only asked for where they matter.
        """
        if self._depthwise is not None:
            return None if overrides.direct is False else self._depthwise
        self._macs += x.shape[0] * self.task.macs
        best = None if overrides.direct is False else self._direct_conv(x, stats)
        vectors = self._kernels.instruction_set != INSTRUCTION_SETS[0]
        if (
            best is not None
            and overrides.direct is None
            and not vectors
            and not self._beats(best, None, x, None, library)
        ):
            best = None
        if not self._may_be_sparse(x, stats, overrides):
            return best
        if overrides.sparse_below is not None:
            return self._within(SparseConv, stats.stats) or best
        # the direct path costs the same at any density, the sparse one in proportion
        level = round(2 * math.log2(stats.density)) if stats.density else -math.inf
        if (level, best is None) in self._too_dense:
            return best
        sparse = self._within(SparseConv, stats.stats)
        if sparse is None or self._beats(sparse, best, x, level, library):
            return sparse or best
        # what is slower for the narrowest payloads is slower for any: no need to measure again how wide they are
        if not stats.stats.signed and stats.stats.magnitudes.max() <= INT8_MAX:
            self._too_dense.add((level, best is None))
        return best

    def _direct_conv(self, x: Maps, stats: LazyStats) -> CompiledConv | None:
        """The direct path, where it is exact for ``x``."""
        if x.dtype == np.uint8 and self._any_bytes is not None:
            return self._any_bytes
        return self._within(DirectConv, stats.stats)

    def _may_be_sparse(self, x: Maps, stats: LazyStats, overrides: Overrides) -> bool:
        """Whether few enough payloads are not 0 for the sparse path, and a comparison with it would pay, or is not needed."""
        if math.prod(x.shape[2:]) >= MAX_ROW_PAYLOADS:
            return False
        if overrides.sparse_below is not None:
            return overrides.sparse_below > 0 and stats.density < overrides.sparse_below
        enough = self.task.macs >= MIN_MACS and self._macs >= WARMUP_MACS
        return enough and stats.density < MAX_SPARSE_DENSITY

    def _within(self, kind: type[DirectConv] | type[SparseConv], stats: PayloadStats) -> CompiledConv | None:
        """The path of this ``kind`` that is exact for payloads with these ``stats``.

        What is exact for some payloads of each channel is remembered, and is exact for all smaller ones; for those that fit a
        byte and a sign by themselves, whatever larger ones there have been.
        """
        signed, magnitudes = stats.signed, stats.magnitudes
        key = kind, signed, bool(magnitudes.max() <= INT8_MAX)
        known = self._known.get(key)
        # limits only grow, so a layer changes kernels a few times at first and then no more
        if known is None or (magnitudes is not known[0] and np.any(magnitudes > known[0])):
            limits = magnitudes if known is None else np.maximum(magnitudes, known[0])
            known = self._known[key] = limits, kind.within(self._kernels, self.task, signed, limits)
        return known[1]

    def _beats(
        self, candidate: CompiledConv, best: CompiledConv | None, x: Maps, level: float | None, library: RowsOf
    ) -> bool:
        """Whether ``candidate`` is clearly faster than ``best``, or than the library; timed on the last maps."""
        task = self.task
        key = (type(candidate), candidate.payload, level, best is None)
        if key not in self._wins:
            # the last maps of the chunk: at its first step membranes may still be at rest
            height, last = task.size[0], slice(-min(len(x), 1 + TIMED_MACS // task.macs), None)
            # at least four rows: edges cost more, and a timing of nothing but edges misleads
            rows = min(height, max(4, TIMED_MACS * height // task.macs))
            rival = library if best is None else lambda maps, *band: best.accumulate(None, x[maps], *band)
            ours, theirs = time_in_turn(
                lambda: candidate.accumulate(None, x[last], 0, rows), lambda: rival(last, 0, rows)
            )
            self._wins[key] = ours * MIN_SPEEDUP < theirs
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
