"""The recorded CUBA-LIF network: equal at state level, and each of eight faults found, located and named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from snn_deploy.network.cuba_lif import CURRENT_SHIFT, CubaLif
from snn_deploy.network.kernels import ConvKernel
from snn_deploy.network.network import Connection, Network, Output, Population
from snn_deploy.verification import Check, Comparison, Level, Probe, Trace
from snn_deploy.verification.comparison.replay import Replay, Site, SynapticCurrents, Train, forward
from snn_deploy.verification.diagnosis.autopsy import diagnose
from snn_deploy.verification.diagnosis.cuba_faults import CUBA_FAULTS, Leaky
from snn_deploy.verification.diagnosis.faults import Fault
from snn_deploy.verification.traces.decoding import REFRACTORY_MARK, decode

GOLDEN = Path(__file__).parents[2].parent / "shared" / "golden" / "pilotnet_lif"
LAYERS = ("conv-0", "conv-1", "conv-2", "conv-3", "conv-4", "fc-0", "fc-1", "fc-2")
STEPS = 24

pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason="../shared/golden/pilotnet_lif is not here")


def recorded(name: str) -> npt.NDArray[np.int32]:
    """(1, T, C, H, W), from the files' (W, H, C, T) or (C, T)."""
    array: npt.NDArray[np.int32] = np.load(GOLDEN / f"{name}.npy").astype(np.int32).T
    return array[None] if array.ndim == 4 else array[None, :, :, None, None]


@pytest.fixture(scope="module")
def network() -> Network:
    h5py = pytest.importorskip("h5py")
    populations = [Population("input", (3, 66, 200), None, np.zeros((3, 1, 1), np.int64), np.ones(3), input_max=1)]
    connections = []
    with h5py.File(GOLDEN / "network.net", "r") as file:
        for name, key in zip(LAYERS, "12345789", strict=True):
            layer = file["layer"][key]
            before = populations[-1]
            weight = layer["weight"][()].astype(np.int8)
            dense = weight.ndim == 2
            if dense:
                kernel = ConvKernel(weight.reshape(weight.shape[0], *before.shape))
            else:
                rows, columns = (int(axis) for axis in layer["padding"][()])
                stride_y, stride_x = (int(axis) for axis in layer["stride"][()])
                kernel = ConvKernel(weight, (stride_y, stride_x), (rows, columns, rows, columns))
            channels = weight.shape[0]
            bias = layer["bias"][()].astype(np.int64) << CURRENT_SHIFT
            neuron = CubaLif.of(np.full(channels, 1600), bias, current_decay=4096, voltage_decay=1024)
            shape = kernel.output_shape(before.shape)
            connections.append(Connection(f"{before.name}->{name}", before.name, name, kernel))
            populations.append(Population(name, shape, neuron, np.zeros((channels, 1, 1), np.int64), np.ones(channels)))
    return Network("pilotnet-lif", "rate", STEPS, tuple(populations), tuple(connections), (Output("out", "fc-2"),))


def rule(layer: str) -> Leaky:
    return Leaky(period=17, phase=LAYERS.index(layer) + 1)


def simulate(network: Network, changed: dict[str, Site] | None = None, given: Replay | None = None) -> Replay:
    names = [population.name for population in network.populations[1:]]
    sites = {name: Site.of(network, name, rule(name)) for name in names} if given is None else {}
    return forward(network, Train(0, recorded("input")), sites | (changed or {}), given, "simulated")


def cut(network: Network, last: str) -> Network:
    """The network as far as layer ``last``."""
    keep = LAYERS.index(last) + 1
    return replace(
        network,
        populations=network.populations[: keep + 1],
        connections=network.connections[:keep],
        outputs=(Output("out", last),),
    )


@pytest.fixture(scope="module")
def simulated(network: Network) -> Replay:
    return simulate(network)


@pytest.fixture(scope="module")
def raw(network: Network) -> Trace:
    """What the chip's read-out holds."""

    def flat(name: str) -> npt.NDArray[np.int32]:
        return recorded(name).reshape(1, STEPS, -1)

    probes = {"input": Probe(trains=flat("input"))}
    probes |= {
        name: Probe(trains=flat(name), states=flat(f"{name}-v"), second_states=flat(f"{name}-u")) for name in LAYERS
    }
    return Trace("chip", 1, probes)


def test_the_record_verifies_at_state_level_with_its_artefact_decoded(
    network: Network, simulated: Replay, raw: Trace
) -> None:
    comparison = Comparison(network, Level.STATE)
    comparison.add([decode(raw, mark=REFRACTORY_MARK), simulated.trace])
    verdict = comparison.verdict()
    assert verdict.exit_code == 0, verdict.line
    assert verdict.coverage.populations == 9
    assert verdict.coverage.steps == STEPS
    states = sum(network.population(name).size for name in LAYERS) * STEPS
    assert states == 2_853_792
    undecoded = Comparison(network, Level.STATE)
    undecoded.add([raw, simulated.trace])
    spikes = sum(int(np.count_nonzero(recorded(name))) for name in LAYERS)
    differing = [row.sides[1].mismatches(Check.STATES) or 0 for row in undecoded.verdict().rows]
    assert undecoded.verdict().reached == Level.TRAIN
    assert sum(differing) == spikes, "only the mark at each spike differs, once each"
    assert all(row.sides[1].mismatches(Check.SECOND_STATES) == 0 for row in undecoded.verdict().rows[1:])


def test_a_wrong_current_is_found_at_state_level(network: Network, simulated: Replay, raw: Trace) -> None:
    good = decode(raw, mark=REFRACTORY_MARK)
    second_states = np.array(good.probes["conv-1"].second_states)
    second_states[0, 5, 7] += 64
    probes = {**good.probes, "conv-1": replace(good.probes["conv-1"], second_states=second_states)}
    comparison = Comparison(network, Level.STATE)
    comparison.add([replace(good, probes=probes), simulated.trace])
    verdict = comparison.verdict()
    assert verdict.exit_code == 1
    assert verdict.first is not None
    assert (verdict.first.population, verdict.first.quantity, verdict.first.step) == ("conv-1", "second state", 5)
    assert (verdict.first.found - verdict.first.expected, verdict.reached) == (-64, Level.TRAIN)


def test_synaptic_currents_equal_the_recorded_u(network: Network, simulated: Replay) -> None:
    synapses = SynapticCurrents(simulated.sent)
    for name in LAYERS:
        expected = recorded(f"{name}-u")
        like = np.zeros((1, *network.population(name).shape), np.int64)
        for step in range(STEPS):
            current = synapses.total(network.incoming(name), step, like)
            assert np.array_equal(current << CURRENT_SHIFT, expected[:, step]), (name, step)


def _bias(site: Site) -> Site:
    neuron = site.population.neuron
    assert isinstance(neuron, CubaLif)
    offset = neuron.offset.copy()
    offset[0] += 1 << CURRENT_SHIFT
    return replace(site, population=replace(site.population, neuron=replace(neuron, offset=offset)))


EXTRA = Fault("bias mantissa off", "the first channel's bias is one too large before its exponent", _bias)


@pytest.mark.parametrize(
    ("name", "layer", "shows"),
    [
        ("floor decay", None, "conv-0"),
        pytest.param("nearest decay", None, "conv-0", marks=pytest.mark.extended),
        ("comparison", None, "conv-0"),
        ("bias mantissa off", "conv-0", "conv-0"),
        ("largest weight off", "conv-2", "conv-2"),
        pytest.param("kernel flipped", "conv-3", "conv-3", marks=pytest.mark.extended),
        pytest.param("reset period short", None, "conv-0", marks=pytest.mark.extended),
        pytest.param("soft reset", None, "conv-0", marks=pytest.mark.extended),
    ],
)
def test_each_fault_is_found_located_and_named(
    network: Network, simulated: Replay, raw: Trace, name: str, layer: str | None, shows: str
) -> None:
    faults = (EXTRA, *CUBA_FAULTS)
    change: Callable[[Site], Site | None] = next(fault.change for fault in faults if fault.name == name)
    network = cut(network, shows)
    assert layer in (None, shows)
    site = change(Site.of(network, shows, rule(shows)))
    assert site is not None
    wrong = simulate(network, {shows: site}, simulated)
    probes = {population.name: raw.probes[population.name] for population in network.populations}
    comparison = Comparison(network, Level.STATE)
    comparison.add([decode(replace(raw, probes=probes), mark=REFRACTORY_MARK), wrong.trace])
    verdict = comparison.verdict()
    assert verdict.exit_code == 1
    assert verdict.first is not None
    assert verdict.first.population == shows
    diagnosis = diagnose(network, wrong.trace, shows, faults=faults, rule=rule(shows))
    assert (name,) in diagnosis.causes, diagnosis.text
    assert len(diagnosis.causes) == 1, diagnosis.text
