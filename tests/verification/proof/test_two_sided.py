"""Two-sided neurons are read back from what backends run, proved equal, and refuted where a number of one side is another."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snn_deploy.backend.compiled_form import CompiledForm, Quantizer, QuantizerSum
from snn_deploy.backend.registry import load_backend
from snn_deploy.exchange.integer_onnx import encode_onnx
from snn_deploy.exchange.integer_onnx_reader import read_integer_onnx
from snn_deploy.network import artifact
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Network
from snn_deploy.network.two_sided import TwoSided
from snn_deploy.testing import random_stimulus, random_two_sided
from snn_deploy.verification.proof import checker
from snn_deploy.verification.proof.obligation import Outcome
from snn_deploy.verification.proof.prove import prove_backend, prove_form

needs_lava = pytest.mark.skipif(importlib.util.find_spec("lava") is None, reason="lava-nc is not installed")


def changed(network: Network, name: str, **numbers: Any) -> Network:
    neuron = network.population(name).neuron
    assert isinstance(neuron, TwoSided)
    population = replace(network.population(name), neuron=replace(neuron, **numbers))
    return replace(
        network, populations=tuple(population if each.name == name else each for each in network.populations)
    )


def read(network: Network) -> CompiledForm:
    return read_integer_onnx(encode_onnx(network), *network.input.payload_range)


@pytest.mark.parametrize("payload", [None, 4], ids=["one step", "several"])
@pytest.mark.parametrize("backend", ["cpu", "onnx", pytest.param("lava", marks=needs_lava)])
def test_counts_and_steps_are_proved(backend: str, payload: int | None) -> None:
    network = random_two_sided(0, payload=payload)
    proof = prove_backend(network, load_backend(backend))
    assert [each.reason for each in proof.obligations if each.outcome is not Outcome.PROVED] == []
    run, stimulus = load_backend(backend), random_stimulus(network, 0)
    expected = load_backend("reference").run(network, stimulus).counts
    counts = run.run(network, stimulus).counts
    assert [name for name, values in expected.items() if not np.array_equal(values, counts[name])] == []


def test_the_file_has_one_staircase_for_each_sign() -> None:
    network = random_two_sided(0)
    firing = next(each.firing for each in read(network).populations if each.name == "enc1/b")
    assert isinstance(firing, QuantizerSum)
    assert [(part.least, part.greatest) for part in firing.parts] == [(0, 15), (-7, 0)]


def test_a_proof_holds_for_the_checker_and_for_no_other_network(tmp_path: Path) -> None:
    network = random_two_sided(1)
    proof = prove_form(network, read(network))
    snn, form, stated = (tmp_path / name for name in ("net.snn", "form.onnx", "proof.json"))
    form.write_bytes(encode_onnx(network))
    obligations = [
        {"kind": each.kind, "subject": each.subject, "outcome": each.outcome.value, "evidence": dict(each.evidence)}
        for each in proof.obligations
    ]
    neuron = network.population("enc2").neuron
    assert isinstance(neuron, TwoSided)
    others = [
        changed(network, "enc2", theta_below=neuron.theta_below // 2 + 1),
        changed(network, "enc2", offset_below=neuron.offset_below - 1),
    ]
    for status, each in zip((0, 1, 1), (network, *others), strict=True):
        snn.write_bytes(artifact.encode(each))
        record = {
            "digest": artifact.digest(each),
            "form_digest": proof.form_digest,
            "backend": "onnx",
            "outcome": "proved",
            "exit_code": 0,
            "obligations": obligations,
        }
        stated.write_text(json.dumps(record), "utf-8")
        assert checker.main([str(snn), str(form), str(stated)]) == status


@pytest.mark.parametrize("backend", ["cpu", "onnx", pytest.param("lava", marks=needs_lava)])
@pytest.mark.parametrize("number", ["theta", "theta_below", "offset_below"])
def test_another_number_is_refuted(number: str, backend: str) -> None:
    network = random_two_sided(0)
    neuron = network.population("enc1/a").neuron
    assert isinstance(neuron, TwoSided)
    value = getattr(neuron, number).copy()
    value[1] += -1 if number == "offset_below" else 1
    other = changed(network, "enc1/a", **{number: value})
    compiled = read(other) if backend == "onnx" else load_backend(backend).read_compiled(other)  # type: ignore[attr-defined]
    proof = prove_form(network, compiled)
    (refuted,) = proof.of(Outcome.REFUTED)
    assert (refuted.kind, refuted.subject) == ("firing", "enc1/a")


def test_a_form_that_lacks_a_side_is_refuted() -> None:
    network = random_two_sided(0)
    form = read(network)
    populations = [
        replace(each, firing=each.firing.parts[0]) if isinstance(each.firing, QuantizerSum) else each
        for each in form.populations
    ]
    assert isinstance(populations[0].firing, Quantizer)
    proof = prove_form(network, replace(form, populations=tuple(populations)))
    assert {each.kind for each in proof.of(Outcome.REFUTED)} == {"firing"}
    assert " counts 0, -" in proof.of(Outcome.REFUTED)[0].reason


def test_plain_neurons_in_their_place_are_refuted() -> None:
    network = random_two_sided(0)
    neuron = network.population("enc1/a").neuron
    assert isinstance(neuron, TwoSided)
    plain = MultiThreshold(neuron.theta, neuron.v0, -15, 15, -7, 15)
    population = replace(network.population("enc1/a"), neuron=plain)
    other = replace(
        network, populations=tuple(population if each.name == "enc1/a" else each for each in network.populations)
    )
    for form in (read(other), load_backend("cpu").read_compiled(other)):  # type: ignore[attr-defined]
        proof = prove_form(network, form)
        assert proof.of(Outcome.REFUTED)[0].subject == "enc1/a"
