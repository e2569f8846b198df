"""``snn-deploy verify``: do backends fire the same spikes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from snn_deploy import artifact
from snn_deploy.backend import Record, Run, load_backend
from snn_deploy.commands import arguments as shared
from snn_deploy.console import progress, show, show_json
from snn_deploy.errors import VerificationError
from snn_deploy.verify import Level, compare
from snn_deploy.verify import record as verdict_record
from snn_deploy.verify import table as verdict_table

LEVELS = {level.label: level for level in Level}
RECORDS = {Level.TRAIN: Record.TRAINS, Level.STATE: Record.STATES}


def add(verbs: Any) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "verify",
        help="compare the spikes of several backends",
        description="Compare the spikes of several backends; status 0 equal, 1 different, 2 not compared, 3 bad input.",
        epilog="example: snn-deploy verify out/d.snn --input photo.png --crop 32x32 --backends reference,cpu,lava",
    )
    parser.add_argument("network", type=Path, help="artifact (.snn)")
    shared.add_stimulus(parser)
    parser.add_argument(
        "--backends", default="reference,cpu", help="the first is the baseline (default: reference,cpu)"
    )
    parser.add_argument(
        "--level", choices=tuple(LEVELS), default=Level.TRAIN.label, help="default: train (every event)"
    )
    shared.add_json(parser)
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Run all backends on the image and show the verdict."""
    names = [name for name in arguments.backends.split(",") if name]
    if len(set(names)) < 2:
        raise VerificationError(f"--backends {arguments.backends}: name at least two different ones")
    network, _, stimulus = shared.stimulus(arguments, artifact.load(arguments.network))
    level = LEVELS[arguments.level]
    runs: list[Run] = []
    for name in names:
        with progress(f"{name}: {network.name}") as report:
            runs.append(load_backend(name).run(network, stimulus, RECORDS.get(level, Record.COUNTS), report))
    verdict = compare(network, runs, level)
    if arguments.json:
        show_json(verdict_record(verdict))
    else:
        show(verdict_table(verdict))
        show(verdict.line)
    return verdict.exit_code
