"""Terminal tables of an estimate beside a simulation."""

from __future__ import annotations

from snn_deploy.cost.against import Against, Comparison
from snn_deploy.display.plain_table import PlainTable
from snn_deploy.targets.quantity import rounded

OPTIONAL = ("messages, estimate", "messages, simulated")
"""Columns that a narrow terminal can miss."""


def against_table(against: Against, network: str, target: str) -> PlainTable:
    """One row per quantity; below it what the simulator counts more, or less, and why."""
    table = PlainTable(title=f"{network} on {target}: the estimate beside {against.simulation.simulator}, per image")
    table.add_column("what")
    for heading in ("estimate", "simulated", "difference"):
        table.add_column(heading, justify="right")
    for comparison in against.comparisons:
        table.add_section()
        difference = comparison.theirs - comparison.ours
        table.add_row(
            comparison.quantity,
            _text(comparison.ours, comparison),
            _text(comparison.theirs, comparison),
            _signed(difference, comparison),
        )
        for each in comparison.differences:
            if each.amount:
                table.add_row(f"  {each.reason}", "", "", _signed(each.amount, comparison))
        table.add_row("  unexplained", "", "", f"{abs(comparison.unexplained) / (comparison.theirs or 1):.1%}")
    return table


def steps_table(against: Against) -> PlainTable:
    """One row per step of the simulation."""
    table = PlainTable(
        title="step by step",
        caption="operations fall into the step in which a spike arrives in the estimate, in which it is sent in the simulation",
    )
    for heading in (
        "step",
        "time, estimate",
        "time, simulated",
        "operations, estimate",
        "operations, simulated",
        *OPTIONAL,
        "hops, simulated",
    ):
        table.add_column(heading, justify="right")
    for number, theirs in enumerate(against.simulation.steps, -against.simulation.lead):
        ours = against.steps[number] if 0 <= number < len(against.steps) else None
        table.add_row(
            str(number),
            "-" if ours is None else rounded(ours.duration_s.value, "s"),
            rounded(theirs.duration_s, "s"),
            "-" if ours is None else f"{ours.operations:,.0f}",
            f"{theirs.operations:,}",
            "-" if ours is None else f"{ours.messages:,.0f}",
            f"{theirs.messages:,}",
            f"{theirs.hops:,}",
        )
    return table


def _text(value: float, comparison: Comparison) -> str:
    return f"{value:,.0f}" if not comparison.unit else rounded(value, comparison.unit)


def _signed(value: float, comparison: Comparison) -> str:
    sign = "-" if value < 0 else "+"
    return f"{sign}{_text(abs(value), comparison)}"
