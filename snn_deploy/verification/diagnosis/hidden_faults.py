"""What a verdict "within spread" does not exclude: named faults under which the same recordings would be judged the same.

Every fault of :mod:`snn_deploy.verification.diagnosis.faults` is put into the network, which is replayed under the stimulus. Where
the recordings lie within their spread around *these* counts as well, they do not tell the faulty network from the right
one: a test is inverted, as for a confidence set, and nothing is assumed of the chip's noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from snn_deploy.arrays import Int64
from snn_deploy.backend.protocol import Progress
from snn_deploy.network.network import Network
from snn_deploy.verification.comparison.replay import forward, repeat
from snn_deploy.verification.comparison.spread import Distance, HiddenFault, Spread
from snn_deploy.verification.comparison.spread_tally import measure
from snn_deploy.verification.diagnosis.mutation import list_cases
from snn_deploy.verification.traces.trace import Probe, Trace


class HiddenFaults:
    """Adds up, batch by batch, how far recordings lie from every faulty version of ``network``.

    ``spread`` is that of the recordings, judged around the right network.
    """

    def __init__(self, network: Network, spread: Spread) -> None:
        self.network, self.spread = network, spread
        self.cases = list_cases(network)
        self._names = [each.population for each in spread.populations]
        self._apart = [[[Distance()] * len(spread.recordings) for _ in self._names] for _ in self.cases]
        self._moved = [Distance()] * len(self.cases)

    def add(self, payloads: Int64, traces: Sequence[Trace], progress: Progress | None = None) -> None:
        """One batch: ``payloads`` (B, C, H, W) int64, and the recordings of it in the order of the spread."""
        sent = repeat(self.network, payloads)
        right = forward(self.network, sent)
        held = [[_without_time(trace.probes[name]) for trace in traces] for name in self._names]
        usual = [
            [measure(right.trace.probes[name], probe) for probe in probes]
            for name, probes in zip(self._names, held, strict=True)
        ]
        for index, (name, _, site) in enumerate(self.cases):
            wrong = forward(self.network, sent, {name: site}, right).trace
            for place, compared in enumerate(self._names):
                faulty, same = wrong.probes[compared], right.trace.probes[compared]
                apart = usual[place] if faulty is same else [measure(faulty, probe) for probe in held[place]]
                self._apart[index][place] = [
                    old + new for old, new in zip(self._apart[index][place], apart, strict=True)
                ]
                if faulty is not same:
                    self._moved[index] += measure(same, faulty)
            if progress is not None:
                progress(index + 1, len(self.cases))

    def spread_with_hidden(self) -> Spread:
        """The spread, with the faults that it does not exclude: the one that moves most first."""
        hidden = []
        for (name, fault, _), apart, moved in zip(self.cases, self._apart, self._moved, strict=True):
            populations = tuple(
                replace(each, apart=tuple(distances))
                for each, distances in zip(self.spread.populations, apart, strict=True)
            )
            if replace(self.spread, populations=populations).within:
                hidden.append(HiddenFault(fault.name, name, moved))
        hidden.sort(key=lambda each: (-each.moved.total, -each.moved.differing))  # stable beyond that
        return replace(self.spread, faults=len(self.cases), hidden=tuple(hidden))


def _without_time(probe: Probe) -> Probe:
    """Counts and events alone, read once."""
    return Probe(neurons=probe.neurons, counts=probe.counts, events=probe.events)
