"""What SANA-FE reports, beside what follows from the specification's spikes: the sums are its own, and none is left over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sanafe", reason="needs the extra sanafe")

from snn_deploy.activity.counting import count_activity
from snn_deploy.backend.protocol import Record, Run
from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.simulation import ChipSimulator, Simulation
from snn_deploy.conversion.convert import convert
from snn_deploy.conversion.options import preset
from snn_deploy.cost.against import compare
from snn_deploy.cost.energy import estimate
from snn_deploy.errors import BackendError
from snn_deploy.mapping.fit import map_network
from snn_deploy.mapping.traffic import locate_cores
from snn_deploy.network.dynamics import transmit
from snn_deploy.network.network import Network
from snn_deploy.targets.load import load_target
from snn_deploy.testing.networks import random_stimulus
from snn_deploy_sanafe import SanafeBackend
from snn_deploy_sanafe.placement import number_core
from tests.cli.models import write_unet

TARGET = load_target("loihi1-sanafe")


def simulated(model: Path, steps: int) -> tuple[Network, Run, Simulation]:
    images = [np.random.default_rng(0).random((2, 1, 8, 8), np.float32)]
    network = convert(model, images, preset("if-strict", steps=steps)).conversion.network
    stimulus = random_stimulus(network, batch=1)
    run = load_backend("reference").run(network, stimulus, Record.TRAINS)
    backend = SanafeBackend()
    assert isinstance(backend, ChipSimulator)
    return network, run, backend.simulate(network, stimulus)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> tuple[Network, Run, Simulation]:
    return simulated(write_unet(tmp_path_factory.mktemp("measure") / "unet.onnx"), 6)


def check_sums(network: Network, run: Run, simulation: Simulation) -> None:
    """The bar is 1 %; what is counted on both sides leaves nothing."""
    activity, mapping = count_activity(network, run), map_network(network, TARGET)
    energy = estimate(network, activity, TARGET, mapping=mapping)
    found = {
        each.quantity: each for each in compare(network, activity, mapping, TARGET, energy, simulation).comparisons
    }
    assert found["synaptic operations"].unexplained == 0
    for quantity in ("energy of synapses", "energy of neurons"):
        assert abs(found[quantity].unexplained) < 1e-9 * found[quantity].theirs
    messages = found["energy of messages"]
    assert simulation.network_j == pytest.approx(messages.theirs, rel=1e-9), "its sum, from messages and hops"


def test_its_energies_are_our_counts_times_its_coefficients(case: tuple[Network, Run, Simulation]) -> None:
    check_sums(*case)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["denoiser_s25", "denoiser_color_s25"])
def test_the_trained_denoisers(root: Path, name: str) -> None:
    images = [np.random.default_rng(0).random((2, 3 if "color" in name else 1, 8, 8), np.float32)]
    network = convert(root / f"models/{name}.onnx", images, preset("if-strict", steps=8)).conversion.network
    stimulus = random_stimulus(network, batch=1)
    run = load_backend("reference").run(network, stimulus, Record.TRAINS)
    check_sums(network, run, SanafeBackend().simulate(network, stimulus))


def test_every_cause_is_what_the_network_implies(case: tuple[Network, Run, Simulation]) -> None:
    network, run, simulation = case
    activity = count_activity(network, run)
    by_name = {each.name: int(each.synaptic_operations[0]) for each in activity.connections}
    skip = next(connection for connection in network.connections if connection.delay > 1)
    causes = simulation.causes
    assert causes["relayed"].operations == by_name[skip.name] > 0
    assert causes["direct"].operations == sum(
        by_name[each.name] for each in network.connections if each.delay == 1 and each.source != network.input.name
    )
    spikes = int(run.counts[skip.source].sum())
    assert causes["relays"].messages == causes["relays"].operations == (skip.delay - 1) * spikes
    assert causes["clocks"].operations == sum(
        np.count_nonzero(values) * steps
        for population in network.populations[1:]
        if population.neuron is not None
        for values, steps in (
            (np.broadcast_to(population.neuron.v0[:, None, None], population.shape), 1),
            (current(network, population.name), network.steps),
        )
    )
    assert causes["late"].operations > 0, "what stays above the threshold goes on firing"
    assert simulation.late_spikes > 0
    assert simulation.neurons.spikes - simulation.late_spikes == sum(
        int(run.events[population.name].sum()) for population in network.populations[1:-1]
    )
    relays = (skip.delay - 1) * network.population(skip.source).size
    assert simulation.relays.accesses == relays * len(simulation.steps)
    assert simulation.relays.updates == simulation.relays.spikes >= causes["relays"].messages
    assert simulation.neurons.accesses == simulation.neurons.updates == 560 * len(simulation.steps)


def current(network: Network, name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """What image and bias send to a population in every step."""
    population = network.population(name)
    total = np.broadcast_to(population.bias, population.shape).astype(np.int64)
    for connection in network.incoming(name):
        if connection.source == network.input.name:
            total = total + transmit(connection, random_stimulus(network, batch=1))[0]
    return total


def test_steps_and_run(case: tuple[Network, Run, Simulation]) -> None:
    network, run, simulation = case
    assert (simulation.lead, len(simulation.steps)) == (1, network.duration + 2)
    assert simulation.simulator.startswith("SANA-FE 2.2")
    assert all(np.array_equal(simulation.run.counts[name], counts) for name, counts in run.counts.items())
    assert sum(step.messages for step in simulation.steps) == sum(each.messages for each in simulation.causes.values())
    assert sum(step.hops for step in simulation.steps) == sum(
        each.hops_ew + each.hops_ns for each in simulation.causes.values()
    )
    assert simulation.duration_s == sum(step.duration_s for step in simulation.steps) > 1e-6
    with pytest.raises(BackendError, match=r"2 images; give one, of which energy and time are reported$"):
        SanafeBackend().simulate(network, random_stimulus(network, batch=2))


def test_cores_have_the_places_of_our_mesh() -> None:
    numbers = np.arange(128)
    chips, columns, rows = locate_cores(TARGET, numbers)
    assert not chips.any()
    found = [number_core(int(x), int(y), int(n) % 4) for n, x, y in zip(numbers, columns, rows, strict=True)]
    assert found == numbers.tolist()
