"""``snn-deploy convert``: an ONNX model to an ``.snn`` artifact."""

from __future__ import annotations

import argparse
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from snn_deploy.backend.registry import load_backend
from snn_deploy.cli import arguments as shared
from snn_deploy.cli.modes import Modes, Need
from snn_deploy.cli.status import DIFFERENT, DONE, NOT_COMPARED
from snn_deploy.cli.structure import add_structure
from snn_deploy.conversion.akida_fit import DeviceCost, measure_device_cost
from snn_deploy.conversion.choose import Bench, Choice, choose, has_free_options
from snn_deploy.conversion.convert import Converted, calibration_size, convert, input_channels, input_size
from snn_deploy.conversion.findings import Findings, examine
from snn_deploy.conversion.report import record, record_choice
from snn_deploy.conversion.task_loss import Measure
from snn_deploy.data.calibration import load_calibration, load_calibration_images
from snn_deploy.display.console import note, progress, show, show_json, suggest_next
from snn_deploy.display.conversion_tables import OPTIONAL, SILENT, connection_table, population_table, trial_table
from snn_deploy.errors import BackendUnavailableError, ReportError
from snn_deploy.files import check_writable, write
from snn_deploy.frontend.onnx import (
    approximate_activations,
    describe_change,
    describe_constants,
    fix_inputs,
    freeze_norm,
    own_channels,
)
from snn_deploy.network import artifact
from snn_deploy.network.picture_scale import PictureScale
from snn_deploy.shapes import Size

MEASURES: dict[str | None, Measure | None] = {None: None, "denoise": "psnr", "segment": "labels"}
"""How the loss of a task is measured; by what the images show where no task is given."""

MODES = Modes(
    shared.conversion_modes(
        "model out size constant freeze_norm approximate fixed search task max_loss calibration rounding fuse_upsampling"
        " range mean std noise seed json",
        exact="leaky",
    ),
    (
        Need(
            "fixed",
            "where nothing else is tried: in rate mode and with Lava's own neurons",
            lambda arguments: has_free_options(shared.options_of(arguments)),
        ),
    ),
)


def add(verbs: Any) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "convert",
        description="Convert an ONNX model to a spiking network (.snn).",
        epilog="example: snn-deploy convert models/denoiser_s25.onnx --noise 25 --size 64x64 --out out/denoiser.snn",
    )
    parser.add_argument("model", type=Path, help="ONNX file")
    parser.add_argument("--out", type=Path, required=True, help="artifact to write (.snn)")
    parser.add_argument(
        "--size", type=shared.size, metavar="HxW", help="image size (default: the model's, else 128x128)"
    )
    parser.add_argument(
        "--constant",
        type=_constant,
        action="append",
        metavar="NAME=NUMBER,...",
        help="make an input beside the image a constant, as a noise level (0.098 is 25/255): one number, or one for each of its"
        " entries; may be given again; the model is written beside --out",
    )
    parser.add_argument(
        "--freeze-norm",
        action="store_true",
        help="fix the statistics of instance normalization over the calibration images; the model is written beside --out",
    )
    parser.add_argument(
        "--approximate",
        action="store_true",
        help="experimental: replace smooth activations (SiLU, GELU, HardSwish, ...) by up to three ReLUs each, fitted to the"
        " calibration images; the model is written beside --out",
    )
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument(
        "--fixed",
        action="store_true",
        help="keep every option; otherwise levels, scales and thresholds that are not given are tried where much is lost",
    )
    choice.add_argument(
        "--search", action="store_true", help="try them all, however little is lost, and keep what loses least"
    )
    parser.add_argument(
        "--task", choices=("denoise", "segment"), help="how the loss is measured (default: as noise and output tell)"
    )
    parser.add_argument(
        "--max-loss",
        type=shared.real(0, 100),
        metavar="LOSS",
        help="status 1 where more is lost: dB of a picture, percent of labels, else of the output's variation;"
        " 2 where it was not measured",
    )
    shared.add_conversion(parser)
    add_structure(parser)
    shared.add_json(parser)
    parser.set_defaults(execute=execute, modes=MODES)


def execute(arguments: argparse.Namespace) -> int:
    """Convert, prove, write, and show what was chosen; status 1 where more is lost than ``--max-loss``."""
    options = shared.options_of(arguments)
    if arguments.out.suffix != ".snn":
        raise ReportError(f"{arguments.out}: name a .snn file")
    check_writable(arguments.out)
    if arguments.constant:
        arguments.model = _with_constants(arguments)
    model = _frozen(arguments) if arguments.freeze_norm else arguments.model
    model = _approximated(arguments, model) if arguments.approximate else model
    picture = shared.picture_scale(arguments, model)
    channels = input_channels(model, arguments.size or input_size(model))
    calibration = load_calibration(*_calibration(arguments, model, channels, picture))
    seen = calibration.seen
    with progress(f"converting {model.name}") as report:
        converted = convert(model, seen, options, arguments.size, progress=report, picture=picture)
    for remark in converted.model.ledger.remarks:
        note(f"{model.name}: {remark}")
    statistics, measure = converted.conversion.statistics, MEASURES[arguments.task]
    held_back, clean = calibration.held_back, calibration.clean
    bench = Bench(model, seen, picture, statistics, held_back, clean, measure, options.form)
    choice, findings = _choose(bench, converted, arguments)
    cost = _measure_device_cost(bench, choice)
    converted = converted if choice is None else choice.converted
    loss = None if choice is None else choice.trial.loss
    digest = artifact.save(converted.conversion.network, arguments.out)
    note(f"wrote {arguments.out} ({arguments.out.stat().st_size / 2**20:.2f} MiB, sha256 {digest[:16]})")
    if arguments.json:
        chosen = None if choice is None else record_choice(choice)
        told = None if findings is None else findings.record()
        device_cost = None if cost is None else cost.record()
        document = record(converted.conversion, loss) | {
            "choice": chosen,
            "findings": told,
            "device_cost": device_cost,
        }
        show_json("convert", document | {"artifact": str(arguments.out), "sha256": digest})
        return _judge(findings, arguments.max_loss)
    if choice is not None and len(choice.trials) > 1:
        show(trial_table(choice))
    show(population_table(converted.conversion, loss), silent=SILENT, optional=OPTIONAL)
    show(connection_table(converted.conversion))
    if findings is not None:
        show("\n".join((findings.summary, *findings.remarks, *findings.advice)))
    if cost is not None:
        show(str(cost))
    suggest_next("snn-deploy", "verify", arguments.out, "--input", "IMAGE")
    return _judge(findings, arguments.max_loss)


def _judge(findings: Findings | None, most: float | None) -> int:
    """Say what is wrong; the exit status under ``--max-loss``."""
    for alert in () if findings is None else findings.alerts:
        note(f"warning: {alert}")
    if most is None:
        return DONE
    if findings is None:
        return NOT_COMPARED
    return DONE if findings.is_enough else DIFFERENT


def _choose(bench: Bench, converted: Converted, arguments: argparse.Namespace) -> tuple[Choice | None, Findings | None]:
    """The conversion that loses least on held-back images, and what it loses; nothing without the cpu backend."""
    try:
        backend = load_backend("cpu")
    except BackendUnavailableError as error:
        if arguments.search:
            raise
        note(f"what the conversion loses was not measured: {error}")
        return None, None
    options = shared.options_of(arguments)
    given = asdict(options) if arguments.fixed else shared.given_options(arguments)
    with progress("measuring what is lost") as report:
        choice = choose(bench, backend, converted, options, given=given, search=arguments.search, progress=report)
    with progress("looking for what would help") as report:
        return choice, examine(bench, backend, choice, arguments.max_loss, report)


def _measure_device_cost(bench: Bench, choice: Choice | None) -> DeviceCost | None:
    """What the limits of a device cost, where the conversion is for one and what it loses was measured."""
    if choice is None or choice.trial.options.device == "any":
        return None
    with progress("measuring what the limits of Akida 2 cost"):
        return measure_device_cost(bench, load_backend("cpu"), choice)


def _calibration(
    arguments: argparse.Namespace, model: Path, channels: int, picture: PictureScale
) -> tuple[list[Path] | None, int, float, int, Size | None, PictureScale]:
    """What loads the calibration images."""
    patch = calibration_size(model, arguments.size)
    return arguments.calibration, channels, arguments.noise, arguments.seed, patch, picture


def _constant(text: str) -> tuple[str, tuple[float, ...]]:
    """``NAME=NUMBER,...``; the numbers are finite."""
    name, equals, numbers = text.rpartition("=")
    try:
        values = tuple(map(float, numbers.split(",")))
    except ValueError:
        values = (math.nan,)
    if not equals or not name or not all(map(math.isfinite, values)):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not NAME=NUMBER,..., for example sigma=0.098 or mean=0.5,0.4,0.4"
        )
    return name, values


def _with_constants(arguments: argparse.Namespace) -> Path:
    """The model whose further inputs are constants, written beside the artifact."""
    path: Path = arguments.out.with_suffix(".constant.onnx")
    constants = dict(arguments.constant)
    write(path, fix_inputs(arguments.model, constants))
    note(f"wrote {path}: {arguments.model.name} with {describe_constants(constants)}")
    return path


def _approximated(arguments: argparse.Namespace, model: Path) -> Path:
    """``model`` with ReLUs for its smooth activations, written beside the artifact; says what that costs."""
    picture = shared.picture_scale(arguments, model)
    images = load_calibration_images(*_calibration(arguments, model, own_channels(model), picture))
    made = approximate_activations(model, np.concatenate(list(images)))
    path: Path = arguments.out.with_suffix(".approximate.onnx")
    write(path, made.model)
    count, worst = len(made.fits), max(fit.error for _, fit in made.fits)
    note(
        f"wrote {path}, experimental: {count} activation(s) replaced by ReLUs, each within {worst:.2%}; "
        f"{describe_change(made.loss)}"
    )
    return path


def _frozen(arguments: argparse.Namespace) -> Path:
    """The model with its instance normalization frozen, written beside the artifact; says what that costs."""
    picture = shared.picture_scale(arguments, arguments.model)
    images = load_calibration_images(*_calibration(arguments, arguments.model, own_channels(arguments.model), picture))
    frozen = freeze_norm(arguments.model, np.concatenate(list(images)))
    path: Path = arguments.out.with_suffix(".frozen.onnx")
    write(path, frozen.model)
    note(f"froze {len(frozen.nodes)} InstanceNormalization node(s) in {path}: {describe_change(frozen.loss)}")
    return path
