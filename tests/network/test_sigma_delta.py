"""The sigma-delta neuron against Lava's algorithm as Lava writes it, and its place in files, proofs and integer networks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snn_deploy.backend.integer_ann import compute_integer_counts
from snn_deploy.backend.registry import load_backend
from snn_deploy.errors import BackendError, NetworkError
from snn_deploy.network import artifact, bounds, dynamics
from snn_deploy.network.kernels import ConvKernel
from snn_deploy.network.network import Connection, Network, Output, Population
from snn_deploy.network.schedule import align, shuffle
from snn_deploy.network.sigma_delta import SHIFT_MAX, SigmaDelta

LIMITS = (-(2**23 - 1), 2**23 - 1)


def lava(
    currents: list[int], *, vth: int, bias: int, shift: int, rectify: bool
) -> tuple[list[int], list[int], list[int]]:
    """Payloads, sigma and what was sent, as ``proc/sdn/models.py`` of lava-nc 0.10.0 computes them: act and residue."""
    sigma = act = residue = 0
    sent, sigmas, out = [], [], []
    for current in currents:
        sigma += current
        new = sigma + bias
        new = max(new, 0) if rectify else new
        delta = new - act + residue
        spike = delta if abs(delta) >= vth << shift else 0
        residue, act = delta - spike, new
        out.append(spike >> shift)
        sigmas.append(sigma)
        sent.append(act - residue)
    return out, sigmas, sent


@settings(max_examples=200)
@given(
    currents=st.lists(st.integers(-3000, 3000), min_size=1, max_size=20),
    vth=st.integers(0, 5),
    bias=st.integers(-2000, 2000),
    shift=st.integers(0, 9),
    rectify=st.booleans(),
)
def test_two_states_say_what_lava_keeps_in_three(
    currents: list[int], vth: int, bias: int, shift: int, rectify: bool
) -> None:
    neuron = SigmaDelta.of(np.array([bias]), shift=shift, payloads=LIMITS, threshold=vth, rectify=rectify)
    v = second = np.zeros((1, 1, 1, 1), np.int64)
    found: list[tuple[int, int, int]] = []
    for current in currents:
        v, second, payload = dynamics.advance(neuron, v, second, np.full((1, 1, 1, 1), current))
        found.append((int(payload.item()), int(v.item()), int(second.item())))
    wanted = lava(currents, vth=vth, bias=bias, shift=shift, rectify=rectify)
    assert found == list(zip(*wanted, strict=True))


def test_a_neuron_steps_as_written_by_hand() -> None:
    neuron = SigmaDelta.of(np.array([3]), shift=2, payloads=LIMITS, threshold=2)
    v = second = np.zeros((1, 1, 1, 1), np.int64)
    found = []
    for current in (4, 2, -1, -30, 40):
        charged, kept = neuron.charge(v, second, np.full((1, 1, 1, 1), current))
        assert (charged.item(), kept.item()) == (v.item() + current, second.item())
        v, second, payload = neuron.step(v, second, np.full((1, 1, 1, 1), current))
        found.append((int(v.item()), int(second.item()), int(payload.item())))
    assert found == [(4, 0, 0), (6, 9, 2), (5, 9, 0), (-25, 0, -3), (15, 18, 4)]


def one_layer(neuron: SigmaDelta) -> Network:
    populations = (
        Population("in", (1, 1, 9), None, np.zeros((1, 1, 1), np.int64), np.ones(1), input_min=-9, input_max=9),
        Population("n", (1, 1, 9), neuron, np.zeros((1, 1, 1), np.int64), np.ones(1)),
    )
    edge = Connection("in->n", "in", "n", ConvKernel(np.full((1, 1, 1, 1), 10)))
    return align(Network("one", "exact", 1, populations, (edge,), (Output("out", "n"),)))


SWEEP = np.arange(-4, 5).reshape(1, 1, 1, 9) * 2


@pytest.mark.parametrize(
    ("threshold", "rectify", "expected"),
    [
        (0, True, [0, 0, 0, 0, 0, 1, 3, 4, 5]),
        (1, True, [0, 0, 0, 0, 0, 1, 3, 4, 5]),
        (3, True, [0, 0, 0, 0, 0, 0, 3, 4, 5]),
        (1, False, [-5, -4, -2, 0, 0, 1, 3, 4, 5]),
    ],
)
@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_a_count_is_the_quantized_activation(backend: str, threshold: int, rectify: bool, expected: list[int]) -> None:
    counts = (0, 50) if rectify else (-50, 50)
    neuron = SigmaDelta.of(
        np.array([8]), shift=4, payloads=(-50, 50), counts=counts, threshold=threshold, rectify=rectify
    )
    network = one_layer(neuron)
    run = load_backend(backend).run(network, SWEEP)
    assert run.counts["n"].reshape(-1).tolist() == expected
    assert compute_integer_counts(network, SWEEP)["n"].reshape(-1).tolist() == expected


@pytest.mark.parametrize("rectify", [True, False])
@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_an_event_beyond_the_proof_is_an_error(backend: str, rectify: bool) -> None:
    """The greatest event of the rectified neuron is 5, the least of the linear one -5."""
    limits = (-4, 4) if rectify else (-4, 5)
    neuron = SigmaDelta.of(np.array([8]), shift=4, payloads=limits, counts=limits, rectify=rectify)
    event = 5 if rectify else -5
    with pytest.raises(
        BackendError,
        match=rf"^n: an event carries {event}; the network is proved for -4..{limits[1]}, .* fewer levels$",
    ):
        load_backend(backend).run(one_layer(neuron), SWEEP)


@pytest.mark.parametrize(
    ("shift", "threshold", "rectify", "quantizes"),
    [(4, 1, True, True), (4, 2, True, False), (4, 1, False, False), (0, 1, False, True), (0, 2, False, False)],
)
def test_it_quantizes_where_no_change_waits(shift: int, threshold: int, rectify: bool, quantizes: bool) -> None:
    """Small negative activations wait at 0 where a floor would give -1, unless one count is one unit."""
    counts = (0 if rectify else -99, 99)
    neuron = SigmaDelta.of(
        np.array([0]), shift=shift, payloads=(-99, 99), counts=counts, threshold=threshold, rectify=rectify
    )
    v = np.arange(-40, 41).reshape(1, 1, 1, -1)
    _, _, payload = neuron.step(np.zeros_like(v), np.zeros_like(v), v)
    assert neuron.quantizes == quantizes == np.array_equal(payload, np.clip(v >> shift, *counts))


@pytest.mark.parametrize(
    ("shift", "threshold", "rectify", "scalable"),
    [(SHIFT_MAX - 1, 1, True, True), (SHIFT_MAX, 1, True, False), (0, 2, False, True), (0, 1, False, False)],
)
def test_a_shift_can_grow_up_to_its_largest_unless_sums_are_passed_on(
    shift: int, threshold: int, rectify: bool, scalable: bool
) -> None:
    counts = (0 if rectify else -9, 9)
    neuron = SigmaDelta.of(
        np.array([0]), shift=shift, payloads=(-9, 9), counts=counts, threshold=threshold, rectify=rectify
    )
    assert neuron.is_scalable == scalable


@pytest.mark.parametrize("offset", [2**22, -(2**22)])
def test_the_proof_counts_the_offset(offset: int) -> None:
    neuron = SigmaDelta.of(np.array([offset]), shift=4, payloads=(-(2**20), 2**20), counts=(0, 2**20))
    network = one_layer(neuron)
    assert bounds.bound_population(network, network.populations[1]).membrane == 2**22 + 90


def test_files_keep_everything() -> None:
    neuron = SigmaDelta.of(np.array([8]), shift=4, payloads=(-50, 50), counts=(0, 50), threshold=3)
    network = one_layer(neuron)
    again = artifact.decode(artifact.encode(network)).populations[1].neuron
    assert isinstance(again, SigmaDelta)
    assert (again.shift, again.rectify, again.payload_min, again.count_max) == (4, True, -50, 50)
    assert (again.theta.tolist(), again.offset.tolist()) == ([48], [8])


def test_what_it_cannot_be_is_refused() -> None:
    good = SigmaDelta.of(np.array([8, 9]), shift=4, payloads=(-50, 50), counts=(0, 50))
    with pytest.raises(NetworkError, match=r"share one threshold, 1 or a multiple of 2\*\*4$"):
        replace(good, theta=np.array([16, 32]))
    with pytest.raises(NetworkError, match=r"shift 23 of sigma-delta neurons lies outside 0..22$"):
        replace(good, shift=23)
    with pytest.raises(NetworkError, match=r"use SigmaDelta.of$"):
        replace(good, v0=np.array([1, 1]))
    with pytest.raises(
        NetworkError, match=r"^n: counts of sigma-delta neurons depend on the schedule; keep it as it is$"
    ):
        shuffle(one_layer(SigmaDelta.of(np.array([8]), shift=4, payloads=(-50, 50), counts=(0, 50))), 0)


@pytest.mark.parametrize(
    ("counts", "rectify", "resting"),
    [((-7, 9), True, (0, 9)), ((-7, 9), False, (-7, 9)), (None, True, None), (None, False, None)],
)
def test_counts_at_rest(counts: tuple[int, int] | None, rectify: bool, resting: tuple[int, int] | None) -> None:
    neuron = SigmaDelta.of(np.array([0]), shift=2, payloads=LIMITS, counts=counts, rectify=rectify)
    assert neuron.resting_count_range == resting
    assert neuron.count_range == counts


@pytest.mark.parametrize(
    ("shift", "threshold", "rectify", "quantizes"),
    [(0, 1, True, True), (0, 1, False, True), (3, 1, True, True), (3, 1, False, False), (3, 2, True, False)],
)
def test_a_count_stands_for_two_to_the_shift(shift: int, threshold: int, rectify: bool, quantizes: bool) -> None:
    neuron = SigmaDelta.of(np.array([0, 5]), shift=shift, payloads=LIMITS, threshold=threshold, rectify=rectify)
    assert neuron.quantum.tolist() == [2**shift] * 2
    assert neuron.theta.tolist() == [threshold * 2**shift] * 2
    assert neuron.quantizes == quantizes
