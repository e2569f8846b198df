"""Replays equal the reference; faults show, are located, attributed and named."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snn_deploy.backend.protocol import Record
from snn_deploy.backend.registry import load_backend
from snn_deploy.display.verdict_table import render_text
from snn_deploy.errors import VerificationError
from snn_deploy.network import dynamics
from snn_deploy.network.kernels import identity
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Connection, Mode, Network, Population
from snn_deploy.network.neuron import Reset
from snn_deploy.network.schedule import shuffle
from snn_deploy.testing import random_stimulus, random_unet
from snn_deploy.verification import Comparison, Level, Trace, compare
from snn_deploy.verification.comparison.attribution import attribute
from snn_deploy.verification.comparison.replay import (
    RememberedCurrents,
    Replay,
    Site,
    SynapticCurrents,
    Train,
    find_horizon,
    forward,
    is_replayable,
    repeat,
    respond,
)
from snn_deploy.verification.comparison.verdict import Attribution
from snn_deploy.verification.diagnosis.autopsy import diagnose, explain
from snn_deploy.verification.diagnosis.faults import FAULTS, Altered, find_fault
from snn_deploy.verification.diagnosis.mutation import INVISIBLE, add_score, score_mutants, suggest_stimulus


@pytest.fixture(scope="module", params=["gated", "rate", pytest.param("exact", marks=pytest.mark.extended)])
def network(request: pytest.FixtureRequest) -> Network:
    if request.param == "gated":
        return random_unet("exact", 1, size=8, levels=15, payload=4)
    mode: Mode = request.param
    return random_unet(mode, 1, size=8, steps=4)


@pytest.fixture(scope="module")
def right(network: Network) -> Replay:
    return forward(network, repeat(network, random_stimulus(network)))


def with_fault(network: Network, right: Replay, name: str, population: str) -> Trace:
    site = find_fault(name).change(Site.of(network, population))
    assert site is not None
    return forward(network, right.sent["input"], {population: site}, right, "chip").trace


def test_a_replay_equals_the_reference_in_every_event_and_state(network: Network, right: Replay) -> None:
    stimulus = random_stimulus(network)
    schedules = [network] if network.mode == "rate" else [network, shuffle(network, 1)]
    for other in schedules:
        run = load_backend("reference").run(other, stimulus, Record.STATES)
        verdict = compare(other, [run, forward(other, repeat(other, stimulus)).trace], Level.STATE)
        assert verdict.exit_code == 0, verdict.line


@settings(max_examples=200, deadline=None)
@given(
    st.integers(-STATE_MAX, STATE_MAX),
    st.integers(-1000, 1000),
    st.integers(-STATE_MAX, STATE_MAX),
    st.integers(1, 5000),
    st.booleans(),
    st.booleans(),
    st.sampled_from(get_args(Reset)),
)
def test_altered_with_nothing_altered_is_the_specification(
    v: int, count: int, current: int, theta: int, strict: bool, bounded: bool, reset: Reset
) -> None:
    low, high = (-1000, 1000) if bounded else (None, None)
    neuron = MultiThreshold(np.array([theta]), np.array([0]), -64, 63, low, high, strict, reset)
    population = Population("p", (1, 1, 1), neuron, np.zeros((1, 1, 1), np.int64), np.ones(1))
    state, running, arriving = (np.full((1, 1, 1, 1), value, np.int64) for value in (v, count, current))
    expected = dynamics.advance(neuron, state, running, arriving)
    found = Altered().advance(population, state, running, arriving, 0)
    assert all(np.array_equal(left, other) for left, other in zip(expected, found, strict=True))


def test_every_fault_shows_first_in_its_own_population_or_nowhere(network: Network, right: Replay) -> None:
    shown = set()
    for fault in FAULTS:
        for population in ("enc1/b", "up2", "dec"):
            site = fault.change(Site.of(network, population))
            if site is None:
                continue
            wrong = forward(network, right.sent["input"], {population: site}, right, "chip").trace
            verdict = compare(network, [right.trace, wrong], Level.STATE)
            if verdict.exit_code == 1:
                shown.add(fault.name)
                assert verdict.first is not None
                assert verdict.first.population == population
    assert len(shown) >= 14, "the stimulus must show most faults"
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


def test_errors_are_introduced_by_one_and_inherited_by_others(network: Network, right: Replay) -> None:
    comparison = Comparison(network, Level.STATE, replay=True)
    wrong = with_fault(network, right, "kernel flipped", "enc2")
    comparison.add([right.trace, wrong])
    verdict = comparison.verdict()
    errors = {row.population: row.sides[1].errors for row in verdict.rows}
    assert [name for name, found in errors.items() if found is not None and found.introduced] == ["enc2"]
    assert errors["enc1/b"] is None
    inherited = errors["dec"]
    assert inherited is not None
    assert inherited.inherited > 0
    assert verdict.introduced is not None
    assert verdict.introduced.population == "enc2"
    assert "dec, output only inherited errors." in verdict.story
    assert verdict.story in render_text(verdict)
    diagnosis = explain(network, verdict, [right.trace, wrong])
    assert diagnosis is not None
    assert (diagnosis.population, diagnosis.causes) == ("enc2", (("kernel flipped",),))
    assert explain(network, compare(network, [right.trace, wrong]), [right.trace, wrong]) is None


def test_neurons_that_reset_to_zero_are_judged_by_their_own_rule() -> None:
    soft = random_unet("rate", 1, size=8, steps=4)
    populations = tuple(
        population
        if population.neuron is None
        else replace(population, neuron=replace(population.neuron, reset="zero"))
        for population in soft.populations
    )
    network = replace(soft, populations=populations)
    right = forward(network, repeat(network, random_stimulus(network)))
    for name in ("reset by subtraction", "round", "reset phase"):
        diagnosis = diagnose(network, with_fault(network, right, name, "enc2"), "enc2")
        assert diagnosis.causes == ((name,),), diagnosis.text
    assert find_fault("hard reset").change(Site.of(network, "enc2")) is None
    assert find_fault("reset by subtraction").change(Site.of(soft, "enc2")) is None


def test_a_comparison_of_outputs_alone_attributes_their_errors(network: Network, right: Replay) -> None:
    comparison = Comparison(network, Level.STATE, populations=["output"], replay=True)
    comparison.add([right.trace, with_fault(network, right, "largest weight off", "output")])
    assert comparison.verdict().introduced is not None


def test_two_faults_are_both_introduced(network: Network, right: Replay) -> None:
    sites = {}
    for name, population in (("weight bit dropped", "enc1/b"), ("bias missing", "dec")):
        site = find_fault(name).change(Site.of(network, population))
        assert site is not None
        sites[population] = site
    wrong = forward(network, right.sent["input"], sites, right, "chip").trace
    comparison = Comparison(network, Level.STATE, replay=True)
    comparison.add([right.trace, wrong])
    errors = {row.population: row.sides[1].errors for row in comparison.verdict().rows}
    assert [name for name, found in errors.items() if found is not None and found.introduced] == ["enc1/b", "dec"]
    assert diagnose(network, wrong, "dec").causes[0] == ("bias missing",)


@pytest.mark.parametrize("population", ["enc1/b", pytest.param("dec", marks=pytest.mark.extended)])
def test_the_autopsy_names_the_fault(network: Network, right: Replay, population: str) -> None:
    for fault in FAULTS:
        site = fault.change(Site.of(network, population))
        if site is None:
            continue
        wrong = forward(network, right.sent["input"], {population: site}, right, "chip").trace
        diagnosis = diagnose(network, wrong, population)
        if find_horizon(network, site) < 0:
            assert (fault.name,) not in diagnosis.causes, "no step's inputs are wholly known, so it must not be named"
        else:
            assert not diagnosis.differing or (fault.name,) in diagnosis.causes, (fault.name, diagnosis.text)


def test_the_autopsy_names_a_pair(network: Network, right: Replay) -> None:
    site = find_fault("kernel flipped").change(Site.of(network, "dec"))
    assert site is not None
    both = find_fault("bias exponent up").change(site)
    assert both is not None
    wrong = forward(network, right.sent["input"], {"dec": both}, right, "chip").trace
    diagnosis = diagnose(network, wrong, "dec")
    assert ("bias exponent up", "kernel flipped") in diagnosis.causes, diagnosis.text
    assert diagnosis.text.endswith(
        "fully explained by 'bias exponent up' (the bias is doubled) with 'kernel flipped' (the kernel is rotated by 180 "
        "degrees)"
    )


def test_the_autopsy_admits_what_it_cannot_explain(network: Network, right: Replay) -> None:
    probe = right.trace.probes["dec"]
    noise = np.random.default_rng(0).integers(0, 5, np.asarray(probe.trains).shape).astype(np.int32)
    wrong = replace(right.trace, probes={**right.trace.probes, "dec": replace(probe, trains=noise, counts=None)})
    diagnosis = diagnose(network, wrong, "dec", limit=60)
    assert diagnosis.causes == ()
    assert diagnosis.left > 0
    nothing = diagnosis.left >= diagnosis.differing
    assert (
        f"none of 60 hypotheses explains {'any of them' if nothing else 'all of them; nearest is '}" in diagnosis.text
    )
    assert diagnosis.channels == ()
    altered = np.array(probe.trains)
    altered[:, :, :9] ^= 1
    wrong = replace(right.trace, probes={**right.trace.probes, "dec": replace(probe, trains=altered, counts=None)})
    diagnosis = diagnose(network, wrong, "dec", limit=60)
    assert diagnosis.channels == (0,)
    assert (
        "cells contradict the specification, given its inputs, all of them in channel 0; none of 60" in diagnosis.text
    )
    assert diagnose(network, right.trace, "dec").differing == 0
    lost = {name: probe for name, probe in right.trace.probes.items() if name != "up1"}
    with pytest.raises(VerificationError, match=r"those of all its sources, in full$"):
        diagnose(network, replace(right.trace, probes=lost), "dec")


def test_late_events_outside_windows_are_not_guessed() -> None:
    network = random_unet("rate", 1, size=8)
    early = replace(
        network,
        connections=tuple(
            replace(connection, delay=1) if connection.name == "enc1/b->dec" else connection
            for connection in network.connections
        ),
    )
    assert is_replayable(network, "dec")
    assert not is_replayable(early, "dec")
    trace = forward(early, repeat(early, random_stimulus(early))).trace
    with pytest.raises(VerificationError, match=r"record longer ones$"):
        diagnose(early, trace, "dec")


def test_the_score_tells_levels_and_invisible_mutants(network: Network) -> None:
    stimulus = random_stimulus(network, batch=2)
    score = score_mutants(network, stimulus, populations=["up2", "output"])
    caught = [len(score.caught(level)) for level in Level]
    assert caught == sorted(caught)
    assert len(score.visible) == caught[-1]
    assert "mutants caught" in score.line(Level.TRAIN)
    invisible = {mutant.fault for mutant in score.mutants if mutant.level == INVISIBLE}
    assert "wrap" in invisible, "nothing reaches 24 bits here"
    blank = score_mutants(network, np.zeros_like(stimulus), populations=["up2", "output"])
    assert len(blank.visible) < len(score.visible)
    assert score.caught(Level.STATE) == score.visible
    verdict = compare(network, [forward(network, repeat(network, stimulus)).trace] * 2)
    assert "mutation score at level neuron-count" in add_score(verdict, blank).warnings[-1]
    with pytest.raises(VerificationError, match=r"the score would be empty$"):
        score_mutants(network, stimulus, populations=["input"])


def test_suggested_images_catch_what_all_of_them_catch(network: Network) -> None:
    stimulus = np.concatenate([np.zeros((1, *network.input.shape), np.int64), random_stimulus(network, batch=3)])
    score = score_mutants(network, stimulus, populations=["enc1/a"])
    chosen = suggest_stimulus(score, Level.TRAIN, 4)
    assert 0 not in chosen[:1], "the black image is not the first choice"
    part = score_mutants(network, stimulus[list(chosen)], populations=["enc1/a"])
    assert len(part.caught(Level.TRAIN)) == len(score.caught(Level.TRAIN))
    assert len(suggest_stimulus(score, Level.TRAIN, 1)) == 1


def wired(*delays: int) -> tuple[Connection, ...]:
    return tuple(
        Connection(f"c{number}", "in", "n", identity(1, number), exponent=number, delay=delay)
        for number, delay in enumerate(delays, start=1)
    )


SENT = {"in": Train(2, np.array([5, 0, -7]).reshape(1, 3, 1, 1, 1))}
"""5 in step 2 and -7 in step 4."""


def test_currents_arrive_when_their_delay_is_over() -> None:
    once, twice = wired(1, 3)
    like = np.zeros((1, 1, 1, 1), np.int64)
    totals = [SynapticCurrents(SENT).total((once, twice), step, like).item() for step in range(9)]
    # times 1 * 2 a step later, times 2 * 4 three steps later
    assert totals == [0, 0, 0, 10, 0, 40 - 14, 0, -56, 0]
    assert SynapticCurrents(SENT).current(once, 4) is None
    assert like.item() == 0


@pytest.mark.parametrize(("limit", "remembered"), [(0, 0), (7, 0), (8, 1), (15, 1), (16, 2), (99, 4)])
def test_currents_are_remembered_up_to_the_limit(limit: int, remembered: int) -> None:
    """Each has eight bytes; what does not arrive has none."""
    plain, currents = SynapticCurrents(SENT), RememberedCurrents(SENT, limit)
    asked = [(connection, step) for connection in wired(1, 3) for step in range(9)]
    first = [currents.current(*each) for each in asked]
    again = [currents.current(*each) for each in asked]
    assert [None if each is None else each.item() for each in first] == [
        None if (each := plain.current(*other)) is None else each.item() for other in asked
    ]
    arriving = [(one, other) for one, other in zip(first, again, strict=True) if one is not None]
    assert sum(one is other for one, other in arriving) == remembered
    assert all(other is not None and np.array_equal(one, other) for one, other in arriving)


@pytest.mark.parametrize("shift", [-2, -1, 0, 1, 2])
@pytest.mark.parametrize(("first", "length"), [(0, 9), (3, 4), (4, 1)])
def test_what_is_shown_comes_as_late_as_the_site_is_shifted(shift: int, first: int, length: int) -> None:
    """Threshold 8, a bias of 1 from step 3 on: 10 arrives in step 3, 26 in step 5, -56 in step 7."""
    neuron = MultiThreshold(np.array([8]), np.array([0]), -9, 9)
    population = Population("n", (1, 1, 1), neuron, np.ones((1, 1, 1), np.int64), np.ones(1), start=3)
    site = Site(population, wired(1, 3), repeat_bias=True, shift=shift)
    trains, states = [0, 0, 0, 1, 0, 3, 1, -7, 0, 0, 0], [0, 0, 0, 3, 4, 7, 0, 1, 2, 3, 4]
    response = respond(site, SynapticCurrents(SENT), first, length)
    steps = [step - shift for step in range(first, first + length)]
    assert response.trains.ravel().tolist() == [trains[step] if step >= 0 else 0 for step in steps]
    assert response.states.ravel().tolist() == [states[step] if step >= 0 else 0 for step in steps]
    assert response.second_states is None
    once = replace(site, repeat_bias=False, shift=0)
    assert respond(once, SynapticCurrents(SENT), 3, 2).states.ravel().tolist() == [3, 3]
    lost = replace(site, incoming=(replace(wired(1)[0], source="b"), replace(wired(1)[0], source="a")))
    with pytest.raises(VerificationError, match=r"^n: cannot be replayed without the trains of a, b$"):
        respond(lost, SynapticCurrents(SENT), first, length)


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("lost", ["dec", "up1"])
def test_errors_are_attributed_where_both_sides_recorded_trains(
    network: Network, right: Replay, side: int, lost: str
) -> None:
    """Its own on both sides, those of its sources on the side that is explained."""
    whole = right.trace
    without = replace(whole, probes={name: probe for name, probe in whole.probes.items() if name != lost})
    counted = replace(whole, probes={**whole.probes, lost: replace(whole.probes[lost], trains=None, states=None)})
    for part in (without, counted):
        sides = (part, whole) if side == 0 else (whole, part)
        found = attribute(network, *sides, "dec")
        assert (found is None) == (lost == "dec" or side == 1)
        assert found in (None, Attribution(0, 0))
    assert attribute(network, whole, whole, "input") is None
