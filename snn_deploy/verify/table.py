"""A verdict as a table for people, as lines of text, and as plain values for JSON."""

from __future__ import annotations

import io
from dataclasses import asdict
from typing import TYPE_CHECKING, TypeAlias

from snn_deploy.verify.levels import Check, Status
from snn_deploy.verify.verdict import Divergence, Row, Side, Verdict

if TYPE_CHECKING:
    from rich.table import Table

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"

_STYLES = {Status.EQUAL: "green", Status.DIFFERENT: "bold red", Status.NOT_COMPARED: "yellow"}


def table(verdict: Verdict) -> Table:
    """One row per population: neurons, probed share, counts of every backend, what differs, and the status."""
    from rich.table import Table

    found = Table(title=f"{verdict.network}: {' x '.join(verdict.backends)}, level {verdict.asked.label}")
    found.add_column("population")
    found.add_column("neurons", justify="right")
    found.add_column("probed", justify="right")
    for backend in verdict.backends:
        found.add_column(f"{backend} spikes", justify="right")
    found.add_column("neurons differ", justify="right")
    found.add_column("events differ", justify="right")
    found.add_column("states differ", justify="right")
    replayed = any(side.errors is not None for row in verdict.rows for side in row.sides)
    if replayed:
        found.add_column("introduced", justify="right")
        found.add_column("inherited", justify="right")
    found.add_column("first (image, step, neuron): found, expected")
    found.add_column("status")
    for row in verdict.rows:
        status = f"[{_STYLES[row.status]}]{row.status.value}[/]" + (" [yellow](silent)[/]" if row.silent else "")
        found.add_row(
            row.population,
            f"{row.neurons:,}",
            f"{row.probed / row.neurons:.0%}",
            *(_number(side.spikes) for side in row.sides),
            *(_number(_mismatches(row, check)) for check in (Check.COUNTS, Check.TRAINS, Check.STATES)),
            *(_errors(row) if replayed else ()),
            _place(row.first),
            status,
        )
    return found


def text(verdict: Verdict, width: int = 160) -> str:
    """The table, the warnings and, last, the verdict line; no colours."""
    buffer = io.StringIO()
    from rich.console import Console

    console = Console(file=buffer, width=width, no_color=True)
    console.print(table(verdict))
    if verdict.story:
        console.print(verdict.story, soft_wrap=True, markup=False, highlight=False)
    for warning in verdict.warnings:
        console.print(f"warning: {warning}", soft_wrap=True, markup=False, highlight=False)
    console.print(verdict.line, soft_wrap=True, markup=False, highlight=False)
    return buffer.getvalue()


def record(verdict: Verdict) -> dict[str, Json]:
    """The verdict as values that :mod:`json` can write."""
    return {
        "network": verdict.network,
        "digest": verdict.digest,
        "backends": list(verdict.backends),
        "asked": verdict.asked.label,
        "reached": None if verdict.reached is None else verdict.reached.label,
        "status": verdict.status.value,
        "exit_code": verdict.exit_code,
        "line": verdict.line,
        "story": verdict.story,
        "warnings": list(verdict.warnings),
        "coverage": dict(asdict(verdict.coverage)),
        "populations": [_row(row) for row in verdict.rows],
    }


def _row(row: Row) -> Json:
    return {
        "name": row.population,
        "shape": list(row.shape),
        "neurons": row.neurons,
        "probed": row.probed,
        "silent": row.silent,
        "status": row.status.value,
        "sides": [_side(side) for side in row.sides],
    }


def _side(side: Side) -> Json:
    return {
        "backend": side.backend,
        "spikes": side.spikes,
        "events": side.events,
        "probed": side.probed,
        "differing": {check.value: number for check, number in side.differing},
        "missing": list(side.missing),
        "status": side.status.value,
        "first": None if side.first is None else _divergence(side.first),
        "errors": None
        if side.errors is None
        else {
            "introduced": side.errors.introduced,
            "inherited": side.errors.inherited,
            "first": None if side.errors.first is None else _divergence(side.errors.first),
        },
    }


def _divergence(divergence: Divergence) -> Json:
    return {
        "quantity": divergence.quantity,
        "image": divergence.image,
        "step": divergence.step,
        "neuron": None if divergence.neuron is None else list(divergence.neuron),
        "expected": divergence.expected,
        "found": divergence.found,
    }


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _mismatches(row: Row, check: Check) -> int | None:
    found = [number for side in row.sides[1:] if (number := side.mismatches(check)) is not None]
    return max(found) if found else None


def _errors(row: Row) -> tuple[str, str]:
    """Introduced and inherited cells, of the side that introduced most."""
    found = [side.errors for side in row.sides if side.errors is not None]
    worst = max(found, key=lambda errors: errors.introduced, default=None)
    return ("-", "-") if worst is None else (f"{worst.introduced:,}", f"{worst.inherited:,}")


def _place(divergence: Divergence | None) -> str:
    if divergence is None:
        return ""
    step = "-" if divergence.step is None else divergence.step
    return (
        f"({divergence.image}, {step}, {divergence.neuron or '-'}): "
        f"{divergence.quantity} {divergence.found}, {divergence.expected}"
    )
