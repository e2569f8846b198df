"""CUBA-LIF: the record of a chip, the reference, and Lava's own neuron agree in every spike and current."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snn_deploy.arrays import Array
from snn_deploy.backend.protocol import Record, Run
from snn_deploy.backend.registry import load_backend
from snn_deploy.errors import BackendUnavailableError
from snn_deploy.exchange.netx import read_net
from snn_deploy.network import artifact, bounds, dynamics
from snn_deploy.network.cuba_lif import CubaLif, decay
from snn_deploy.network.kernels import ConvKernel, TransposedKernel
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.network import Connection, Network, Output, Population
from snn_deploy.network.schedule import align
from snn_deploy.testing import random_stimulus

GOLDEN = Path(__file__).parents[3] / ".." / "shared" / "golden" / "pilotnet_lif"

INTERVAL = 17
"""Steps between the resets of the recorded run: layer l is reset at steps l and l + 17 of its 24."""

RECORDS = ("input", "conv-0", "conv-1", "conv-2", "conv-3", "conv-4", "fc-0", "fc-1", "fc-2")

needs_record = pytest.mark.skipif(not GOLDEN.exists(), reason="../shared/golden/pilotnet_lif is absent")


def record(name: str) -> Array:
    """(T, C, H, W) int64 of a record (W, H, C, T) or (C, T)."""
    values: Array = np.load(GOLDEN / f"{name}.npy").astype(np.int64)
    return values.transpose(3, 2, 1, 0) if values.ndim == 4 else values.T[:, :, None, None]


@pytest.fixture(scope="module")
def pilotnet() -> Network:
    return read_net(GOLDEN / "network.net", steps=INTERVAL)


def image() -> Array:
    """Payloads: the recorded image is transformed already, ``40 x + 36``, and the 36 is the first population's bias."""
    stored: Array = np.load(GOLDEN / "image.npy").astype(np.int64)
    return stored.transpose(2, 1, 0)[None] - 36


@needs_record
def test_the_record_of_a_chip_is_reproduced_step_by_step(pilotnet: Network) -> None:
    """Each layer is driven with the recorded spikes of the one before: 0 mismatches in spikes, u, and v but at spikes."""
    for layer, name in enumerate(RECORDS[1:], start=1):
        connection, population = pilotnet.connections[layer], pilotnet.populations[layer + 1]
        before, spikes = record(RECORDS[layer - 1]), record(name)
        currents, membranes = record(f"{name}-u"), record(f"{name}-v")
        neuron = population.neuron
        assert isinstance(neuron, CubaLif)
        v = np.zeros((1, *population.shape), np.int64)
        u = np.zeros_like(v)
        for step in range(24):
            if step in (layer, layer + INTERVAL):
                v, u = np.zeros_like(v), np.zeros_like(u)
            arriving = before[step - 1][None] if step else np.zeros((1, *before.shape[1:]), np.int64)
            v, u, payload = dynamics.advance(neuron, v, u, dynamics.transmit(connection, arriving))
            assert np.array_equal(payload[0], spikes[step]), (name, step)
            assert np.array_equal(u[0], currents[step]), (name, step)
            silent = spikes[step] == 0
            assert np.array_equal(v[0][silent], membranes[step][silent]), (name, step)


def assert_equals_record(network: Network, run: Run) -> None:
    """Spikes and currents: what a run calls step 0 of a population is recorded at its reset, and again at the next."""
    assert run.trains is not None
    assert run.second_states is not None
    compared = 0
    for layer, (name, population) in enumerate(zip(RECORDS, network.populations[1:], strict=False)):
        pairs = [(record(name), run.trains[population.name][0])]
        if layer:
            pairs.append((record(f"{name}-u"), run.second_states[population.name][0]))
        for recorded, got in pairs:
            assert np.array_equal(got[: 24 - layer][:INTERVAL], recorded[layer : layer + INTERVAL]), name
            rest = recorded[layer + INTERVAL :]
            assert np.array_equal(got[: len(rest)], rest), name
        compared += len(pairs)
    assert compared == 2 * len(RECORDS) - 1


@needs_record
def test_the_reference_reproduces_the_record(pilotnet: Network) -> None:
    assert_equals_record(pilotnet, load_backend("reference").run(pilotnet, image(), Record.STATES))


@needs_record
@pytest.mark.parametrize(
    "name",
    [
        "cpu",
        pytest.param(
            "lava",
            marks=[
                pytest.mark.lava,
                pytest.mark.slow,
                pytest.mark.skipif(importlib.util.find_spec("lava") is None, reason="lava-nc is not installed"),
            ],
        ),
    ],
)
def test_backends_reproduce_the_record_and_the_reference(pilotnet: Network, name: str) -> None:
    images = np.concatenate([image(), image()[..., ::-1]])
    expected = load_backend("reference").run(pilotnet, images, Record.STATES)
    got = load_backend(name).run(pilotnet, images, Record.STATES)
    assert_equals_record(pilotnet, got)
    for field in ("trains", "states", "second_states"):
        reference, actual = getattr(expected, field), getattr(got, field)
        assert set(reference) == set(actual)
        for population, values in reference.items():
            assert np.array_equal(actual[population], values), (field, population)


@needs_record
def test_leaky_networks_are_saved_and_proved(pilotnet: Network) -> None:
    again = artifact.decode(artifact.encode(pilotnet))
    assert artifact.digest(again) == artifact.digest(pilotnet)
    neuron = again.populations[1].neuron
    assert isinstance(neuron, CubaLif)
    assert (neuron.current_decay, neuron.voltage_decay) == (4096, 1024)
    assert np.array_equal(neuron.offset, np.full(3, 36 << 6))
    assert all(bound.current > 0 for bound in bounds.prove(pilotnet))


def leaky(seed: int, threshold: int, exponent: int) -> Network:
    """A convolution and a transposed one of leaky neurons, their currents decaying slowly."""
    rng = np.random.default_rng(seed)
    neurons = [
        CubaLif.of(
            np.full(channels, threshold),
            rng.integers(-3000, 9000, channels),
            current_decay=int(rng.integers(1000, 4097)),
            voltage_decay=int(rng.integers(0, 4097)),
        )
        for channels in (5, 3)
    ]
    first = ConvKernel(rng.integers(-128, 128, (5, 2, 3, 3)).astype(np.int8), (2, 2), (1, 1, 1, 1))
    second = TransposedKernel(rng.integers(-128, 128, (5, 3, 2, 2)).astype(np.int8), (2, 2))
    populations = (
        Population("in", (2, 9, 8), None, np.zeros((2, 1, 1), np.int64), np.ones(2), input_min=-9, input_max=9),
        Population("a", (5, 5, 4), neurons[0], rng.integers(-50, 90, (5, 5, 4)), np.ones(5)),
        Population("b", (3, 10, 8), neurons[1], rng.integers(-50, 90, (3, 1, 1)), np.ones(3)),
    )
    edges = (Connection("in->a", "in", "a", first, exponent), Connection("a->b", "a", "b", second, 1))
    return align(Network("leaky", "rate", 40, populations, edges, (Output("out", "b"),)))


@pytest.mark.parametrize(("threshold", "exponent"), [(40_000, 0), (STATE_MAX - 1, 5)])
@pytest.mark.parametrize("seed", range(4))
def test_the_cpu_backend_equals_the_reference(seed: int, threshold: int, exponent: int) -> None:
    """Every spike, membrane and saturation, with thresholds low enough to fire and high enough to saturate."""
    network = leaky(seed, threshold, exponent)
    stimulus = random_stimulus(network, seed)
    expected = load_backend("reference").run(network, stimulus, Record.STATES)
    got = load_backend("cpu").run(network, stimulus, Record.STATES)
    for field in ("counts", "events", "trains", "states", "second_states"):
        for name, values in getattr(expected, field).items():
            assert np.array_equal(getattr(got, field)[name], values), (field, name)
    assert got.saturations == expected.saturations
    assert expected.events["a"].sum() > 0
    assert exponent == 0 or sum(expected.saturations.values()) > 0


@pytest.mark.lava
@pytest.mark.skipif(importlib.util.find_spec("lava") is None, reason="lava-nc is not installed")
def test_a_bias_of_the_current_is_refused() -> None:
    network = leaky(0, 40_000, 0)
    # biases of the membrane that Lava can have: at most 13 bits times a power of two
    populations = [
        replace(population, neuron=replace(population.neuron, offset=population.neuron.offset // 4 * 4))
        for population in network.populations
        if isinstance(population.neuron, CubaLif)
    ]
    network = replace(network, populations=(network.input, *populations))
    with pytest.raises(
        BackendUnavailableError, match=r"^leaky: the current of a has a bias, .* on the reference backend$"
    ):
        load_backend("lava").run(network, random_stimulus(network))


def test_decay_rounds_towards_zero() -> None:
    x = np.array([-4097, -4096, -3, -1, 0, 1, 3, 4097], np.int64)
    assert decay(x, 1024).tolist() == [-3072, -3072, -2, 0, 0, 0, 2, 3072]
    assert decay(x, 4096).tolist() == [0] * 8
    assert decay(x, 0).tolist() == x.tolist()


def test_a_neuron_steps_as_written_by_hand() -> None:
    neuron = CubaLif.of(np.array([640]), np.array([10]), current_decay=2048, voltage_decay=1024)
    v = u = np.zeros((1, 1, 1, 1), np.int64)
    steps = []
    for current in (5, -3, 6, 0):
        v, u, payload = neuron.step(v, u, np.full((1, 1, 1, 1), current))
        steps.append((int(u[0, 0, 0, 0]), int(v[0, 0, 0, 0]), int(payload[0, 0, 0, 0])))
    assert steps == [(320, 330, 0), (-32, 225, 0), (368, 546, 0), (184, 603, 0)]
    v, u, payload = neuron.step(v, u, np.full((1, 1, 1, 1), 2))
    assert (int(u[0, 0, 0, 0]), int(v[0, 0, 0, 0]), int(payload[0, 0, 0, 0])) == (220, 0, 1)
