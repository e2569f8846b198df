"""The verdict: one row per population, what differs first and where, how much was really compared, and an exit code.

"Not compared" is never a pass: 0 means every array that the level asks for was there, on every side, for every expected
population, and equal; 1 means a difference; 2 means no difference was found but something was missing or silent, or that
recordings differ, and not more than from each other (:mod:`snn_deploy.verification.comparison.spread`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from snn_deploy.shapes import Shape
from snn_deploy.verification.comparison.levels import Check, Level, Status
from snn_deploy.verification.comparison.spread import Spread

LINES = 10
"""Most lines that a verdict prints; tables and records have all of it."""


@dataclass(frozen=True)
class Divergence:
    """The first value of ``backend`` that is not the baseline's.

    ``quantity`` is total, count, events, payload or membrane; ``image`` counts from the first image compared; ``step``
    counts from the population's start (``None`` for counts); ``neuron`` is (c, y, x), ``None`` for totals. ``unit``: what
    ``image`` counts, frames in a stream; ``stream``: which of several side by side.
    """

    backend: str
    population: str
    quantity: str
    image: int
    step: int | None
    neuron: Shape | None
    expected: int
    found: int
    unit: str = "image"
    stream: int | None = None

    @property
    def text(self) -> str:
        """One phrase: where, and both values."""
        place = (
            f"{self.unit} {self.image}" if self.stream is None else f"{self.unit} {self.image} of stream {self.stream}"
        )
        if self.step is not None:
            place += f", step {self.step}"
        if self.neuron is not None:
            place += f", neuron {self.neuron}"
        return f"{self.population}, {place}: {self.quantity} {self.found} in {self.backend}, {self.expected} expected"


@dataclass(frozen=True)
class Attribution:
    """Number of (image, step, neuron) cells in which a population introduced and inherited an error.

    A cell differs where its payload does, or its membrane where both sides recorded it. ``first`` is the first
    introduced one; its ``expected`` is what the specification makes of the inputs that the population really had.
    """

    introduced: int
    inherited: int
    first: Divergence | None = None

    def __add__(self, later: Attribution) -> Attribution:
        """The errors of two batches."""
        return Attribution(
            self.introduced + later.introduced, self.inherited + later.inherited, self.first or later.first
        )


@dataclass(frozen=True)
class Side:
    """One backend in one row. The baseline has no differences and no status of its own.

    ``counts`` is the sum of |count| over neurons and images, ``events`` the number of events; ``None`` where not
    recorded. ``probed`` is the number of neurons compared. ``differing`` holds, for each check made, the number of
    values that differ; ``errors`` tells introduced from inherited ones, where that was asked for and could be done.
    """

    backend: str
    counts: int | None
    events: int | None
    probed: int
    differing: tuple[tuple[Check, int], ...] = ()
    missing: tuple[str, ...] = ()
    first: Divergence | None = None
    status: Status = Status.EQUAL
    errors: Attribution | None = None

    def mismatches(self, check: Check) -> int | None:
        """Number of values that differ; ``None`` where ``check`` was not made."""
        return dict(self.differing).get(check)


@dataclass(frozen=True)
class Row:
    """One population on every side, the baseline first. ``silent``: every value of the baseline is 0."""

    population: str
    shape: Shape
    fires: bool
    sides: tuple[Side, ...]
    silent: bool

    @property
    def neurons(self) -> int:
        """Number of neurons in the population."""
        return self.shape[0] * self.shape[1] * self.shape[2]

    @property
    def probed(self) -> int:
        """Neurons compared on every side."""
        return min((side.probed for side in self.sides[1:]), default=0)

    @property
    def status(self) -> Status:
        """The worst status of any side."""
        statuses = {side.status for side in self.sides[1:]}
        for status in (Status.DIFFERENT, Status.NOT_COMPARED, Status.WITHIN_SPREAD):
            if status in statuses:
                return status
        return Status.EQUAL

    @property
    def first(self) -> Divergence | None:
        """The first divergence of any side, in the order of the sides."""
        return next((side.first for side in self.sides if side.first is not None), None)


@dataclass(frozen=True)
class Coverage:
    """What was really compared, out of what was expected; ``steps`` is 0 where only counts were compared."""

    populations: int
    populations_expected: int
    neurons: int
    neurons_expected: int
    steps: int
    steps_expected: int
    images: int
    values: int


@dataclass(frozen=True, repr=False)
class Verdict:
    """The outcome of comparing ``backends`` (baseline first) on one network; ``digest`` names it.

    ``cause`` is what the autopsy of the first introduced error says; empty where no error was introduced, or attributed.
    ``spread`` is there where recordings of a chip that is not deterministic were judged by how much they differ themselves.
    ``unit``: what was compared one after the other, images or the frames of a stream, or of ``streams`` side by side.
    """

    network: str
    digest: str
    backends: tuple[str, ...]
    asked: Level
    reached: Level | None
    rows: tuple[Row, ...]
    coverage: Coverage
    warnings: tuple[str, ...] = ()
    cause: str = ""
    spread: Spread | None = None
    unit: str = "image"
    streams: int = 1

    def __repr__(self) -> str:
        return f"Verdict({self.line})"

    def __str__(self) -> str:
        """In ten lines at most: the verdict, what limits it, and what is wrong."""
        found = [self.line, *(text for text in (self.story, self.cause) if text)]
        return "\n".join([*found, *(f"warning: {text}" for text in self.warnings)][:LINES])

    @property
    def silent(self) -> tuple[str, ...]:
        """Populations whose equality proves nothing, because every baseline value is 0."""
        return tuple(row.population for row in self.rows if row.silent)

    @property
    def vacuous(self) -> bool:
        """Whether every population that fires (or the input, where nothing else was compared) has only zeros."""
        firing = [row for row in self.rows if row.fires]
        return all(row.silent for row in firing or self.rows)

    @property
    def status(self) -> Status:
        """Equal at the asked level, different, not compared, or within the spread of recordings that differ themselves."""
        statuses = {row.status for row in self.rows}
        if Status.DIFFERENT in statuses:
            return Status.DIFFERENT
        if Status.NOT_COMPARED in statuses or self.vacuous:
            return Status.NOT_COMPARED
        if Status.WITHIN_SPREAD in statuses:
            return Status.WITHIN_SPREAD
        return Status.NOT_COMPARED if self.reached is None or self.reached < self.asked else Status.EQUAL

    @property
    def exit_code(self) -> int:
        """0 equal at the asked level, 1 different, 2 not compared or within spread. Bad input raises and ends with 3."""
        return {Status.EQUAL: 0, Status.DIFFERENT: 1, Status.NOT_COMPARED: 2, Status.WITHIN_SPREAD: 2}[self.status]

    @property
    def first(self) -> Divergence | None:
        """The first divergence, in the order of the populations."""
        return next((row.first for row in self.rows if row.first is not None), None)

    @property
    def introduced(self) -> Divergence | None:
        """The first introduced divergence, in the order of the populations: where to look."""
        firsts = (side.errors.first for row in self.rows for side in row.sides if side.errors is not None)
        return next((divergence for divergence in firsts if divergence is not None), None)

    @property
    def story(self) -> str:
        """One paragraph about the first introduced divergence; empty where none was found or asked for."""
        first = self.introduced
        if first is None:
            return ""
        victims = [
            row.population
            for row in self.rows
            for side in row.sides
            if side.backend == first.backend
            and side.errors is not None
            and side.errors.inherited
            and not side.errors.introduced
        ]
        rest = f" {', '.join(victims)} only inherited errors." if victims else ""
        return (
            f"{first.backend} introduces its first error in {first.text} for the inputs that {first.population} "
            f"received.{rest}"
        )

    @property
    def missing(self) -> tuple[str, ...]:
        """Why populations were not compared, one phrase each."""
        return tuple(
            f"{side.backend}: {row.population}: {phrase}"
            for row in self.rows
            for side in row.sides
            for phrase in side.missing
        )

    @property
    def line(self) -> str:
        """The verdict in one line; the exit code stands last."""
        seen = self.coverage
        steps = f"{seen.steps}/{seen.steps_expected} steps, " if seen.steps_expected else ""
        covered = (
            f"{seen.populations}/{seen.populations_expected} populations, "
            f"{seen.neurons:,}/{seen.neurons_expected:,} neurons, {steps}"
            f"{seen.images} {self.unit}(s){f' of {self.streams} streams' if self.streams > 1 else ''}, {seen.values:,} values"
        )
        names = ", ".join(self.backends)
        if self.status is Status.EQUAL:
            return f"EQUAL at level {self.asked.label}: {names}; {covered} | exit 0"
        if self.status is Status.DIFFERENT:
            rows = [row.population for row in self.rows if row.status is Status.DIFFERENT]
            where = self.first.text if self.first is not None else rows[0]
            return (
                f"DIFFERENT at level {self.asked.label}: {len(rows)} of {len(self.rows)} populations; "
                f"first {where}; {covered} | exit 1"
            )
        if self.status is Status.WITHIN_SPREAD and self.spread is not None:
            return (
                f"WITHIN THE CHIP'S OWN SPREAD at level {self.asked.label}, which is not equal: {names}; "
                f"{self.spread.text}; {covered} | exit 2"
            )
        reasons = self.missing or (("every compared value is 0",) if self.vacuous else ("nothing was compared",))
        more = f" and {len(reasons) - 3} more" if len(reasons) > 3 else ""
        reached = "no level" if self.reached is None else self.reached.label
        return (
            f"NOT COMPARED at level {self.asked.label} (reached {reached}): {'; '.join(reasons[:3])}{more}; "
            f"{covered} | exit 2"
        )


def judge_spread(verdict: Verdict, spread: Spread) -> Verdict:
    """``verdict`` with ``spread``: recordings that differ from the baseline within it are not called different.

    Nor are they where a recording lacks a population, whose spread is then not known. Where no two recordings differ,
    there is nothing to judge by, and ``verdict`` stands as it is.
    """
    if not spread.differs:
        return verdict
    inside = {each.population: spread.list_inside(each.population) for each in spread.populations}

    def side_of(row: Row, side: Side) -> Side:
        if side.backend not in spread.recordings or side.status is not Status.DIFFERENT:
            return side
        if row.population not in inside:
            phrase = "not in every recording, so that its spread is not known"
            return replace(side, status=Status.NOT_COMPARED, first=None, missing=(*side.missing, phrase))
        if side.backend in inside[row.population]:
            return replace(side, status=Status.WITHIN_SPREAD, first=None)
        return side

    rows = tuple(replace(row, sides=tuple(side_of(row, side) for side in row.sides)) for row in verdict.rows)
    return replace(verdict, rows=rows, spread=spread)
