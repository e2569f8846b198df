"""Recordings of a chip that is not deterministic: within its own spread, different from it, and what the spread hides."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from snn_deploy.arrays import Int64
from snn_deploy.errors import VerificationError
from snn_deploy.network.network import Network
from snn_deploy.testing import random_stimulus, random_unet
from snn_deploy.verification import Level, Outcome, Probe, Session, Status, Stimuli, Trace, record
from snn_deploy.verification.certificate import certify, check_certificate, write_certificate
from snn_deploy.verification.certificate.pages import render_junit, render_page
from snn_deploy.verification.comparison.replay import Site, forward, repeat
from snn_deploy.verification.comparison.spread import Distance, PopulationSpread, Spread
from snn_deploy.verification.comparison.spread_record import restore_spread
from snn_deploy.verification.comparison.spread_tally import SpreadTally, measure
from snn_deploy.verification.comparison.verdict_record import find_contradictions, restore
from snn_deploy.verification.diagnosis.faults import find_fault


@pytest.fixture(scope="module")
def network() -> Network:
    return random_unet("exact", 1, size=4)


def recordings(
    network: Network,
    stimulus: Int64,
    number: int,
    rate: float = 0.05,
    fault: tuple[str, str] | None = None,
    seed: int = 0,
) -> list[Trace]:
    """What a noisy chip records: each count is too large or too small by 1 with probability ``rate`` (events too)."""
    sites = {}
    if fault is not None:
        site = find_fault(fault[0]).change(Site.of(network, fault[1]))
        assert site is not None
        sites[fault[1]] = site
    trace = forward(network, repeat(network, stimulus), sites).trace
    rng = np.random.default_rng(seed)

    def noisy(name: str) -> Probe:
        counts = np.asarray(trace.probes[name].counts)
        if name == network.input.name:
            return Probe(counts=counts)
        return Probe(counts=counts + rng.choice([-1, 0, 1], counts.shape, p=[rate / 2, 1 - rate, rate / 2]))

    return [
        Trace(f"chip{index}", trace.images, {name: noisy(name) for name in trace.probes}) for index in range(number)
    ]


def judge(network: Network, traces: Sequence[Trace], level: Level = Level.NEURON_COUNT) -> Outcome:
    stimuli = Stimuli.of_payloads(network, random_stimulus(network))
    return Session(("reference",), level, tuple(traces), spread=True).verify(stimuli)


@pytest.fixture(scope="module")
def within(network: Network) -> Outcome:
    return judge(network, recordings(network, random_stimulus(network), 4))


def test_noise_alone_is_within_the_spread_and_not_equal(network: Network, within: Outcome) -> None:
    verdict = within.verdict
    assert (verdict.status, verdict.exit_code) == (Status.WITHIN_SPREAD, 2)
    assert verdict.line.startswith(
        "WITHIN THE CHIP'S OWN SPREAD at level neuron-count, which is not equal: reference, "
    )
    assert "(chance level 40% per population and measure)" in verdict.line
    assert verdict.line.endswith("| exit 2")
    assert verdict.rows[0].status is Status.EQUAL, "the input is sent by the host and has no noise"
    assert {row.status for row in verdict.rows[1:]} == {Status.WITHIN_SPREAD}
    assert verdict.first is None
    spread = verdict.spread
    assert spread is not None
    assert 0.04 < spread.baseline_share < 0.08 < spread.self_share < 0.13


@pytest.mark.parametrize(("number", "least"), [(2, 14), (10, 20)])
def test_noise_alone_is_seldom_called_different(network: Network, number: int, least: int) -> None:
    """Of 20 chips; with two recordings, a neuron that erred alike in both is enough in a population of few neurons."""
    stimulus = random_stimulus(network)
    baseline = forward(network, repeat(network, stimulus)).trace
    within = 0
    for seed in range(20):
        traces = recordings(network, stimulus, number, seed=seed + 1)
        tally = SpreadTally(tuple(trace.name for trace in traces), tuple(baseline.probes))
        tally.add(baseline, traces)
        within += tally.spread().within
    assert within >= least


def test_noise_and_a_gross_fault_are_different_where_the_fault_is(network: Network) -> None:
    traces = recordings(network, random_stimulus(network), 4, fault=("threshold doubled", "enc2"))
    verdict = judge(network, traces).verdict
    assert (verdict.status, verdict.exit_code) == (Status.DIFFERENT, 1)
    rows = {row.population: row.status for row in verdict.rows}
    assert rows["enc2"] is Status.DIFFERENT
    assert verdict.first is not None
    assert verdict.first.population == next(name for name, status in rows.items() if status is Status.DIFFERENT)
    assert verdict.spread is not None
    assert verdict.spread.faults == 0, "what is hidden is sought only where the verdict is 'within'"
    sizes = [verdict.spread.list_outside(name) for name in rows if rows[name] is Status.WITHIN_SPREAD]
    assert not any(sizes)


def test_one_broken_recording_makes_no_room_for_itself(network: Network) -> None:
    stimulus = random_stimulus(network)
    broken = recordings(network, stimulus, 1, fault=("bias missing", "enc1/a"), seed=9)[0]
    traces = [*recordings(network, stimulus, 3), replace(broken, name="broken")]
    verdict = judge(network, traces).verdict
    assert verdict.status is Status.DIFFERENT
    assert verdict.spread is not None
    assert verdict.spread.outliers == ("broken",)
    assert {side.backend for row in verdict.rows for side in row.sides if side.status is Status.DIFFERENT} == {"broken"}
    assert "broken is further from the baseline than the other recordings are from each other" in verdict.warnings


def test_faults_smaller_than_the_spread_are_named_and_larger_ones_are_not(network: Network, within: Outcome) -> None:
    spread = within.verdict.spread
    assert spread is not None
    hidden = {(each.fault, each.population): each.moved for each in spread.hidden}
    assert ("one bias off", "enc1/a") in hidden
    assert ("threshold doubled", "enc2") not in hidden
    assert 0 < len(hidden) < spread.faults
    assert [each.moved.total for each in spread.hidden] == sorted((m.total for m in hidden.values()), reverse=True)
    assert spread.invisible == sum(moved.differing == 0 for moved in hidden.values())
    # the same recordings, beside the network that has the fault, are within their spread again
    stimulus = random_stimulus(network)
    for fault, population in ((spread.hidden[0].fault, spread.hidden[0].population), ("threshold doubled", "enc2")):
        site = find_fault(fault).change(Site.of(network, population))
        assert site is not None
        faulty = forward(network, repeat(network, stimulus), {population: site}).trace
        traces = recordings(network, stimulus, 4)
        populations = tuple(
            replace(
                each, apart=tuple(measure(faulty.probes[each.population], t.probes[each.population]) for t in traces)
            )
            for each in spread.populations
        )
        assert replace(spread, populations=populations).within == ((fault, population) in hidden)


def test_recordings_that_do_not_differ_are_compared_like_any_other(network: Network) -> None:
    stimulus = random_stimulus(network)
    equal = judge(network, recordings(network, stimulus, 3, rate=0)).verdict
    assert (equal.status, equal.spread) == (Status.EQUAL, None)
    assert (
        "the recordings do not differ from each other in any count; they are compared like any other" in equal.warnings
    )
    faulty = judge(network, recordings(network, stimulus, 3, rate=0, fault=("one bias off", "enc1/a"))).verdict
    assert faulty.status is (Status.DIFFERENT if _shows(network, "one bias off", "enc1/a") else Status.EQUAL)


def _shows(network: Network, fault: str, population: str) -> bool:
    site = find_fault(fault).change(Site.of(network, population))
    assert site is not None
    sent = repeat(network, random_stimulus(network))
    right, wrong = forward(network, sent).trace, forward(network, sent, {population: site}).trace
    return any(measure(right.probes[name], wrong.probes[name]).differing for name in right.probes)


def test_what_a_recording_lacks_is_not_compared(network: Network) -> None:
    traces = recordings(network, random_stimulus(network), 3)
    probes = {name: probe for name, probe in traces[2].probes.items() if name != "enc2"}
    verdict = judge(network, [*traces[:2], replace(traces[2], probes=probes)]).verdict
    assert (verdict.status, verdict.exit_code) == (Status.NOT_COMPARED, 2)
    assert verdict.line.startswith("NOT COMPARED")


def test_a_recording_given_twice_is_noticed(network: Network) -> None:
    traces = recordings(network, random_stimulus(network), 2)
    verdict = judge(network, [*traces, traces[0]], Level.OUTPUT_COUNT).verdict
    assert "chip0 and chip0 (2) are equal in every count; was one given twice?" in verdict.warnings


def test_what_cannot_be_judged_is_refused(network: Network) -> None:
    traces = tuple(recordings(network, random_stimulus(network), 2))
    with pytest.raises(VerificationError, match=r"1 recording\(s\) show no spread; give two or more .* better ten$"):
        Session(("reference",), Level.NEURON_COUNT, traces[:1], spread=True)
    for level in (Level.LAYER_COUNT, Level.TRAIN, Level.STATE):
        with pytest.raises(VerificationError, match="only counts of neurons can; choose output-count or neuron-count$"):
            Session(("reference",), level, traces, spread=True)
    odd = {**traces[0].probes, "enc1/a": replace(traces[0].probes["enc1/a"], totals=np.array([7, 7]))}
    with pytest.raises(VerificationError, match="chip0: enc1/a: its totals are not the sums of its counts$"):
        judge(network, [replace(traces[0], probes=odd), traces[1]])


def test_the_chance_level_is_what_one_more_recording_meets() -> None:
    """Of n + 1 like values, the one chosen lies outside the range of the others in 2 / (n + 1) of cases."""
    rng = np.random.default_rng(0)
    for number in (2, 3, 9):
        outside = 0
        for _ in range(400):
            values = [int(value) for value in rng.integers(0, 10**9, number + 1)]

            def apart(one: int, other: int) -> Distance:
                return Distance(1, abs(one - other), abs(one - other))

            among = tuple(apart(*pair) for pair in combinations(values[1:], 2))
            each = PopulationSpread("p", 1, among, tuple(apart(values[0], value) for value in values[1:]))
            spread = Spread(tuple(map(str, range(number))), (each,))
            outside += any(distance.exceeds(each.widest) for distance in each.apart)
        assert abs(outside / 400 - spread.chance) < 0.07


@pytest.mark.parametrize("further", [Distance(4, 7, 5), Distance(3, 8, 5), Distance(3, 7, 6)])
def test_every_measure_tells_by_one_more(further: Distance) -> None:
    most = Distance(3, 7, 5)
    assert Spread(("a", "b"), (PopulationSpread("p", 9, (most,), (most, Distance(1, 1, 1))),)).within
    spread = Spread(("a", "b"), (PopulationSpread("p", 9, (most,), (further, Distance(1, 1, 1))),))
    assert (spread.list_outside("p"), spread.list_inside("p")) == (("a",), ("b",))


@pytest.mark.parametrize("further", [Distance(4, 7, 1), Distance(3, 8, 1)])
def test_the_rule_for_the_whole_network_adds_populations_up(further: Distance) -> None:
    others, wide = Distance(3, 7, 5), Distance(9, 9, 9)
    for apart, outliers in ((others, ()), (further, ("c",))):
        inner = PopulationSpread("p", 9, (others, wide, wide), (Distance(), Distance(), apart))
        empty = PopulationSpread("q", 9, (Distance(),) * 3, (Distance(),) * 3)
        assert Spread(("a", "b", "c"), (inner, empty)).outliers == outliers


def test_json_junit_page_and_certificate_say_the_same(network: Network, within: Outcome, tmp_path: Path) -> None:
    verdict = within.verdict
    values = record(verdict)
    assert (values["status"], values["exit_code"]) == ("within spread", 2)
    assert restore(json.loads(json.dumps(values))) == verdict
    assert find_contradictions(json.loads(json.dumps(values))) == []
    certificate = certify(verdict, network, stimuli=within.stimuli)
    junit = render_junit(certificate.statement)
    assert 'failures="0"' in junit
    assert (
        f'errors="{1 + sum(side.status is Status.WITHIN_SPREAD for row in verdict.rows for side in row.sides)}"'
        in junit
    )
    assert "WITHIN THE CHIP'S OWN SPREAD" in junit
    assert "<p class='within-spread'>WITHIN THE CHIP" in render_page(certificate.statement)
    write_certificate(certificate, tmp_path / "c.json")
    assert check_certificate(tmp_path / "c.json") == ()


def test_a_spread_is_of_two_recordings_and_a_population(within: Outcome) -> None:
    spread = json.loads(json.dumps(record(within.verdict)))["spread"]
    empty = {**spread, "populations": []}
    alone = {**spread, "recordings": spread["recordings"][:1]}
    alone["populations"] = [{**each, "among": [], "apart": each["apart"][:1]} for each in spread["populations"]]
    for values in (empty, alone):
        with pytest.raises(ValueError, match=r"^a spread needs two recordings and a population$"):
            restore_spread(values)


@pytest.mark.parametrize("edit", ["equal", "inside", "other", "none", "short"])
def test_a_forged_spread_contradicts_itself(within: Outcome, edit: str) -> None:
    values = json.loads(json.dumps(record(within.verdict)))
    spread, side = values["spread"], values["populations"][2]["sides"][1]
    if edit == "equal":
        side["status"] = "equal"
    elif edit == "inside":
        spread["populations"][2]["apart"][0][1] = 10**6
    elif edit == "other":
        spread["recordings"][0] = "another"
    elif edit == "none":
        values["spread"] = None
    else:
        del spread["populations"][1]["among"][0]
        with pytest.raises(VerificationError, match="5 and 4 distances stand for 4 recordings"):
            find_contradictions(values)
        return
    assert find_contradictions(values)


def test_batches_add_up(network: Network) -> None:
    """Two batches of one image each are as far apart as one batch of both."""
    stimulus = random_stimulus(network)
    baseline = forward(network, repeat(network, stimulus)).trace
    traces = recordings(network, stimulus, 3)

    def part(trace: Trace, image: int) -> Trace:
        probes = {name: Probe(counts=np.asarray(probe.counts)[[image]]) for name, probe in trace.probes.items()}
        return Trace(trace.name, 1, probes)

    names = tuple(trace.name for trace in traces)
    whole, parts = (SpreadTally(names, tuple(baseline.probes)) for _ in range(2))
    together = Trace("baseline", 2, {name: Probe(counts=probe.counts) for name, probe in baseline.probes.items()})
    whole.add(together, traces)
    for image in range(2):
        parts.add(part(baseline, image), [part(trace, image) for trace in traces])
    assert parts.spread() == whole.spread()
