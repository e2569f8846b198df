"""A mapping that serves a goal: fewest cores, least latency, or least energy, among tiles of any size."""

from __future__ import annotations

from typing import Literal, get_args

from snn_deploy.activity.activity import Activity
from snn_deploy.cost.energy import estimate
from snn_deploy.mapping.balance import balance
from snn_deploy.mapping.fit import Mapping, map_network
from snn_deploy.network.network import Network
from snn_deploy.targets.device import Target

Goal = Literal["cores", "latency", "energy"]

GOALS: tuple[Goal, ...] = get_args(Goal)

MORE = 0.1
"""Share of cores that ``latency`` and ``energy`` may spend beyond the fewest."""


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
    found = [balance(mapping, target, activity, share, streamed=streamed) for share in shares]
    if goal != "energy":
        return found[0]

    def joules(candidate: Mapping) -> float:
        return estimate(network, activity, target, mapping=candidate, streamed=streamed).total_j.value

    return min([mapping, *found], key=joules)
