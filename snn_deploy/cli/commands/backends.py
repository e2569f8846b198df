"""``snn-deploy backends``: which backends are ready, which lack what they need, and which fail."""

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
        description="List the backends and run a small network on each that has what it needs; status 1 where one fails.",
        epilog="example: snn-deploy backends --json",
    )
    shared.add_json(parser)
    parser.set_defaults(execute=execute, modes=MODES)


def execute(arguments: argparse.Namespace) -> int:
    """Load and try every backend."""
    states = [_state(name) for name in list_backends()]
    if arguments.json:
        show_json("backends", {"backends": states})
    else:
        show(tabulate_backends(states))
    return 0 if all(state["runs"] or not state["installed"] for state in states) else 1


def _state(name: str) -> dict[str, str | bool]:
    """Whether everything that the backend needs is installed, whether it ran, and how long that took or why it did not."""
    try:
        backend = load_backend(name)
    except BackendUnavailableError as error:
        missing = isinstance(error.__cause__, ImportError | SnnDeployError)  # else its own code failed
        return {"name": name, "installed": not missing, "runs": False, "note": str(error)}
    try:
        return {"name": name, "installed": True, "runs": True, "note": _try(backend)}
    except SnnDeployError as error:
        return {"name": name, "installed": True, "runs": False, "note": str(error)}


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
        failed = Text("no", "red" if state["installed"] else "")
        table.add_row(state["name"], "yes" if state["runs"] else failed, str(state["note"]))
    return table
