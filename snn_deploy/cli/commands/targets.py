"""``snn-deploy targets``: devices, their numbers and where each comes from."""

from __future__ import annotations

import argparse
from typing import Any

from snn_deploy.cli import arguments as shared
from snn_deploy.cli.modes import Mode, Modes
from snn_deploy.display.console import show, show_json
from snn_deploy.display.plain_table import PlainTable
from snn_deploy.targets.load import Source, Target, load_target, target_names

MODES = Modes((Mode("in any mode", "target json"),))


def add(verbs: Any) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "targets",
        description="List the known devices, or every number of one with its basis, source and band.",
        epilog="example: snn-deploy targets loihi2",
    )
    parser.add_argument("target", nargs="?", help="device name, or a TOML file")
    shared.add_json(parser)
    parser.set_defaults(execute=execute, modes=MODES)


def execute(arguments: argparse.Namespace) -> int:
    """Show all, or one in full."""
    chosen = [load_target(arguments.target)] if arguments.target else [load_target(name) for name in target_names()]
    if arguments.json:
        show_json("targets", {"targets": [_record(target) for target in chosen]})
    elif arguments.target:
        sources = list(dict.fromkeys(figure.source for figure in chosen[0].figures.values()))
        show(tabulate_figures(chosen[0], sources))
        for number, source in enumerate(sources, 1):
            show(f"({number}) {source.title}, {source.date}")
        for text in chosen[0].notes:
            show(f"note: {text}")
    else:
        show(tabulate_targets(chosen))
    return 0


def _record(target: Target) -> dict[str, Any]:
    return {
        "name": target.name,
        "title": target.title,
        "kind": target.kind,
        "figures": {
            key: {
                "value": figure.value,
                "basis": figure.basis,
                "band": list(figure.band),
                "source": figure.source.title,
                "date": figure.source.date,
                "note": figure.note,
            }
            for key, figure in target.figures.items()
        },
        "boards": {board.name: board.chips for board in target.boards},
        "notes": list(target.notes),
    }


def tabulate_targets(targets: list[Target]) -> PlainTable:
    """One row for every device."""
    table = PlainTable(title="targets", caption="snn-deploy targets NAME shows every number and its source")
    for heading in ("target", "kind", "what it is", "numbers"):
        table.add_column(heading, justify="right" if heading == "numbers" else "left")
    for target in targets:
        table.add_row(target.name, target.kind, target.title, str(len(target.figures)))
    return table


def tabulate_figures(target: Target, sources: list[Source]) -> PlainTable:
    """Every number of a device with its band, basis, source and note."""
    table = PlainTable(title=f"{target.name}: {target.title}")
    for heading in ("number", "value", "band", "basis", "source", "note"):
        table.add_column(heading, justify="right" if heading == "value" else "left", no_wrap=heading != "note")
    for key, figure in target.figures.items():
        low, high = figure.band
        band = "" if (low, high) == (1.0, 1.0) else f"x{low:g} to x{high:g}"
        number = f"({sources.index(figure.source) + 1})"
        table.add_row(key, f"{figure.value:g}", band, figure.basis, number, figure.note)
    return table
