"""Spreads from distances chosen by hand: who lies inside, what is said, what contradicts it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from snn_deploy.verification.comparison.levels import Level, Status
from snn_deploy.verification.comparison.spread import Distance, HiddenFault, PopulationSpread, Spread, find_widest
from snn_deploy.verification.comparison.spread_record import find_spread_contradictions
from snn_deploy.verification.comparison.verdict import Coverage, Row, Side, Verdict

NONE = Distance()
NEAR, FAR = Distance(1, 2, 2), Distance(3, 9, 4)
A = PopulationSpread("a", 60, (NEAR, FAR, FAR), (NEAR, NONE, FAR))
B = PopulationSpread("b", 40, (NONE, NEAR, NEAR), (NONE, NEAR, Distance(2, 2, 1)))
SPREAD = Spread(("one", "two", "three"), (A, B))
HIDDEN = tuple(
    HiddenFault(fault, "a", moved) for fault, moved in (("bias off", FAR), ("seed off", NONE), ("off", NEAR))
)


@pytest.mark.parametrize(
    ("mine", "other", "exceeds", "outweighs"),
    [
        (NEAR, NEAR, False, False),
        (Distance(2, 2, 2), NEAR, True, True),
        (Distance(1, 3, 2), NEAR, True, True),
        (Distance(1, 2, 3), NEAR, True, False),
        (Distance(0, 3, 0), NEAR, True, True),
    ],
)
def test_distances_by_every_measure(mine: Distance, other: Distance, exceeds: bool, outweighs: bool) -> None:
    assert (mine.exceeds(other), mine.outweighs(other)) == (exceeds, outweighs)


def test_distances_add_up() -> None:
    for one, other in ((NEAR, FAR), (FAR, NEAR)):
        assert one + other == Distance(4, 11, 4)
    assert find_widest([NEAR, Distance(0, 7, 9)]) == Distance(1, 7, 9)
    assert find_widest([]) == NONE
    later = PopulationSpread("a", 5, (FAR, NONE, NEAR), (NONE, FAR, NEAR))
    assert A + later == PopulationSpread(
        "a", 65, (NEAR + FAR, FAR + NONE, FAR + NEAR), (NEAR + NONE, NONE + FAR, FAR + NEAR)
    )


def test_who_lies_where() -> None:
    assert SPREAD.differs
    assert not Spread(("one", "two"), (PopulationSpread("a", 5, (NONE,), (FAR, NEAR)),)).differs
    assert SPREAD.outliers == ("three",)
    assert Spread(("one", "two"), (PopulationSpread("a", 5, (NONE,), (FAR, FAR)),)).outliers == ()
    assert [SPREAD.list_outside(name) for name in "ab"] == [("three",), ("three",)]
    assert [SPREAD.list_inside(name) for name in "ab"] == [("one",), ("two",)]
    assert not SPREAD.within
    alone = Spread(("one", "two"), (PopulationSpread("a", 5, (FAR,), (NEAR, FAR)),))
    assert alone.within
    assert not replace(alone, populations=(replace(alone.populations[0], apart=(NEAR, Distance(3, 10, 4))),)).within


def test_shares_and_chances() -> None:
    assert (SPREAD.self_share, SPREAD.baseline_share, SPREAD.chance) == (4 / 100, 5 / 100, 0.5)
    assert SPREAD.twins == ()
    twins = replace(A, among=(NONE, FAR, FAR))
    assert Spread(("one", "two", "three"), (twins,)).twins == (("one", "two"),)
    assert Spread(("one", "two"), (PopulationSpread("a", 5, (NONE,), (FAR, NEAR)),)).twins == ()


def test_shares_of_one_population_and_of_none() -> None:
    one = Spread(("one", "two", "three"), (A,))
    assert (one.self_share, one.baseline_share, one.outliers) == (3 / 60, 3 / 60, ("three",))
    none = Spread(("one", "two", "three"), ())
    assert (none.self_share, none.baseline_share, none.outliers, none.twins) == (0, 0, (), ())
    assert not none.differs


FIRST = (
    "3 recordings differ from each other in up to 4.00% of counts, from the baseline in up to 5.00% (chance level 50% per "
    "population and measure)"
)


@pytest.mark.parametrize(
    ("faults", "hidden", "text"),
    [
        (0, (), ""),
        (9, (), "; 0 of 9 named faults are not excluded"),
        (
            9,
            HIDDEN,
            "; 3 of 9 named faults are not excluded, 1 of them invisible under this stimulus; the largest is 'bias off' in a "
            "(3 counts move)",
        ),
        (9, HIDDEN[:1], "; 1 of 9 named faults are not excluded; the largest is 'bias off' in a (3 counts move)"),
        (9, HIDDEN[1:2], "; 1 of 9 named faults are not excluded, 1 of them invisible under this stimulus"),
    ],
)
def test_a_spread_says_what_it_does_not_exclude(faults: int, hidden: tuple[HiddenFault, ...], text: str) -> None:
    spread = replace(SPREAD, faults=faults, hidden=hidden)
    assert spread.text == FIRST + text
    assert spread.invisible == sum(each.fault == "seed off" for each in hidden)


def verdict(
    *statuses: Status, spread: Spread | None = SPREAD, backends: tuple[str, ...] = SPREAD.recordings
) -> Verdict:
    """One population ``a``; of the recordings, the first lies inside and the third outside."""
    sides = tuple(Side(name, 1, 1, 24, status=status) for name, status in zip(backends, statuses, strict=True))
    row = Row("a", (2, 3, 4), True, (Side("reference", 1, 1, 24), *sides), False)
    coverage = Coverage(1, 1, 24, 24, 0, 0, 2, 100)
    names = ("reference", *backends)
    return Verdict("net", "sha", names, Level.NEURON_COUNT, Level.NEURON_COUNT, (row,), coverage, spread=spread)


E, D, W, N = Status.EQUAL, Status.DIFFERENT, Status.WITHIN_SPREAD, Status.NOT_COMPARED


@pytest.mark.parametrize(
    ("found", "phrases"),
    [
        (verdict(W, E, D), []),
        (verdict(N, N, N), []),
        (verdict(E, E, D), ["a: one: is called equal, which its spread does not say"]),
        (verdict(D, E, D), ["a: one: is called different, which its spread does not say"]),
        (verdict(W, W, D), ["a: two: is called within spread, which its spread does not say"]),
        (verdict(W, E, W), ["a: three: is called within spread, which its spread does not say"]),
        (verdict(W, E, E), ["a: three: is called equal outside the spread"]),
        (verdict(W, E, D, backends=("one", "two", "other")), ["its spread is of other recordings"]),
        (verdict(D, E, D, spread=None), []),
        (verdict(W, E, D, spread=None), ["a: one: is called within spread, which its spread does not say"]),
    ],
)
def test_what_contradicts_a_spread(found: Verdict, phrases: list[str]) -> None:
    said = [phrase.replace(W.value, "within spread") for phrase in find_spread_contradictions(found)]
    assert said == phrases


def test_the_line_of_a_verdict_within_its_spread() -> None:
    found = verdict(W, E, E)
    assert found.status is W
    assert found.line == (
        "WITHIN THE CHIP'S OWN SPREAD at level neuron-count, which is not equal: reference, one, two, three; "
        f"{FIRST}; 1/1 populations, 24/24 neurons, 2 image(s), 100 values | exit 2"
    )
