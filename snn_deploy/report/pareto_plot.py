"""A sweep as a picture: one circle per point, the Pareto front joined and filled. Self-contained SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence

from snn_deploy.errors import ReportError
from snn_deploy.evaluation.sweep import Goal, Point, select_pareto_front
from snn_deploy.report.svg import COLOURS, STYLE
from snn_deploy.report.text import escape

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 720, 440, 84, 56, 36
"""Picture and margins, in pixels."""


def pareto_plot(points: Sequence[Point], cost: str, quality: str, *, goal: Goal = "max") -> str:
    """``quality`` (to be brought to ``goal``) over ``cost`` (to be small; logarithmic where it spans more than ten)."""
    scored = [point for point in points if point.error is None]
    if not scored:
        raise ReportError("no point of the sweep has scores; there is nothing to plot")
    front = select_pareto_front(scored, {cost: "min", quality: goal})
    costs, qualities = ([point.scores[name] for point in scored] for name in (cost, quality))
    logarithmic = min(costs) > 0 and max(costs) / min(costs) > 10

    def scaled(value: float) -> float:
        return math.log10(value) if logarithmic else value

    low, high = scaled(min(costs)), scaled(max(costs))

    def across(value: float) -> float:
        return LEFT + 12 + (WIDTH - LEFT - 40) * _share(scaled(value), low, high)

    def down(value: float) -> float:
        return TOP + 12 + (HEIGHT - TOP - BOTTOM - 24) * (1 - _share(value, min(qualities), max(qualities)))

    body = [
        f'<line class="bar" x1="{LEFT}" y1="{HEIGHT - BOTTOM}" x2="{WIDTH - 16}" y2="{HEIGHT - BOTTOM}"/>',
        f'<line class="bar" x1="{LEFT}" y1="{TOP}" x2="{LEFT}" y2="{HEIGHT - BOTTOM}"/>',
        f'<text x="{WIDTH / 2:g}" y="{HEIGHT - 12}">{escape(cost)}{", logarithmic" if logarithmic else ""}</text>',
        f'<text x="12" y="20">{escape(quality)}</text>',
    ]
    body += [
        f'<text x="{across(value):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{value:.2g}</text>'
        for value in (min(costs), max(costs))
    ]
    body += [
        f'<text x="{LEFT - 8}" y="{down(value) + 4:.1f}" text-anchor="end">{value:.4g}</text>'
        for value in (min(qualities), max(qualities))
    ]
    corners = sorted((across(point.scores[cost]), down(point.scores[quality])) for point in front)
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
    body.append(f'<polyline points="{path}" fill="none" stroke="{COLOURS[3]}" stroke-width="2"/>')
    for point in scored:
        x, y = across(point.scores[cost]), down(point.scores[quality])
        best = point in front
        text = ", ".join(f"{name}={value}" for name, value in point.settings.items())
        body.append(
            f'<circle class="bar" cx="{x:.1f}" cy="{y:.1f}" r="{7 if best else 4}" '
            f'fill="{COLOURS[0] if best else COLOURS[4]}"><title>{escape(text)}: {escape(cost)} {point.scores[cost]:.3g}, '
            f"{escape(quality)} {point.scores[quality]:.4g}</title></circle>"
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img" '
        f'aria-label="{escape(quality)} over {escape(cost)}">{STYLE}{"".join(body)}</svg>\n'
    )


def _share(value: float, low: float, high: float) -> float:
    return (value - low) / (high - low) if high > low else 0.5
