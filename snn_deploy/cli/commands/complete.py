"""``snn-deploy complete``: a script that completes verbs, options and files in the shell."""

from __future__ import annotations

import argparse
from typing import Any

from snn_deploy.cli import arguments as shared
from snn_deploy.cli.modes import Mode, Modes
from snn_deploy.display.console import show_json, show_raw
from snn_deploy.errors import ReportError, suggest_extras

MODES = Modes((Mode("in any mode", "shell json"),))


def add(verbs: Any) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "complete",
        description="Print a script that completes verbs, options and files.",
        epilog='example: eval "$(snn-deploy complete bash)"',
    )
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"), help="shell that runs the script")
    shared.add_json(parser)
    parser.set_defaults(execute=execute, modes=MODES)


def execute(arguments: argparse.Namespace) -> int:
    """Let shtab write it."""
    try:
        import shtab
    except ImportError as error:
        raise ReportError(f"complete needs shtab: {suggest_extras('completion')}") from error
    script = shtab.complete(arguments.parser, arguments.shell)
    if arguments.json:
        show_json("complete", {"shell": arguments.shell, "script": script})
    else:
        show_raw(script)
    return 0
