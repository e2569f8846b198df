"""``snn-deploy estimate --stream``: operations, joules and time per frame of a stream."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from snn_deploy.activity.activity import Activity
from snn_deploy.activity.counting import count_activity
from snn_deploy.activity.stream import ActivitySum
from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.stream import open_stream
from snn_deploy.cli.streams import StreamInput
from snn_deploy.cost.estimates import BOUNDARY, EnergyEstimate
from snn_deploy.cost.loads import choose_record
from snn_deploy.display.console import progress
from snn_deploy.display.plain_table import PlainTable
from snn_deploy.errors import StimulusError
from snn_deploy.network.network import Network


def count(arguments: argparse.Namespace, network: Network) -> tuple[Network, Activity, Activity]:
    """The network as it streams, the activity of its first frame, and that of all frames after it."""
    given = StreamInput.of(arguments, network)
    stream = open_stream(load_backend(arguments.backend), given.network)
    record, first, later = choose_record(given.network, 1), None, ActivitySum()
    number = 0
    with progress(f"{arguments.backend}: {network.name}, frames") as report:
        for number, payloads in enumerate(given, 1):
            activity = count_activity(given.network, stream.push(payloads, record))
            if first is None:
                first = activity
            else:
                later.add(activity)
            report(number, given.total or number + 1)
    if first is None or number < 2:
        raise StimulusError(
            f"{arguments.stream}: {number} frame(s); changes need two or more, give an image as --input"
        )
    return (
        given.network,
        first,
        later.result(f"counted on {number - 1} frame(s) after the first, backend {arguments.backend}"),
    )


def record(first: Activity, later: Activity, begin: EnergyEstimate | None) -> dict[str, Any]:
    """What ``--json`` says beside the estimate, which is of the frames after the first."""
    frames = np.sum([connection.synaptic_operations for connection in later.connections], axis=0)
    return {
        "frames": later.images + 1,
        "macs": later.macs,
        "first_frame": {
            "synaptic_operations": first.synaptic_operations,
            "energy": None if begin is None else begin.record(),
        },
        "synaptic_operations": [first.synaptic_operations, *map(int, frames)],
    }


def tabulate_frames(first: Activity, later: Activity, begin: EnergyEstimate, energy: EnergyEstimate) -> PlainTable:
    """The first frame, which is sent as a whole, beside the mean of those after it."""
    shown = PlainTable(title=f"{energy.network} on {energy.target}: frames of the stream, energy {BOUNDARY}")
    headings = ("frames", "operations / MAC", "dynamic energy", "energy", "latency", "frames per second")
    for heading in headings:
        shown.add_column(heading, justify="left" if heading == "frames" else "right")
    for label, activity, estimated in (("first", first, begin), (f"mean of {later.images} after it", later, energy)):
        ratio = activity.synaptic_operations / activity.images / max(activity.macs, 1)
        timing, rate = estimated.timing, estimated.images_per_s
        shown.add_row(
            label,
            f"{ratio:.4f}",
            estimated.dynamic_j.text("J"),
            "-" if timing is None else estimated.total_j.text("J"),
            "-" if timing is None else timing.latency_s.text("s"),
            "-" if rate is None else rate.text(""),
        )
    return shown
