"""A proof as a table for people: every obligation, what became of it and why; what is outside, and the result last."""

from __future__ import annotations

from snn_deploy.display.console import show
from snn_deploy.display.plain_table import PlainTable
from snn_deploy.verification.proof import Outcome, Proof

_STYLES = {Outcome.PROVED: "green", Outcome.REFUTED: "bold red", Outcome.OPEN: "yellow"}


def tabulate_proof(proof: Proof) -> PlainTable:
    """One row per obligation."""
    from rich.text import Text

    table = PlainTable(title=f"{proof.network} and {proof.backend}, for all inputs")
    for heading in ("obligation", "of", "status"):
        table.add_column(heading)
    table.add_column("why", overflow="fold")
    for each in proof.obligations:
        table.add_row(each.kind, each.subject, Text(each.outcome.value, _STYLES[each.outcome]), each.reason)
    return table


def show_proof(proof: Proof) -> None:
    """The table, and the lines below it."""
    show(tabulate_proof(proof))
    for assumption in proof.outside:
        show(f"outside the proof: {assumption}")
    show(proof.line)
