"""Why: which named mistake, alone or with a second one, makes a population's replay equal to what was recorded.

The population is replayed on its own recorded inputs with each fault of :mod:`snn_deploy.verification.diagnosis.faults`
in turn, then,
if none explains the record, with two of them. A cause is named only when the replay equals the record in every value
that was recorded; where several do, the stimulus cannot tell them apart, and all are named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice

import numpy as np

from snn_deploy.arrays import Bool
from snn_deploy.errors import VerificationError
from snn_deploy.network.network import Network
from snn_deploy.verification.comparison.attribution import find_differing_cells
from snn_deploy.verification.comparison.comparison import Recording, name_traces
from snn_deploy.verification.comparison.replay import (
    RememberedCurrents,
    Rule,
    Site,
    SynapticCurrents,
    Train,
    collect_sent,
    find_horizon,
    is_replayable,
    respond,
)
from snn_deploy.verification.comparison.verdict import Verdict
from snn_deploy.verification.diagnosis.cuba_faults import CUBA_FAULTS
from snn_deploy.verification.diagnosis.faults import Fault
from snn_deploy.verification.diagnosis.stream_faults import STREAM_FAULTS
from snn_deploy.verification.traces.trace import Probe, Trace

FEW = 4
"""Channels that a diagnosis lists."""

MAX_REMEMBERED_BYTES = 2**28
"""Of the currents that a population's replays have in common."""


@dataclass(frozen=True)
class Diagnosis:
    """The outcome for one population.

    ``causes`` are the sets of faults (one or two names) whose replay equals the record; empty where none does.
    ``cells`` (image, step, neuron) were compared, ``differing`` of them are not the specification's; ``nearest`` is the
    hypothesis with the fewest left, ``left`` their number; ``tried`` counts hypotheses. ``channels`` hold
    the differing, where not all do. ``meanings`` says of every fault named here what it does.
    """

    population: str
    cells: int
    differing: int
    causes: tuple[tuple[str, ...], ...]
    nearest: tuple[str, ...]
    left: int
    tried: int
    channels: tuple[int, ...] = ()
    meanings: Mapping[str, str] = field(default_factory=dict)

    def _named(self, names: Sequence[str]) -> str:
        """``'bias missing' (the bias is 0)``."""
        return " with ".join(
            f"{name!r} ({self.meanings[name]})" if name in self.meanings else repr(name) for name in names
        )

    @property
    def _where(self) -> str:
        """The channels that are wrong, where they are few: weights and biases of these are the first to look at."""
        if not 0 < len(self.channels) <= FEW:
            return ""
        return f", all of them in channel{'s' * (len(self.channels) > 1)} {', '.join(map(str, self.channels))}"

    @property
    def text(self) -> str:
        """One sentence."""
        if not self.differing:
            return f"{self.population}: all {self.cells:,} cells follow from its inputs by the specification"
        wrong = f"{self.population}: {self.differing:,} of {self.cells:,} cells contradict the specification, given its inputs"
        if not self.causes and self.left >= self.differing:
            return f"{wrong}{self._where}; none of {self.tried} hypotheses explains any of them"
        if not self.causes:
            nearest = f"nearest is {self._named(self.nearest)} ({self.left:,} left)"
            return f"{wrong}{self._where}; none of {self.tried} hypotheses explains all of them; {nearest}"
        return f"{wrong}; fully explained by {', or by '.join(self._named(cause) for cause in self.causes)}"


def diagnose(
    network: Network,
    trace: Trace,
    population: str,
    *,
    faults: Sequence[Fault] = CUBA_FAULTS,
    rule: Rule | None = None,
    limit: int = 1000,
) -> Diagnosis:
    """Explain what ``trace`` recorded of ``population``; its sources must have been recorded in full.

    Hypotheses, at most ``limit`` of them, those near the record first, are tried on the first image that differs, as
    far as two steps past the difference; what explains that must then explain all steps of all images.
    """
    if not is_replayable(network, population):
        raise VerificationError(
            f"{population}: events that reach it lie outside its sources' windows; record longer ones"
        )
    whole = _Case.of(network, trace, population, rule)
    place = whole.first_difference()
    if place is None:
        return Diagnosis(population, whole.cells, 0, (), (), 0, 0)
    first = whole.at(*place)
    singles: dict[tuple[str, ...], _Left] = {(fault.name,): first.left(site) for fault, site in first.singles(faults)}
    ranked = dict(singles)
    causes = whole.confirmed(singles, faults)
    if not causes:
        near = sorted(faults, key=lambda fault: singles.get((fault.name,), _Left(1, 1)).share)
        for names, site in islice(first.pairs(near, faults), max(0, limit - len(singles))):
            ranked[names] = first.left(site)
        causes = whole.confirmed(ranked, faults)
    nearest = min(ranked, key=lambda names: ranked[names].share, default=())
    return Diagnosis(
        population=population,
        cells=whole.cells,
        differing=whole.left(whole.site).cells,
        causes=causes,
        nearest=nearest,
        left=whole.left(whole.site_of(nearest, faults)).cells,
        tried=len(ranked),
        channels=whole.channels,
        meanings={fault.name: fault.meaning for fault in faults if fault.name in {*nearest, *chain(*causes)}},
    )


def explain(network: Network, verdict: Verdict, recordings: Sequence[Recording]) -> Diagnosis | None:
    """The autopsy of the first introduced error of ``verdict``, on the ``recordings`` of the batch that shows it.

    ``None`` where no error was introduced, or the comparison was not asked to attribute errors (``replay``).
    """
    first = verdict.introduced
    if first is None:
        return None
    traces = {trace.name: trace for trace in name_traces(recordings)}
    if first.backend not in traces:
        raise VerificationError(f"{first.backend} is not among the recordings {', '.join(traces)}")
    faults = (*STREAM_FAULTS, *CUBA_FAULTS) if network.stream else CUBA_FAULTS
    return diagnose(network, traces[first.backend], first.population, faults=faults)


@dataclass(frozen=True)
class _Left:
    """Cells that a hypothesis leaves unexplained, of those that it could be tried on."""

    cells: int
    compared: int

    @property
    def share(self) -> float:
        return self.cells / self.compared if self.compared else 1.0


@dataclass(frozen=True, eq=False)
class _Case:
    """One population with what it received and what was recorded of it."""

    network: Network
    site: Site
    synapses: SynapticCurrents
    recorded: Probe

    @classmethod
    def of(cls, network: Network, trace: Trace, population: str, rule: Rule | None) -> _Case:
        sent = collect_sent(network, trace, {connection.source for connection in network.incoming(population)})
        recorded = trace.probes.get(population)
        if sent is None or recorded is None or recorded.trains is None:
            raise VerificationError(
                f"{population}: an autopsy needs its own train and those of all its sources, in full"
            )
        return cls(network, Site.of(network, population, rule, trace.before), SynapticCurrents(sent), recorded)

    @property
    def cells(self) -> int:
        return int(np.asarray(self.recorded.trains).size)

    def at(self, image: int, step: int) -> _Case:
        """The same for one image, as far as two steps past ``step``, with memory for currents."""
        one, early = slice(image, image + 1), slice(0, step + 3)
        sent = {name: Train(train.first, train.payload[one]) for name, train in self.synapses.sent.items()}
        trains, states, second = self.recorded.trains, self.recorded.states, self.recorded.second_states
        recorded = Probe(
            neurons=self.recorded.neurons,
            trains=None if trains is None else trains[one, early],
            states=None if states is None else states[one, early],
            second_states=None if second is None else second[one, early],
        )
        carried = self.site.carried
        site = self.site if carried is None else replace(self.site, carried=(carried[0][one], carried[1][one]))
        return _Case(self.network, site, RememberedCurrents(sent, MAX_REMEMBERED_BYTES), recorded)

    def _differs(self, site: Site) -> Bool:
        """(B, steps that can be known, n)."""
        known = max(0, find_horizon(self.network, site) + 1)
        steps = np.asarray(self.recorded.trains).shape[1]
        replayed = respond(site, self.synapses, self.site.population.start, steps).probe()
        if self.recorded.neurons is not None:
            replayed = replayed.at(self.recorded.neurons)
        return find_differing_cells(replayed, self.recorded)[:, :known]

    def left(self, site: Site) -> _Left:
        differs = self._differs(site)
        return _Left(int(np.count_nonzero(differs)), differs.size)

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels in which any cell is not the specification's; none where all have such cells."""
        places = np.flatnonzero(self._differs(self.site).any((0, 1)))
        channels, height, width = self.site.population.shape
        neurons = places if self.recorded.neurons is None else np.asarray(self.recorded.neurons)[places]
        wrong = sorted(set((neurons // (height * width)).tolist()))
        return tuple(wrong) if len(wrong) < channels else ()

    def first_difference(self) -> tuple[int, int] | None:
        """Image and step of the first cell that is not the specification's."""
        differs = self._differs(self.site).any(2)
        place = np.argwhere(differs)
        return (int(place[0, 0]), int(place[0, 1])) if place.size else None

    def site_of(self, names: Sequence[str], faults: Sequence[Fault]) -> Site:
        """The site with the faults called ``names``, the last of the list applied first, as in :meth:`pairs`."""
        site = self.site
        for fault in reversed(faults):
            if fault.name in names:
                site = fault.change(site) or site
        return site

    def confirmed(
        self, ranked: Mapping[tuple[str, ...], _Left], faults: Sequence[Fault]
    ) -> tuple[tuple[str, ...], ...]:
        """Hypotheses that explain every image, on as many cells as any of them could be tried on."""
        explained = [names for names, left in ranked.items() if left.compared and not left.cells]
        left_of = {names: self.left(self.site_of(names, faults)) for names in explained}
        most = max((left.compared for left in left_of.values() if not left.cells), default=0)
        return tuple(names for names, left in left_of.items() if not left.cells and left.compared == most)

    def singles(self, faults: Sequence[Fault]) -> Iterator[tuple[Fault, Site]]:
        """Every fault that this population can have, with its site."""
        for fault in faults:
            site = fault.change(self.site)
            if site is not None:
                yield fault, site

    def pairs(self, near: Sequence[Fault], faults: Sequence[Fault]) -> Iterator[tuple[tuple[str, str], Site]]:
        """Every two of ``faults``, those nearest first; of each two the later in the list is applied first.

        Faults that touch kernels stand last in the list, so a pair shares its kernels, and their currents, with others.
        """
        order = {fault.name: index for index, fault in enumerate(faults)}
        sites = {fault.name: site for fault, site in self.singles(faults)}
        done: set[frozenset[str]] = set()
        for fault in near:
            for other in faults:
                both = frozenset((fault.name, other.name))
                if len(both) < 2 or both in done or not both <= set(sites):
                    continue
                done.add(both)
                early, late = (fault, other) if order[fault.name] < order[other.name] else (other, fault)
                site = early.change(sites[late.name])
                if site is not None:
                    yield (early.name, late.name), site
