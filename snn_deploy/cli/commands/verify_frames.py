"""``snn-deploy verify --trace`` of a stream: did a chip send the same spikes in every frame."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import ExitStack

from snn_deploy.arrays import Int64
from snn_deploy.backend.registry import load_backend
from snn_deploy.cli.commands import verify_recordings
from snn_deploy.cli.verdicts import show_verdict_json
from snn_deploy.display.console import progress
from snn_deploy.display.verdict_table import show_verdict
from snn_deploy.errors import VerificationError
from snn_deploy.network.network import Network
from snn_deploy.network.streaming import prepare_stream
from snn_deploy.verification import Level
from snn_deploy.verification.stimuli import Stimuli
from snn_deploy.verification.stream_session import verify_stream
from snn_deploy.verification.traces.recorded import find_level, read_stimuli
from snn_deploy.verification.traces.recordings import open_recording

STILL = ("input", "certificate", "mutation", "spread")
"""Options of recordings of still images."""


def holds_frames(arguments: argparse.Namespace, network: Network) -> bool:
    """Whether the first recording is one of a stream."""
    if not arguments.trace:
        return False
    with open_recording(arguments.trace[0], network, verify_recordings.readout_of(arguments)) as recording:
        return recording.frames


def execute(arguments: argparse.Namespace, network: Network, asked: Level | None) -> int:
    """Compare the frames that the recordings hold, up to the first that differs, at the level ``asked`` or the strictest."""
    for option in STILL:
        if getattr(arguments, option):
            raise VerificationError(
                f"--{option}: {arguments.trace[0]} is a recording of a stream, which holds its frames and is compared with "
                f"streams of the backends; leave --{option} out"
            )
    shown = read_stimuli(network, arguments.trace[0])
    streaming = prepare_stream(shown.network)
    backends = [load_backend(name) for name in arguments.backends]
    with ExitStack() as opened:
        recordings = [
            opened.enter_context(open_recording(path, streaming, verify_recordings.readout_of(arguments)))
            for path in arguments.trace
        ]
        level = find_level(streaming, recordings) if asked is None else asked
        if asked is None:
            verify_recordings.note_level(level)
        total = shown.count // shown.together
        with progress(f"{', '.join(arguments.backends)}: {network.name}, frames") as report:
            verdict = verify_stream(
                streaming,
                _frames(shown),
                backends,
                level,
                recordings=recordings,
                share=arguments.share,
                total=total,
                progress=report,
            )
    if arguments.json:
        show_verdict_json(arguments, verdict)
    else:
        show_verdict(verdict)
    return verdict.exit_code


def _frames(shown: Stimuli) -> Iterator[Int64]:
    """The payloads (B, C, H, W) of one frame after the other."""
    for first in range(0, shown.count, shown.together):
        yield shown.read(first, first + shown.together)
