"""Probe plans find the culprit in few runs; a diff names everything that changed."""

from __future__ import annotations

from dataclasses import replace
from math import ceil, log2

import numpy as np
import pytest

from snn_deploy.backend.registry import load_backend
from snn_deploy.errors import VerificationError
from snn_deploy.network.cuba_lif import CubaLif
from snn_deploy.network.difference import diff, diff_counts
from snn_deploy.network.kernels import identity
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Connection, Network, Output, Population
from snn_deploy.network.schedule import align
from snn_deploy.testing import random_stimulus, random_unet
from snn_deploy.verification import Level, compare
from snn_deploy.verification.comparison.replay import Site, forward, repeat
from snn_deploy.verification.diagnosis.faults import FAULTS
from snn_deploy.verification.diagnosis.probe_plan import ProbePlan


def chain(length: int) -> Network:
    neuron = MultiThreshold(np.array([1]), np.array([0]), -1, 1, -1, 1)
    zero = np.zeros((1, 1, 1), np.int64)
    populations = [Population("input", (1, 2, 2), None, zero, np.ones(1), input_max=1)]
    connections = []
    for index in range(length):
        populations.append(Population(f"p{index}", (1, 2, 2), neuron, zero, np.ones(1)))
        before = populations[-2].name
        connections.append(Connection(f"{before}->p{index}", before, f"p{index}", identity(1)))
    return align(
        Network("chain", "exact", 1, tuple(populations), tuple(connections), (Output("out", populations[-1].name),))
    )


def downstream(network: Network, name: str) -> set[str]:
    found = {name}
    for population, connections in network.layers():
        if found & {connection.source for connection in connections}:
            found.add(population.name)
    return found


def search(network: Network, wrong: set[str]) -> tuple[str | None, int]:
    plan = ProbePlan.of(network)
    for runs in range(100):
        asked = plan.next
        if asked is None:
            return plan.culprit, runs
        plan = plan.answer(asked, equal=asked not in wrong)
    raise AssertionError("the search does not end")


@pytest.mark.parametrize("network", [chain(64), chain(1), random_unet("exact", 0, size=8)], ids=["64", "1", "unet"])
def test_every_culprit_is_found_in_about_log2_runs(network: Network) -> None:
    names = [population.name for population, _ in network.layers()]
    for name in names:
        found, runs = search(network, downstream(network, name))
        assert found == name
        assert runs <= ceil(log2(len(names))) + 3, (name, runs)


def test_an_error_that_does_not_propagate_everywhere_is_still_found() -> None:
    network = random_unet("exact", 0, size=8)
    for wrong in ({"enc2", "up2", "up1", "dec", "output"}, {"down", "up1", "dec"}, {"output"}):
        found, _ = search(network, wrong)
        assert found in wrong
        assert found is not None
        sources = {connection.source for connection in network.incoming(found)}
        assert not sources & wrong, "a convicted population's sources are all equal"


def test_a_plan_learns_from_verdicts() -> None:
    network = random_unet("exact", 1, size=8)
    right = forward(network, repeat(network, random_stimulus(network)))
    site = next(fault for fault in FAULTS if fault.name == "kernel flipped").change(Site.of(network, "enc2"))
    assert site is not None
    wrong = forward(network, right.sent["input"], {"enc2": site}, right, "chip").trace
    plan, asked = ProbePlan.of(network), []
    while plan.next is not None:
        asked.append(plan.next)
        probed = replace(wrong, probes={plan.next: wrong.probes[plan.next]})
        plan = plan.learn(compare(network, [right.trace, probed], Level.TRAIN))
    assert plan.culprit == "enc2"
    assert len(asked) < 7


def test_no_error_convicts_nobody() -> None:
    found, _ = search(random_unet("exact", 0, size=8), set())
    assert found is None
    with pytest.raises(VerificationError, match=r"^enc9 is not among enc1/a, .*output$"):
        ProbePlan.of(random_unet("exact", 0)).answer("enc9", equal=True)


def test_a_network_does_not_differ_from_itself() -> None:
    assert diff(random_unet("rate", 1, size=8), random_unet("rate", 1, size=8)) == ()


def test_every_fault_that_changes_numbers_shows_in_a_diff() -> None:
    network = random_unet("rate", 1, size=8)
    for fault in FAULTS:
        site = fault.change(Site.of(network, "dec"))
        if site is None or (site.rule, site.shift, site.repeat_bias) != (Site.of(network, "dec").rule, 0, True):
            continue
        populations = tuple(site.population if old.name == "dec" else old for old in network.populations)
        incoming = {connection.name: connection for connection in site.incoming}
        connections = tuple(
            incoming.get(old.name, old) for old in network.connections if old.target != "dec" or old.name in incoming
        )
        changes = diff(network, replace(network, populations=populations, connections=connections))
        assert changes, fault.name
        assert {change.where for change in changes} <= {"dec", "up1->dec", "enc1/b->dec"}, fault.name


def test_a_diff_of_neurons_of_another_kind_says_so() -> None:
    left = random_unet("rate", 1, size=8)
    dec = left.population("dec")
    assert dec.neuron is not None

    def leaky(offset: int, decay: int) -> Network:
        offsets = np.full_like(dec.neuron.theta, offset) if dec.neuron is not None else np.zeros(1, np.int64)
        neuron = CubaLif.of(np.full_like(offsets, 64), offsets, current_decay=4096, voltage_decay=decay)
        changed = replace(dec, neuron=neuron, bias=np.zeros_like(dec.bias))
        return replace(
            left,
            populations=tuple(changed if population.name == "dec" else population for population in left.populations),
        )

    texts = [change.text for change in diff(left, leaky(0, 512))]
    assert "dec: neuron: multi-threshold -> CUBA-LIF" in texts
    assert "dec: voltage_decay: None -> 512" in texts
    texts = [change.text for change in diff(leaky(0, 512), leaky(3, 1024))]
    assert texts == [texts[0], "dec: voltage_decay: 512 -> 1024"]
    assert texts[0].startswith("dec: offset: 0 at (0,) -> 3; ")


def test_a_diff_says_what_changed() -> None:
    left = random_unet("rate", 1, size=8)
    dec = left.population("dec")
    assert dec.neuron is not None
    changed = replace(dec, start=9, neuron=replace(dec.neuron, theta=2 * dec.neuron.theta, payload_max=7))
    right = replace(
        left,
        populations=tuple(changed if population.name == "dec" else population for population in left.populations),
        connections=left.connections[:-1],
        config={"levels": 15},
    )
    texts = [change.text for change in diff(left, right)]
    assert "network: config levels: None -> 15" in texts
    assert f"dec: start: {dec.start} -> 9" in texts
    assert "dec: payload_max: 15 -> 7" in texts
    assert any(text.startswith("dec: theta: ") and "4 of 4 differ" in text for text in texts)
    assert texts[-1] == "input->output: connection: present -> absent"
    stimulus = random_stimulus(left)
    run = load_backend("reference").run(left, stimulus)
    assert diff_counts(run.counts, run.counts) == ()
    other = dict(run.counts)
    other["dec"] = other["dec"] + 1
    del other["pool"]
    counts = diff_counts(run.counts, other)
    assert [change.where for change in counts] == ["pool", "dec"]
    assert "512 neurons differ" in counts[1].right
