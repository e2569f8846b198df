"""``snn-deploy inspect``: what becomes of every node of a model, or of another tool's network."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from snn_deploy.cli import arguments as shared
from snn_deploy.cli.commands.view import open_in_netron
from snn_deploy.cli.modes import Mode, Modes
from snn_deploy.conversion.akida_fit import judge_for_akida
from snn_deploy.conversion.convert import input_size
from snn_deploy.display.console import note, show, show_json
from snn_deploy.display.plain_table import PlainTable
from snn_deploy.exchange.foreign import SUFFIXES, inspect_foreign
from snn_deploy.frontend.ledger import Ledger
from snn_deploy.frontend.onnx import inspect

MODES = Modes(
    (
        Mode("with a .net file", "model size json", lambda arguments: arguments.model.suffix == ".net"),
        Mode("with a NIR graph", "model json", lambda arguments: arguments.model.suffix == ".nir"),
        Mode("with an ONNX model", "model size target view json"),
    )
)


def add(verbs: Any) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "inspect",
        description="List every node of an ONNX file, a .net file or a NIR graph as mapped, folded, host-side or refused (then "
        "status 1).",
        epilog="example: snn-deploy inspect models/denoiser_s25.onnx",
    )
    parser.add_argument("model", type=Path, help="ONNX, .net or .nir file")
    parser.add_argument(
        "--size", type=shared.size, metavar="HxW", help="image size (default: the model's, else 128x128)"
    )
    parser.add_argument(
        "--target",
        choices=("akida2",),
        help="refuse nodes that no layer of this engine can stand for, too: BrainChip's Akida 2",
    )
    parser.add_argument("--view", action="store_true", help="open the file in netron afterwards")
    shared.add_json(parser)
    parser.set_defaults(execute=execute, modes=MODES)


def execute(arguments: argparse.Namespace) -> int:
    """Show the ledger."""
    if arguments.model.suffix in SUFFIXES:
        ledger = inspect_foreign(arguments.model, size=arguments.size)
    else:
        size = arguments.size or input_size(arguments.model)
        ledger = inspect(arguments.model, size)
        if arguments.target is not None:
            ledger = judge_for_akida(arguments.model, size, ledger)
    if arguments.json:
        nodes = [asdict(row) for row in ledger.rows]
        show_json("inspect", {"counts": ledger.counts, "nodes": nodes, "remarks": ledger.remarks})
    else:
        show(tabulate_ledger(ledger, arguments.model.name))
        for remark in ledger.remarks:
            note(f"{arguments.model.name}: {remark}")
    if arguments.view:
        open_in_netron(arguments.model)
    return 1 if ledger.refused else 0


def tabulate_ledger(ledger: Ledger, title: str) -> PlainTable:
    """One row for every node; refused ones stand out."""
    table = PlainTable(title=title, caption=", ".join(f"{number} {fate}" for fate, number in ledger.counts.items()))
    for column in ("node", "operator", "fate", "into what, or why not"):
        table.add_column(column)
    for row in ledger.rows:
        style = "bold red" if row.fate == "refused" else None
        table.add_row(row.node, row.operator, row.fate, row.note, style=style)
    return table
