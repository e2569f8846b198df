"""Options of ``snn-deploy verify`` about recordings."""

from __future__ import annotations

import argparse
from pathlib import Path

from snn_deploy.cli import arguments as shared
from snn_deploy.verification.traces.recordings import Readout


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


def readout_of(arguments: argparse.Namespace) -> Readout:
    """How the options say that recordings are read."""
    return Readout(arguments.mark, arguments.bits, arguments.dt)
