"""The command line. Results go to standard output, messages and progress to standard error.

Exit status: 0 done or equal, 1 different or does not fit, 2 not compared, 3 bad input or failure.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from snn_deploy import __version__
from snn_deploy.errors import SnnDeployError

VERBS = ("inspect", "convert", "run", "verify", "estimate", "evaluate", "finetune", "demo")
"""Modules of :mod:`snn_deploy.commands`, in the order of ``--help``."""

BAD_INPUT = 3
INTERRUPTED = 130


class _Parser(argparse.ArgumentParser):
    """One line and status 3 for a wrong command line, as for every other bad input."""

    def error(self, message: str) -> None:  # type: ignore[override]
        self.exit(BAD_INPUT, f"{self.prog}: {message}\n")


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = _Parser(
        prog="snn-deploy",
        description="Trained U-Nets to spiking networks with the same spikes on the simulator, in Lava and on Loihi.",
    )
    top.add_argument("--version", action="version", version=f"snn-deploy {__version__}")
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=_Parser)
    for verb in VERBS:
        import_module(f"snn_deploy.commands.{verb}").add(verbs)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit status."""
    parsed = parser().parse_args(arguments)
    try:
        status: int = parsed.execute(parsed)
    except SnnDeployError as error:
        sys.stderr.write(f"snn-deploy {parsed.verb}: {' '.join(str(error).split())}\n")
        return BAD_INPUT
    except KeyboardInterrupt:
        sys.stderr.write(f"snn-deploy {parsed.verb}: interrupted\n")
        return INTERRUPTED
    return status
