"""A picture of the network: one box per population in the order of their windows, skips at the left, events inside.

A box stands further to the right the smaller its maps are, which shows the shape of a U-Net. This module computes places in
pixels; ``templates/network.html`` draws them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from snn_deploy.backend.protocol import Run
from snn_deploy.network.network import Network, Population
from snn_deploy.report.tables import Named

PITCH, HEIGHT, WIDTH = 38, 28, 340
"""From one box to the next; height and width of a box."""

INDENT, LANE, MARGIN = 24, 10, 12
"""To the right for maps of half the size; between skips; around the picture."""

DEEPEST = 6
"""Largest indent, in halvings: dense layers stand no further to the right."""


@dataclass(frozen=True)
class Box:
    """A population at (``x``, ``y``); ``share`` of the most events of any."""

    x: int
    y: int
    named: Named
    shape: str
    events: str
    share: float


@dataclass(frozen=True)
class Line:
    """A connection as an SVG path; ``skip`` passes over other populations."""

    path: str
    title: str
    skip: bool


@dataclass(frozen=True)
class NetworkPicture:
    """Boxes and lines in a picture of ``width`` x ``height``."""

    width: int
    height: int
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]


def draw_network(network: Network, run: Run, names: Mapping[str, Named]) -> NetworkPicture:
    """The picture of ``network`` with the events of ``run``."""
    places = {population.name: row for row, population in enumerate(network.populations)}
    pairs = dict.fromkeys((places[each.source], places[each.target]) for each in network.connections)
    lanes = _assign_lanes([pair for pair in pairs if pair[1] - pair[0] > 1])
    left = MARGIN + LANE * (1 + max(lanes.values(), default=-1))
    depths = [_halvings(network.populations[0], population) for population in network.populations]
    xs = [left + INDENT * (depth - min(depths)) for depth in depths]
    events = {name: int(values.sum()) / len(values) for name, values in run.events.items()}
    most = max(events.values()) or 1.0
    boxes = tuple(
        Box(
            x,
            MARGIN + PITCH * row,
            names[population.name],
            " x ".join(map(str, population.shape)),
            f"{events[population.name]:,.0f}",
            events[population.name] / most,
        )
        for row, (x, population) in enumerate(zip(xs, network.populations, strict=True))
    )
    lines = tuple(
        Line(
            _path(
                boxes[first],
                boxes[last],
                None if (first, last) not in lanes else left - LANE * (1 + lanes[first, last]),
            ),
            f"{boxes[first].named.label} to {boxes[last].named.label}",
            (first, last) in lanes,
        )
        for first, last in pairs
    )
    return NetworkPicture(max(xs) + WIDTH + MARGIN, 2 * MARGIN + PITCH * len(boxes), boxes, lines)


def _halvings(whole: Population, population: Population) -> int:
    """How often height or width of ``whole``, whichever changes more, is halved to that of ``population``."""
    sides = zip(whole.shape[1:], population.shape[1:], strict=True)
    halvings = max((math.log2(before / after) for before, after in sides), key=abs)
    return max(-DEEPEST, min(DEEPEST, round(halvings)))


def _assign_lanes(skips: list[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """A lane for each of ``skips`` (first, last row), 0 next to the boxes; those of one lane do not overlap."""
    lanes: dict[tuple[int, int], int] = {}
    for first, last in sorted(skips, key=lambda skip: skip[1] - skip[0]):
        taken = {lane for (top, bottom), lane in lanes.items() if first <= bottom and top <= last}
        lanes[first, last] = next(lane for lane in range(len(skips)) if lane not in taken)
    return lanes


def _path(source: Box, target: Box, lane: int | None) -> str:
    """Straight down to the next box, or out to the left, down at x = ``lane``, and to the box from its left."""
    if lane is None:
        return f"M{max(source.x, target.x) + INDENT // 2} {source.y + HEIGHT}V{target.y}"
    begin, end, turn = source.y + HEIGHT * 2 // 3, target.y + HEIGHT // 3, LANE // 2
    down = f"Q{lane} {begin} {lane} {begin + turn}V{end - turn}Q{lane} {end} {lane + turn} {end}"
    return f"M{source.x} {begin}H{lane + turn}{down}H{target.x}"
