"""Comparison of two or more runs of one network, batch by batch and population by population.

Memory does not grow with the number of images, and a recording is never in memory as a whole.

The first run of every batch is the baseline. Integers are compared with ``==``. Nothing is matched by guess: a
population that the network does not have is an error, and one that a side does not have is "not compared".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import TypeAlias

from snn_deploy.backend.protocol import Run
from snn_deploy.errors import VerificationError
from snn_deploy.network import artifact
from snn_deploy.network.network import Network, Population
from snn_deploy.verification.comparison.attribution import attribute
from snn_deploy.verification.comparison.levels import Check, Level, Status, list_required_checks
from snn_deploy.verification.comparison.pair import Pair, Totals, unit_of
from snn_deploy.verification.comparison.verdict import Attribution, Coverage, Row, Side, Verdict
from snn_deploy.verification.traces.trace import Probe, Trace

Recording: TypeAlias = Run | Trace


def compare(
    network: Network,
    runs: Sequence[Recording],
    level: Level = Level.NEURON_COUNT,
    populations: Collection[str] | None = None,
) -> Verdict:
    """Compare ``runs`` of one stimulus, the first being the baseline; see :class:`Comparison`."""
    comparison = Comparison(network, level, populations)
    comparison.add(runs)
    return comparison.verdict()


class Comparison:
    """Adds up what differs between runs of ``network``, one batch of images after the other.

    ``populations`` are those that must be compared: all by default, the outputs at level ``OUTPUT_COUNT``. ``share``
    is the part of each population that must have been probed. ``schedules`` are the same network under other
    schedules, from which runs may come as well; their counts are comparable in ``exact`` mode only, their trains never.
    ``replay`` attributes errors: what differs is replayed on its own inputs, which must have been recorded in trains.
    """

    def __init__(
        self,
        network: Network,
        level: Level = Level.NEURON_COUNT,
        populations: Collection[str] | None = None,
        *,
        share: float = 1.0,
        schedules: Sequence[Network] = (),
        replay: bool = False,
    ) -> None:
        self.network, self.level, self.share, self.replay = network, level, share, replay
        self.digest = artifact.digest(network)
        self.schedules = {artifact.digest(other): _same_but_schedule(network, other) for other in schedules}
        self.expected = _expected(network, level, populations)
        self.backends: tuple[str, ...] = ()
        self.images, self.streams = 0, 1
        self._pairs: dict[tuple[str, str], Pair] = {}
        self._baseline: dict[str, Totals] = {name: Totals() for name in self.expected}
        self._attributions: dict[tuple[str, str], Attribution] = {}
        self._warnings: dict[str, None] = {}

    def add(self, runs: Sequence[Recording]) -> None:
        """Compare one batch; :class:`VerificationError` unless all ran one network on one stimulus, as those before."""
        traces = name_traces(runs)
        self._check(traces)
        self.backends = tuple(trace.name for trace in traces)
        wrong: dict[str, set[str]] = {}
        for population in self.network.populations:
            for backend in self._add(traces, population):
                wrong.setdefault(backend, set()).add(population.name)
        if self.replay:
            for trace in traces[1:]:
                self._attribute(traces[0], trace, wrong.get(trace.name, set()))
        self.images += traces[0].images
        self.streams = traces[0].images if self.network.stream else 1

    def warn(self, warnings: Iterable[str]) -> None:
        """Put ``warnings`` into the verdict: what must be known of a recording that is compared."""
        self._warnings |= dict.fromkeys(warnings)

    def _add(self, traces: Sequence[Trace], population: Population) -> list[str]:
        """Compare one population; the backends that differ in it. Its arrays are let go afterwards."""
        probes = [self._probe(trace, population) for trace in traces]
        if population.name not in self.expected:
            return []
        baseline, reference, differing = traces[0], probes[0], []
        self._baseline[population.name].add(reference, states=self.level == Level.STATE)
        for trace, probe in zip(traces[1:], probes[1:], strict=True):
            pair = self._pairs.setdefault((population.name, trace.name), Pair(self.network, population, trace.name))
            retimed = trace.network in self.schedules or baseline.network in self.schedules
            if pair.add(reference, probe, self.images, baseline.name, batch=trace.images, retimed=retimed):
                differing.append(trace.name)
        return differing

    def _probe(self, trace: Trace, population: Population) -> Probe | None:
        """What ``trace`` holds of ``population``, in the shapes that the network says."""
        probe = trace.probes.get(population.name)
        steps = self.schedules.get(trace.network or "", self.network).steps
        if probe is not None:
            try:
                probe.expect(population.size, trace.images, steps)
            except VerificationError as error:
                raise VerificationError(f"{trace.name}: {population.name}: {error}") from error
        return probe

    def _attribute(self, baseline: Trace, trace: Trace, wrong: set[str]) -> None:
        """Replay the populations that differ in this batch, and those that a differing one feeds."""
        for name in self.expected:
            if self.network.population(name).neuron is None:
                continue
            touched = {name} | {connection.source for connection in self.network.incoming(name)}
            if touched.isdisjoint(wrong):
                continue
            errors = attribute(self.network, baseline, trace, name, image=self.images)
            if errors is None:
                self._warnings[
                    f"{trace.name}: errors of {name} could not be attributed; its inputs are not recorded"
                ] = None
                continue
            key = (name, trace.name)
            self._attributions[key] = errors if key not in self._attributions else self._attributions[key] + errors

    def verdict(self) -> Verdict:
        """What came out of all batches so far."""
        rows = tuple(self._row(self.network.population(name)) for name in self.expected)
        warnings = list(self._warnings)
        silent = [row.population for row in rows if row.silent]
        if silent:
            warnings.append(f"silent in {self.backends[0]}, so their equality proves nothing: {', '.join(silent)}")
        warnings.extend(self._beyond())
        return Verdict(
            network=self.network.name,
            digest=self.digest,
            backends=self.backends,
            asked=self.level,
            reached=self._reached(),
            rows=rows,
            coverage=self._coverage(rows),
            warnings=tuple(warnings),
            unit=unit_of(self.network),
            streams=self.streams,
        )

    def _check(self, traces: Sequence[Trace]) -> None:
        if len(traces) < 2:
            raise VerificationError(
                f"{len(traces)} run(s); a comparison needs at least 2, the first being the baseline"
            )
        names = tuple(trace.name for trace in traces)
        if self.backends and names != self.backends:
            raise VerificationError(f"this batch holds {', '.join(names)}, those before it {', '.join(self.backends)}")
        stimuli = {trace.stimulus for trace in traces if trace.stimulus is not None}
        if len(stimuli) > 1:
            raise VerificationError(
                f"{', '.join(names)} ran different stimuli ({', '.join(sorted(digest[:12] for digest in stimuli))}); "
                "run all of them on the same images"
            )
        if len({trace.images for trace in traces}) > 1:
            raise VerificationError(f"{', '.join(names)} hold {[trace.images for trace in traces]} images")
        for trace in traces:
            self._check_trace(trace)

    def _check_trace(self, trace: Trace) -> None:
        unsaid = [
            label for label, digest in (("network", trace.network), ("stimulus", trace.stimulus)) if digest is None
        ]
        if unsaid:
            warning = f"{trace.name} does not say which {' and '.join(unsaid)} it recorded; nothing vouches for it"
            self._warnings[warning] = None
        if trace.network is not None and trace.network != self.digest and trace.network not in self.schedules:
            raise VerificationError(
                f"{trace.name} ran network {trace.network[:12]}, not {self.network.name} {self.digest[:12]}; "
                "run the same artifact"
            )
        known = [population.name for population in self.network.populations]
        unknown = sorted(set(trace.probes) - set(known))
        if unknown:
            raise VerificationError(
                f"{trace.name}: {', '.join(unknown)} is not in network {self.network.name}; it has {', '.join(known)}"
            )

    def _row(self, population: Population) -> Row:
        totals = self._baseline[population.name]
        checks = list_required_checks(self.level, self.network, population)
        sides = []
        for backend in self.backends[1:]:
            key = (population.name, backend)
            sides.append(replace(self._pairs[key].side(checks, self.share), errors=self._attributions.get(key)))
        own = self.backends[0] if self.backends else "none"
        first = Side(own, totals.counts, totals.events, max((side.probed for side in sides), default=0))
        return Row(population.name, population.shape, population.neuron is not None, (first, *sides), totals.silent)

    def _beyond(self) -> list[str]:
        """Warnings for arrays that differ although the asked level does not look at them."""
        differing: dict[tuple[str, Check], list[str]] = {}
        for pair in self._pairs.values():
            for check in set(Check) - list_required_checks(self.level, self.network, pair.population):
                if pair.differing[check]:
                    differing.setdefault((pair.backend, check), []).append(pair.population.name)
        return [
            f"{backend}: {check.label} of {', '.join(names)} differ, which level {self.level.label} does not look at"
            for (backend, check), names in sorted(differing.items(), key=lambda entry: (entry[0][0], entry[0][1].value))
        ]

    def _reached(self) -> Level | None:
        if not self._pairs:
            return None
        reached = None
        for level in (level for level in Level if level <= self.level):
            for pair in self._pairs.values():
                checks = list_required_checks(level, self.network, pair.population)
                if pair.side(checks, self.share).status is not Status.EQUAL:
                    return reached
            reached = level
        return reached

    def _coverage(self, rows: Sequence[Row]) -> Coverage:
        compared = [row for row in rows if len(row.sides) > 1 and row.status is not Status.NOT_COMPARED]
        timed = bool(self._pairs) and all(pair.made(Check.TRAINS) for pair in self._pairs.values())
        return Coverage(
            populations=len(compared),
            populations_expected=len(rows),
            neurons=sum(row.probed for row in rows if len(row.sides) > 1),
            neurons_expected=sum(row.neurons for row in rows),
            steps=self.network.steps if timed and self.level >= Level.TRAIN else 0,
            steps_expected=self.network.steps if self.level >= Level.TRAIN else 0,
            images=self.images // self.streams,
            values=sum(
                pair.values[check]
                for pair in self._pairs.values()
                for check in list_required_checks(self.level, self.network, pair.population)
            ),
        )


def name_traces(recordings: Sequence[Recording]) -> list[Trace]:
    """The traces of ``recordings``, second and later uses of a name numbered."""
    seen: dict[str, int] = {}
    named = []
    for recording in recordings:
        trace = recording if isinstance(recording, Trace) else Trace.of(recording)
        seen[trace.name] = seen.get(trace.name, 0) + 1
        number = seen[trace.name]
        named.append(trace if number == 1 else replace(trace, name=f"{trace.name} ({number})"))
    return named


def _expected(network: Network, level: Level, populations: Collection[str] | None) -> tuple[str, ...]:
    outputs = {output.population for output in network.outputs}
    known = tuple(population.name for population in network.populations)
    if populations is None:
        return tuple(name for name in known if level > Level.OUTPUT_COUNT or name in outputs)
    unknown = sorted(set(populations) - set(known))
    if unknown:
        raise VerificationError(f"{', '.join(unknown)} is not in network {network.name}; it has {', '.join(known)}")
    chosen = tuple(name for name in known if name in populations)
    if not chosen:
        raise VerificationError("no population was asked for; nothing would be compared")
    return chosen


def _same_but_schedule(network: Network, other: Network) -> Network:
    """``other``, if nothing but its schedule differs and counts do not depend on that."""
    if network.mode == "rate":
        raise VerificationError("in rate mode counts depend on the schedule; only runs of one schedule are compared")
    if artifact.digest(_scheduled_as(network, other)) != artifact.digest(network):
        raise VerificationError(f"{other.name} differs from {network.name} in more than its schedule")
    return other


def _scheduled_as(network: Network, other: Network) -> Network:
    """``other`` with the schedule of ``network`` wherever both have something of one name."""
    start = {population.name: population.start for population in network.populations}
    delay = {connection.name: connection.delay for connection in network.connections}
    return replace(
        other,
        steps=network.steps,
        populations=tuple(replace(each, start=start.get(each.name, each.start)) for each in other.populations),
        connections=tuple(replace(each, delay=delay.get(each.name, each.delay)) for each in other.connections),
    )
