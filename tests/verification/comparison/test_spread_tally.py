"""Distances added up batch by batch, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from snn_deploy.errors import VerificationError
from snn_deploy.verification.comparison.spread import Distance, PopulationSpread
from snn_deploy.verification.comparison.spread_tally import SpreadTally, measure
from snn_deploy.verification.traces.trace import Probe, Trace


def probe(*counts: int, neurons: list[int] | None = None, **arrays: list[int]) -> Probe:
    """One image."""
    fields = {name: np.array([values]) for name, values in arrays.items() if name != "totals"}
    totals = np.array(arrays["totals"]) if "totals" in arrays else None
    return Probe(None if neurons is None else np.array(neurons), totals=totals, counts=np.array([counts]), **fields)


def trace(name: str, **probes: Probe) -> Trace:
    return Trace(name, 1, probes)


@pytest.mark.parametrize(
    ("left", "right", "distance"),
    [
        (probe(1, 2, 3), probe(1, 2, 3), Distance(0, 0, 0)),
        (probe(1, 2, 3), probe(4, 2, -1), Distance(2, 7, 4)),
        (probe(1, 2, events=[1, 1]), probe(1, 2, events=[1, 2]), Distance(1, 0, 0)),
        (probe(1, 2, events=[1, 1]), probe(1, 2), Distance(0, 0, 0)),
        (probe(1, 2, events=[1, 1]), probe(1, 5, events=[1, 2]), Distance(1, 3, 3)),
        (probe(2**40), probe(2**41), Distance(1, 0, 0)),
        (probe(2**40), probe(-(2**40)), Distance(1, 2**31, 2**31)),
        (probe(5, 6, 7, neurons=[1, 3, 8]), probe(6, 9, neurons=[3, 9]), Distance(0, 0, 0)),
        (probe(5, neurons=[1]), probe(6, neurons=[2]), Distance(0, 0, 0)),
    ],
)
def test_how_far_probes_are_apart(left: Probe, right: Probe, distance: Distance) -> None:
    assert measure(left, right) == distance
    assert measure(right, left) == distance


def test_batches_add_up() -> None:
    tally = SpreadTally(("one", "two"), ("a", "b"))
    for baseline, one, two in (((1, 2), (1, 3), (2, 3)), ((0, 0), (5, 0), (0, 1))):
        b = probe(7)
        tally.add(
            trace("reference", a=probe(*baseline), b=b),
            [trace("one", a=probe(*one), b=b), trace("two", a=probe(*two), b=b)],
        )
    a = PopulationSpread("a", 4, (Distance(3, 7, 5),), (Distance(2, 6, 5), Distance(3, 3, 1)))
    b_sums = PopulationSpread("b", 2, (Distance(),), (Distance(), Distance()))
    assert tally.spread().populations == (a, b_sums)
    assert tally.spread().recordings == ("one", "two")


def test_what_a_side_lacks_once_is_left_out() -> None:
    for lacking in range(3):
        tally = SpreadTally(("one", "two"), ("a", "b"))
        whole = [trace(name, a=probe(1), b=probe(2)) for name in ("reference", "one", "two")]
        tally.add(whole[0], whole[1:])
        part = [*whole]
        part[lacking] = trace(whole[lacking].name, b=probe(2))
        tally.add(part[0], part[1:])
        part[lacking] = trace(whole[lacking].name, a=Probe(totals=np.array([1])), b=probe(2))
        tally.add(part[0], part[1:])
        nothing = Distance()
        assert tally.spread().populations == (PopulationSpread("b", 3, (nothing,), (nothing, nothing)),)


def test_totals_that_are_not_sums_are_refused() -> None:
    tally = SpreadTally(("one", "two"), ("a",))
    with pytest.raises(VerificationError, match=r"^two: a: its totals are not the sums of its counts$"):
        tally.add(
            trace("reference", a=probe(1, 2)), [trace("one", a=probe(1, 2)), trace("two", a=probe(1, 2, totals=[4]))]
        )


def test_the_fewest_neurons_of_a_side_are_counted() -> None:
    tally = SpreadTally(("one", "two"), ("a",))
    tally.add(
        trace("reference", a=probe(1, 2, 3)), [trace("one", a=probe(1, 2, 3)), trace("two", a=probe(2, neurons=[1]))]
    )
    assert tally.spread().populations[0].values == 1
