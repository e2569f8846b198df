"""``snn-deploy sweep``: quality against spikes, energy and latency over a grid of conversion options."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from snn_deploy.activity.counting import count_activity
from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.stimulus import quantize_images
from snn_deploy.cli import arguments as shared
from snn_deploy.cli.clipping import record_clipping
from snn_deploy.cli.modes import WORKERS, Mode, Modes
from snn_deploy.conversion.convert import calibration_size, convert, input_channels, input_size, open_float_probe
from snn_deploy.conversion.options import Options, preset
from snn_deploy.cost.energy import estimate
from snn_deploy.cost.loads import choose_record
from snn_deploy.data import images
from snn_deploy.data.calibration import load_calibration_images
from snn_deploy.display.console import progress, show, show_json
from snn_deploy.display.tables import sweep_table
from snn_deploy.errors import ConversionError
from snn_deploy.evaluation.sweep import Goal, Grid, Settings, parse_axis, select_pareto_front, sweep
from snn_deploy.files import check_writable, write
from snn_deploy.frontend.onnx import portable
from snn_deploy.network.picture_scale import PictureScale
from snn_deploy.report.pareto_plot import pareto_plot
from snn_deploy.targets.load import Target, load_target
from snn_deploy.verification.certificate import digest_file

GOALS: dict[str, Goal] = {"quality_db": "max", "energy_j": "min", "latency_s": "min", "synaptic_operations": "min"}
"""What a point is judged by; ``quality_db`` is the signal-to-error ratio against the float network, in dB."""

COSTS = "timeline"
"""The model of energy and time: a journal of another one is not resumed."""

MODES = Modes(
    (
        Mode(
            "in any mode",
            "model input crop noise seed grid calibration range mean std target journal plot workers scheduler json",
        ),
    ),
    (WORKERS,),
)


def add(verbs: Any) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "sweep",
        description="Convert and run under every combination of options; an interrupted sweep resumes from its journal.",
        epilog="example: snn-deploy sweep models/denoiser_s25.onnx --input photo.png --crop 64x64 --grid levels=31,63,127",
    )
    parser.add_argument("model", type=Path, help="ONNX file")
    shared.add_stimulus(parser)
    parser.add_argument("--grid", action="append", required=True, metavar="NAME=V,V", help="an axis; may be repeated")
    parser.add_argument(
        "--calibration", type=Path, nargs="+", metavar="PATH", help="images on which activations are measured"
    )
    shared.add_picture_scale(parser)
    parser.add_argument("--target", default="loihi2", help="device of the energy estimate (default: loihi2)")
    parser.add_argument(
        "--journal", type=Path, metavar="FILE", help="results as they are computed; a later run resumes from it"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="write the Pareto plot")
    shared.add_workers(parser, "the points")
    shared.add_json(parser)
    parser.set_defaults(execute=execute, modes=MODES)


def execute(arguments: argparse.Namespace) -> int:
    """Sweep, show the table, draw the plot."""
    if arguments.plot is not None:
        check_writable(arguments.plot)
    axes = tuple(parse_axis(text) for text in arguments.grid)
    known = {field.name for field in fields(Options)} | {"preset"}
    for name, _ in axes:
        if name not in known:
            raise ConversionError(
                f"axis {name!r} is not an option of a conversion; the options are {', '.join(sorted(known))}"
            )
    scoring = _scoring(arguments)
    grid = Grid(f"{digest_file(arguments.model)} {scoring.digest}", axes)
    with progress("sweep") as report:
        points = sweep(
            grid,
            scoring,
            journal=arguments.journal,
            workers=arguments.workers,
            scheduler=arguments.scheduler,
            progress=lambda done, total, _: report(done, total),
        )
    front = select_pareto_front(points, GOALS)
    if arguments.plot is not None:
        write(arguments.plot, pareto_plot(points, "energy_j", "quality_db"))
    if arguments.json:
        records = [{"settings": p.settings, "scores": p.scores, "error": p.error, "front": p in front} for p in points]
        show_json("sweep", {"points": records, "clipped": record_clipping(arguments)})
    else:
        show(sweep_table(points, GOALS))
    return 0


def _scoring(arguments: argparse.Namespace) -> Scoring:
    """Everything is read here, once: what cannot be read fails now and not at every point, and no worker needs the files."""
    channels = input_channels(arguments.model, input_size(arguments.model))
    picture = shared.picture_scale(arguments, arguments.model)
    image = images.read_image(arguments.input, channels, picture)
    if arguments.crop is not None:
        height, width = arguments.crop
        image = images.center_crop(image, height, width, str(arguments.input))
    size = calibration_size(arguments.model, (image.shape[2], image.shape[3]))
    return Scoring(
        portable(arguments.model),
        images.add_noise(image, arguments.noise, arguments.seed, picture) if arguments.noise > 0 else image,
        tuple(load_calibration_images(arguments.calibration, channels, arguments.noise, arguments.seed, size, picture)),
        load_target(arguments.target),
        picture,
    )


@dataclass(frozen=True, eq=False)
class Scoring:
    """What every point shares: the model's bytes, the image (1, C, H, W) shown, calibration images, target, scale of pictures."""

    model: bytes
    image: images.Image
    calibration: tuple[images.Image, ...]
    target: Target
    picture: PictureScale = images.PLAIN

    @property
    def digest(self) -> str:
        """SHA-256 of the images, the target and the model of its costs."""
        digest = hashlib.sha256(f"{COSTS} {self.target!r} {self.picture}".encode())
        for image in (self.image, *self.calibration):
            digest.update(repr(image.shape).encode() + np.ascontiguousarray(image, "<f4").tobytes())
        return digest.hexdigest()

    def __call__(self, settings: Settings) -> Mapping[str, float]:
        """One point: convert, run on cpu, count, estimate."""
        size = self.image.shape[2], self.image.shape[3]
        changes = {name: value for name, value in settings.items() if name != "preset"}
        options = preset(str(settings.get("preset", "exact")), **changes)
        network = convert(self.model, self.calibration, options, size, picture=self.picture).conversion.network
        payloads = quantize_images(network, self.image)
        run = load_backend("cpu").run(network, payloads, choose_record(network, payloads.shape[0]))
        expected = next(iter(open_float_probe(self.model, size)(self.image).values()))
        error = float(np.mean(np.square(run.values(network) - expected)))
        activity = count_activity(network, run)
        energy = estimate(network, activity, self.target)
        scores = {
            "quality_db": 10 * float(np.log10(np.mean(np.square(expected)) / max(error, 1e-30))),
            "energy_j": energy.total_j.value,
            "synaptic_operations": float(activity.synaptic_operations) / activity.images,
            "duration_steps": float(network.duration),
        }
        if energy.timing is not None and energy.static_j is not None:
            scores |= {
                "static_j": energy.static_j.value,
                "latency_s": energy.timing.latency_s.value,
                "cores": float(energy.timing.cores),
            }
        return scores
