"""A mapping that serves a goal: fewest cores, least latency, or least energy, among tiles of any size; and how even it is."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from snn_deploy.activity.activity import Activity
from snn_deploy.cost.energy import estimate
from snn_deploy.mapping.balance import balance
from snn_deploy.mapping.fit import Mapping, map_network
from snn_deploy.mapping.traffic import measure_traffic
from snn_deploy.network.network import Network
from snn_deploy.targets.device import Target

Goal = Literal["cores", "latency", "energy"]

GOALS: tuple[Goal, ...] = get_args(Goal)

MORE = 0.1
"""Share of cores that ``latency`` and ``energy`` may spend beyond the fewest."""

EVEN = 1.3
"""Load of the busiest core over the mean that counts as even."""


def map_balanced(
    network: Network, activity: Activity, target: Target, goal: Goal | None, *, streamed: bool = False
) -> Mapping:
    """``network`` on ``target`` for ``goal``, by the operations of ``activity``; by the compiler's rule without one.

    ``cores``: the fewest. ``latency``: at most :data:`MORE` more, where they save most time. ``energy``: of these two, one
    between them, and the compiler's own the one whose estimate has the least total energy.
    """
    mapping = map_network(network, target)
    if goal is None or not mapping.is_placed:
        return mapping
    shares = {"cores": (0.0,), "latency": (MORE,), "energy": (0.0, MORE / 2, MORE)}[goal]
    found = [balance(network, mapping, target, activity, share, streamed=streamed) for share in shares]
    if goal != "energy":
        return found[0]

    def joules(candidate: Mapping) -> float:
        return estimate(network, activity, target, mapping=candidate, streamed=streamed).total_j.value

    return min([mapping, *found], key=joules)


@dataclass(frozen=True)
class Evenness:
    """Load of the ``busiest`` population's busiest core over the mean of all cores: ``ratio``.

    A load is the time of an image's operations and updates on a core, one image after the other. As long as a core holds neurons
    of one layer, no cut has less than ``bound`` on as many cores, or less than :data:`EVEN` on fewer than ``even_cores``.
    """

    busiest: str
    ratio: float
    bound: float
    even_cores: int

    @property
    def text(self) -> str:
        """One line."""
        return (
            f"busiest core: {self.ratio:.2f} times the mean load ({self.busiest}); with one layer on a core, no cut has less than"
            f" {self.bound:.2f} on as many cores, or {EVEN} on fewer than {self.even_cores:,}"
        )

    def record(self) -> dict[str, object]:
        """For JSON."""
        return {
            "busiest": self.busiest,
            "busiest_over_mean": self.ratio,
            "bound": self.bound,
            "cores_for_even": self.even_cores,
        }


def measure_evenness(network: Network, activity: Activity, target: Target, mapping: Mapping) -> Evenness:
    """How evenly the cores of ``mapping``, which places all layers, are loaded, and what bounds it.

    The bound: a layer of load W on k cores has one of at least W / k, and takes no fewer cores than the fewest that hold it.
    """
    synapse, neuron = (target.quantity(f"time.{key}").value for key in ("synapse_ns", "neuron_ns"))
    traffic = measure_traffic(network, activity, mapping, target)
    loads = traffic.operations * synapse + traffic.neurons * network.steps * neuron
    busiest = int(loads.argmax())
    works, fewest = [], []
    for layer in mapping.layers:
        operations = float(activity.arriving(layer.layer.name).sum()) / activity.images
        works.append(operations * synapse + layer.layer.size * network.steps * neuron)
        fewest.append(layer.cores if layer.free_bound is None else layer.free_bound)
    mean = sum(works) / mapping.cores
    bounds = _bound(works, fewest)
    bound, even = 1.0, 0
    for cores, largest in bounds:
        ratio = largest * cores / sum(works)
        if cores == mapping.cores:
            bound = ratio
        if not even and ratio <= EVEN:
            even = cores
        if even and cores >= mapping.cores:
            break
    name = next(name for name, block in reversed(tuple(traffic.blocks.items())) if block.first <= busiest)
    return Evenness(name, float(loads[busiest]) / mean, bound, even)


def _bound(works: list[float], fewest: list[int]) -> Iterator[tuple[int, float]]:
    """Cores, from the fewest on, and the least load that the busiest can have: every one more goes where it is largest."""
    heap = [(-work / cores, index, cores) for index, (work, cores) in enumerate(zip(works, fewest, strict=True))]
    heapq.heapify(heap)
    total = sum(fewest)
    while True:
        yield total, -heap[0][0]
        _, index, cores = heap[0]
        heapq.heapreplace(heap, (-works[index] / (cores + 1), index, cores + 1))
        total += 1
