"""Small drawings as inline SVG and HTML, in which all text is escaped.

Colors come from the page's style, so they follow dark mode and print.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from snn_deploy.arrays import Int64
from snn_deploy.report.text import escape
from snn_deploy.targets.quantity import Quantity

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 40, 46

BINS = 24

SPACING, SLANTED = 15, 50
"""Least distance of slanted labels, and the height that they take below a chart."""


def bar(share: float, text: str) -> Markup:
    """A bar over ``share`` (0..1) of its cell, with ``text`` on it."""
    return Markup(f'<div class="bar" style="--share:{max(0.0, min(1.0, share)):.4f}"><span>{escape(text)}</span></div>')


def band(quantity: Quantity, top: float) -> Markup:
    """A value with its band, on a scale from 0 to ``top``."""
    low, value, high = (joules / top if top else 0.0 for joules in (quantity.low, quantity.value, quantity.high))
    return Markup(
        f'<div class="band" style="--low:{low:.4f};--value:{value:.4f};--high:{high:.4f}"><i></i><b></b></div>'
    )


def histogram(counts: Int64) -> Markup:
    """How many neurons have which count: bars of logarithmic height, negative counts to the left; zeros left out."""
    values = counts[counts != 0]
    if values.size == 0:
        return Markup('<span class="quiet">silent</span>')
    low, high = min(0, int(values.min())), max(0, int(values.max()))
    bins = min(BINS, high - low + 1)
    heights = np.log1p(np.histogram(values, bins=bins, range=(low, high + 1))[0])
    heights = heights / heights.max()
    rects = "".join(
        f'<rect x="{index * 5}" y="{30 - 29 * height:.1f}" width="4" height="{29 * height:.1f}"/>'
        for index, height in enumerate(heights)
        if height > 0
    )
    title = f"counts {low} to {high} of {values.size:,} neurons that fired; height logarithmic"
    return Markup(
        f'<svg class="histogram" viewBox="0 0 {bins * 5} 30" preserveAspectRatio="none" role="img">'
        f"<title>{title}</title>{rects}</svg>"
    )


def line(
    points: Sequence[tuple[float, float]], x_label: str, y_label: str, chosen: float, limit: tuple[str, float] | None
) -> Markup:
    """A line chart over a logarithmic x axis, with the ``chosen`` point marked and a dashed ``limit`` line."""
    ys = [y for _, y in points] + ([limit[1]] if limit else [])
    low, high = min(ys), max(ys)
    margin = max((high - low) * 0.08, 0.05)
    low, high = low - margin, high + margin
    left, right = math.log(points[0][0]), math.log(points[-1][0])

    def x_of(x: float) -> float:
        return LEFT + (math.log(x) - left) / (right - left) * (WIDTH - LEFT - RIGHT)

    def y_of(y: float) -> float:
        return TOP + (high - y) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts = _grid(_ticks(low, high), y_of)
    last = -math.inf
    for x, _ in points:
        if x_of(x) - last > 34:
            parts.append(f'<text x="{x_of(x):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{x:g}</text>')
            last = x_of(x)
    if limit is not None:
        y = y_of(limit[1])
        parts.append(f'<line class="limit" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        below = y + 16 if y < TOP + 20 else y - 6
        parts.append(f'<text x="{LEFT + 8}" y="{below:.1f}">{escape(limit[0])}: {limit[1]:.2f}</text>')
    path = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in points)
    parts.append(f'<polyline class="curve" points="{path}"/>')
    for x, y in points:
        mark = ' class="chosen" r="6"' if x == chosen else ' r="3.5"'
        parts.append(f'<circle{mark} cx="{x_of(x):.1f}" cy="{y_of(y):.1f}"><title>{x:g}: {y:.3f}</title></circle>')
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x_label)}</text>'
    )
    parts.append(f'<text x="0" y="{TOP - 22}">{escape(y_label)}</text>')
    return Markup(f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{"".join(parts)}</svg>')


@dataclass(frozen=True)
class Line:
    """What is drawn as a line: its label, and a value for each frame; infinite ones are left out."""

    label: str
    values: Sequence[float]


def lines(drawn: Sequence[Line], x_label: str, y_label: str) -> Markup:
    """Values over their numbers, 0, 1, ...: the first line is drawn through, the second is dashed."""
    finite = [value for each in drawn for value in each.values if math.isfinite(value)] or [0.0]
    low, high = min(finite), max(finite)
    margin = max((high - low) * 0.08, 1e-3 * max(abs(high), abs(low)), 1e-6)
    low, high = (0.0 if 0 <= low < high / 2 else low - margin), high + margin
    last = max(max(len(each.values) for each in drawn) - 1, 1)

    def x_of(number: float) -> float:
        return LEFT + number / last * (WIDTH - LEFT - RIGHT)

    def y_of(value: float) -> float:
        return TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts = _grid(_ticks(low, high), y_of)
    for number in sorted({round(share * last / 4) for share in range(5)}):
        parts.append(f'<text x="{x_of(number):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{number}</text>')
    for index, each in enumerate(drawn):
        path = " ".join(
            f"{x_of(at):.1f},{y_of(value):.1f}" for at, value in enumerate(each.values) if math.isfinite(value)
        )
        parts.append(
            f'<polyline class="curve{" second" if index else ""}" points="{path}"><title>{escape(each.label)}</title></polyline>'
        )
    shown = "; ".join(f"{each.label}{' (dashed)' if index else ''}" for index, each in enumerate(drawn))
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x_label)}</text>'
    )
    parts.append(f'<text x="0" y="{TOP - 22}">{escape(f"{y_label}: {shown}")}</text>')
    return Markup(f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{"".join(parts)}</svg>')


def bars(durations: Sequence[Quantity], labels: Sequence[str], titles: Sequence[str]) -> Markup:
    """One bar per step, its duration in ms with a line over the band; ``labels`` below where there is space."""
    top = max(quantity.high for quantity in durations) * 1e3 or 1.0
    wide = (WIDTH - LEFT - RIGHT) / len(durations)

    def y_of(milliseconds: float) -> float:
        return TOP + (1 - milliseconds / top) * (HEIGHT - TOP - BOTTOM)

    parts = _grid(_ticks(0.0, top), y_of)
    last = -math.inf
    for index, (duration, label, title) in enumerate(zip(durations, labels, titles, strict=True)):
        left, middle = LEFT + wide * (index + 0.1), LEFT + wide * (index + 0.5)
        y, high, low = (y_of(seconds * 1e3) for seconds in (duration.value, duration.high, duration.low))
        parts.append(
            f'<g><title>{escape(title)}</title><rect class="step" x="{left:.1f}" y="{y:.1f}" width="{wide * 0.8:.1f}" '
            f'height="{HEIGHT - BOTTOM - y:.1f}"/><line class="whisker" x1="{middle:.1f}" x2="{middle:.1f}" '
            f'y1="{high:.1f}" y2="{low:.1f}"/></g>'
        )
        if middle - last > SPACING:
            x, below = f"{middle:.1f}", HEIGHT - BOTTOM + 14
            parts.append(
                f'<text x="{x}" y="{below}" text-anchor="end" transform="rotate(-45 {x} {below})">{escape(label)}</text>'
            )
            last = middle
    parts.append(f'<text x="0" y="{TOP - 22}">ms per step</text>')
    return Markup(f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT + SLANTED}" role="img">{"".join(parts)}</svg>')


def _grid(ticks: Sequence[float], y_of: Callable[[float], float]) -> list[str]:
    """A horizontal line and its number for each of ``ticks``."""
    parts = []
    for tick in ticks:
        y = y_of(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    return parts


def _ticks(low: float, high: float) -> list[float]:
    """Four to nine round numbers within ``[low, high]``."""
    rough = (high - low) / 5
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * unit for factor in (1, 2, 5, 10) if factor * unit >= rough)
    first = math.ceil(low / step)
    return [round(index * step, 10) for index in range(first, math.floor(high / step) + 1)]
