"""``snn-deploy verify --stream``: do backends send the same spikes in every frame of a stream."""

from __future__ import annotations

import argparse
from pathlib import Path

from snn_deploy.backend.registry import load_backend
from snn_deploy.cli import streams
from snn_deploy.cli.streams import StreamInput
from snn_deploy.cli.verdicts import show_verdict_json
from snn_deploy.display.console import progress
from snn_deploy.display.verdict_table import show_verdict
from snn_deploy.network.network import Network
from snn_deploy.verification import Level
from snn_deploy.verification.stream_session import verify_stream


def add_options(parser: argparse.ArgumentParser) -> None:
    """``--stream`` and what goes with it."""
    group = streams.add_options(parser)
    group.add_argument("--resume", type=Path, metavar="FILE", help="go on from states that run --save-state wrote")


def execute(arguments: argparse.Namespace, network: Network, level: Level) -> int:
    """Compare frame after frame, up to the first that differs."""
    given = StreamInput.of(arguments, network)
    backends = [load_backend(name) for name in arguments.backends]
    with progress(f"{', '.join(arguments.backends)}: {network.name}, frames") as report:
        verdict = verify_stream(
            given.network, given, backends, level, state=given.state, total=given.total, progress=report
        )
    if arguments.json:
        show_verdict_json(arguments, verdict)
    else:
        show_verdict(verdict)
    return verdict.exit_code
