"""An estimate beside a simulation: every difference by hand, from a simulation whose numbers are made up."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from snn_deploy.activity.counting import Activity, count_activity
from snn_deploy.backend.protocol import Record, Run
from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.simulation import Cause, Caused, NeuronWork, SimulatedStep, Simulation
from snn_deploy.cost import against
from snn_deploy.cost.against import Against, Comparison, compare
from snn_deploy.cost.energy import estimate
from snn_deploy.cost.estimates import EnergyEstimate
from snn_deploy.display.against_table import against_table, steps_table
from snn_deploy.errors import TargetError
from snn_deploy.mapping.fit import map_network
from snn_deploy.mapping.traffic import measure_traffic
from snn_deploy.network.network import Network
from snn_deploy.targets.load import load_target
from snn_deploy.testing import random_stimulus, random_unet

TARGET = load_target("loihi1-sanafe")

CAUSES: dict[Cause, Caused] = {
    "direct": Caused(1000, 700, 30, 20),
    "relayed": Caused(400, 200, 10, 5),
    "relays": Caused(60, 50, 4, 3),
    "clocks": Caused(90, 9, 2, 1),
    "late": Caused(17, 16, 8, 7),
}


def counted(network: Network, batch: int) -> tuple[Activity, Run]:
    run = load_backend("reference").run(network, random_stimulus(network, batch=batch), Record.TRAINS)
    return count_activity(network, run), run


@pytest.fixture(scope="module")
def case() -> tuple[Network, Activity, EnergyEstimate, Simulation]:
    network = random_unet("rate", 1)
    activity, run = counted(network, 1)
    neurons = sum(population.size for population in network.populations[1:])
    steps = network.duration + 2
    assert min(connection.delay for connection in network.connections) == 1
    assert max(connection.delay for connection in network.connections) > 1
    simulation = Simulation(
        "made up 1.0",
        2e-6,
        3e-6,
        5e-6,
        tuple(SimulatedStep((number + 1) * 2**-20, 10 * number, 3 * number, 2 * number) for number in range(steps)),
        1,
        CAUSES,
        NeuronWork(neurons * steps, neurons * steps - 3, 500),
        40,
        NeuronWork(7000, 600, 80),
        run,
    )
    energy = estimate(network, activity, TARGET, mapping=map_network(network, TARGET))
    return network, activity, energy, simulation


@pytest.fixture(scope="module")
def found(case: tuple[Network, Activity, EnergyEstimate, Simulation]) -> Against:
    network, activity, energy, simulation = case
    return compare(network, activity, map_network(network, TARGET), TARGET, energy, simulation)


def named(found: Against, quantity: str) -> tuple[Comparison, dict[str, float]]:
    comparison = next(each for each in found.comparisons if each.quantity == quantity)
    return comparison, {each.reason: each.amount for each in comparison.differences}


def test_operations_and_their_energy(
    found: Against, case: tuple[Network, Activity, EnergyEstimate, Simulation]
) -> None:
    network, activity, _, simulation = case
    host = sum(int(each.synaptic_operations[0]) for each in activity.connections if each.source == network.input.name)
    assert host > 0
    operations, differences = named(found, "synaptic operations")
    assert (operations.ours, operations.unit) == (activity.synaptic_operations, "")
    assert operations.theirs == sum(10 * number for number in range(len(simulation.steps)))
    assert differences == {
        against.HOST: -host,
        against.ADDED["relays"]: 60,
        against.ADDED["clocks"]: 90,
        against.ADDED["late"]: 17,
    }
    assert operations.unexplained == operations.theirs - operations.ours + host - 167
    joules, differences = named(found, "energy of synapses")
    dense = sum(int(each.synaptic_operations[0]) for each in activity.connections if each.dense)
    ours = 24e-12 * (activity.synaptic_operations - dense) + 35.5e-12 * dense
    assert (joules.theirs, joules.unit) == (2e-6, "J")
    assert joules.ours == pytest.approx(ours, rel=1e-12)
    assert list(differences.values()) == pytest.approx(
        [(24e-12 - 35.5e-12) * dense, -host * 24e-12, 90 * 24e-12, 60 * 24e-12, 17 * 24e-12], rel=1e-9, abs=1e-20
    )


def test_energy_of_neurons(found: Against, case: tuple[Network, Activity, EnergyEstimate, Simulation]) -> None:
    network, activity, _, _ = case
    neurons = sum(population.size for population in network.populations[1:])
    inside = neurons * network.duration
    active = sum(int(each.events[0]) for each in activity.populations[1:])
    joules, differences = named(found, "energy of neurons")
    assert joules.ours == pytest.approx(1e-12 * (51.2 * inside + 21.6 * active + 69.3 * active), rel=1e-12)
    assert joules.theirs == 3e-6
    assert differences == pytest.approx(
        {
            against.FORCED: 21.6e-12 * (inside - active),
            against.AROUND: 51.2e-12 * 2 * neurons + 21.6e-12 * (2 * neurons - 3),
            against.SUMS: -69.3e-12 * (active - 460),
            against.ADDED["late"]: 69.3e-12 * 40,
            against.ADDED["relays"]: 51.2e-12 * 7000 + 21.6e-12 * 600 + 69.3e-12 * 80,
        },
        rel=1e-9,
    )


def test_messages_hops_and_their_energy(
    found: Against, case: tuple[Network, Activity, EnergyEstimate, Simulation]
) -> None:
    network, activity, _, _ = case
    traffic = measure_traffic(network, activity, map_network(network, TARGET), TARGET)
    kinds: dict[str, list[float]] = {"host": [0.0] * 3, "direct": [0.0] * 3, "delayed": [0.0] * 3}
    for connection in network.connections:
        sent = traffic.sent(connection.name)
        kind = "host" if connection.source == network.input.name else "direct" if connection.delay == 1 else "delayed"
        for index, number in enumerate((sent.sent, sent.hops_ew, sent.hops_ns)):
            kinds[kind][index] += number
    assert all(numbers[0] > 0 for numbers in kinds.values())
    for quantity, last, weights in (
        ("messages to cores", against.BOUND, (1, 0, 0)),
        ("hops", against.SPREAD, (0, 1, 1)),
        ("energy of messages", against.SPREAD, (111e-12, 3e-12, 4.2e-12)),
    ):
        comparison, differences = named(found, quantity)
        host, direct, delayed = (
            sum(weight * number for weight, number in zip(weights, numbers, strict=True)) for numbers in kinds.values()
        )
        theirs = {
            cause: sum(
                weight * number
                for weight, number in zip(weights, (each.messages, each.hops_ew, each.hops_ns), strict=True)
            )
            for cause, each in CAUSES.items()
        }
        assert comparison.ours == pytest.approx(host + direct + delayed, rel=1e-12)
        assert comparison.theirs == pytest.approx(sum(theirs.values()), rel=1e-12)
        assert comparison.unit == ("J" if quantity.startswith("energy") else "")
        assert differences == pytest.approx(
            {
                against.HOST: -host,
                **{reason: theirs[cause] for cause, reason in against.ADDED.items()},
                against.FROM_RELAYS: theirs["relayed"] - delayed,
                last: theirs["direct"] - direct,
            },
            rel=1e-9,
            abs=1e-18,
        )


def test_time(found: Against, case: tuple[Network, Activity, EnergyEstimate, Simulation]) -> None:
    _, _, energy, simulation = case
    assert energy.timing is not None
    ours = energy.timing.latency_s.value
    last = len(simulation.steps)
    time, differences = named(found, "time")
    assert time.unit == "s"
    assert time.ours == pytest.approx(ours, rel=1e-12)
    assert time.theirs == pytest.approx(2**-20 * last * (last + 1) / 2, rel=1e-12)
    during = time.theirs - 2**-20 * (1 + last)
    assert differences == pytest.approx({against.AROUND: 2**-20 * (1 + last), against.TIMES: during - ours}, rel=1e-9)
    assert time.unexplained == pytest.approx(0, abs=1e-15)


def test_steps_stand_beside_each_other_and_the_first_is_before_the_image(found: Against) -> None:
    record = found.record()
    steps = record["steps"]
    assert isinstance(steps, list)
    assert [step["step"] for step in steps] == list(range(-1, len(found.steps) + 1))
    assert steps[0]["ours"] is steps[-1]["ours"] is None
    own = found.steps[3]
    assert steps[4] == {
        "step": 3,
        "ours": {
            "duration_s": own.duration_s.value,
            "synaptic_operations": own.operations,
            "messages": own.messages,
        },
        "theirs": {"duration_s": 5 * 2**-20, "synaptic_operations": 40, "messages": 12, "hops": 8},
    }
    assert record["simulator"] == "made up 1.0"
    comparisons = record["comparisons"]
    assert isinstance(comparisons, list)
    assert comparisons[0]["unit"] == "1"
    assert comparisons[0]["unexplained"] == found.comparisons[0].unexplained
    assert [each["amount"] for each in comparisons[0]["differences"]][1:] == [90, 60, 17]


def test_tables_show_every_difference_that_is_one(found: Against) -> None:
    console = Console(file=io.StringIO(), width=240)
    console.print(against_table(found, "net", "chip"))
    console.print(steps_table(found))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "net on chip: the estimate beside made up 1.0, per image" in text
    for comparison in found.comparisons:
        for each in comparison.differences:
            assert (each.reason in text) == any(
                other.amount != 0
                for one in found.comparisons
                for other in one.differences
                if other.reason == each.reason
            )
    lines = [line.replace("│", " ").split() for line in text.splitlines()]
    assert any(line[-1:] == ["+17"] for line in lines)
    share = abs(found.comparisons[0].unexplained) / found.comparisons[0].theirs
    assert ["unexplained", f"{share:.1%}"] in lines
    assert any(line[:2] == ["-1", "-"] and line[-1] == "0" for line in lines)
    assert any(line[:1] == ["3"] and line[-1] == "8" for line in lines)


def test_only_one_image_on_a_chip_is_compared(case: tuple[Network, Activity, EnergyEstimate, Simulation]) -> None:
    network, activity, energy, simulation = case
    mapping = map_network(network, TARGET)
    two, _ = counted(network, 2)
    with pytest.raises(
        TargetError, match=r"^loihi1-sanafe: a simulation is compared with the estimate of one image on a chip$"
    ):
        compare(network, two, mapping, TARGET, energy, simulation)
    with pytest.raises(TargetError, match=r"of one image on a chip$"):
        compare(network, activity, mapping, TARGET, replace(energy, timing=None), simulation)
    with pytest.raises(ValueError, match=r"are needed$"):
        replace(simulation, causes={"direct": Caused(1, 1, 1, 1)})
