r"""The theorem of ``exact`` mode on one network: every count becomes a function of the input alone, before its window ends.

While no membrane saturates (:mod:`snn_deploy.network.bounds`), a neuron with running count a that has received the sum S of all
its input has :math:`v = v_0 + b + S - \theta a`. With :math:`A = \lfloor (v_0 + b + S - \mathrm{strict}) / \theta \rfloor`, a step
sends :math:`k = \mathrm{clip}(A - a, k_{min}, k_{max})`, limited to :math:`a_{min} - a \le k \le a_{max} - a`. Once S is
complete, a moves to :math:`\mathrm{clip}(A, a_{min}, a_{max})` by at most :math:`k_{max}` or :math:`-k_{min}` a step, and stays
there. By induction over the populations it is known when each has sent its last event; that must lie in its window.
"""

from __future__ import annotations

from snn_deploy.errors import CompiledFormError
from snn_deploy.network.network import Network


def find_last_events(network: Network) -> dict[str, int]:
    """The step of the last event that each population can send; :class:`CompiledFormError` where the theorem does not hold."""
    if network.mode != "exact":
        raise CompiledFormError(f"counts of {network.mode} mode depend on the schedule")
    last = {network.input.name: network.input.start}
    for population, connections in network.layers():
        neuron, counts = population.neuron, population.count_range
        if neuron is None or counts is None:
            raise CompiledFormError(f"{population.name}: its counts have no limits")
        complete = max(last[connection.source] + connection.delay for connection in connections)
        at_once = population.start >= complete
        if not at_once and (neuron.payload_min == 0 or not neuron.is_schedule_free):
            raise CompiledFormError(
                f"{population.name}: fires from step {population.start} on, before its input is complete in step {complete}, "
                "and cannot take events back"
            )
        farthest = max(counts[1], -counts[0]) if at_once else counts[1] - counts[0]
        slowest = min(neuron.payload_max, -neuron.payload_min) if neuron.payload_min < 0 else neuron.payload_max
        last[population.name] = max(complete, population.start) + -(-farthest // slowest) - 1
        end = population.start + network.steps - 1
        if last[population.name] > end:
            raise CompiledFormError(
                f"{population.name}: may send until step {last[population.name]}, after its window's end in step {end}"
            )
    return last
