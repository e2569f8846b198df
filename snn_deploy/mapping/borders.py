"""Layers that begin a chip, so that fewer messages cross chips.

Cores fill chip after chip, and a border falls where it falls: often into the widest layer. Where chips are not full, a layer
can begin the next one instead. Layers are chosen one after the other, always the one that saves most messages, as long as no
more chips are needed. Messages between chips have no published energy or time; fewer are better all the same.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from snn_deploy.activity.activity import Activity
from snn_deploy.arrays import Float64, Int64
from snn_deploy.mapping.fit import Mapping
from snn_deploy.mapping.traffic import list_places, list_routes
from snn_deploy.network.network import Network
from snn_deploy.targets.device import Target


def choose_borders(network: Network, activity: Activity, mapping: Mapping, target: Target) -> Mapping:
    """``mapping``, which places all layers, on as many chips, with layers that begin one."""
    chips = mapping.chips
    if chips < 2:
        return mapping
    routes = list_routes(network, activity, mapping, target)
    crossing = _count_crossing(mapping, routes)
    while True:
        candidates = [
            found
            for index, layer in enumerate(mapping.layers)
            if not layer.begins_chip and (found := _begin(mapping, index)).chips <= chips
        ]
        counts = [_count_crossing(candidate, routes) for candidate in candidates]
        if not counts or min(counts) >= crossing:
            return mapping
        crossing = min(counts)
        mapping = candidates[counts.index(crossing)]


def _begin(mapping: Mapping, index: int) -> Mapping:
    layers = list(mapping.layers)
    layers[index] = replace(layers[index], begins_chip=True)
    return replace(mapping, layers=tuple(layers))


def _count_crossing(mapping: Mapping, routes: tuple[Int64, Int64, Float64]) -> float:
    begin, finish, messages = routes
    chip = list_places(mapping) // mapping.cores_per_chip
    return float(messages @ np.asarray(chip[begin] != chip[finish], np.float64))
