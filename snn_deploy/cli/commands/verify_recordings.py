"""Options of ``snn-deploy verify`` about recordings."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from snn_deploy.cli import arguments as shared
from snn_deploy.display.console import note
from snn_deploy.errors import NetworkError
from snn_deploy.network.network import Network
from snn_deploy.verification import Level
from snn_deploy.verification.traces.recorded import find_level
from snn_deploy.verification.traces.recordings import Batches, Readout, open_recording


def add_options(parser: argparse.ArgumentParser) -> None:
    """``--trace`` and how to read it."""
    group = parser.add_argument_group("recordings")
    group.add_argument(
        "--trace",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a recording: .npz, .nir, SANA-FE .csv, or a folder with spikes.csv and potentials.csv",
    )
    group.add_argument(
        "--spread",
        action="store_true",
        help="the recordings are of one chip that is not deterministic: judge them by how much they differ themselves",
    )
    group.add_argument(
        "--share",
        type=shared.real(0, 1),
        default=1.0,
        metavar="PART",
        help="part of each population that must have been probed (default: 1, all)",
    )
    group.add_argument(
        "--mark", type=shared.whole(1), metavar="V", help="membrane that the read-out shows at a spike (Loihi: 128)"
    )
    group.add_argument(
        "--bits",
        type=shared.whole(2, 63),
        metavar="N",
        help="words were read as unsigned N-bit integers; decode them as signed",
    )
    group.add_argument(
        "--dt", type=shared.real(1e-12, 1e12), help="duration of a step, in the unit of a .nir file's event times"
    )


def choose_level(arguments: argparse.Namespace, network: Network) -> Level:
    """The strictest level that the recordings allow, with a note where it is not that of every event."""
    with ExitStack() as opened:
        recordings = [
            opened.enter_context(open_recording(path, network, readout_of(arguments))) for path in arguments.trace
        ]
        sized = _sized(network, recordings)
        level = find_level(sized, recordings)
    note_level(level)
    return level


def note_level(level: Level) -> None:
    """Say why ``level``, the strictest that recordings allow, is not that of every event."""
    if level < Level.TRAIN:
        what = "the outputs" if level is Level.OUTPUT_COUNT else "counts, not steps that can be compared"
        note(f"the recordings hold {what}: compared at level {level.label}; --level train asks for every event")


def _sized(network: Network, recordings: Sequence[Batches]) -> Network:
    """``network`` at the size of the images that ``recordings`` hold."""
    for recording in recordings:
        payloads = recording.stimulus(0)
        if payloads is not None and payloads.shape[-2:] != network.input.shape[1:]:
            with suppress(NetworkError):
                return network.at_size(*payloads.shape[-2:])
    return network


def readout_of(arguments: argparse.Namespace) -> Readout:
    """How the options say that recordings are read."""
    return Readout(arguments.mark, arguments.bits, arguments.dt)
