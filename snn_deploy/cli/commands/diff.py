"""``snn-deploy diff``: what changed between two artifacts."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from snn_deploy.cli import arguments as shared
from snn_deploy.cli.clipping import record_clipping
from snn_deploy.cli.modes import IMAGE, NOISE, Mode, Modes
from snn_deploy.display.console import show, show_json
from snn_deploy.display.plain_table import PlainTable
from snn_deploy.network import artifact
from snn_deploy.network.difference import Change, diff, diff_counts

MODES = Modes((Mode("in any mode", "left right input crop noise seed backend json"),), (IMAGE, NOISE))


def add(verbs: Any) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "diff",
        description="Compare two artifacts, and with --input their spikes; status 0 the same, 1 different.",
        epilog="example: snn-deploy diff out/before.snn out/after.snn",
    )
    parser.add_argument("left", type=Path, help="artifact (.snn)")
    parser.add_argument("right", type=Path, help="artifact (.snn)")
    shared.add_stimulus(parser, required=False)
    shared.add_backend(parser)
    shared.add_json(parser)
    parser.set_defaults(execute=execute, modes=MODES)


def execute(arguments: argparse.Namespace) -> int:
    """Compare, and show one line a change."""
    sides = [artifact.load(path) for path in (arguments.left, arguments.right)]
    changes: tuple[Change, ...] = diff(*sides)
    if arguments.input is not None:
        runs = []
        for side in sides:
            network, payloads = shared.stimulus(arguments, side)
            runs.append(shared.run(arguments.backend, network, payloads))
        changes = (*changes, *diff_counts(runs[0].counts, runs[1].counts))
    if arguments.json:
        show_json("diff", {"changes": [asdict(change) for change in changes], "clipped": record_clipping(arguments)})
    elif changes:
        show(tabulate_changes(changes, f"{arguments.left} -> {arguments.right}"))
    else:
        show(f"{arguments.left} and {arguments.right} are the same network")
    return 1 if changes else 0


def tabulate_changes(changes: Sequence[Change], title: str) -> PlainTable:
    """One row for every change."""
    table = PlainTable(title=f"{title}: {len(changes)} change(s)")
    for heading in ("where", "what", "left", "right"):
        table.add_column(heading)
    for change in changes:
        table.add_row(change.where, change.what, change.left, change.right)
    return table
