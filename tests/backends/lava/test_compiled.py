"""Lava's process graph, read back from its processes, equals the network step by step for all inputs, or is refuted."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest

from snn_deploy.backend.compiled_form import CompiledForm, SteppedFiring, Timing
from snn_deploy.errors import CompiledFormError, SnnDeployError
from snn_deploy.network import artifact
from snn_deploy.network.network import Network
from snn_deploy.network.schedule import shuffle
from snn_deploy.testing import conformance_cases, random_unet, special_cases
from snn_deploy.testing.drawing import draw_network
from snn_deploy.verification.proof import Outcome, prove_backend, prove_form
from snn_deploy_lava import LavaBackend
from snn_deploy_lava.runtime import description, lava_import
from tests.verification.proof.forms import with_fault

pytestmark = pytest.mark.skipif(importlib.util.find_spec("lava") is None, reason="lava-nc is not installed")

NUMBERS = (
    "comparison",
    "starts late",
    "starts early",
    "bias exponent up",
    "bias exponent down",
    "bias missing",
    "one bias off",
    "threshold doubled",
    "threshold off",
    "v0 missing",
    "payload clipped",
    "kernel flipped",
    "axes transposed",
    "channels reversed",
    "padding shifted",
    "weight bit dropped",
    "largest weight off",
    "weight exponent up",
    "weight exponent down",
    "skip delay missing",
    "skip missing",
)
"""Faults of numbers, synapses and times, with which a graph can be built."""


@pytest.fixture(scope="module")
def network() -> Network:
    return random_unet("exact", 0, size=8)


@pytest.fixture(scope="module")
def form(network: Network) -> CompiledForm:
    return LavaBackend().read_compiled(network)


def test_graphs_are_proved() -> None:
    assert prove_backend(random_unet("exact", 0), LavaBackend(stock_conv=True)).exit_code == 0
    assert prove_backend(random_unet("exact", 0), LavaBackend(stream=True)).exit_code == 2
    every = [network for cases in (conformance_cases(), special_cases()) for network, _ in cases]
    for network in [*every, shuffle(random_unet("exact", 3, size=8), 1)]:
        proof = prove_backend(network, LavaBackend())
        assert proof.exit_code == 0, proof.line
        assert {each.kind for each in proof.obligations} == {
            "structure",
            "linear",
            "firing",
            "formats",
            "bounds",
            "schedule",
        }


def test_drawn_networks_are_proved() -> None:
    outcomes: Counter[Outcome] = Counter()
    for seed in range(15):
        proof = prove_backend(draw_network(Random(seed)), LavaBackend())
        outcomes[proof.outcome] += 1
        if proof.exit_code:  # what cannot be read back yet, and what Lava cannot hold
            reasons = ("and what Lava's own neurons are compiled into, cannot", "; give each pair one weight")
            assert any(reason in proof.line for reason in reasons), proof.line
    assert outcomes[Outcome.PROVED] > 8


@pytest.mark.parametrize(
    "names",
    [
        ("up1", "dec"),
        pytest.param(("enc1/a", "enc1/b", "pool", "enc2", "down", "up2", "output"), marks=pytest.mark.slow),
    ],
    ids=["some", "others"],
)
@pytest.mark.parametrize("fault", NUMBERS)
def test_a_fault_is_refuted_without_a_stimulus(network: Network, fault: str, names: tuple[str, ...]) -> None:
    outcomes: Counter[Outcome] = Counter()
    for name in names:
        faulty = with_fault(network, name, fault)
        if faulty is None:
            continue
        try:
            graph = LavaBackend().read_compiled(faulty)
        except SnnDeployError:
            continue
        proof = prove_form(network, graph)
        outcomes[proof.outcome] += 1
        equivalent = (name, fault) in {
            ("pool", "kernel flipped"),
            ("pool", "axes transposed"),
            ("pool", "starts early"),
            ("output", "starts early"),
            ("output", "payload clipped"),
        }
        expected = Outcome.PROVED if equivalent else Outcome.REFUTED
        assert proof.outcome is expected, (name, proof.line)
    assert outcomes[Outcome.REFUTED]


def with_firing(form: CompiledForm, name: str, change: dict[str, object], **numbers: int | str | None) -> CompiledForm:
    """``form`` with other fields and numbers of one population's firing."""
    populations = []
    for each in form.populations:
        firing = each.firing
        if each.name == name and isinstance(firing, SteppedFiring):
            firing = replace(firing, numbers={**firing.numbers, **numbers}, **change)  # type: ignore[arg-type]
        populations.append(replace(each, firing=firing))
    return replace(form, populations=tuple(populations))


def test_faults_of_rules_and_times(network: Network, form: CompiledForm) -> None:
    rate = random_unet("rate", 0, size=8)
    stepped = LavaBackend().read_compiled(rate)
    late = tuple(
        replace(each, delay=each.delay + 1) if each.source == "enc2" and each.delay else each
        for each in form.connections
    )
    wrong = {
        "bias rhythm": (
            rate,
            with_firing(stepped, "dec", {"bias_repeats": False}),
            "in step 9 a bias of 0 joins neuron",
        ),
        "hard reset": (rate, with_firing(stepped, "dec", {}, reset="zero"), r"leaves and sends (0, "),
        "count unbounded": (
            network,
            with_firing(form, "dec", {}, count_min=None, count_max=None),
            "(count_min, count_max differ)",
        ),
        "another kind": (network, with_firing(form, "dec", {"kind": "CUBA-LIF"}), "its neurons are CUBA-LIF"),
        "one step late": (network, replace(form, connections=late), "adds 0 to the current"),
        "image sent twice": (
            network,
            replace(form, timing=Timing(11, 2)),
            "the image is sent in 2 step(s), 1 expected",
        ),
        "image cut short": (network, replace(form, timing=Timing(9, 1)), "an image has 9 steps, 10 expected"),
    }
    for fault, (right, changed, words) in wrong.items():
        proof = prove_form(right, changed)
        assert proof.outcome is Outcome.REFUTED, fault
        assert any(words in each.reason for each in proof.of(Outcome.REFUTED)), (fault, proof.line)
    assert prove_form(rate, stepped).exit_code == 0


def test_what_is_not_recognised_is_refused(network: Network, tmp_path: Path) -> None:
    lava_import.prepare()
    from snn_deploy_lava.compiled import read_processes
    from snn_deploy_lava.runtime import graph as graphs

    artifact.save(network, tmp_path / "network.snn")
    read = description.read(tmp_path / "network.snn")
    image = np.zeros((1, *network.input.shape), np.int64)

    def build(*, stream: bool = False) -> graphs.Graph:
        return graphs.build(read, image, graphs.plan(read, 1, stream=stream), graphs.Recording(tmp_path))

    assert prove_form(network, read_processes(build(), (-255, 255))).exit_code == 0
    with pytest.raises(CompiledFormError, match="^enc1/a: begins images at other steps than the source$"):
        read_processes(build(stream=True), (-255, 255))
    unknown = build()
    unknown.synapses[0] = unknown.delays[0]
    with pytest.raises(CompiledFormError, match="^input after 8: synapses of Delay are not recognised$"):
        read_processes(unknown, (-255, 255))


def test_a_program_that_has_started_processes_can_read_a_graph() -> None:
    """Lava sets the way in which processes start when it is imported, which is an error where one has started."""
    program = """
import multiprocessing
if __name__ == "__main__":
    process = multiprocessing.Process(target=print)
    process.start()
    process.join()
    from snn_deploy.testing import random_unet
    from snn_deploy_lava import LavaBackend
    LavaBackend().read_compiled(random_unet(size=8))
    print(multiprocessing.get_start_method())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["fork"]
