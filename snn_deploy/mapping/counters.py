"""What a chip's activity counters must show: operations and updates of every core, messages of every population.

Operations and updates are those of :mod:`snn_deploy.mapping.traffic`, with the neurons that pad partial tiles (inferred from the
counters of PilotNet on Loihi 2, which follow to 1 % only with them).
"""

from __future__ import annotations

from dataclasses import dataclass

from snn_deploy.activity.activity import Activity
from snn_deploy.arrays import Float64, Int64
from snn_deploy.mapping.fit import Mapping
from snn_deploy.mapping.traffic import measure_traffic
from snn_deploy.network.network import Network
from snn_deploy.targets.device import Target


@dataclass(frozen=True, eq=False)
class PopulationCounters:
    """Of the mean image: ``syn_ops`` (cores,) float64 and ``neurons`` (cores,) int64, padding included; messages in and out."""

    syn_ops: Float64
    neurons: Int64
    spikes_in: float
    spikes_out: float


def predict_counters(
    network: Network, activity: Activity, mapping: Mapping, target: Target
) -> dict[str, PopulationCounters]:
    """The counters of every population that fires, by name; images enter from the host and take no core."""
    traffic = measure_traffic(network, activity, mapping, target)
    return {
        population.name: PopulationCounters(
            traffic.operations[traffic.blocks[population.name].cores],
            traffic.neurons[traffic.blocks[population.name].cores],
            sum(traffic.sent(connection.name).sent for connection in network.incoming(population.name)),
            float(activity.population(population.name).events.mean()),
        )
        for population in network.populations[1:]
    }
