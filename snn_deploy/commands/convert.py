"""``snn-deploy convert``: an ONNX model to an ``.snn`` artifact."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from snn_deploy import artifact
from snn_deploy.commands import arguments as shared
from snn_deploy.conversion.lower import Conversion
from snn_deploy.conversion.report import connection_reports
from snn_deploy.display.console import note, progress, show, show_json
from snn_deploy.display.tables import thresholds_and_unit
from snn_deploy.files import check_writable, write
from snn_deploy.frontend.onnx import freeze_norm, own_channels
from snn_deploy.pipeline import calibration_images, convert, input_channels, input_size

OPTIONAL = ("unit", "start", "dead")
"""Columns that a narrow terminal can miss."""


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
    shared.add_conversion(parser)
    shared.add_json(parser)
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Convert, prove, write, and show what was chosen."""
    options = shared.options_of(arguments)
    check_writable(arguments.out)
    model = _frozen(arguments) if arguments.freeze_norm else arguments.model
    own = input_size(model)
    channels = input_channels(model, own)
    images = calibration_images(arguments.calibration, channels, arguments.noise, arguments.seed, own)
    with progress(f"converting {model.name}"):
        converted = convert(model, images, options, arguments.size)
    digest = artifact.save(converted.conversion.network, arguments.out)
    note(f"wrote {arguments.out} ({arguments.out.stat().st_size / 2**20:.2f} MiB, sha256 {digest[:16]})")
    if arguments.json:
        show_json(record(converted.conversion) | {"artifact": str(arguments.out), "sha256": digest})
    else:
        show(table(converted.conversion), silent=("dead",), optional=OPTIONAL)
        show(connection_table(converted.conversion))
    return 0


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


def record(conversion: Conversion) -> dict[str, Any]:
    """What a machine wants to know of a conversion."""
    network = conversion.network
    headroom = {bound.population: round(bound.headroom_bits, 2) for bound in conversion.bounds}
    return {
        "name": network.name,
        "mode": network.mode,
        "steps": network.steps,
        "options": dict(network.config),
        "function_error": conversion.function_error,
        "populations": [
            {
                "name": population.name,
                "shape": list(population.shape),
                "start": population.start,
                "unit": [float(population.unit.min()), float(population.unit.max())],
                "headroom_bits": headroom.get(population.name),
                "dead_channels": conversion.scales.dead.get(population.name, 0),
            }
            for population in network.populations
        ],
        "connections": [asdict(item) for item in connection_reports(conversion)],
    }


def table(conversion: Conversion) -> Table:
    """Populations with their thresholds, scales and proved headroom."""
    network = conversion.network
    headroom = {bound.population: bound.headroom_bits for bound in conversion.bounds}
    title = f"{network.name}: {network.mode} mode, {len(network.populations)} populations, {network.duration} steps"
    shown = Table(
        title=title,
        caption=f"normalization changes the function by {conversion.function_error:.1e}; headroom: bits left of 24",
    )
    for heading in ("population", "shape", "start", "threshold", "unit", "headroom", "dead"):
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
        )
    return shown


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
