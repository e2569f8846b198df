"""What SANA-FE reports of a run, with every message assigned to what caused it."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from snn_deploy.backend.protocol import Run
from snn_deploy.backend.simulation import CAUSES, Cause, Caused, NeuronWork, SimulatedStep, Simulation
from snn_deploy.network.network import Network
from snn_deploy_sanafe.placement import number_core
from snn_deploy_sanafe.program import LEAD, Program, group_name


def measure(program: Program, network: Network, results: Any, run: Run) -> Simulation:
    """The figures of ``results``, which SANA-FE returned for ``program`` with spike, performance and message traces."""
    steps = results["timesteps_executed"]
    neurons = sum(population.size for population in network.populations[1:])
    spikes = sum(map(len, results["spike_trace"]))
    names = {group_name(number): population.name for number, population in enumerate(network.populations[1:])}
    in_windows = sum(
        _is_in_window(network, names[each.group_name], step)
        for step, fired in enumerate(results["spike_trace"])
        for each in fired
    )
    updates, fired = (results[key] - program.clock_spikes for key in ("neurons_updated", "neurons_fired"))
    relays = program.others - program.clocks
    trace, energy = results["perf_trace"], results["energy"]
    messages = [sum(not each["placeholder"] for each in sent) for sent in results["message_trace"]]
    return Simulation(
        f"SANA-FE {version('sanafe')}",
        energy["synapse"],
        energy["soma"] + energy["dendrite"],
        energy["network"],
        tuple(map(SimulatedStep, trace["sim_time"], trace["spikes"], messages, trace["hops"])),
        LEAD,
        _assign(program, network, results),
        NeuronWork(neurons * steps, neurons * steps, spikes),  # a membrane is updated in every step
        spikes - in_windows,
        NeuronWork(relays * steps, updates - neurons * steps, fired - spikes),
        run,
    )


def _is_in_window(network: Network, population: str, step: int) -> bool:
    """Whether what ``population`` sends in ``step`` of the simulation is sent in its window."""
    return 0 <= step - LEAD - network.population(population).start < network.steps


def _assign(program: Program, network: Network, results: Any) -> dict[Cause, Caused]:
    """Operations, messages and hops by their cause."""
    found: dict[Cause, list[int]] = {cause: [0, 0, 0, 0] for cause in CAUSES}
    for step, sent in enumerate(results["message_trace"]):
        for each in sent:
            if not each["placeholder"]:  # those only mark the end of a core's work
                numbers = found[_find_cause(program, network, each, step)]
                numbers[0] += each["spikes"]
                numbers[1] += 1
                numbers[2] += abs(each["src_x"] - each["dest_x"])
                numbers[3] += abs(each["src_y"] - each["dest_y"])
    return {cause: Caused(*numbers) for cause, numbers in found.items()}


def _find_cause(program: Program, network: Network, message: Any, step: int) -> Cause:
    sender = program.senders[message["src_neuron_group_id"]]
    if sender.population is None:
        return "clocks"
    if not _is_in_window(network, sender.population, step - sender.late):
        return "late"
    core = number_core(message["dest_x"], message["dest_y"], message["dest_core_offset"])
    if core >= program.placement.free:
        return "relays"
    return "relayed" if sender.late else "direct"
