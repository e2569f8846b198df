"""``snn-deploy schema``: what ``--json`` prints, as JSON Schema."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from snn_deploy.cli import arguments as shared
from snn_deploy.cli.json_schemas import list_kinds, read_schema
from snn_deploy.cli.modes import Mode, Modes
from snn_deploy.display.console import show, show_json, show_raw
from snn_deploy.display.plain_table import PlainTable

MODES = Modes((Mode("in any mode", "kind json"),))


def add(verbs: Any) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "schema",
        description="List the kinds of results that --json prints, or print the JSON Schema of one.",
        epilog="example: snn-deploy schema verify",
    )
    parser.add_argument(
        "kind",
        nargs="?",
        choices=list_kinds(),
        metavar="KIND",
        help="kind of result: what stands before / in its field schema",
    )
    shared.add_json(parser)
    parser.set_defaults(execute=execute, modes=MODES)


def execute(arguments: argparse.Namespace) -> int:
    """Show all, or one in full."""
    chosen = [arguments.kind] if arguments.kind else list_kinds()
    documents = {kind: read_schema(kind) for kind in chosen}
    if arguments.json:
        records = [
            {"kind": kind, "title": document["title"], "document": document} for kind, document in documents.items()
        ]
        show_json("schema", {"schemas": records})
    elif arguments.kind:
        show_raw(json.dumps(documents[arguments.kind], indent=1, ensure_ascii=False))
    else:
        show(tabulate_kinds([(kind, document["title"]) for kind, document in documents.items()]))
    return 0


def tabulate_kinds(titles: Sequence[tuple[str, str]]) -> PlainTable:
    """One row for every kind."""
    table = PlainTable(title="results of --json", caption="snn-deploy schema KIND prints the JSON Schema of one")
    for heading in ("kind", "what it is"):
        table.add_column(heading)
    for kind, title in titles:
        table.add_row(kind, title)
    return table
