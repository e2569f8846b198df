"""How far recordings of one stimulus are apart, added up batch by batch for :mod:`snn_deploy.verification.comparison.spread`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from snn_deploy.arrays import Int64
from snn_deploy.errors import VerificationError
from snn_deploy.verification.comparison.pair import restrict_to_common
from snn_deploy.verification.comparison.spread import Distance, PopulationSpread, Spread
from snn_deploy.verification.traces.trace import Probe, Trace

_LIMIT = 2**30
"""Magnitude beyond which counts are taken as this large: no network counts so far, and sums stay within 64 bits."""


class SpreadTally:
    """Adds up, batch by batch, how far ``recordings`` are apart; ``names`` are the populations that are compared."""

    def __init__(self, recordings: tuple[str, ...], names: tuple[str, ...]) -> None:
        self.recordings, self.names = recordings, names
        self._sums: dict[str, PopulationSpread] = {}
        self._missing: set[str] = set()

    def add(self, baseline: Trace, traces: Sequence[Trace]) -> None:
        """One batch: the baseline, and what each recording holds of it."""
        for name in self.names:
            probes = [trace.probes.get(name) for trace in traces]
            reference = baseline.probes.get(name)
            if reference is None or reference.counts is None or any(p is None or p.counts is None for p in probes):
                self._missing.add(name)
                continue
            held = [probe for probe in probes if probe is not None]
            for trace, probe in zip(traces, held, strict=True):
                if probe.counts is not None and np.any(probe.counts.sum(1, dtype=np.int64) != probe.totals):
                    raise VerificationError(f"{trace.name}: {name}: its totals are not the sums of its counts")
            batch = PopulationSpread(
                name,
                min(probe.counts.size for probe in held if probe.counts is not None),
                tuple(measure(left, right) for left, right in combinations(held, 2)),
                tuple(measure(reference, probe) for probe in held),
            )
            self._sums[name] = self._sums[name] + batch if name in self._sums else batch

    def spread(self) -> Spread:
        """What came out of all batches so far; populations that a side lacks are not in it."""
        populations = tuple(sums for name, sums in self._sums.items() if name not in self._missing)
        return Spread(self.recordings, populations)


def measure(left: Probe, right: Probe) -> Distance:
    """How far two probes with counts are apart, at the neurons that both hold."""
    left, right = restrict_to_common(left, right)
    mine, theirs = _limited(left.counts), _limited(right.counts)
    apart = np.abs(mine - theirs)
    differs = np.asarray(left.counts) != np.asarray(right.counts)
    if left.events is not None and right.events is not None:
        differs = differs | (left.events != right.events)
    return Distance(int(np.count_nonzero(differs)), int(apart.sum()), int(apart.max(initial=0)))


def _limited(counts: Int64 | None) -> Int64:
    return np.clip(np.asarray(counts, np.int64), -_LIMIT, _LIMIT)
