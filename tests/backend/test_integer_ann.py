"""Three independent arithmetics of ``exact`` mode agree under every pair of options of the multi-threshold neuron."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from snn_deploy.backend.integer_ann import compute_integer_counts
from snn_deploy.backend.registry import load_backend
from snn_deploy.exchange.integer_onnx import encode_onnx
from snn_deploy.network.network import Network
from snn_deploy.network.schedule import align
from snn_deploy.testing import random_stimulus, random_unet
from snn_deploy_onnx.backend import compute_counts

STARTS = ("zero", "half", "negative")
OPTIONS = tuple(product((False, True), STARTS, (False, True), (15, 4)))
"""Strict, initial membrane, signed counts, greatest payload (of 15 levels)."""


def network(seed: int, strict: bool, start: str, signed: bool, payload: int) -> Network:
    """A random U-Net in which every neuron, relays and read-out too, has these options."""
    plain = random_unet("exact", seed, size=8, width=2, levels=15, payload=payload)
    populations = [plain.input]
    for population in plain.populations[1:]:
        neuron = population.neuron
        assert neuron is not None
        v0 = {"zero": 0 * neuron.theta, "half": neuron.theta // 2, "negative": -3 * neuron.theta // 4}[start]
        lowest = -neuron.payload_max if signed and not neuron.relays else neuron.count_min
        changed = replace(neuron, strict=strict, v0=v0, count_min=lowest)
        populations.append(replace(population, neuron=changed))
    return align(replace(plain, populations=tuple(populations)))


@pytest.mark.parametrize(("strict", "start", "signed", "payload"), OPTIONS)
def test_reference_integer_network_and_onnx_agree(strict: bool, start: str, signed: bool, payload: int) -> None:
    for seed in range(2):
        net = network(seed, strict, start, signed, payload)
        stimulus = random_stimulus(net, seed)
        expected = load_backend("reference").run(net, stimulus).counts
        for counts in (compute_integer_counts(net, stimulus), compute_counts(encode_onnx(net), stimulus)):
            assert set(counts) == set(expected)
            for name, values in expected.items():
                assert np.array_equal(counts[name], values), name


def test_the_options_matter() -> None:
    """Networks that differ in one option differ in their counts; else agreement would prove little."""
    digests = set()
    for options in product((False, True), STARTS, (False, True)):
        net = network(0, *options, payload=15)
        counts = load_backend("reference").run(net, random_stimulus(net, 0)).counts
        digests.add(b"".join(values.tobytes() for values in counts.values()))
    assert len(digests) == 12
