"""``snn-deploy report``: everything about a network and an image in one HTML file."""

from __future__ import annotations

import argparse
import platform
from collections.abc import Mapping as Named
from dataclasses import fields, replace
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from snn_deploy import __version__
from snn_deploy.activity.activity import Activity
from snn_deploy.activity.counting import count_activity
from snn_deploy.arrays import Float32, Float64
from snn_deploy.backend.protocol import Record, Run, measure_trains
from snn_deploy.backend.stimulus import quantize_images
from snn_deploy.cli import arguments as shared
from snn_deploy.cli.clipping import record_clipping
from snn_deploy.cli.commands.report_pictures import compare_pictures
from snn_deploy.cli.commands.verify import LEVELS
from snn_deploy.cli.modes import Mode, Modes, Need
from snn_deploy.conversion.calibrate import ActivationProbe
from snn_deploy.conversion.convert import calibration_size, convert, open_float_probe
from snn_deploy.conversion.layer_loss import measure_layers
from snn_deploy.conversion.layers import group_layers
from snn_deploy.conversion.options import Options
from snn_deploy.cost.energy import estimate
from snn_deploy.cost.loads import choose_record
from snn_deploy.data import images
from snn_deploy.data.calibration import load_calibration_images
from snn_deploy.data.metrics import psnr_db
from snn_deploy.data.stimulus import find_largest_size, prepare_stimulus
from snn_deploy.display.console import note, progress, show_json
from snn_deploy.errors import ConversionError, ReportError
from snn_deploy.files import check_writable, write
from snn_deploy.frontend.ledger import Ledger
from snn_deploy.frontend.onnx import inspect, read
from snn_deploy.mapping.fit import Mapping, map_network
from snn_deploy.mapping.traffic import measure_traffic
from snn_deploy.network import artifact
from snn_deploy.network.host import apply_host
from snn_deploy.network.network import Network
from snn_deploy.network.picture_scale import Values
from snn_deploy.passes import normal_form
from snn_deploy.report import Contents, Curve, Losses, render_page
from snn_deploy.report.core_map import core_map
from snn_deploy.targets.device import Target
from snn_deploy.targets.load import load_target
from snn_deploy.verification import Session, Stimuli, Verdict
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
        Mode(
            "in any mode",
            "network input crop noise seed backend out model calibration no_curve backends level verify_crop target json",
        ),
    ),
    (
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
        description="Run one image, compare backends on it, estimate its energy, and write it all as one HTML file.",
        epilog="example: snn-deploy report out/d.snn --input photo.png --noise 25 --model unet.onnx --out out/report.html",
    )
    parser.add_argument("network", type=Path, help="artifact (.snn)")
    shared.add_stimulus(parser)
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
    target = load_target(arguments.target)
    unsized = artifact.load(arguments.network)
    clean, noisy = shared.clean_and_noisy(arguments, unsized)
    if len(clean) > 1:
        raise ReportError(
            f"{arguments.input}: {len(clean)} images; a report shows one, so save each as a separate file"
        )
    network, payloads = prepare_stimulus(unsized, noisy, str(arguments.input))
    run = shared.run(arguments.backend, network, payloads, choose_record(network, payloads.shape[0]))
    output = _shown(network, _values(network, run))
    expected = None if arguments.model is None else next(iter(_float(arguments.model, noisy).values()))
    if expected is not None and expected.shape != output.shape:
        raise ReportError(
            f"{arguments.model}: gives {expected.shape}, the artifact {output.shape}; it is another model's"
        )
    expected = None if expected is None else _shown(network, expected)
    clean, picture = network.picture.of_input(clean), network.picture.of_input(noisy)
    missing: dict[str, str] = {}
    verdict = _verdict(arguments, network, noisy, missing)
    scores, pictures = compare_pictures(
        clean, picture, output, expected, network.outputs[0].host, noise=arguments.noise
    )
    activity = count_activity(network, run)
    mapping, drawn = _mapping(network, activity, target, missing)
    placed = mapping is None or mapping.is_placed
    contents = Contents(
        network=network,
        run=run,
        pictures=pictures,
        scores=scores,
        activity=activity,
        energy=estimate(network, activity, target, mapping=mapping) if placed else None,
        mapping=mapping,
        verdict=verdict,
        curve=_curve(arguments, network, run, clean, noisy, expected, missing),
        losses=_losses(arguments, network, noisy, missing),
        ledger=_ledger(arguments, noisy, missing),
        core_map=drawn,
        provenance=_provenance(arguments, unsized, run),
        missing=missing,
        warnings=tuple(arguments.clipped),
    )
    write(arguments.out, render_page(contents))
    note(f"wrote {arguments.out} ({arguments.out.stat().st_size / 2**20:.2f} MiB)")
    if arguments.json:
        written = {"written": str(arguments.out), "exit_code": verdict.exit_code, "missing": missing}
        written |= {"clipped": record_clipping(arguments)}
        show_json("report", written | {"verdict": verdict_record(verdict)})
    return verdict.exit_code


def _values(network: Network, run: Run) -> Float64:
    return apply_host(network.outputs[0].host, run.values(network))


def _shown(network: Network, values: Values) -> Values:
    """The first output as a picture from 0 to 1."""
    return network.picture.as_picture(values, network.outputs[0].host)


def _float(model: Path, image: images.Image) -> Named[str, Float32]:
    return open_float_probe(model, (image.shape[2], image.shape[3]))(image)


def _verdict(arguments: argparse.Namespace, network: Network, image: images.Image, missing: dict[str, str]) -> Verdict:
    """All backends on the middle of the image, or on all of it where ``network``, which has its size, has no other."""
    whole = image.shape[2], image.shape[3]
    limit = arguments.verify_crop or COMPARED
    height, width = min(whole[0], limit[0]), min(whole[1], limit[1])
    if arguments.verify_crop is None:
        height, width = find_largest_size(network, height, width) or whole
    part = images.center_crop(image, height, width)
    if (height, width) != whole:
        missing["compared"] = f"Compared on the middle {height} x {width} pixels of the image."
    session = Session(tuple(arguments.backends), LEVELS[arguments.level])
    return session.verify(Stimuli.of_images(network, part, f"--verify-crop of {arguments.input}"), progress).verdict


def _losses(
    arguments: argparse.Namespace, network: Network, image: images.Image, missing: dict[str, str]
) -> Losses | None:
    """What every layer has lost on the middle of the image."""
    title = "Loss of every layer"
    if arguments.model is None:
        missing[title] = "name the ONNX file with --model"
        return None
    whole = image.shape[2], image.shape[3]
    height, width = find_largest_size(network, *(min(pair) for pair in zip(whole, LOSSY, strict=True))) or whole
    part = images.center_crop(image, height, width)
    graph = normal_form(read(arguments.model, (height, width)).graph)
    layers = group_layers(graph)
    if {layer.name for layer in layers.layers} != {population.name for population in network.populations[1:]}:
        missing[title] = f"the layers of {arguments.model.name} are not the populations of the artifact"
        return None
    expected = ActivationProbe(graph, [layer.name for layer in layers.layers])(part)
    small = network if (height, width) == network.input.shape[1:] else network.at_size(height, width)
    run = shared.run(arguments.backend, small, quantize_images(small, part), bar=False)
    return Losses(measure_layers(small, layers, run, expected), f"{height} x {width}")


def _curve(
    arguments: argparse.Namespace,
    network: Network,
    run: Run,
    clean: images.Image,
    noisy: images.Image,
    expected: Float32 | None,
    missing: dict[str, str],
) -> Curve | None:
    """PSNR over steps (rate mode) or over levels (exact mode, which needs the model), against what is known best."""
    title = "Quality over the budget"
    if "argmax" in network.outputs[0].host:
        missing[title] = "the output is a label map, of which PSNR says nothing"
        return None
    restores = arguments.noise > 0 and network.population(network.outputs[0].population).shape == clean.shape[1:]
    if restores:
        truth, against = clean, "against the clean image"
    elif expected is not None:
        truth, against = expected, "against the float network"
    else:
        missing[title] = "with --noise, or with --model, there is something to compare with"
        return None
    limit = ("float network", psnr_db(expected, clean)) if restores and expected is not None else None
    if arguments.no_curve:
        missing[title] = "left out on request"
        return None
    if network.mode == "rate":
        return _over_steps(arguments, network, run, noisy, truth, against, limit, missing)
    if arguments.model is None:
        missing[title] = "other levels N need a conversion each; name the ONNX file with --model"
        return None
    return _over_levels(arguments, network, noisy, truth, against, limit)


def _over_steps(
    arguments: argparse.Namespace,
    network: Network,
    run: Run,
    noisy: images.Image,
    truth: images.Image,
    against: str,
    limit: tuple[str, float] | None,
    missing: dict[str, str],
) -> Curve | None:
    """The read-out after t steps is the mean of the first t payloads of its window: one run gives all points.

    It is ``run``, or where that did not record trains another one that does.
    """
    if network.steps < 2 or measure_trains(network, 1) > TRAINS_LIMIT:
        missing["Quality over the budget"] = "the spike trains of an image this large do not fit; use --crop"
        return None
    if run.trains is None:
        run = shared.run(arguments.backend, network, quantize_images(network, noisy), Record.TRAINS)
    population = network.population(network.outputs[0].population)
    trains = (run.trains or {})[population.name]
    sums = np.cumsum(trains.astype(np.int64), axis=1) * population.unit[:, None, None]
    host = network.outputs[0].host
    points = tuple(
        (step, psnr_db(_shown(network, apply_host(host, sums[:, step - 1] / step)), truth))
        for step in range(1, network.steps + 1)
    )
    return Curve("time steps T", against, points, network.steps, limit)


def _over_levels(
    arguments: argparse.Namespace,
    network: Network,
    noisy: images.Image,
    truth: images.Image,
    against: str,
    limit: tuple[str, float] | None,
) -> Curve:
    recorded = _recorded_options(arguments.network, network)
    chosen = recorded.levels
    size, picture = (noisy.shape[2], noisy.shape[3]), network.picture
    patch = calibration_size(arguments.model, size)
    patches = load_calibration_images(
        arguments.calibration, noisy.shape[1], arguments.noise, arguments.seed, patch, picture
    )
    points = []
    budgets = sorted({*LADDER, chosen})
    with progress("quality over the levels") as report:
        for done, levels in enumerate(budgets):
            report(done, len(budgets))
            options = replace(recorded, levels=levels)
            converted = convert(arguments.model, patches, options, size, picture=picture).conversion.network
            run = shared.run(arguments.backend, converted, quantize_images(converted, noisy), bar=False)
            points.append((levels, psnr_db(_shown(converted, _values(converted, run)), truth)))
    return Curve("levels N", against, tuple(points), chosen, limit)


def _recorded_options(path: Path, network: Network) -> Options:
    """The options that the artifact says it was converted with; :class:`ReportError` where they cannot be."""
    known = {field.name for field in fields(Options)}
    recorded: dict[str, Any] = {"rounding": "nearest"}  # of files that are older than the choice
    recorded |= {key: value for key, value in network.config.items() if key in known}
    try:
        return Options(**recorded)
    except (ConversionError, TypeError, ValueError) as error:
        raise ReportError(
            f"{path}: the options recorded in it are damaged ({error}); leave the curve out with --no-curve"
        ) from error


def _ledger(arguments: argparse.Namespace, image: images.Image, missing: dict[str, str]) -> Ledger | None:
    if arguments.model is None:
        missing["Operators"] = "name the ONNX file with --model"
        return None
    return inspect(arguments.model, (image.shape[2], image.shape[3]))


def _mapping(
    network: Network, activity: Activity, target: Target, missing: dict[str, str]
) -> tuple[Mapping | None, str | None]:
    """Where the populations go on a chip, and a picture of it; what does not fit is said, not raised."""
    if target.kind != "chip":
        missing["Cores"] = f"{target.name} is not a chip; its coefficients are of arithmetic operations"
        return None, None
    mapping = map_network(network, target)
    if any(layer.tile is None for layer in mapping.layers):
        missing["Energy and time"] = "a population does not fit on a core, see below"
        return mapping, None
    return mapping, core_map(mapping, target, measure_traffic(network, activity, mapping, target))


def _provenance(arguments: argparse.Namespace, network: Network, run: Run) -> dict[str, str]:
    provenance = {
        "artifact": str(arguments.network),
        "artifact SHA-256": artifact.digest(network),
        "input": str(arguments.input),
        "input payloads SHA-256": run.stimulus,
        "noise and seed": f"sigma {arguments.noise:g}/255, seed {arguments.seed}",
        "target": arguments.target,
        "written": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "snn-deploy": __version__,
        "Python": f"{platform.python_version()}, {platform.system()} {platform.machine()}",
    }
    for name in LIBRARIES:
        try:
            provenance[name] = version(name)
        except PackageNotFoundError:
            continue
    if len(network.outputs) > 1:
        provenance["output"] = f"{network.outputs[0].name}, the first of {len(network.outputs)}; run --out writes all"
    return provenance
