"""``snn-deploy verify``: do backends fire the same spikes."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from snn_deploy import artifact, images
from snn_deploy.backend import Record
from snn_deploy.commands import arguments as shared
from snn_deploy.console import progress, show, show_json
from snn_deploy.verify import Level, Status, Verdict, compare
from snn_deploy.verify import record as verdict_record
from snn_deploy.verify import table as verdict_table
from snn_deploy.verify_many import RECORDS, exit_code, verify_images

LEVELS = {level.label: level for level in Level}
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
    many = parser.add_argument_group("many images: --input names a folder")
    many.add_argument("--workers", type=shared.whole(1, 1024), default=1, help="local processes (default: 1)")
    many.add_argument("--scheduler", metavar="ADDRESS", help="a running Dask scheduler instead: tcp://host:8786")
    shared.add_json(parser)
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Run all backends on the image, or on each of a folder, and show the verdict."""
    if arguments.input.is_dir():
        return _execute_folder(arguments)
    network, _, payloads = shared.stimulus(arguments, artifact.load(arguments.network))
    level = LEVELS[arguments.level]
    record = RECORDS.get(level, Record.COUNTS)
    verdict = compare(network, [shared.run(name, network, payloads, record) for name in arguments.backends], level)
    if arguments.json:
        show_json(verdict_record(verdict))
    else:
        show_verdict(verdict)
    return verdict.exit_code


def _execute_folder(arguments: argparse.Namespace) -> int:
    network = artifact.load(arguments.network)
    paths = images.image_paths(arguments.input)
    with progress(f"verifying {len(paths)} images") as report:
        verdicts = verify_images(
            network,
            _images(arguments, paths, network.input.shape[0]),
            len(paths),
            arguments.backends,
            LEVELS[arguments.level],
            scheduler=arguments.scheduler,
            workers=arguments.workers,
            progress=report,
        )
    named = [(path.name, verdict) for path, verdict in zip(paths, verdicts, strict=True)]
    if arguments.json:
        records = [{"image": name, **verdict_record(verdict)} for name, verdict in named]
        show_json({"exit_code": exit_code(verdicts), "images": records})
    else:
        show(_summary(named, network.name))
        for name, verdict in named:
            if verdict.exit_code:
                show(f"{name}: {verdict.line}")
    return exit_code(verdicts)


def _images(arguments: argparse.Namespace, paths: Sequence[Path], channels: int) -> Iterator[tuple[str, images.Image]]:
    """Each image when it is its turn; the noise of image i has seed ``--seed`` + i."""
    for index, path in enumerate(paths):
        image = images.read_image(path, channels)
        if arguments.crop is not None:
            image = images.center_crop(image, *arguments.crop)
        yield path.name, images.add_noise(image, arguments.noise, arguments.seed + index) if arguments.noise else image


def _summary(named: Sequence[tuple[str, Verdict]], network: str) -> Table:
    """One row per image."""
    first = named[0][1]
    shown = Table(title=f"{network}: {' x '.join(first.backends)}, level {first.asked.label}, {len(named)} images")
    for heading in ("image", "neurons", "values compared", "status"):
        shown.add_column(heading, justify="right" if heading in ("neurons", "values compared") else "left")
    for name, verdict in named:
        seen = verdict.coverage
        shown.add_row(escape(name), f"{seen.neurons:,}", f"{seen.values:,}", verdict.status.value)
    return shown


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
