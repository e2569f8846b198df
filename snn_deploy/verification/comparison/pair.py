"""One population of one backend beside the baseline's: which arrays differ, how often, and where first."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

import numpy as np

from snn_deploy.arrays import Array
from snn_deploy.network.network import Network, Population
from snn_deploy.shapes import Shape
from snn_deploy.verification.comparison.levels import Check, Status, list_state_checks
from snn_deploy.verification.comparison.verdict import Divergence, Side
from snn_deploy.verification.traces.trace import Probe


@dataclass
class Totals:
    """Sums over batches: of ``abs(count)``, and of events."""

    counts: int | None = 0
    events: int | None = 0
    recorded: bool = False
    zero: bool = True

    @property
    def silent(self) -> bool:
        """Whether something was recorded, and all of it was 0."""
        return self.recorded and self.zero

    def add(self, probe: Probe | None, *, states: bool) -> None:
        """Add one batch; ``states`` says whether membranes count against silence."""
        counts, events = (None, None) if probe is None else (probe.counts, probe.events)
        self.counts = _plus(self.counts, None if counts is None else int(np.abs(counts).sum()))
        self.events = _plus(self.events, None if events is None else int(events.sum()))
        if probe is not None:
            arrays = [probe.totals, counts, events, probe.trains, probe.states if states else None]
            self.recorded |= any(array is not None for array in arrays)
            self.zero &= not any(array is not None and np.any(array) for array in arrays)


@dataclass(eq=False)
class Pair:
    """One population of one backend beside the baseline's.

    ``differing`` counts, for each check, the values that differ in the batches that had the array; ``missing`` says for
    which checks a batch did not have it. A difference once found is never forgotten.
    """

    network: Network
    population: Population
    backend: str
    probed: int | None = None
    values: dict[Check, int] = field(default_factory=lambda: dict.fromkeys(Check, 0))
    differing: dict[Check, int] = field(default_factory=lambda: dict.fromkeys(Check, 0))
    missing: dict[Check, str] = field(default_factory=dict)
    totals: Totals = field(default_factory=Totals)
    first: Divergence | None = None

    def made(self, check: Check) -> bool:
        """Whether every batch so far could be compared by ``check``."""
        timeless = check not in (Check.STATES, Check.SECOND_STATES)
        return check not in self.missing and (timeless or check in list_state_checks(self.population))

    def add(
        self, reference: Probe | None, probe: Probe | None, image: int, baseline: str, *, retimed: bool, batch: int = 1
    ) -> bool:
        """Compare one ``batch`` of images, whose first is number ``image``; whether anything differs in it.

        ``retimed`` runs have trains of another time, which are not compared.
        """
        self.totals.add(probe, states=False)
        for side, label in ((reference, baseline), (probe, self.backend)):
            if side is None:
                self._lacks(Check, f"not recorded by {label}")
        if reference is None or probe is None:
            self.probed = 0
            return False
        reference, probe = restrict_to_common(reference, probe)
        width = self.population.size if probe.neurons is None else int(probe.neurons.size)
        self.probed = width if self.probed is None else min(self.probed, width)
        if retimed:
            reference = replace(reference, trains=None, states=None, second_states=None, events=None)
            probe = replace(probe, trains=None, states=None, second_states=None, events=None)
        arrays = {check: (getattr(reference, check.field), getattr(probe, check.field)) for check in Check}
        before = sum(self.differing.values())
        for check, (expected, found) in arrays.items():
            if expected is None or found is None:
                label = baseline if expected is None else self.backend
                self._lacks([check], f"no comparable {check.label} in {label}")
            else:
                self.values[check] += expected.size
                self.differing[check] += _count(expected, found, reference, probe, check)
        differs = sum(self.differing.values()) > before
        if differs and self.first is None:
            first = find_first_divergence(self.population, self.backend, reference, probe, image)
            self.first = None if first is None else place_in_stream(self.network, first, batch)
        return differs

    def _lacks(self, checks: Collection[Check] | type[Check], phrase: str) -> None:
        for check in checks:
            self.missing.setdefault(check, phrase)

    def side(self, checks: Collection[Check], share: float) -> Side:
        """The outcome as far as ``checks`` ask."""
        probed = self.probed or 0
        missing = list(dict.fromkeys(phrase for check, phrase in self.missing.items() if check in checks))
        if checks and not missing and probed < max(1, share * self.population.size):
            missing.append(f"{probed} of {self.population.size} neurons probed, {share:.0%} asked")
        status = Status.EQUAL
        if any(self.differing[check] for check in checks):
            status = Status.DIFFERENT
        elif missing:
            status = Status.NOT_COMPARED
        return Side(
            backend=self.backend,
            counts=self.totals.counts,
            events=self.totals.events,
            probed=probed,
            differing=tuple((check, number) for check, number in self.differing.items() if number or self.made(check)),
            missing=tuple(missing),
            first=self.first if status is Status.DIFFERENT else None,
            status=status,
        )


def unit_of(network: Network) -> str:
    """What is compared one after the other."""
    return "frame" if network.stream else "image"


def place_in_stream(network: Network, found: Divergence, batch: int) -> Divergence:
    """``found`` in the words of what is compared: an image, or a frame, of one of ``batch`` streams side by side."""
    if not network.stream or batch == 1:
        return replace(found, unit=unit_of(network))
    frame, stream = divmod(found.image, batch)
    return replace(found, unit=unit_of(network), image=frame, stream=stream)


def find_first_divergence(
    population: Population, backend: str, reference: Probe, probe: Probe, image: int
) -> Divergence | None:
    """The first value of ``probe`` that is not ``reference``'s, both holding the same neurons.

    The earliest image counts first, then the earliest step; payloads stand before membranes, timed values before sums.
    """
    pairs = (
        ("payload", reference.trains, probe.trains),
        ("membrane", reference.states, probe.states),
        ("second state", reference.second_states, probe.second_states),
        ("count", reference.counts, probe.counts),
        ("events", reference.events, probe.events),
        ("total", reference.totals, probe.totals),
    )
    divergences: list[tuple[tuple[int, float, int], Divergence]] = []
    for rank, (quantity, expected, got) in enumerate(pairs):
        if expected is None or got is None:
            continue
        place = _first_place(expected, got)
        if place is None:
            continue
        batch, *inside = place
        column = inside.pop() if inside else None
        step = inside.pop() if inside else None
        divergence = Divergence(
            backend=backend,
            population=population.name,
            quantity=quantity,
            image=image + batch,
            step=step,
            neuron=None if column is None else _neuron(population, probe, column),
            expected=int(expected[place]),
            found=int(got[place]),
        )
        divergences.append(((batch, np.inf if step is None else step, rank), divergence))
    return min(divergences, key=lambda ranked: ranked[0])[1] if divergences else None


def _neuron(population: Population, probe: Probe, column: int) -> Shape:
    flat = column if probe.neurons is None else int(probe.neurons[column])
    channel, y, x = (int(axis) for axis in np.unravel_index(flat, population.shape))
    return channel, y, x


def _count(expected: Array, found: Array, reference: Probe, probe: Probe, check: Check) -> int:
    """Number of values that differ; a neuron whose count is right and number of events wrong differs too."""
    differs = expected != found
    if check is Check.COUNTS and reference.events is not None and probe.events is not None:
        differs = differs | (reference.events != probe.events)
    return int(np.count_nonzero(differs))


def _first_place(expected: Array, found: Array) -> tuple[int, ...] | None:
    """Index of the first value that differs, in C order: image, then step, then neuron."""
    differs = (expected != found).ravel()
    flat = int(differs.argmax())
    return tuple(int(axis) for axis in np.unravel_index(flat, expected.shape)) if differs[flat] else None


def restrict_to_common(reference: Probe, probe: Probe) -> tuple[Probe, Probe]:
    """Both sides at the neurons that both probed."""
    if reference.neurons is None:
        return reference if probe.neurons is None else reference.at(probe.neurons), probe
    if probe.neurons is None:
        return reference, probe.at(reference.neurons)
    neurons = np.intersect1d(reference.neurons, probe.neurons)
    return reference.at(neurons), probe.at(neurons)


def _plus(total: int | None, more: int | None) -> int | None:
    return None if total is None or more is None else total + more
