"""A verdict as a table for people, and as lines of text."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from snn_deploy.display.columns import fit
from snn_deploy.display.console import show
from snn_deploy.display.names import visible
from snn_deploy.verification.comparison.levels import Check, Level, Status
from snn_deploy.verification.comparison.spread import Distance, Spread, find_widest
from snn_deploy.verification.comparison.verdict import Divergence, Row, Verdict

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

PLACE = "first (image, step, neuron): found, expected"

HIDDEN = 8
"""Hidden faults that are named in text."""

OPTIONAL = ("probed", "neurons")
"""Columns that a narrow terminal can miss."""

_COLUMNS = ((Check.COUNTS,), (Check.TRAINS,), (Check.STATES, Check.SECOND_STATES))
"""Checks whose differences share a column."""

_STYLES = {
    Status.EQUAL: "green",
    Status.DIFFERENT: "bold red",
    Status.NOT_COMPARED: "yellow",
    Status.WITHIN_SPREAD: "yellow",
}


def tabulate(verdict: Verdict) -> Table:
    """One row per population: neurons, probed share, counts of every backend, what differs, and the status."""
    from rich.text import Text

    from snn_deploy.display.plain_table import PlainTable

    rows = PlainTable(title=f"{verdict.network}: {' x '.join(verdict.backends)}, level {verdict.asked.label}")
    rows.add_column("population")
    rows.add_column("neurons", justify="right")
    rows.add_column("probed", justify="right")
    for backend in verdict.backends:
        rows.add_column(f"{backend} counts", justify="right")
    rows.add_column("neurons differ", justify="right")
    rows.add_column("events differ", justify="right")
    rows.add_column("states differ", justify="right")
    replayed = any(side.errors is not None for row in verdict.rows for side in row.sides)
    if replayed:
        rows.add_column("introduced", justify="right")
        rows.add_column("inherited", justify="right")
    rows.add_column(_heading(verdict))
    rows.add_column("status")
    for row in verdict.rows:
        status = Text(row.status.value, _STYLES[row.status])
        if row.silent:
            status.append(" (silent)", "yellow")
        rows.add_row(
            row.population,
            f"{row.neurons:,}",
            f"{row.probed / row.neurons:.0%}",
            *(_number(side.counts) for side in row.sides),
            *(_number(_mismatches(row, *checks)) for checks in _COLUMNS),
            *(_errors(row) if replayed else ()),
            _place(row.first),
            status,
        )
    return rows


def render_text(verdict: Verdict, width: int = 160) -> str:
    """The table, the warnings and, last, the verdict line; no colours."""
    buffer = io.StringIO()
    from rich.console import Console

    console = Console(file=buffer, width=width, no_color=True, markup=False, emoji=False, highlight=False)
    console.print(fit(tabulate(verdict), width))
    if verdict.spread is not None:
        console.print(fit(tabulate_spread(verdict.spread), width))
    for line in list_lines(verdict):
        console.print(visible(line), soft_wrap=True)
    return buffer.getvalue()


def list_lines(verdict: Verdict) -> tuple[str, ...]:
    """What stands below the table: warnings, whose error it is, what explains it, and the verdict line last."""
    warnings = (f"warning: {warning}" for warning in verdict.warnings)
    hidden = () if verdict.spread is None else _hidden(verdict.spread)
    return (*warnings, *(text for text in (verdict.story, verdict.cause, *hidden) if text), verdict.line)


def tabulate_spread(spread: Spread) -> Table:
    """One row per population: how far recordings are from each other at most, and from the baseline."""
    from snn_deploy.display.plain_table import PlainTable

    rows = PlainTable(title=f"spread of {len(spread.recordings)} recordings: from each other / from the baseline")
    for heading in ("population", "counts differ", "sum of differences", "largest", "outside"):
        rows.add_column(heading, justify="left" if heading in ("population", "outside") else "right")
    for each in spread.populations:
        among, apart = each.widest, find_widest(each.apart)
        rows.add_row(
            each.population,
            f"{among.differing / max(1, each.values):.2%} / {apart.differing / max(1, each.values):.2%}",
            f"{among.total:,} / {apart.total:,}",
            f"{among.largest:,} / {apart.largest:,}",
            ", ".join(spread.list_outside(each.population)),
        )
    return rows


def _hidden(spread: Spread) -> tuple[str, ...]:
    """The faults that the spread hides although they move counts: the first of them, with how many each moves."""
    shown = [each for each in spread.hidden if each.moved != Distance()]
    if not shown:
        return ()
    listed = ", ".join(f"{each.fault!r} in {each.population} ({each.moved.differing:,})" for each in shown[:HIDDEN])
    more = f" and {len(shown) - HIDDEN} more, which --json lists" if len(shown) > HIDDEN else ""
    return (f"not excluded, with the number of counts that each moves: {listed}{more}",)


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _mismatches(row: Row, *checks: Check) -> int | None:
    """Values that differ at the side where most do; ``None`` where none of ``checks`` was made."""
    made = [[number for check in checks if (number := side.mismatches(check)) is not None] for side in row.sides[1:]]
    return max((sum(numbers) for numbers in made if numbers), default=None)


def _errors(row: Row) -> tuple[str, str]:
    """Introduced and inherited cells, of the side that introduced most."""
    errors = [side.errors for side in row.sides if side.errors is not None]
    worst = max(errors, key=lambda side: side.introduced, default=None)
    return ("-", "-") if worst is None else (f"{worst.introduced:,}", f"{worst.inherited:,}")


def _heading(verdict: Verdict) -> str:
    return PLACE.replace("image", verdict.unit)


def _place(divergence: Divergence | None) -> str:
    if divergence is None:
        return ""
    step = "-" if divergence.step is None else divergence.step
    which = "" if divergence.stream is None else f" of stream {divergence.stream}"
    return (
        f"({divergence.image}{which}, {step}, {divergence.neuron or '-'}): "
        f"{divergence.quantity} {divergence.found}, {divergence.expected}"
    )


def render(verdict: Verdict, width: int) -> Group:
    """What :func:`show_verdict` prints, for notebooks."""
    from rich.console import Group

    from snn_deploy.display.plain_table import line

    spread = [] if verdict.spread is None else [fit(tabulate_spread(verdict.spread), width)]
    table = fit(tabulate(verdict), width, silent=_silent(verdict), optional=OPTIONAL)
    return Group(table, *spread, *map(line, list_lines(verdict)))


def show_verdict(verdict: Verdict) -> None:
    """Table, and the lines below it."""
    show(tabulate(verdict), silent=_silent(verdict), optional=OPTIONAL)
    if verdict.spread is not None:
        show(tabulate_spread(verdict.spread))
    for line in list_lines(verdict):
        show(line)


def _silent(verdict: Verdict) -> tuple[str, ...]:
    """Columns that may be left out where they say nothing: of those that count differences the strictest one stays."""
    differ = ("neurons differ", "events differ", "states differ")
    levels = (Level.NEURON_COUNT, Level.TRAIN, Level.STATE)
    made = [heading for heading, level in zip(differ, levels, strict=True) if verdict.asked >= level]
    strictest = made[-1:] if verdict.status is Status.EQUAL else []
    return ("probed", *(heading for heading in differ if heading not in strictest), _heading(verdict))
