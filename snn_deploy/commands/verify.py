"""``snn-deploy verify``: do backends fire the same spikes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from snn_deploy import artifact
from snn_deploy.backend import Record
from snn_deploy.commands import arguments as shared
from snn_deploy.console import show, show_json
from snn_deploy.verify import Level, Status, Verdict, compare
from snn_deploy.verify import record as verdict_record
from snn_deploy.verify import table as verdict_table

LEVELS = {level.label: level for level in Level}
RECORDS = {Level.TRAIN: Record.TRAINS, Level.STATE: Record.STATES}
PLACE = "first (image, step, neuron): found, expected"


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
        "--backends",
        type=shared.backends,
        default="reference,cpu",
        metavar="A,B",
        help="the first is the baseline (default: reference,cpu)",
    )
    parser.add_argument(
        "--level", choices=tuple(LEVELS), default=Level.TRAIN.label, help="default: train (every event)"
    )
    shared.add_json(parser)
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Run all backends on the image and show the verdict."""
    network, _, payloads = shared.stimulus(arguments, artifact.load(arguments.network))
    level = LEVELS[arguments.level]
    record = RECORDS.get(level, Record.COUNTS)
    verdict = compare(network, [shared.run(name, network, payloads, record) for name in arguments.backends], level)
    if arguments.json:
        show_json(verdict_record(verdict))
    else:
        show_verdict(verdict)
    return verdict.exit_code


def show_verdict(verdict: Verdict) -> None:
    """Table, warnings and the line that says it all."""
    show(verdict_table(verdict), silent=_silent(verdict), optional=("probed", "neurons"))
    for warning in verdict.warnings:
        show(f"warning: {warning}")
    show(verdict.line)


def _silent(verdict: Verdict) -> tuple[str, ...]:
    """Columns that may be left out where they say nothing: of those that count differences the strictest one stays."""
    differ = ("neurons differ", "events differ", "states differ")
    made = [
        heading for heading, level in zip(differ, (Level.NEURON_COUNT, *RECORDS), strict=True) if verdict.asked >= level
    ]
    kept = made[-1:] if verdict.status is Status.EQUAL else []
    return ("probed", *(heading for heading in differ if heading not in kept), PLACE)
