"""``snn-deploy inspect``: what becomes of every node of an ONNX file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from snn_deploy.commands import arguments as shared
from snn_deploy.console import show, show_json
from snn_deploy.frontend.onnx import inspect


def add(verbs: Any) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "inspect",
        help="list what becomes of every node of a model",
        description="List every node of an ONNX file as mapped, folded, host-side or refused (then status 1).",
        epilog="example: snn-deploy inspect models/denoiser_s25.onnx",
    )
    parser.add_argument("model", type=Path, help="ONNX file")
    parser.add_argument("--size", type=shared.size, metavar="HxW", help="pins dynamic axes")
    shared.add_json(parser)
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Show the ledger."""
    ledger = inspect(arguments.model, arguments.size)
    if arguments.json:
        show_json(ledger.record())
    else:
        show(ledger.table())
    return 1 if ledger.refused else 0
