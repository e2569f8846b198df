"""Which way to compute a convolution is the cheapest, measured on the machine, on the payloads at hand.

A library's convolution, the direct path and the event-driven one end in the same integers. A layer's first chunks run
through the library; when it has done enough work that compiling another way would pay, that way is measured, once for
each half octave of activity where it depends on it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from snn_deploy_cpu.conv.compiled import Path, Sums
from snn_deploy_cpu.conv.direct import DirectSums
from snn_deploy_cpu.conv.float_conv import Real
from snn_deploy_cpu.conv.geometry import Convolution, Maps
from snn_deploy_cpu.conv.payload_stats import ALL, Extent, active_bits
from snn_deploy_cpu.conv.sparse import MOST_PLACES, EventSums
from snn_deploy_cpu.kernels.dispatch import compiled_kernels

QUIET = 0.5
"""Activity above which events were never faster; nothing is measured there."""

TRIALS = 3
"""Times that each way is run where they are compared."""

ENOUGH_PRODUCTS = 2**27
"""Work for a comparison: some milliseconds, on fewer rows the fixed cost of a library's call would count."""

WORTH_PRODUCTS = 2**22
"""Less work in a step stays with the library: a call's fixed cost would decide."""

PATIENCE_PRODUCTS = 2**31
"""Work that a layer leaves to the library before another way is compiled, which takes two seconds, once on a machine."""

CLEARLY = 0.95
"""Share of a rival's time that a way may take: what is measured alone is not quite what a run takes."""

Rows: TypeAlias = Callable[[slice, int, int], object]
"""Computes rows of maps: (maps, first, last)."""

_compiled: set[tuple[object, ...]] = set()
"""Ways and formats whose loops have run in this process."""


@dataclass(frozen=True)
class Wishes:
    """What is not left to measurement.

    ``quiet``: events exactly below this activity. ``direct``: the direct path wherever it exists, or nowhere.
    """

    quiet: float | None = None
    direct: bool | None = None

    def of(self, way: Sums, active: float) -> bool | None:
        """Whether ``way`` is to be taken at this activity; ``None``: if it is the cheapest."""
        if isinstance(way, DirectSums):
            return self.direct
        return None if self.quiet is None else active < self.quiet


class Choice:
    """The compiled ways to compute the convolution ``path``, and what is known of their cost."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._work = 0
        self._wins: dict[tuple[object, ...], bool] = {}
        self._proved: dict[tuple[bool, int], tuple[npt.NDArray[np.int64], tuple[Sums, ...]]] = {}

    @staticmethod
    def covers(form: Convolution, real: Real) -> bool:
        """Whether there are such ways for ``form`` here."""
        return form.groups == 1 and real is np.float32 and compiled_kernels() is not None

    def sums(self, maps: Maps, extent: Extent, bits: int = ALL) -> tuple[Sums, ...]:
        """The ways to take sums over ``bits`` of ``maps``, in as few bits as their ``extent`` allows; none if it is too large.

        What holds for some payloads of each channel is kept, and holds for all smaller ones.
        """
        if math.prod(maps.shape[2:]) >= MOST_PLACES:
            return ()
        signed, peaks = extent.of_bits(bits)
        known = self._proved.get((signed, bits))
        if known is None or np.any(peaks > known[0]):
            peaks = peaks if known is None else np.maximum(peaks, known[0])
            found = (way.of(self.path, bits, signed, peaks) for way in (DirectSums, EventSums))
            known = self._proved[signed, bits] = peaks, tuple(way for way in found if way is not None)
        return known[1]

    def cheapest(
        self, maps: Maps, measure: Callable[[], Extent], bits: int, library: Rows, wishes: Wishes
    ) -> Sums | None:
        """The cheapest way, ``None`` for the library, which is called with maps and rows."""
        worthwhile = self.path.products >= WORTH_PRODUCTS
        if wishes == Wishes() and not worthwhile:
            return None
        self._work += maps.shape[0] * self.path.products
        extent, best = measure(), None
        active = extent.active if bits == ALL else active_bits(maps, bits)
        for way in self.sums(maps, extent, bits):
            wish = wishes.of(way, active)
            if wish is None:
                wish = worthwhile and self._beats(way, best, maps, active, library)
            best = way if wish else best
        return best

    def _beats(self, way: Sums, best: Sums | None, maps: Maps, active: float, library: Rows) -> bool:
        """Whether ``way`` costs less than ``best``, or than the library; measured on the last maps."""
        path, level = self.path, None
        if isinstance(way, EventSums):
            if active >= QUIET:
                return False
            level = round(2 * math.log2(active)) if active else -math.inf
        key = (type(way), way.bits, way.payload, way.at_once, level, type(best))
        if key not in self._wins:
            kind = (type(way), path.fold is None, way.payload, maps.dtype)
            if kind not in _compiled and self._work < PATIENCE_PRODUCTS:
                return False
            height, last = path.size[0], slice(-min(len(maps), 1 + ENOUGH_PRODUCTS // path.products), None)
            rows = min(height, max(4, ENOUGH_PRODUCTS * height // path.products))
            rival = library if best is None else lambda part, *lines: best.add(None, maps[part], *lines)
            ours, theirs = _seconds(lambda: way.add(None, maps[last], 0, rows), lambda: rival(last, 0, rows))
            self._wins[key] = ours < CLEARLY * theirs
            _compiled.add(kind)
        return self._wins[key]


def _seconds(*rivals: Callable[[], object]) -> list[float]:
    """The shortest of a few runs of each, which take turns: what else the machine does then falls on all of them."""
    for work in rivals:
        work()
    spent = []
    for _ in range(TRIALS):
        for work in rivals:
            started = time.perf_counter()
            work()
            spent.append(time.perf_counter() - started)
    return [min(spent[place :: len(rivals)]) for place in range(len(rivals))]
