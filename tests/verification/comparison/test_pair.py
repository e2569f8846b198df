"""Two probes beside each other, by tables: which value is the first that differs, what is missing, how much was probed."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pytest

from snn_deploy.network.network import Network
from snn_deploy.testing import random_unet
from snn_deploy.verification.comparison.levels import Check, Status
from snn_deploy.verification.comparison.pair import Pair, Totals, find_first_divergence
from snn_deploy.verification.traces.trace import Probe

ALL = (Check.TOTALS, Check.COUNTS, Check.TRAINS, Check.STATES)


@pytest.fixture(scope="module")
def network() -> Network:
    return random_unet("rate", size=8)


def recorded(network: Network, seed: int = 0, neurons: list[int] | None = None, name: str = "enc1/b") -> Probe:
    """Two images, three steps; payloads 1..5, so that nothing is silent by chance."""
    size = network.population(name).size if neurons is None else len(neurons)
    rng = np.random.default_rng(seed)
    trains, states = rng.integers(1, 6, (2, 3, size)), rng.integers(1, 99, (2, 3, size))
    return Probe(None if neurons is None else np.array(neurons), trains=trains, states=states)


def changed(probe: Probe, *places: tuple[str, tuple[int, ...]]) -> Probe:
    """``probe`` with 1 added at each of ``places``; counts stay as they are unless they are named."""
    fields = ("neurons", "totals", "counts", "events", "trains", "states")
    arrays: dict[str, Any] = {field: None if (a := getattr(probe, field)) is None else a.copy() for field in fields}
    for field, place in places:
        arrays[field][place] += 1
    return Probe(**arrays)


@pytest.mark.parametrize(
    ("places", "quantity", "image", "step", "column"),
    [
        ([("trains", (1, 2, 70))], "payload", 1, 2, 70),
        ([("states", (0, 1, 70)), ("trains", (1, 0, 3))], "membrane", 0, 1, 70),
        ([("states", (0, 2, 4)), ("trains", (0, 1, 9))], "payload", 0, 1, 9),
        ([("states", (1, 1, 4)), ("trains", (1, 1, 9))], "payload", 1, 1, 9),
        ([("counts", (0, 5)), ("trains", (0, 2, 9))], "payload", 0, 2, 9),
        ([("counts", (0, 5)), ("trains", (1, 2, 9))], "count", 0, None, 5),
        ([("counts", (1, 5)), ("events", (1, 2))], "count", 1, None, 5),
        ([("counts", (1, 5)), ("events", (0, 2))], "events", 0, None, 2),
        ([("events", (1, 6)), ("totals", (1,))], "events", 1, None, 6),
        ([("totals", (1,))], "total", 1, None, None),
    ],
)
def test_the_first_value_is_that_of_the_earliest_image_and_step(
    network: Network,
    places: list[tuple[str, tuple[int, ...]]],
    quantity: str,
    image: int,
    step: int | None,
    column: int | None,
) -> None:
    population, reference = network.population("enc1/b"), recorded(network)
    found = changed(reference, *places)
    first = find_first_divergence(population, "chip", reference, found, 10)
    assert first is not None
    assert (first.backend, first.population) == ("chip", "enc1/b")
    assert (first.quantity, first.image, first.step) == (quantity, 10 + image, step)
    neuron = None if column is None else tuple(int(axis) for axis in np.unravel_index(column, population.shape))
    assert first.neuron == neuron
    assert first.found == first.expected + 1
    assert find_first_divergence(population, "chip", reference, changed(reference), 10) is None


def test_neurons_are_named_by_their_place_in_the_map(network: Network) -> None:
    population, reference = network.population("enc1/b"), recorded(network, neurons=[3, 17, 130])
    first = find_first_divergence(population, "chip", reference, changed(reference, ("trains", (0, 0, 1))), 0)
    assert first is not None
    assert first.neuron == (0, 2, 1)


@pytest.mark.parametrize(
    ("expected", "found", "common"),
    [
        (None, None, None),
        (None, [3, 17, 130], [3, 17, 130]),
        ([3, 17, 130], None, [3, 17, 130]),
        ([3, 17, 130], [17, 99, 130, 140], [17, 130]),
        ([3], [17], []),
    ],
)
def test_only_neurons_that_both_probed_are_compared(
    network: Network, expected: list[int] | None, found: list[int] | None, common: list[int] | None
) -> None:
    population, whole = network.population("enc1/b"), recorded(network)
    width = population.size if common is None else len(common)
    left, right = (whole if probed is None else whole.at(np.array(probed)) for probed in (expected, found))
    pair = Pair(network, population, "chip")
    assert not pair.add(left, right, 0, "reference", retimed=False)
    assert pair.probed == width
    assert [pair.values[check] for check in ALL] == [2, 2 * width, 6 * width, 6 * width]
    for share, enough in ((width / population.size, True), ((width + 0.5) / population.size, False)):
        side = pair.side(ALL, share)
        assert (side.status is Status.EQUAL) == (enough and width > 0)
        if not side.missing:
            assert side.probed == width
        else:
            assert side.missing == (f"{width} of {population.size} neurons probed, {share:.0%} asked",)
    assert pair.side((), 1.0).missing == ()


def test_the_fewest_neurons_of_any_batch_count(network: Network) -> None:
    population, whole = network.population("enc1/b"), recorded(network)
    pair = Pair(network, population, "chip")
    for probed, least in (([1, 2, 3], 3), ([1, 2], 2), ([1, 2, 3, 4], 2)):
        pair.add(whole, whole.at(np.array(probed)), 0, "reference", retimed=False)
        assert pair.probed == least
    assert not pair.add(whole, None, 0, "reference", retimed=False)
    assert (pair.probed, pair.missing[Check.COUNTS]) == (0, "not recorded by chip")
    assert not pair.add(whole, whole, 0, "reference", retimed=False)
    assert pair.probed == 0


@pytest.mark.parametrize(
    ("places", "checks", "numbers", "status"),
    [
        ([], ALL, (0, 0, 0, 0), Status.EQUAL),
        ([("counts", (0, 1)), ("counts", (1, 4))], ALL, (0, 2, 0, 0), Status.DIFFERENT),
        ([("events", (0, 1))], ALL, (0, 1, 0, 0), Status.DIFFERENT),
        ([("events", (0, 1)), ("counts", (0, 1)), ("counts", (0, 2))], ALL, (0, 2, 0, 0), Status.DIFFERENT),
        ([("states", (0, 1, 1))], ALL, (0, 0, 0, 1), Status.DIFFERENT),
        ([("states", (0, 1, 1))], (Check.TOTALS, Check.COUNTS), (0, 0, 0, 1), Status.EQUAL),
        ([("totals", (1,)), ("trains", (1, 1, 1))], (Check.TOTALS,), (1, 0, 1, 0), Status.DIFFERENT),
    ],
)
def test_values_that_differ_are_counted(
    network: Network,
    places: list[tuple[str, tuple[int, ...]]],
    checks: Collection[Check],
    numbers: tuple[int, ...],
    status: Status,
) -> None:
    population, reference = network.population("enc1/b"), recorded(network)
    pair = Pair(network, population, "chip")
    assert pair.add(reference, changed(reference, *places), 0, "reference", retimed=False) == bool(places)
    side = pair.side(checks, 1.0)
    assert side.differing == tuple(zip(ALL, numbers, strict=True))
    assert side.status is status
    assert (side.first is not None) == (status is Status.DIFFERENT)
    again = pair.first
    pair.add(reference, changed(reference, ("totals", (0,))), 7, "reference", retimed=False)
    assert pair.first is again or not places


def test_a_recording_of_another_time_has_only_counts(network: Network) -> None:
    population, reference = network.population("enc1/b"), recorded(network)
    found = changed(reference, ("trains", (0, 0, 0)), ("states", (0, 0, 0)), ("events", (0, 0)))
    pair = Pair(network, population, "chip")
    assert not pair.add(reference, found, 0, "reference", retimed=True)
    assert pair.missing[Check.TRAINS] == "no comparable trains in reference"
    assert [pair.made(check) for check in ALL] == [True, True, False, False]
    assert pair.side((Check.TOTALS, Check.COUNTS), 1.0).status is Status.EQUAL
    assert pair.side((Check.COUNTS, Check.TRAINS), 1.0).status is Status.NOT_COMPARED


def test_what_is_missing_is_blamed_on_the_side_that_lacks_it(network: Network) -> None:
    population, whole = network.population("enc1/b"), recorded(network)
    counts = Probe(counts=whole.counts)
    pairs = [Pair(network, population, "chip") for _ in range(3)]
    pairs[0].add(whole, counts, 0, "reference", retimed=False)
    pairs[1].add(counts, whole, 0, "reference", retimed=False)
    pairs[2].add(None, whole, 0, "reference", retimed=False)
    assert [pair.missing.get(Check.TRAINS) for pair in pairs] == [
        "no comparable trains in chip",
        "no comparable trains in reference",
        "not recorded by reference",
    ]
    assert [pair.missing.get(Check.COUNTS) for pair in pairs] == [None, None, "not recorded by reference"]
    assert pairs[0].side((Check.TRAINS, Check.STATES), 1.0).missing == (
        "no comparable trains in chip",
        "no comparable states in chip",
    )


def test_the_input_has_no_states_to_compare(network: Network) -> None:
    pairs = [Pair(network, network.population(name), "chip") for name in ("input", "enc1/b")]
    for pair in pairs:
        probe = recorded(network, name=pair.population.name)
        pair.add(probe, probe, 0, "reference", retimed=False)
    assert [pair.made(Check.STATES) for pair in pairs] == [False, True]
    assert not pairs[1].made(Check.SECOND_STATES)


@pytest.mark.parametrize(
    ("probe", "states", "silent"),
    [
        (None, False, False),
        (Probe(), False, False),
        (Probe(counts=np.zeros((1, 3), np.int64)), False, True),
        (Probe(counts=np.array([[0, 1, -1]])), False, False),
        (Probe(totals=np.array([4])), False, False),
        (Probe(trains=np.zeros((1, 2, 3), np.int64), states=np.ones((1, 2, 3), np.int64)), False, True),
        (Probe(trains=np.zeros((1, 2, 3), np.int64), states=np.ones((1, 2, 3), np.int64)), True, False),
        (Probe(states=np.zeros((1, 2, 3), np.int64)), True, True),
        (Probe(states=np.zeros((1, 2, 3), np.int64)), False, False),
    ],
)
def test_silence_is_recorded_zeros(probe: Probe | None, states: bool, silent: bool) -> None:
    totals = Totals()
    totals.add(probe, states=states)
    assert totals.silent == silent


def test_totals_are_sums_of_magnitudes_while_everything_is_recorded() -> None:
    totals, probe = Totals(), Probe(counts=np.array([[2, -3], [0, 4]]), events=np.array([[1, 1], [0, 2]]))
    totals.add(probe, states=False)
    totals.add(probe, states=False)
    assert (totals.counts, totals.events) == (18, 8)
    totals.add(Probe(totals=np.array([1])), states=False)
    assert (totals.counts, totals.events) == (None, None)
    totals.add(probe, states=False)
    assert (totals.counts, totals.events, totals.silent) == (None, None, False)
