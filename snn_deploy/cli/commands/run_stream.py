"""``snn-deploy run --stream``: frames one after the other through a network whose states are carried over."""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snn_deploy.activity.stream import FrameActivity, StreamCounter
from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.stream import open_stream
from snn_deploy.backend.stream_file import save_state
from snn_deploy.cli import arguments as shared
from snn_deploy.cli import streams
from snn_deploy.cli.clipping import record_clipping
from snn_deploy.cli.streams import StreamInput
from snn_deploy.data.result_files import ResultFiles
from snn_deploy.display.console import note, progress, show, show_json
from snn_deploy.display.stream_tables import stream_line, stream_table
from snn_deploy.files import check_writable
from snn_deploy.network.network import Network

DIGITS = 6
"""Digits of a frame's number in the name of its files."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """``--stream`` and what goes with it."""
    group = streams.add_options(parser)
    group.add_argument("--resume", type=Path, metavar="FILE", help="go on from the states that --save-state wrote")
    group.add_argument("--save-state", type=Path, metavar="FILE", help="write the states after the last frame")
    group.add_argument("--save-every", type=shared.whole(1), metavar="N", help="write them after every N frames, too")


@dataclass(frozen=True)
class Frame:
    """One frame for ``--json``."""

    activity: FrameActivity
    seconds: float

    def record(self, macs: int) -> dict[str, Any]:
        """Its numbers."""
        operations = self.activity.synaptic_operations
        return {
            "events": self.activity.events,
            "synaptic_operations": operations,
            "operations_per_mac": operations / macs if macs else None,
            "seconds": round(self.seconds, 6),
        }


def execute(arguments: argparse.Namespace, network: Network) -> int:
    """Run frame after frame, write outputs and states, show what was sent."""
    if arguments.save_state is not None:
        check_writable(arguments.save_state)
    given = StreamInput.of(arguments, network)
    counter, frames, saturated = StreamCounter(given.network), list[Frame](), 0
    first = 0 if given.state is None else given.state.frames
    if arguments.out is not None:
        _files(arguments, given.network, first)  # what cannot be written is refused before anything runs
    stream = open_stream(load_backend(arguments.backend), given.network, given.state)
    with progress(f"{arguments.backend}: {network.name}, frames") as report:
        for number, payloads in enumerate(given):
            began = time.perf_counter()
            run = stream.push(payloads)
            seconds = time.perf_counter() - began
            frames.append(Frame(counter.add(run.events), seconds))
            saturated += sum(run.saturations.values())
            if arguments.out is not None:
                _files(arguments, given.network, first + number).write(run)
            if arguments.save_every is not None and (number + 1) % arguments.save_every == 0:
                save_state(stream.state(), given.network, arguments.save_state)
            report(number + 1, given.total or number + 2)
    if arguments.save_state is not None:
        save_state(stream.state(), given.network, arguments.save_state)
        note(f"wrote {arguments.save_state}")
    if arguments.json:
        show_json(
            "run-stream",
            {
                "backend": arguments.backend,
                "network": run.network,
                "first": first,
                "macs": counter.macs,
                "saturations": saturated,
                "populations": [vars(means) for means in counter.means()],
                "frames": [frame.record(counter.macs) for frame in frames],
                "clipped": record_clipping(arguments),
            },
        )
    else:
        show(stream_table(given.network, counter, arguments.backend))
        show(stream_line(counter, [frame.activity for frame in frames], sum(frame.seconds for frame in frames)))
    return 0


def _files(arguments: argparse.Namespace, network: Network, number: int) -> ResultFiles:
    """The outputs of frame ``number``, under its own names."""
    path = arguments.out.with_name(f"{arguments.out.stem}.{number:0{DIGITS}}{arguments.out.suffix}")
    return ResultFiles(path, network, 1, arguments.labels, arguments.colors)
