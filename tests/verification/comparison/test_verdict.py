"""What a verdict says, by tables: statuses, exit codes, lines and stories of verdicts built by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from snn_deploy.errors import VerificationError
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.testing import random_unet
from snn_deploy.verification.comparison.levels import Check, Level, Status, list_required_checks
from snn_deploy.verification.comparison.verdict import Attribution, Coverage, Divergence, Row, Side, Verdict
from snn_deploy.verification.comparison.verdict_record import find_contradictions, record, restore

FIRST = Divergence("chip", "a", "payload", 3, 2, (1, 4, 5), 7, 8)
LATER = replace(FIRST, population="b", image=4, step=None, neuron=None, quantity="total")
EQUAL = Side("chip", 10, 4, 24, ((Check.TOTALS, 0), (Check.COUNTS, 0), (Check.TRAINS, 0)))
DIFFERENT = replace(EQUAL, differing=((Check.TOTALS, 0), (Check.COUNTS, 2)), first=FIRST, status=Status.DIFFERENT)
ABSENT = replace(EQUAL, differing=(), missing=("not recorded by chip",), probed=0, status=Status.NOT_COMPARED)
BASELINE = Side("reference", 10, 4, 24)
SEEN = Coverage(2, 2, 48, 48, 6, 6, 5, 1234)


def row(name: str, *sides: Side, fires: bool = True, silent: bool = False) -> Row:
    return Row(name, (2, 3, 4), fires, (BASELINE, *(sides or (EQUAL,))), silent)


def verdict(*rows: Row, **fields: Any) -> Verdict:
    usual: dict[str, Any] = {"asked": Level.TRAIN, "reached": Level.TRAIN, "coverage": SEEN}
    return Verdict("net", "sha", ("reference", "chip"), rows=rows, **(usual | fields))


@pytest.mark.parametrize(
    ("statuses", "worst"),
    [
        ((Status.EQUAL,), Status.EQUAL),
        ((Status.EQUAL, Status.NOT_COMPARED), Status.NOT_COMPARED),
        ((Status.DIFFERENT, Status.EQUAL), Status.DIFFERENT),
        ((Status.NOT_COMPARED, Status.DIFFERENT), Status.DIFFERENT),
    ],
)
def test_a_row_is_as_bad_as_its_worst_side(statuses: tuple[Status, ...], worst: Status) -> None:
    sides = tuple(replace(EQUAL, status=status, probed=number + 5) for number, status in enumerate(statuses))
    found = row("a", *sides)
    assert found.status is worst
    assert (found.neurons, found.probed) == (24, 5)
    assert replace(found, sides=(replace(BASELINE, status=Status.DIFFERENT, probed=1), *sides)).status is worst
    assert replace(found, sides=(BASELINE,)).probed == 0
    assert row("a", EQUAL, DIFFERENT, replace(DIFFERENT, first=LATER)).first is FIRST
    assert row("a").first is None


@pytest.mark.parametrize(
    ("rows", "fields", "status", "code"),
    [
        ((row("a"), row("b")), {}, Status.EQUAL, 0),
        ((row("a"), row("b")), {"reached": Level.STATE}, Status.EQUAL, 0),
        ((row("a"), row("b")), {"reached": Level.NEURON_COUNT}, Status.NOT_COMPARED, 2),
        ((row("a"), row("b")), {"reached": None}, Status.NOT_COMPARED, 2),
        ((row("a"), row("b", DIFFERENT)), {}, Status.DIFFERENT, 1),
        ((row("a"), row("b", DIFFERENT)), {"reached": None}, Status.DIFFERENT, 1),
        ((row("a", silent=True), row("b")), {}, Status.EQUAL, 0),
        ((row("a", silent=True), row("b", silent=True)), {}, Status.NOT_COMPARED, 2),
        ((row("in", fires=False), row("b", silent=True)), {}, Status.NOT_COMPARED, 2),
        ((row("in", fires=False),), {}, Status.EQUAL, 0),
        ((row("in", fires=False, silent=True),), {}, Status.NOT_COMPARED, 2),
    ],
)
def test_only_what_was_compared_and_spoke_is_equal(
    rows: tuple[Row, ...], fields: dict[str, Any], status: Status, code: int
) -> None:
    found = verdict(*rows, **fields)
    assert (found.status, found.exit_code) == (status, code)
    assert found.silent == tuple(row.population for row in rows if row.silent)
    assert found.line.endswith(f" | exit {code}")


COVERED = "2/2 populations, 48/48 neurons, 6/6 steps, 5 image(s), 1,234 values"
WHERE = "a, image 3, step 2, neuron (1, 4, 5): payload 8 in chip, 7 expected"


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (verdict(row("a")), f"EQUAL at level train: reference, chip; {COVERED} | exit 0"),
        (
            verdict(row("a"), coverage=replace(SEEN, steps_expected=0)),
            "EQUAL at level train: reference, chip; 2/2 populations, 48/48 neurons, 5 image(s), 1,234 values | exit 0",
        ),
        (
            verdict(row("a", DIFFERENT), row("b"), row("c", DIFFERENT)),
            f"DIFFERENT at level train: 2 of 3 populations; first {WHERE}; {COVERED} | exit 1",
        ),
        (
            verdict(row("b", replace(DIFFERENT, first=None))),
            f"DIFFERENT at level train: 1 of 1 populations; first b; {COVERED} | exit 1",
        ),
        (
            verdict(row("b", replace(DIFFERENT, first=LATER))),
            f"DIFFERENT at level train: 1 of 1 populations; first b, image 4: total 8 in chip, 7 expected; {COVERED} | exit 1",
        ),
        (
            verdict(*(row(name, ABSENT) for name in "abc"), reached=None),
            "NOT COMPARED at level train (reached no level): chip: a: not recorded by chip; chip: b: not recorded by chip; "
            f"chip: c: not recorded by chip; {COVERED} | exit 2",
        ),
        (
            verdict(*(row(name, ABSENT) for name in "abcde"), reached=Level.NEURON_COUNT),
            "NOT COMPARED at level train (reached neuron-count): chip: a: not recorded by chip; chip: b: not recorded by chip; "
            f"chip: c: not recorded by chip and 2 more; {COVERED} | exit 2",
        ),
        (
            verdict(row("a", silent=True)),
            f"NOT COMPARED at level train (reached train): every compared value is 0; {COVERED} | exit 2",
        ),
        (
            verdict(row("a"), reached=None),
            f"NOT COMPARED at level train (reached no level): nothing was compared; {COVERED} | exit 2",
        ),
    ],
)
def test_a_line_says_it_all(found: Verdict, line: str) -> None:
    assert found.line == line


def test_errors_add_up_and_the_earlier_first_one_stays() -> None:
    one, two = Attribution(2, 5, None), Attribution(3, 7, FIRST)
    assert one + two == Attribution(5, 12, FIRST)
    assert two + Attribution(4, 1, LATER) == Attribution(7, 8, FIRST)


def test_a_story_names_the_culprit_and_its_victims() -> None:
    def with_errors(introduced: int, inherited: int, first: Divergence | None = None) -> Side:
        return replace(DIFFERENT, errors=Attribution(introduced, inherited, first))

    other = replace(with_errors(0, 9), backend="other")
    rows = (
        row("a", with_errors(2, 0, FIRST), other),
        row("b", with_errors(0, 3)),
        row("c", with_errors(1, 3, LATER)),
        row("d", with_errors(0, 0)),
        row("e", with_errors(0, 1)),
        row("f"),
    )
    found = verdict(*rows)
    told = f"chip introduces its first error in {WHERE} for the inputs that a received."
    assert found.introduced is FIRST
    assert found.story == f"{told} b, e only inherited errors."
    assert verdict(rows[0], rows[2]).story == told
    assert verdict(row("b", with_errors(0, 3)), rows[2]).introduced is LATER
    assert (verdict(row("f")).story, verdict(row("f")).introduced) == ("", None)
    assert verdict(row("f"), row("a", DIFFERENT)).first is FIRST


@pytest.mark.parametrize(
    "found",
    [
        verdict(row("a", DIFFERENT), row("b"), cause="it is"),
        verdict(
            row("a", replace(DIFFERENT, errors=Attribution(1, 2, FIRST))), row("b", replace(DIFFERENT, first=LATER))
        ),
        verdict(row("a", replace(ABSENT, counts=None, events=None, errors=Attribution(0, 2))), reached=None),
    ],
)
def test_a_record_gives_the_verdict_back(found: Verdict) -> None:
    assert restore(record(found)) == found


@pytest.mark.parametrize(
    ("side", "asked", "phrase"),
    [
        (EQUAL, Level.TRAIN, None),
        (replace(DIFFERENT, status=Status.EQUAL), Level.TRAIN, "reported equal despite a difference or missing data"),
        (
            replace(EQUAL, differing=((Check.TOTALS, 0), (Check.TRAINS, 3))),
            Level.TRAIN,
            "reported equal despite a difference or missing data",
        ),
        (replace(EQUAL, differing=((Check.TOTALS, 0), (Check.TRAINS, 3))), Level.NEURON_COUNT, None),
        (replace(EQUAL, missing=("x",)), Level.TRAIN, "reported equal despite a difference or missing data"),
        (replace(EQUAL, first=FIRST), Level.TRAIN, "reported equal despite a difference or missing data"),
        (replace(EQUAL, differing=()), Level.TRAIN, "reported equal, but nothing was compared"),
        (DIFFERENT, Level.TRAIN, None),
        (replace(DIFFERENT, differing=((Check.COUNTS, 0),)), Level.TRAIN, "reported different, but no value differs"),
        (ABSENT, Level.TRAIN, None),
        (replace(ABSENT, missing=()), Level.TRAIN, "reported not compared, but nothing is missing"),
    ],
)
def test_sides_at_odds_with_themselves(side: Side, asked: Level, phrase: str | None) -> None:
    found = verdict(
        row("a", side),
        asked=asked,
        coverage=replace(SEEN, populations_expected=1, neurons=side.probed, neurons_expected=24),
    )
    assert find_contradictions(record(found)) == ([] if phrase is None else [f"a: chip: {phrase}"])


@pytest.mark.parametrize(
    ("change", "phrase"),
    [
        ({"populations_expected": 3}, "its coverage is not that of its rows"),
        ({"neurons": 47}, "its coverage is not that of its rows"),
        ({"neurons_expected": 49}, "its coverage is not that of its rows"),
        ({}, None),
    ],
)
def test_coverage_at_odds_with_the_rows(change: dict[str, int], phrase: str | None) -> None:
    found = verdict(row("a"), row("b"), coverage=replace(SEEN, **change))
    assert find_contradictions(record(found)) == ([] if phrase is None else [phrase])
    alone = replace(found, backends=("reference",), rows=tuple(replace(row, sides=(BASELINE,)) for row in found.rows))
    assert find_contradictions(record(alone)) == []


def test_rows_of_other_backends_and_unknown_fields() -> None:
    found = verdict(row("a", replace(EQUAL, backend="cpu")), row("b"))
    assert find_contradictions(record(found)) == ["a: its backends are not those of the verdict"]
    assert find_contradictions(record(verdict(row("a"), row("b"))) | {"more": 1}) == ["unknown field 'more'"]
    wrong = record(verdict(row("a"), row("b"))) | {"line": "fine", "exit_code": 1, "cause": "none"}
    assert find_contradictions(wrong) == [f"its {key} does not follow from its rows" for key in ("exit_code", "line")]


@pytest.mark.parametrize(
    ("level", "of_output", "of_others"),
    [
        (Level.OUTPUT_COUNT, {Check.COUNTS}, set()),
        (Level.LAYER_COUNT, {Check.COUNTS, Check.TOTALS}, {Check.TOTALS}),
        (Level.NEURON_COUNT, {Check.COUNTS, Check.TOTALS}, {Check.COUNTS, Check.TOTALS}),
        (Level.TRAIN, {Check.COUNTS, Check.TOTALS, Check.TRAINS}, {Check.COUNTS, Check.TOTALS, Check.TRAINS}),
    ],
)
def test_each_level_asks_for_more(level: Level, of_output: set[Check], of_others: set[Check]) -> None:
    network = random_unet(size=8)
    for population in network.populations:
        checks = list_required_checks(level, network, population)
        assert checks == (of_output if population.name == "output" else of_others)
        states = {Check.STATES} if isinstance(population.neuron, MultiThreshold) else set()
        assert list_required_checks(Level.STATE, network, population) == checks | states | {
            Check.COUNTS,
            Check.TOTALS,
            Check.TRAINS,
        }


def broken(key: str, value: object) -> dict[str, Any]:
    values: dict[str, Any] = dict(record(verdict(row("a", DIFFERENT))))
    if value is None:
        del values[key]
    else:
        values[key] = value
    return values


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        ("network", None, "KeyError"),
        ("asked", None, "KeyError"),
        ("asked", "everything", "KeyError"),
        ("network", 3, "TypeError"),
        ("backends", "ab", "TypeError"),
        ("coverage", {}, "TypeError"),
        ("coverage", [], "AttributeError"),
        ("populations", [{}], "KeyError"),
    ],
)
def test_what_is_not_a_record_is_refused(key: str, value: object, kind: str) -> None:
    with pytest.raises(VerificationError, match=f"^not the record of a verdict: {kind} "):
        restore(broken(key, value))
