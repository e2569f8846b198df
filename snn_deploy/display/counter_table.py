"""A chip's activity counters beside the prediction, as a table for people."""

from __future__ import annotations

from collections.abc import Sequence

from snn_deploy.display.plain_table import PlainTable
from snn_deploy.verification.counters import Count


def tabulate_counters(counts: Sequence[Count], limit: float) -> PlainTable:
    """One row per counter; deviations of the prediction beyond ``limit`` stand out."""
    from rich.text import Text

    table = PlainTable(title="counters of the chip, and the prediction with padding neurons of partial tiles")
    for heading in ("population", "core", "counter"):
        table.add_column(heading)
    for heading in ("counted", "predicted", "deviation"):
        table.add_column(heading, justify="right")
    for count in counts:
        passes = abs(count.deviation) <= limit
        table.add_row(
            count.population,
            "all" if count.core is None else str(count.core),
            count.counter,
            f"{count.counted:,.0f}",
            f"{count.predicted:,.0f}",
            Text(f"{count.deviation:+.2%}", "green" if passes else "bold red"),
        )
    return table
