"""What SANA-FE reports of a run, with every message assigned to what caused it."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from snn_deploy.backend.protocol import Run
from snn_deploy.backend.simulation import CAUSES, Cause, Caused, NeuronWork, SimulatedStep, Simulation
from snn_deploy.network.network import Network
from snn_deploy_sanafe.placement import number_core
from snn_deploy_sanafe.program import LEAD, Program


def measure(program: Program, network: Network, results: Any, run: Run) -> Simulation:
    """The figures of ``results``, which SANA-FE returned for ``program`` with spike, performance and message traces."""
    steps = results["timesteps_executed"]
    neurons = sum(population.size for population in network.populations[1:])
    spikes = sum(map(len, results["spike_trace"]))
    in_windows = sum(_is_in_window(program, network, each.group_name, step) for step, each in _list_spikes(results))
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


def _list_spikes(results: Any) -> list[tuple[int, Any]]:
    return [(step, each) for step, fired in enumerate(results["spike_trace"]) for each in fired]


def _is_in_window(program: Program, network: Network, group: str, step: int) -> bool:
    """Whether what ``group`` sends in ``step`` left its population in its window."""
    sender = program.senders[group]
    if sender.population is None:
        return True
    own = step - sender.late - LEAD - network.population(sender.population).start
    return 0 <= own < network.steps


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
    group = message["src_neuron_group_id"]
    sender = program.senders[group]
    if sender.population is None:
        return "clocks"
    if not _is_in_window(program, network, group, step):
        return "late"
    core = number_core(message["dest_x"], message["dest_y"], message["dest_core_offset"])
    if core >= program.placement.free:
        return "relays"
    return "relayed" if sender.late else "direct"
