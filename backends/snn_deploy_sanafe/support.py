"""Which networks SANA-FE's own neuron can fire: binary spikes, no decay, a threshold that is exceeded."""

from __future__ import annotations

from collections.abc import Iterator

from snn_deploy.errors import BackendUnavailableError
from snn_deploy.network.network import Network, Population

CONVERT = "convert with --preset if-strict"
"""The options whose networks run here."""


def check_network(network: Network) -> None:
    """:class:`~snn_deploy.errors.BackendUnavailableError` names everything in ``network`` that SANA-FE's neuron cannot do."""
    problems = [f"{name}: {what}" for name, what in _find_problems(network)]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise BackendUnavailableError(f"sanafe cannot run this network: {'; '.join(problems[:3])}{more}; {CONVERT}")


def is_read_out(network: Network, population: Population) -> bool:
    """Whether the host reads ``population``'s sums and no neuron does: its membrane, which never fires, holds them."""
    return population.neuron is not None and population.neuron.relays and not network.outgoing(population.name)


def _find_problems(network: Network) -> Iterator[tuple[str, str]]:
    if network.mode != "rate":
        yield network.name, f"{network.mode} mode sends payloads, not single spikes"
    elif not network.aligned:
        yield network.name, "its schedule is not aligned"
    for population in network.populations[1:]:
        neuron = population.neuron
        if is_read_out(network, population):
            continue
        # neurons with fields of their own have decays, second states or shifts
        if neuron is None or neuron.section is not None or neuron.count_max is not None:
            yield population.name, "neurons that are not plain integrate-and-fire"
        elif (neuron.payload_min, neuron.payload_max) != (0, 1):
            yield population.name, f"payloads of {neuron.payload_min}..{neuron.payload_max}, not single spikes"
        elif not neuron.strict and neuron.reset == "subtract":
            yield population.name, "neurons that fire at their threshold, not above it"
