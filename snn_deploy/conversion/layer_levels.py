"""Levels by layer: as many as its rounding costs at the output.

A network that learned to answer rare pixels with activations a hundred times the usual ones needs thousands of levels in the
few layers that carry them. Thousands in all layers would take the bits from the weights, because the proof of 24 bits
multiplies the two. Rounding costs as much as a level is wide, so a layer that costs c with N levels costs about ``c N / M`` with M.
"""

from __future__ import annotations

from collections.abc import Sequence

from snn_deploy.conversion.layer_cost import LayerCost

LayerLevels = tuple[tuple[str, int], ...]

MOST_LEVELS = 8191
"""Levels that no layer exceeds: 13 bits leave 11 of 24 to the weights of its readers."""


def allot_levels(costs: Sequence[LayerCost], levels: int, allowed: float) -> LayerLevels:
    """Layers that rounding to ``levels`` makes cost more than ``allowed``, and the levels with which it does not.

    They are doubled, and one is added, until the layer costs little enough or they reach :data:`MOST_LEVELS`.
    """
    allotted = []
    for each in costs:
        most = levels
        while each.cause == "rounding" and each.cost * levels > allowed * most and 2 * most + 1 <= MOST_LEVELS:
            most = 2 * most + 1
        if most > levels:
            allotted.append((each.name, most))
    return tuple(sorted(allotted))
