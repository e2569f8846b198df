"""``snn-deploy backends``: what is installed and whether it can run."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from rich.text import Text

from snn_deploy.backend.protocol import Backend
from snn_deploy.backend.registry import list_backends, load_backend, run_backend
from snn_deploy.cli import arguments as shared
from snn_deploy.cli.modes import Mode, Modes
from snn_deploy.display.console import show, show_json
from snn_deploy.display.plain_table import PlainTable
from snn_deploy.errors import BackendUnavailableError, SnnDeployError
from snn_deploy.network.network import Network
from snn_deploy.testing import draw_narrow, random_plain, random_stimulus, random_unet

MODES = Modes((Mode("in any mode", "json"),))


def add(verbs: Any) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "backends",
        description="List the installed backends and run a small network on each; status 1 where one cannot.",
        epilog="example: snn-deploy backends --json",
    )
    shared.add_json(parser)
    parser.set_defaults(execute=execute, modes=MODES)


def execute(arguments: argparse.Namespace) -> int:
    """Load and try every backend."""
    states = {}
    for name in list_backends():
        try:
            states[name] = {"name": name, "runs": True, "note": _try(load_backend(name))}
        except SnnDeployError as error:
            states[name] = {"name": name, "runs": False, "note": str(error)}
    if arguments.json:
        show_json("backends", {"backends": list(states.values())})
    else:
        show(tabulate_backends(list(states.values())))
    return 0 if all(state["runs"] for state in states.values()) else 1


def _try(backend: Backend) -> str:
    """How long a small network took; plainer ones where ``backend`` refuses it."""
    tried: tuple[tuple[str, Network], ...] = (
        ("", random_unet(size=8, width=2, levels=15)),
        ("plain integrate-and-fire neurons only; ", random_plain()),
        ("exact mode within 8 bits only; ", draw_narrow(Random(0))),
    )
    for only, network in tried:
        size = f"{network.input.shape[1]}x{network.input.shape[2]}"
        try:
            seconds = run_backend(backend, network, random_stimulus(network, batch=1)).seconds
        except BackendUnavailableError as error:
            refusal = error
        else:
            return f"{only}a network of {size} pixels took {seconds:.2f} s"
    raise refusal


def tabulate_backends(states: Sequence[Mapping[str, Any]]) -> PlainTable:
    """One row for every backend: its name, whether it runs, and how long that took or why it does not."""
    table = PlainTable(title="backends")
    for heading in ("backend", "runs", "note"):
        table.add_column(heading)
    for state in states:
        table.add_row(state["name"], "yes" if state["runs"] else Text("no", "red"), str(state["note"]))
    return table
