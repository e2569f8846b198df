"""How much recordings of one stimulus differ from each other, and whether the baseline lies within that.

A chip that is not deterministic differs from itself; what it differs from the specification by means something only beside
that. Two recordings are compared by three measures of a population (:class:`Distance`), over all images. The
baseline is *within the spread* of n recordings where both rules hold:

1. In every population and by every measure, no recording is further from the baseline than the two recordings that are
   furthest from each other.
2. Over the whole network (n >= 3, measures that add up), no recording is further from the baseline than any two *others*
   are from each other: one broken recording does not make room for itself.

Were the baseline one more recording of the same chip, every one of the n (n + 1) / 2 pairs would be equally likely the
furthest, and n of them hold the baseline: rule 1 would call it different by one measure with probability 2 / (n + 1) at
most (:attr:`Spread.chance`). A deterministic baseline without the chip's noise is nearer, and rarely called different.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations


@dataclass(frozen=True)
class Distance:
    """How far two sides of one population are apart.

    ``differing`` is the number of (image, neuron) whose count differs, or number of events where both sides have it;
    ``total`` the sum of abs(count - count), ``largest`` the largest of these.
    """

    differing: int = 0
    total: int = 0
    largest: int = 0

    def __add__(self, other: Distance) -> Distance:
        """Of more neurons or images."""
        return Distance(self.differing + other.differing, self.total + other.total, max(self.largest, other.largest))

    def exceeds(self, other: Distance) -> bool:
        """Whether any measure is larger than that of ``other``."""
        return self.differing > other.differing or self.total > other.total or self.largest > other.largest

    def outweighs(self, other: Distance) -> bool:
        """Whether a measure that adds up over populations is larger than that of ``other``."""
        return self.differing > other.differing or self.total > other.total


def find_widest(distances: Iterable[Distance]) -> Distance:
    """The largest of each measure."""
    listed = list(distances)
    return Distance(
        max((each.differing for each in listed), default=0),
        max((each.total for each in listed), default=0),
        max((each.largest for each in listed), default=0),
    )


def _add_up(populations: Iterable[tuple[Distance, ...]]) -> tuple[Distance, ...]:
    """The sums of the first, second, ... distances of every population."""
    return tuple(sum(column, Distance()) for column in zip(*populations, strict=True))


@dataclass(frozen=True)
class PopulationSpread:
    """One population that all n recordings and the baseline hold.

    ``values`` counts were compared on each side. ``among`` are the distances of the pairs of recordings, in the order
    (0, 1), (0, 2), ..., (n-2, n-1); ``apart`` those of each recording from the baseline.
    """

    population: str
    values: int
    among: tuple[Distance, ...]
    apart: tuple[Distance, ...]

    def __add__(self, later: PopulationSpread) -> PopulationSpread:
        """Of two batches."""
        return PopulationSpread(
            self.population,
            self.values + later.values,
            tuple(mine + more for mine, more in zip(self.among, later.among, strict=True)),
            tuple(mine + more for mine, more in zip(self.apart, later.apart, strict=True)),
        )

    @property
    def widest(self) -> Distance:
        """How far the recordings are from each other at most, by each measure."""
        return find_widest(self.among)


@dataclass(frozen=True)
class HiddenFault:
    """A named fault of one population that the recordings do not exclude, and how far it moves the network's counts."""

    fault: str
    population: str
    moved: Distance


@dataclass(frozen=True)
class Spread:
    """What n >= 2 ``recordings`` of one stimulus differ by, from each other and from the baseline.

    ``faults`` is the number of faults that were tried, ``hidden`` those of them under which the baseline would lie
    within the spread too, the largest first; both are only sought where the baseline itself does.
    """

    recordings: tuple[str, ...]
    populations: tuple[PopulationSpread, ...]
    faults: int = 0
    hidden: tuple[HiddenFault, ...] = ()

    @property
    def differs(self) -> bool:
        """Whether any two recordings differ; if none do, there is nothing to judge by."""
        return any(each.widest.differing for each in self.populations)

    @property
    def chance(self) -> float:
        """Largest probability that one measure of one population calls one more recording of the same chip different."""
        return 2 / (len(self.recordings) + 1)

    @property
    def outliers(self) -> tuple[str, ...]:
        """Recordings that are further from the baseline than the others are from each other (rule 2)."""
        number = len(self.recordings)
        if number < 3:
            return ()
        pairs = tuple(zip(combinations(range(number), 2), self._among, strict=False))  # no distances of no populations
        found = []
        for index, (name, apart) in enumerate(zip(self.recordings, self._apart, strict=False)):
            others = find_widest(distance for pair, distance in pairs if index not in pair)
            if apart.outweighs(others):
                found.append(name)
        return tuple(found)

    def list_outside(self, population: str) -> tuple[str, ...]:
        """The recordings that lie outside in ``population``, by either rule; none where they equal the baseline."""
        outliers = self.outliers
        return tuple(
            name for name, apart, widest in self._sides(population) if name in outliers or apart.exceeds(widest)
        )

    def list_inside(self, population: str) -> tuple[str, ...]:
        """The recordings that differ from the baseline in ``population`` and do not lie outside."""
        outside = self.list_outside(population)
        return tuple(name for name, _, _ in self._sides(population) if name not in outside)

    def _sides(self, population: str) -> list[tuple[str, Distance, Distance]]:
        """The recordings that differ from the baseline in ``population``, how far they do, and the widest spread."""
        return [
            (name, apart, each.widest)
            for each in self.populations
            if each.population == population
            for name, apart in zip(self.recordings, each.apart, strict=True)
            if apart.differing
        ]

    @property
    def within(self) -> bool:
        """Whether no recording lies outside."""
        return not any(self.list_outside(each.population) for each in self.populations)

    @property
    def invisible(self) -> int:
        """Hidden faults that change no count under this stimulus: no recording, however exact, would show them."""
        return sum(not hidden.moved.differing for hidden in self.hidden)

    @property
    def self_share(self) -> float:
        """Share of counts in which the two recordings differ that differ most."""
        return self._share(find_widest(self._among))

    @property
    def baseline_share(self) -> float:
        """Share of counts in which the recording furthest from the baseline differs from it."""
        return self._share(find_widest(self._apart))

    @property
    def _among(self) -> tuple[Distance, ...]:
        """Distances of the pairs of recordings over the whole network."""
        return _add_up(each.among for each in self.populations)

    @property
    def _apart(self) -> tuple[Distance, ...]:
        """Distances of each recording from the baseline over the whole network."""
        return _add_up(each.apart for each in self.populations)

    def _share(self, distance: Distance) -> float:
        return distance.differing / max(1, sum(each.values for each in self.populations))

    @property
    def twins(self) -> tuple[tuple[str, str], ...]:
        """Pairs of recordings that are equal in every count although others differ: perhaps one was given twice."""
        pairs = zip(combinations(self.recordings, 2), self._among, strict=True)
        return tuple(pair for pair, distance in pairs if not distance.differing) if self.differs else ()

    @property
    def text(self) -> str:
        """What differs how much, and what is not excluded, in one phrase."""
        number = len(self.recordings)
        phrase = (
            f"{number} recordings differ from each other in up to {self.self_share:.2%} of counts, from the baseline in "
            f"up to {self.baseline_share:.2%} (chance level {self.chance:.0%} per population and measure)"
        )
        if self.faults:
            shown = len(self.hidden) - self.invisible
            phrase += f"; {len(self.hidden)} of {self.faults} named faults are not excluded"
            if self.invisible:
                phrase += f", {self.invisible} of them invisible under this stimulus"
            if shown:
                first = self.hidden[0]
                phrase += (
                    f"; the largest is {first.fault!r} in {first.population} ({first.moved.differing:,} counts move)"
                )
        return phrase
