"""``snn-deploy convert``: an ONNX model to an ``.snn`` artifact."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from snn_deploy.backend.registry import load_backend
from snn_deploy.cli import arguments as shared
from snn_deploy.cli.modes import Modes
from snn_deploy.conversion.convert import Converted, calibration_size, convert, input_channels, input_size
from snn_deploy.conversion.loss import Trial, Truth, choose_best, list_candidates, try_options
from snn_deploy.conversion.options import Options
from snn_deploy.conversion.report import record, record_trial
from snn_deploy.data.calibration import load_calibration_images
from snn_deploy.data.images import Images
from snn_deploy.display.console import note, progress, show, show_json
from snn_deploy.display.conversion_tables import OPTIONAL, SILENT, connection_table, population_table, trial_table
from snn_deploy.errors import BackendUnavailableError, ReportError
from snn_deploy.files import check_writable, write
from snn_deploy.frontend.onnx import freeze_norm, own_channels
from snn_deploy.network import artifact
from snn_deploy.network.picture_scale import PictureScale

MODES = Modes(
    shared.conversion_modes("model out size freeze_norm search calibration rounding range mean std noise seed json")
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
        "--freeze-norm",
        action="store_true",
        help="fix the statistics of instance normalization over the calibration images; the model is written beside --out",
    )
    parser.add_argument(
        "--search",
        action="store_true",
        help="compare normalizations and scales on calibration images and convert with those that lose least",
    )
    shared.add_conversion(parser)
    shared.add_json(parser)
    parser.set_defaults(execute=execute, modes=MODES)


def execute(arguments: argparse.Namespace) -> int:
    """Convert, prove, write, and show what was chosen."""
    options = shared.options_of(arguments)
    if arguments.out.suffix != ".snn":
        raise ReportError(f"{arguments.out}: name a .snn file")
    check_writable(arguments.out)
    model = _frozen(arguments) if arguments.freeze_norm else arguments.model
    picture = shared.picture_scale(arguments, model)
    images = _calibration(arguments, model, input_channels(model, arguments.size or input_size(model)), picture)
    with progress(f"converting {model.name}") as report:
        converted = convert(model, images, options, arguments.size, progress=report, picture=picture)
    for remark in converted.model.ledger.remarks:
        note(f"{model.name}: {remark}")
    trials = _trials(model, images, options, converted, search=arguments.search)
    if arguments.search:
        best, statistics = choose_best(trials).options, converted.conversion.statistics
        converted = convert(model, images, best, arguments.size, statistics, picture=picture)
    digest = artifact.save(converted.conversion.network, arguments.out)
    note(f"wrote {arguments.out} ({arguments.out.stat().st_size / 2**20:.2f} MiB, sha256 {digest[:16]})")
    chosen = choose_best(trials).loss if trials else None
    if arguments.json:
        document = record(converted.conversion, chosen) | {"search": [record_trial(trial) for trial in trials]}
        show_json(document | {"artifact": str(arguments.out), "sha256": digest})
    else:
        if arguments.search:
            show(trial_table(trials))
        show(population_table(converted.conversion, chosen), silent=SILENT, optional=OPTIONAL)
        show(connection_table(converted.conversion))
    return 0


def _trials(model: Path, images: Images, options: Options, converted: Converted, *, search: bool) -> tuple[Trial, ...]:
    """What ``options`` lose on calibration images, and with ``search`` what the candidates lose; none without ``cpu``."""
    try:
        backend = load_backend("cpu")
    except BackendUnavailableError as error:
        if search:
            raise
        note(f"what the conversion loses was not measured: {error}")
        return ()
    candidates = list_candidates(options) if search else (options,)
    truth, statistics, trials = Truth.of(model, images), converted.conversion.statistics, []
    with progress("measuring what is lost") as report:
        for number, candidate in enumerate(candidates, 1):
            trials.append(try_options(model, images, candidate, statistics, truth, backend))
            report(number, len(candidates))
    return tuple(trials)


def _calibration(arguments: argparse.Namespace, model: Path, channels: int, picture: PictureScale) -> Images:
    patch = calibration_size(model, arguments.size)
    return load_calibration_images(arguments.calibration, channels, arguments.noise, arguments.seed, patch, picture)


def _frozen(arguments: argparse.Namespace) -> Path:
    """The model with its instance normalization frozen, written beside the artifact; says what that costs."""
    picture = shared.picture_scale(arguments, arguments.model)
    images = _calibration(arguments, arguments.model, own_channels(arguments.model), picture)
    frozen = freeze_norm(arguments.model, np.concatenate(list(images)))
    path: Path = arguments.out.with_suffix(".frozen.onnx")
    write(path, frozen.model)
    loss = ", ".join(f"{name} changes by {share:.2%}" for name, share in frozen.loss)
    note(f"froze {len(frozen.nodes)} InstanceNormalization node(s) in {path}: {loss} (2-norm, calibration images)")
    return path
