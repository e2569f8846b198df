"""Equality for all inputs of networks and their integer ONNX form: proved where it holds, refuted by example where not."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random

import numpy as np
import onnx
import pytest

from snn_deploy.backend.registry import load_backend
from snn_deploy.errors import CompiledFormError, ConversionError, OverflowProofError
from snn_deploy.exchange.integer_onnx import encode_onnx
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Network
from snn_deploy.network.schedule import shuffle
from snn_deploy.testing import random_stimulus, random_unet
from snn_deploy.testing.drawing import draw_network, draw_stimulus
from snn_deploy.verification.comparison.replay import Site, Specified
from snn_deploy.verification.diagnosis.faults import FAULTS
from snn_deploy.verification.proof import Outcome, Proof, combine_proofs, prove_backend
from snn_deploy_onnx.backend import compute_counts
from tests.verification.proof.forms import change_constants, edit, prove_file, swap_inputs, with_fault

TIMELESS = {
    "comparison",
    "bias exponent up",
    "bias exponent down",
    "bias missing",
    "one bias off",
    "threshold doubled",
    "threshold off",
    "v0 missing",
    "kernel flipped",
    "axes transposed",
    "channels reversed",
    "padding shifted",
    "weight bit dropped",
    "largest weight off",
    "weight exponent up",
    "weight exponent down",
    "skip missing",
}
"""Faults that a form without time and steps can have by its numbers; those of its operators are tested one by one."""


@pytest.fixture(scope="module")
def small() -> Network:
    return random_unet("exact", 0, size=8)


def counts_differ(network: Network, data: bytes) -> bool:
    """Whether some image of a few gives other counts."""
    stimulus = np.concatenate([draw_stimulus(network, Random(0), 4), random_stimulus(network, 0, 4)])
    found, right = compute_counts(data, stimulus), load_backend("reference").run(network, stimulus).counts
    return any(not np.array_equal(found[name], counts) for name, counts in right.items())


def test_drawn_networks_are_proved() -> None:
    outcomes: Counter[Outcome] = Counter()
    for seed in range(30):
        network = draw_network(Random(seed))
        try:
            data = encode_onnx(network)
        except ConversionError:
            continue
        proof = prove_file(network, data)
        assert proof.exit_code == 0, (seed, proof.line)
        outcomes[proof.outcome] += 1
    assert outcomes[Outcome.PROVED] > 6


@pytest.mark.parametrize(
    "network",
    [
        random_unet("exact", 1),
        random_unet("exact", 2, levels=15, payload=4),
        shuffle(random_unet("exact", 3, size=8), 1),
    ],
    ids=["one shot", "several steps", "shuffled"],
)
def test_schedules_are_proved(network: Network) -> None:
    proof = prove_backend(network, load_backend("onnx"))
    assert proof.exit_code == 0, proof.line
    assert {each.kind for each in proof.obligations} == {
        "structure",
        "linear",
        "firing",
        "formats",
        "bounds",
        "schedule",
    }
    short = replace(network, steps=1, populations=tuple(replace(each, start=0) for each in network.populations))
    (late,) = prove_file(short, encode_onnx(network)).of(Outcome.OPEN)
    assert late.kind == "schedule"


@pytest.mark.parametrize(
    "names",
    [
        ("enc1/a", "up1", "dec"),
        pytest.param(("enc1/b", "pool", "enc2", "down", "up2", "output"), marks=pytest.mark.slow),
    ],
    ids=["some", "others"],
)
@pytest.mark.parametrize("fault", sorted(TIMELESS))
def test_a_fault_is_refuted_without_a_stimulus(small: Network, fault: str, names: tuple[str, ...]) -> None:
    refuted = 0
    for name in names:
        faulty = with_fault(small, name, fault)
        if faulty is None:
            continue
        try:
            data = encode_onnx(faulty)
        except OverflowProofError:
            continue
        proof = prove_file(small, data)
        assert proof.outcome is not Outcome.OPEN, (name, proof.line)
        if proof.outcome is Outcome.PROVED:
            assert not counts_differ(small, data), name
        refuted += proof.outcome is Outcome.REFUTED
    assert refuted, fault


def test_every_other_fault_is_of_time_or_of_operators() -> None:
    network = random_unet("exact", 0, size=8)
    for fault in FAULTS:
        if fault.name in TIMELESS:
            continue
        for population in network.populations[1:]:
            site = fault.change(Site.of(network, population.name))
            if site is None:
                continue
            neuron, own = site.population.neuron, population.neuron
            same = (
                site.rule != Specified() or site.shift or site.repeat_bias or site.population.start != population.start
            )
            payload = neuron is not None and own is not None and neuron.payload_max != own.payload_max
            late = [each.delay for each in site.incoming] != [each.delay for each in network.incoming(population.name)]
            assert same or payload or late, fault.name


def truncate(graph: onnx.GraphProto) -> None:
    """Divide the sums themselves, so that the quotient is rounded toward 0."""
    (divides,) = [node for node in graph.node if node.op_type == "Div" and node.output[0] in reads(graph, "enc2")]
    (subtracts,) = [node for node in graph.node if node.output[0] == divides.input[0]]
    divides.input[0] = subtracts.input[0]


def reads(graph: onnx.GraphProto, name: str) -> list[str]:
    return [each for node in graph.node if node.output[0] == name for each in node.input]


def test_truncation_is_refuted_where_counts_may_be_negative_and_else_proved_equal(small: Network) -> None:
    data = edit(encode_onnx(small), truncate)
    proof = prove_file(small, data)
    assert proof.exit_code == 0, proof.line
    (tried,) = [each for each in proof.obligations if each.reason.startswith("both count the same for every sum")]
    assert tried.subject == "enc2"
    assert not counts_differ(small, data)
    signed = tuple(
        replace(each, neuron=replace(each.neuron, count_min=-63)) if each.name == "enc2" and each.neuron else each
        for each in small.populations
    )
    network = replace(small, populations=signed)
    refuted = prove_file(network, edit(encode_onnx(network), truncate)).of(Outcome.REFUTED)
    assert [each.subject for each in refuted] == ["enc2"]
    assert "payload(s) add up to a current of" in refuted[0].reason


def test_limits_of_counts_are_proved(small: Network) -> None:
    widened = tuple(
        replace(each, neuron=replace(each.neuron, count_max=64, payload_max=64))
        if each.name == "dec" and each.neuron
        else each
        for each in small.populations
    )
    proof = prove_file(small, encode_onnx(replace(small, populations=widened)))
    assert [each.subject for each in proof.of(Outcome.REFUTED)] == ["dec"]
    assert "counts 64, 63 expected" in proof.of(Outcome.REFUTED)[0].reason


@pytest.mark.parametrize(("step", "least"), [(6, 14), pytest.param(1, 85, marks=pytest.mark.slow)])
def test_changed_constants_of_the_file(small: Network, step: int, least: int) -> None:
    outcomes: Counter[str] = Counter()
    for users, data in change_constants(small, 0, step):
        try:
            proof = prove_file(small, data)
        except CompiledFormError:
            assert set(users) <= {"Pad", "Reshape", "Gather", "Slice"}, users
            outcomes["not read"] += 1
            continue
        outcomes[proof.outcome.value] += 1
        if proof.outcome is Outcome.PROVED:
            assert not counts_differ(small, data), users
        if proof.outcome is Outcome.OPEN:
            assert [each.kind for each in proof.of(Outcome.OPEN)] == ["formats"]
    assert outcomes["refuted"] >= least
    assert outcomes["proved"] <= 10
    assert outcomes["open"] <= 1


@pytest.mark.parametrize(("step", "least"), [(5, 3), pytest.param(1, 15, marks=pytest.mark.slow)])
def test_swapped_inputs_of_the_file(small: Network, step: int, least: int) -> None:
    outcomes: Counter[str] = Counter()
    for operator, data in swap_inputs(small, step):
        try:
            proof = prove_file(small, data)
        except CompiledFormError:
            continue
        outcomes[f"{operator} {proof.outcome.value}"] += 1
        if proof.outcome is Outcome.PROVED and operator not in ("Add", "Mul"):
            assert not counts_differ(small, data), operator
    assert outcomes["Sub refuted"] >= least
    assert not any(word.startswith(("Add", "Mul")) and not word.endswith("proved") for word in outcomes)


def test_crossed_connections_are_refuted(small: Network) -> None:
    def cross(graph: onnx.GraphProto) -> None:
        for node in graph.node:
            if node.op_type == "Pad" and node.input[0] == "up1":
                node.input[0] = "enc1/b"

    refuted = prove_file(small, edit(encode_onnx(small), cross)).of(Outcome.REFUTED)
    assert [each.subject for each in refuted] == ["enc1/b -> dec", "up1 -> dec"]


def test_what_cannot_be_read_is_never_a_pass(small: Network) -> None:
    proof = prove_backend(small, load_backend("reference"))
    assert (proof.exit_code, proof.form_digest) == (2, "")
    assert proof.line.endswith("has no method read_compiled | exit 2")
    rate = prove_backend(random_unet("rate", 0), load_backend("onnx"))
    assert rate.line.endswith("counts of rate mode depend on the schedule; convert in exact mode | exit 2")
    assert Proof("a", "b", "c", "d", ()).exit_code == 2
    assert combine_proofs([]) == 2
    assert combine_proofs([proof, prove_file(small, encode_onnx(small))]) == 2
    refuted = prove_file(small, encode_onnx(random_unet("exact", 1, size=8)))
    assert refuted.exit_code == combine_proofs([proof, refuted]) == 1


def test_a_population_too_many_or_of_another_shape_is_refuted(small: Network) -> None:
    other = random_unet("exact", 0, size=12)
    assert prove_file(small, encode_onnx(other)).obligations[0].outcome is Outcome.REFUTED
    renamed = replace(
        small,
        populations=tuple(replace(each, name="other") if each.name == "output" else each for each in small.populations),
        connections=tuple(
            replace(each, target="other") if each.target == "output" else each for each in small.connections
        ),
        outputs=tuple(replace(each, population="other") for each in small.outputs),
    )
    proof = prove_file(small, encode_onnx(renamed))
    assert proof.exit_code == 1
    assert proof.obligations[0].reason == "output is None, (1, 8, 8) expected"


def test_sums_beyond_24_bits_stay_open(small: Network) -> None:
    strong = replace(small, connections=tuple(replace(each, exponent=each.exponent + 5) for each in small.connections))
    proof = prove_file(strong, encode_onnx(small))
    (bounds,) = (each for each in proof.obligations if each.kind == "bounds")
    assert bounds.outcome is Outcome.OPEN
    assert "exceeds 8388607" in bounds.reason


def test_only_sums_that_payloads_reach_count(small: Network) -> None:
    """All weights into ``down`` are even, so an odd difference of its bias changes no count."""
    changed = tuple(
        replace(each, bias=each.bias + (1 - each.bias % 2)) if each.name == "down" else each
        for each in small.populations
    )
    assert isinstance(small.population("down").neuron, MultiThreshold)
    data = encode_onnx(replace(small, populations=changed))
    proof = prove_file(small, data)
    assert proof.exit_code == 0
    assert any(each.reason == "they differ for no sum that weights and payloads allow" for each in proof.obligations)
    assert not counts_differ(small, data)
