"""The CUBA-LIF neuron: what its current can reach, where it is limited, and what it cannot be."""

from dataclasses import replace
from fractions import Fraction
from math import ceil

import numpy as np
import pytest

from snn_deploy.errors import NetworkError, OverflowProofError
from snn_deploy.network import artifact, bounds
from snn_deploy.network.cuba_lif import CubaLif, decay
from snn_deploy.network.kernels import identity
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.network import Connection, Network, Output, Population
from snn_deploy.network.schedule import align, shuffle


def neurons(current_decay: int = 4096, voltage_decay: int = 0, offset: int = 0) -> CubaLif:
    return CubaLif.of(np.array([640]), np.array([offset]), current_decay=current_decay, voltage_decay=voltage_decay)


def one_layer(neuron: CubaLif, weight: int = 100) -> Network:
    zeros = np.zeros((1, 1, 1), np.int64)
    populations = (
        Population("in", (1, 1, 1), None, zeros, np.ones(1), input_max=1),
        Population("n", (1, 1, 1), neuron, zeros, np.ones(1)),
    )
    edge = Connection("in->n", "in", "n", identity(1, weight))
    return align(Network("one", "rate", 8, populations, (edge,), (Output("out", "n"),)))


@pytest.mark.parametrize("amount", [1, 3, 100, 2048, 4095, 4096])
def test_the_current_reaches_the_geometric_sum_and_no_more(amount: int) -> None:
    """The series 64 I sum_n ((4096 - d) / 4096)**n, rounded up; decays that truncate lose less than one unit a step."""
    largest = np.array([0, 1, 37, 127])
    reach = neurons(amount).reach(largest)
    assert reach.tolist() == [ceil(Fraction(64 * int(each) * 4096, amount)) for each in largest]
    v, u = np.zeros((2, 4, 1, 1), np.int64)
    signs = np.random.default_rng(amount).choice([-1, 1], (400, 4, 1, 1))
    random_u = np.zeros_like(u)
    for step in range(400):
        _, u = neurons(amount).charge(v, u, largest[:, None, None])
        _, random_u = neurons(amount).charge(v, random_u, signs[step] * largest[:, None, None])
        assert np.all(u[:, 0, 0] <= reach)
        assert np.all(np.abs(random_u[:, 0, 0]) <= reach)
    if amount >= 100:
        assert np.all(u[:, 0, 0] >= reach - 4096 // amount - 1)


def test_the_proof_takes_what_the_current_reaches() -> None:
    network = one_layer(neurons(current_decay=16), weight=100)
    assert bounds.bound_population(network, network.populations[1]).current == 100 * 64 * 256
    with pytest.raises(
        OverflowProofError, match=r"^n: worst case 13107200 exceeds 8388607 .* lower the levels of its sources$"
    ):
        bounds.prove(one_layer(neurons(current_decay=2), weight=100))


def test_a_membrane_is_limited_before_it_fires() -> None:
    v = np.full((1, 1, 1), -STATE_MAX)
    limited, _, payload = neurons(offset=-5).step(v, np.zeros_like(v), np.zeros_like(v))
    assert (limited.item(), payload.item()) == (-STATE_MAX, 0)


def test_decays_round_towards_zero_and_firing_is_strict() -> None:
    assert decay(np.array([-7, -1, 0, 1, 7]), 2048).tolist() == [-3, 0, 0, 0, 3]
    v = np.array([[[640]], [[641]]])
    none = np.zeros(2, np.int64)
    two = replace(neurons(), theta=np.array([640, 640]), v0=none, offset=none)
    left, _, payload = two.step(v, 0 * v, 0 * v)
    assert (left.ravel().tolist(), payload.ravel().tolist()) == ([640, 0], [0, 1])


def test_files_keep_everything() -> None:
    again = artifact.decode(artifact.encode(one_layer(neurons(2048, 128, -9)))).populations[1].neuron
    assert isinstance(again, CubaLif)
    assert np.array_equal(again.quantum, again.theta // 64), "a membrane has six bits below those of the current"
    assert (again.current_decay, again.voltage_decay, again.offset.tolist()) == (2048, 128, [-9])


def test_what_it_cannot_be_is_refused() -> None:
    for decays in ((0, 0), (4097, 0), (1, -1), (1, 4097)):
        with pytest.raises(NetworkError, match=rf"^decays {decays[0]} and {decays[1]} outside 1..4096 and 0..4096$"):
            neurons(*decays)
    for changes in ({"strict": False}, {"payload_max": 2}, {"count_min": 0, "count_max": 9}, {"v0": [1]}):
        with pytest.raises(NetworkError, match=r"use CubaLif\.of$"):
            replace(neurons(), **changes)
    with pytest.raises(NetworkError, match=r"^only exact-mode counts are independent of the schedule; .*$"):
        shuffle(one_layer(neurons()), 0)
