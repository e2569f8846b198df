"""Every named fault, built into the form of a network: what any stimulus shows is refuted without one."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from snn_deploy.arrays import Int64
from snn_deploy.backend.compiled_form import (
    CompiledConnection,
    CompiledForm,
    CompiledPopulation,
    Number,
    Part,
    Step,
    SteppedFiring,
    Timing,
)
from snn_deploy.network.network import Network
from snn_deploy.network.record import Record
from snn_deploy.testing import random_stimulus, random_two_sided, random_unet
from snn_deploy.verification.comparison.replay import Site, Specified
from snn_deploy.verification.diagnosis.faults import FAULTS, find_fault
from snn_deploy.verification.diagnosis.mutation import INVISIBLE, score_mutants
from snn_deploy.verification.proof import Outcome, prove_form
from snn_deploy.verification.proof.windows import describe_kernel


def numbers_of(record: Record) -> dict[str, Number]:
    """All numbers of a neuron by name."""
    named: dict[str, Number] = {"reset": "subtract"}
    for name, value in record.items():
        named |= numbers_of(value) if isinstance(value, dict) else {name: value}
    return named


def code_of(site: Site) -> Step | None:
    """The step of a site whose rule is another than the specification's."""
    if site.rule == Specified():
        return None

    def step(v: Int64, second: Int64, current: Int64) -> tuple[Int64, Int64, Int64]:
        return site.rule.advance(site.population, v, second, current, site.population.start)

    return step


def form_of(network: Network, faulty: dict[str, Site]) -> CompiledForm:
    """The form that a compiler without mistakes gives of ``network``, with these populations as their sites are."""
    populations, connections = [], []
    for population, incoming in network.layers():
        site = faulty.get(population.name, Site(population, incoming, network.mode == "rate"))
        neuron = site.population.neuron
        assert neuron is not None
        firing = SteppedFiring(
            neuron.kind,
            numbers_of(neuron.to_record()),
            site.population.bias,
            site.population.start + site.shift,
            site.repeat_bias,
            code_of(site),
        )
        populations.append(CompiledPopulation(population.name, population.shape, firing))
        for each in site.incoming:
            linear = describe_kernel(each.kernel, each.exponent, network.population(each.source).shape)
            parts = (Part(linear),)
            connections.append(CompiledConnection(each.source, each.target, parts, each.delay + site.shift))
    timing = Timing(network.duration, network.input_steps)
    return CompiledForm(
        "faulty", "", network.input.name, network.input.shape, tuple(populations), tuple(connections), (), (), timing
    )


EVERY = ("enc1/a", "enc1/b", "pool", "enc2", "down", "up2", "up1", "dec", "output")


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("several steps", ("enc2",)),
        ("rate", ("dec",)),
        ("two-sided", ("enc2",)),
        *(
            pytest.param(kind, EVERY, marks=pytest.mark.slow)
            for kind in ("exact", "several steps", "rate", "hard reset", "two-sided")
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{len(value)} population(s)",
)
def test_visible_mutants_are_refuted(kind: str, names: tuple[str, ...]) -> None:
    network = {
        "exact": random_unet("exact", 0, size=4),
        "several steps": random_unet("exact", 2, size=4, levels=15, payload=4),
        "rate": random_unet("rate", 1, size=4, steps=4),
        "hard reset": random_unet("rate", 3, size=4, steps=4),
        "two-sided": random_two_sided(0, size=4),
    }[kind]
    if kind == "hard reset":
        network = replace(
            network,
            populations=tuple(
                each
                if each.neuron is None or each.neuron.relays
                else replace(each, neuron=replace(each.neuron, reset="zero"))
                for each in network.populations
            ),
        )
    assert prove_form(network, form_of(network, {})).exit_code == 0
    score = score_mutants(network, random_stimulus(network, 0, 3), names, FAULTS)
    outcomes: Counter[str] = Counter()
    for mutant in score.mutants:
        site = find_fault(mutant.fault).change(Site.of(network, mutant.population))
        assert site is not None
        proof = prove_form(network, form_of(network, {mutant.population: site}))
        visible = mutant.level < INVISIBLE
        assert not visible or proof.outcome is Outcome.REFUTED, (mutant.fault, mutant.population, proof.line)
        outcomes[f"{'visible' if visible else 'invisible'} {proof.outcome.value}"] += 1
    assert outcomes["visible refuted"] > 15 * len(names)


def test_every_fault_is_among_them() -> None:
    shown: set[str] = set()
    several, two_sided = random_unet("exact", 2, size=4, levels=15, payload=4), random_two_sided(0, size=4)
    for network in (random_unet("rate", 1, size=4, steps=3), several, two_sided):
        for population, _ in network.layers():
            shown |= {fault.name for fault in FAULTS if fault.change(Site.of(network, population.name)) is not None}
    assert {fault.name for fault in FAULTS} - shown <= {"reset by subtraction"}  # of neurons with a hard reset
