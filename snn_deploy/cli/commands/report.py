"""``snn-deploy report``: everything about a network and an image in one HTML file."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from snn_deploy.cli import arguments as shared
from snn_deploy.cli import streams
from snn_deploy.cli.clipping import record_clipping
from snn_deploy.cli.commands import evaluate_stream
from snn_deploy.cli.commands.verify import LEVELS
from snn_deploy.cli.modes import Mode, Modes, Need
from snn_deploy.data.frame_samples import FrameSamples
from snn_deploy.data.images import Image
from snn_deploy.display.console import note, progress, show_json
from snn_deploy.evaluation.evaluate import TASKS
from snn_deploy.files import check_writable, write
from snn_deploy.network import artifact
from snn_deploy.network.network import Network
from snn_deploy.report import render_page
from snn_deploy.report.collect import collect_contents
from snn_deploy.report.request import Request
from snn_deploy.targets.load import load_target
from snn_deploy.verification import record as verdict_record

LADDER = (7, 15, 31, 63, 127, 255)
"""Levels N of the curve in exact mode."""

TRAINS_LIMIT = 2**30
"""Most bytes of recorded spike trains for the curve in rate mode."""

LOSSY = (256, 256)
"""Most pixels (H, W) on which the loss of every layer is measured; the float network's values of all layers are held at once."""

COMPARED = (64, 64)
"""Most pixels (H, W) on which backends are compared unless others are asked for; slow ones take minutes for more."""

LIBRARIES = ("numpy", "onnx", "onnxruntime", "torch", "lava-nc")

MODES = Modes(
    (
        streams.mode("task backend out model calibration no_curve backends level verify_crop target json"),
        Mode(
            "with --input",
            "network input crop noise seed backend out model calibration no_curve backends level verify_crop target json",
        ),
    ),
    (
        streams.BIN,
        Need("calibration", "without --model", lambda arguments: arguments.model is not None),
        Need("calibration", "with --no-curve", lambda arguments: not arguments.no_curve),
        Need(
            "calibration",
            "with a network of rate mode, whose curve needs no conversion",
            lambda arguments: artifact.load(arguments.network).mode == "exact",
        ),
        Need(
            "seed", "without --noise or --model", lambda arguments: arguments.noise > 0 or arguments.model is not None
        ),
    ),
)


def add(verbs: Any) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "report",
        description="Run one image, compare backends on it, estimate its energy, and write it all as one HTML file; with "
        "--stream the first frame, and curves over all frames.",
        epilog="example: snn-deploy report out/d.snn --input photo.png --noise 25 --model unet.onnx --out out/report.html",
    )
    parser.add_argument("network", type=Path, help="artifact (.snn)")
    shared.add_stimulus(parser, required=False)
    streams.add_options(parser).add_argument(
        "--task",
        choices=TASKS,
        help="what the frames are scored for, against references or --model (default: they are not)",
    )
    shared.add_backend(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="HTML file to write")
    parser.add_argument(
        "--model", type=Path, metavar="ONNX", help="float model; adds its output, the curve and the operators"
    )
    parser.add_argument(
        "--calibration",
        type=Path,
        nargs="+",
        metavar="PATH",
        help="images for the curve's conversions (default: as in convert)",
    )
    parser.add_argument("--no-curve", action="store_true", help="leave out the curve, which takes six conversions")
    parser.add_argument(
        "--backends",
        type=shared.backends,
        default="reference,cpu",
        metavar="A,B",
        help="backends to compare (default: reference,cpu)",
    )
    parser.add_argument(
        "--level", choices=tuple(LEVELS), default="train", help="level of the comparison (default: train)"
    )
    parser.add_argument(
        "--verify-crop",
        type=shared.size,
        metavar="HxW",
        help="part that is compared (default: 64x64, or what the network supports)",
    )
    parser.add_argument("--target", default="loihi2", help="device of the energy estimate (default: loihi2)")
    shared.add_json(parser)
    parser.set_defaults(execute=execute, modes=MODES)


def execute(arguments: argparse.Namespace) -> int:
    """Collect, draw, write; status as of ``verify``."""
    shared.check_suffix(arguments.out, ".html", ".htm")
    check_writable(arguments.out)
    streams.check_one(arguments)
    load_target(arguments.target)  # a wrong name fails before the work
    contents = collect_contents(_request(arguments), progress)
    write(arguments.out, render_page(contents))
    note(f"wrote {arguments.out} ({arguments.out.stat().st_size / 2**20:.2f} MiB)")
    verdict = contents.verdict
    if arguments.json:
        written = {"written": str(arguments.out), "exit_code": verdict.exit_code, "missing": contents.missing}
        stream = None if contents.stream is None else evaluate_stream.record(contents.stream)
        written |= {"stream": stream, "clipped": record_clipping(arguments)}
        show_json("report", written | {"verdict": verdict_record(verdict)})
    return verdict.exit_code


def _request(arguments: argparse.Namespace) -> Request:
    network = artifact.load(arguments.network)
    if arguments.stream is None:
        source, stream = str(arguments.input), None
        clean, noisy = shared.clean_and_noisy(arguments, network)
    else:
        stream = evaluate_stream.evaluate_frames(arguments, network, arguments.task, arguments.model)
        source, clean, noisy = _first_frame(arguments, network)
    return Request(
        network,
        clean,
        noisy,
        source=source,
        artifact=str(arguments.network),
        noise=arguments.noise,
        seed=arguments.seed,
        model=arguments.model,
        calibration=arguments.calibration,
        curve=not arguments.no_curve,
        backend=arguments.backend,
        backends=tuple(arguments.backends),
        level=LEVELS[arguments.level],
        part=arguments.verify_crop,
        target=arguments.target,
        stream=stream,
    )


def _first_frame(arguments: argparse.Namespace, network: Network) -> tuple[str, Image, Image]:
    """Of a stream: the name of its first frame, and the frame without and with its noise, as the network reads it."""
    frames = streams.read_frames(arguments, network)
    without, seen = (
        next(iter(FrameSamples(replace(frames, noise=noise), arguments.task))) for noise in (0.0, frames.noise)
    )
    return f"{arguments.stream}: {seen.name}", without.seen, seen.seen
