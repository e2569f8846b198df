"""``snn-deploy convert``: an ONNX model to an ``.snn`` artifact."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from snn_deploy import artifact
from snn_deploy.backend import load_backend
from snn_deploy.commands import arguments as shared
from snn_deploy.conversion.calibrate import Images
from snn_deploy.conversion.lower import Conversion
from snn_deploy.conversion.options import Options
from snn_deploy.conversion.report import connection_reports
from snn_deploy.display.console import note, progress, show, show_json
from snn_deploy.display.tables import thresholds_and_unit
from snn_deploy.errors import BackendUnavailableError, ReportError
from snn_deploy.files import check_writable, write
from snn_deploy.frontend.onnx import freeze_norm, own_channels
from snn_deploy.loss import IMAGES, LayerLoss, Loss, Trial, Truth, best, candidates, trial
from snn_deploy.pipeline import Converted, calibration_images, convert, input_channels, input_size

OPTIONAL = ("unit", "start", "dead")
"""Columns that a narrow terminal can miss."""

SILENT = ("dead", "error", "clipping", "rounding")
"""Columns that are left out where they are empty."""


def add(verbs: Any) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "convert",
        help="convert an ONNX model to a spiking network",
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
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Convert, prove, write, and show what was chosen."""
    options = shared.options_of(arguments)
    if arguments.out.suffix != ".snn":
        raise ReportError(f"{arguments.out}: name a .snn file")
    check_writable(arguments.out)
    model = _frozen(arguments) if arguments.freeze_norm else arguments.model
    own = input_size(model)
    channels = input_channels(model, own)
    images = calibration_images(arguments.calibration, channels, arguments.noise, arguments.seed, own)
    with progress(f"converting {model.name}"):
        converted = convert(model, images, options, arguments.size)
    trials = _trials(model, images, options, converted, search=arguments.search)
    if arguments.search:
        converted = convert(model, images, best(trials).options, arguments.size, converted.conversion.statistics)
    digest = artifact.save(converted.conversion.network, arguments.out)
    note(f"wrote {arguments.out} ({arguments.out.stat().st_size / 2**20:.2f} MiB, sha256 {digest[:16]})")
    chosen = best(trials).loss if trials else None
    if arguments.json:
        found = record(converted.conversion, chosen) | {"search": [trial_record(item) for item in trials]}
        show_json(found | {"artifact": str(arguments.out), "sha256": digest})
    else:
        if arguments.search:
            show(trial_table(trials))
        show(table(converted.conversion, chosen), silent=SILENT, optional=OPTIONAL)
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
    tried = candidates(options) if search else (options,)
    truth, statistics, found = Truth.of(model, images), converted.conversion.statistics, []
    with progress("measuring what is lost") as report:
        for number, item in enumerate(tried, 1):
            found.append(trial(model, images, item, statistics, truth, backend))
            report(number, len(tried))
    return tuple(found)


def _frozen(arguments: argparse.Namespace) -> Path:
    """The model with its instance normalization frozen, written beside the artifact; says what that costs."""
    own, channels = input_size(arguments.model), own_channels(arguments.model)
    images = calibration_images(arguments.calibration, channels, arguments.noise, arguments.seed, own)
    frozen = freeze_norm(arguments.model, np.concatenate(list(images)))
    path: Path = arguments.out.with_suffix(".frozen.onnx")
    write(path, frozen.model)
    loss = ", ".join(f"{name} changes by {share:.2%}" for name, share in frozen.loss)
    note(f"froze {len(frozen.nodes)} InstanceNormalization node(s) in {path}: {loss} (2-norm, calibration images)")
    return path


def record(conversion: Conversion, loss: Loss | None = None) -> dict[str, Any]:
    """What a machine wants to know of a conversion."""
    network = conversion.network
    headroom = {bound.population: round(bound.headroom_bits, 2) for bound in conversion.bounds}
    return {
        "name": network.name,
        "mode": network.mode,
        "steps": network.steps,
        "options": dict(network.config),
        "function_error": conversion.function_error,
        "loss": None if loss is None else {"error": finite(loss.error), "images": IMAGES},
        "populations": [
            {
                "name": population.name,
                "shape": list(population.shape),
                "start": population.start,
                "unit": [float(population.unit.min()), float(population.unit.max())],
                "headroom_bits": headroom.get(population.name),
                "dead_channels": conversion.scales.dead.get(population.name, 0),
                "loss": _layer_record(None if loss is None else loss.layer(population.name)),
            }
            for population in network.populations
        ],
        "connections": [asdict(item) for item in connection_reports(conversion)],
    }


def _layer_record(found: LayerLoss | None) -> dict[str, float | None] | None:
    if found is None:
        return None
    return {name: finite(value) for name, value in asdict(found).items() if name != "name"}


def finite(value: float) -> float | None:
    """``value`` for JSON, which knows no infinity."""
    return value if math.isfinite(value) else None


def trial_record(item: Trial) -> dict[str, Any]:
    """One candidate of a search, for a machine."""
    return {
        "normalization": item.options.normalization,
        "scale": item.options.scale,
        "error": None if item.loss is None else finite(item.loss.error),
        "refusal": item.refusal or None,
    }


def trial_table(trials: Sequence[Trial]) -> Table:
    """What each candidate of a search loses."""
    chosen = best(trials)
    shown = Table(
        title=f"search: output against the float network's, {IMAGES} calibration images",
        caption="kept: the least error",
    )
    for heading in ("normalization", "scale", "error", "SNR dB", ""):
        shown.add_column(heading, justify="right" if heading in ("error", "SNR dB") else "left")
    for item in trials:
        error, ratio = ("", "") if item.loss is None else (f"{item.loss.error:.3%}", f"{item.loss.snr_db:.2f}")
        shown.add_row(
            item.options.normalization, item.options.scale, error, ratio, "kept" if item is chosen else item.refusal
        )
    return shown


def table(conversion: Conversion, loss: Loss | None = None) -> Table:
    """Populations with their thresholds, scales and proved headroom, and what each has lost."""
    network = conversion.network
    headroom = {bound.population: bound.headroom_bits for bound in conversion.bounds}
    title = f"{network.name}: {network.mode} mode, {len(network.populations)} populations, {network.duration} steps"
    caption = f"normalization changes the function by {conversion.function_error:.1e}; headroom: bits left of 24"
    if loss is not None:
        caption += (
            f"\nerror: of the layer's values, against the float network on {IMAGES} calibration images; clipping, "
            f"rounding: what its own levels alone would lose\noutput: {loss.error:.3%} error, {loss.snr_db:.1f} dB"
        )
    shown = Table(title=title, caption=caption)
    for heading in (
        "population",
        "shape",
        "start",
        "threshold",
        "unit",
        "headroom",
        "dead",
        "error",
        "clipping",
        "rounding",
    ):
        shown.add_column(heading, justify="left" if heading == "population" else "right")
    for population in network.populations:
        theta, unit = thresholds_and_unit(population)
        shown.add_row(
            population.name,
            "x".join(map(str, population.shape)),
            str(population.start),
            theta,
            unit,
            "" if population.neuron is None else f"{headroom[population.name]:.1f}",
            str(conversion.scales.dead.get(population.name, 0) or ""),
            *_lost(None if loss is None else loss.layer(population.name)),
        )
    return shown


def _lost(found: LayerLoss | None) -> tuple[str, str, str]:
    """Error, clipping and rounding of a layer; a layer without levels of its own has the error alone."""
    if found is None:
        return "", "", ""
    own = found.clipping or found.rounding
    return f"{found.error:.2%}", f"{found.clipping:.2%}" if own else "", f"{found.rounding:.2%}" if own else ""


def connection_table(conversion: Conversion) -> Table:
    """What normalization chose for every connection."""
    shown = Table(
        title="connections",
        caption="unit: real value of one count of the source; clipped: share of its calibration values beyond the top count",
    )
    for heading in ("source", "target", "unit", "clipped", "dead", "weight error"):
        shown.add_column(heading, justify="left" if heading in ("source", "target") else "right")
    for item in connection_reports(conversion):
        low, high = item.unit
        shown.add_row(
            item.source,
            item.target,
            f"{low:.4g}" if low == high else f"{low:.3g}..{high:.3g}",
            f"{item.clipped:.3%}",
            str(item.dead or ""),
            f"{item.weight_error:.2%}",
        )
    return shown
