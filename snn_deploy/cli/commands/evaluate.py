"""``snn-deploy evaluate``: scores of a network over a folder of images, or over the frames of a stream."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from snn_deploy.backend.registry import list_backends
from snn_deploy.cli import arguments as shared
from snn_deploy.cli import streams
from snn_deploy.cli.clipping import record_clipping
from snn_deploy.cli.commands import evaluate_stream
from snn_deploy.cli.modes import NOISE, WORKERS, Mode, Modes, Need
from snn_deploy.conversion.convert import input_channels, input_size
from snn_deploy.cost.estimates import BOUNDARY
from snn_deploy.data.datasets import list_entries
from snn_deploy.data.sample import Entry
from snn_deploy.data.stimulus import is_fixed
from snn_deploy.display.console import progress, show, show_json
from snn_deploy.display.plain_table import PlainTable
from snn_deploy.display.score_names import SCORES, format_score
from snn_deploy.errors import StimulusError
from snn_deploy.evaluation.evaluate import (
    TASKS,
    Cost,
    Evaluation,
    FloatPredictor,
    Predictor,
    SpikingPredictor,
    Task,
    evaluate,
)
from snn_deploy.network import artifact
from snn_deploy.targets.load import Target, load_target
from snn_deploy.targets.quantity import rounded

MODES = Modes(
    (
        Mode(
            "with a float model (.onnx)",
            "network data task range mean std noise seed crop images workers scheduler json",
            lambda arguments: _is_float(arguments.network),
        ),
        streams.mode("task backend model json"),
        Mode(
            "with --plan",
            "network data task backend noise seed plan crop images workers scheduler json",
            lambda arguments: arguments.plan is not None,
        ),
        Mode(
            "with an artifact (.snn)",
            "network data task backend noise seed tile overlap crop images target workers scheduler json",
        ),
    ),
    (
        NOISE,
        WORKERS,
        streams.BIN,
        Need(
            "overlap",
            "without --tile, except with a network of fixed size",
            lambda arguments: arguments.tile is not None or is_fixed(artifact.load(arguments.network)),
        ),
    ),
)


def add(verbs: Any) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "evaluate",
        description="Score a spiking network (.snn), or a float model (.onnx), over a folder of images, or a spiking network "
        "over the frames of a stream.",
        epilog="example: snn-deploy evaluate out/denoiser.snn --data Set12 --task denoise --noise 25",
    )
    parser.add_argument("network", type=Path, help="artifact (.snn) or float model (.onnx)")
    parser.add_argument(
        "--data",
        type=Path,
        metavar="PATH",
        help="folder of images: clean ones, noisy/ and clean/, images/ and masks/, a published layout; or a table .csv",
    )
    parser.add_argument("--task", choices=TASKS, required=True, help="what the model does")
    parser.add_argument(
        "--backend", choices=list_backends(), default="cpu", help="backend that runs the network (default: cpu)"
    )
    parser.add_argument(
        "--noise",
        type=shared.real(0, 1000),
        default=0.0,
        metavar="SIGMA",
        help="Gaussian noise of SIGMA/255 added to images",
    )
    parser.add_argument("--seed", type=shared.whole(0), default=0, help="noise of image i has seed SEED + i")
    parser.add_argument("--tile", type=shared.size, metavar="HxW", help="cut larger images into tiles")
    parser.add_argument(
        "--overlap",
        type=shared.whole(0),
        metavar="PIXELS",
        help="of neighbouring tiles (default: 32, or half of a smaller tile)",
    )
    shared.add_plan(parser, "run every image, of the plan's size,")
    parser.add_argument("--crop", type=shared.size, metavar="HxW", help="use the middle of each image only")
    parser.add_argument(
        "--images", type=shared.indices, metavar="FIRST-LAST", help="range of images to use, counted from 0"
    )
    parser.add_argument("--target", metavar="NAME", help="device of an energy estimate")
    evaluate_stream.add_options(parser)
    shared.add_picture_scale(parser)
    shared.add_workers(parser, "the images")
    shared.add_json(parser)
    parser.set_defaults(execute=execute, modes=MODES)


def _is_float(path: Path) -> bool:
    return path.suffix == ".onnx"


def entries_of(folder: Path, task: Task, images: slice | None) -> tuple[Entry, ...]:
    """The chosen entries of ``folder`` for ``task``."""
    entries = list_entries(folder, task)
    chosen = entries[images] if images is not None else entries
    if not chosen:
        raise StimulusError(f"{folder}: holds {len(entries)} images; none of them is chosen")
    return chosen


def execute(arguments: argparse.Namespace) -> int:
    """Evaluate and show."""
    if (arguments.data is None) == (arguments.stream is None):
        raise StimulusError("give either --data PATH, images, or --stream PATH, frames one after the other")
    if arguments.stream is not None:
        return evaluate_stream.execute(arguments, artifact.load(arguments.network))
    entries = entries_of(arguments.data, arguments.task, arguments.images)
    predictor: Predictor
    target = None if arguments.target is None else load_target(arguments.target)
    if _is_float(arguments.network):
        channels = input_channels(arguments.network, input_size(arguments.network))
        predictor = FloatPredictor(arguments.network, shared.picture_scale(arguments, arguments.network))
    else:
        network = artifact.load(arguments.network)
        channels = network.input.shape[0]
        backend = shared.load_engine(arguments.backend, shared.planned(arguments, network))
        predictor = SpikingPredictor(network, backend, arguments.tile, arguments.overlap, target)
    with progress(f"evaluate {arguments.network.name}") as report:
        evaluation = evaluate(
            predictor,
            entries,
            arguments.task,
            channels,
            sigma=arguments.noise,
            seed=arguments.seed,
            crop=arguments.crop,
            workers=arguments.workers,
            scheduler=arguments.scheduler,
            progress=report,
        )
    if arguments.json:
        show_json("evaluate", record(evaluation) | {"clipped": record_clipping(arguments)})
    else:
        show(score_table(evaluation, f"{arguments.network.name} on {arguments.data.name}", target))
        if evaluation.classes:
            show(class_table(evaluation))
    return 0


def record(evaluation: Evaluation) -> dict[str, Any]:
    """For machines: every image, all together, and the mean cost of one; what was not computed is ``None``."""
    timed = evaluation.cost is not None and evaluation.cost.latency_s is not None
    return {
        "task": evaluation.task,
        "images": [{"image": scored.image} | scored.scores for scored in evaluation.images],
        "overall": evaluation.overall,
        "classes": [asdict(each) for each in evaluation.classes],
        "cost_per_image": None
        if evaluation.cost is None
        else asdict(evaluation.cost) | {"boundary": BOUNDARY if timed else None},
    }


def score_table(evaluation: Evaluation, title: str, target: Target | None = None) -> PlainTable:
    """One row per image, and one for all."""
    table = PlainTable(title=title, caption=None if evaluation.cost is None else _describe(evaluation.cost, target))
    table.add_column("image")
    for name in evaluation.overall:
        table.add_column(SCORES[name], justify="right")
    for scored in evaluation.images:
        table.add_row(scored.image, *(format_score(name, scored.scores.get(name)) for name in evaluation.overall))
    table.add_section()
    label = "mean" if evaluation.task == "denoise" else "all pixels"
    table.add_row(label, *(format_score(name, value) for name, value in evaluation.overall.items()))
    return table


def class_table(evaluation: Evaluation) -> PlainTable:
    """Every class that occurs, true or predicted, over all pixels."""
    table = PlainTable(title="classes")
    for heading in ("class", "pixels", "IoU", "Dice"):
        table.add_column(heading, justify="right")
    for each in evaluation.classes:
        table.add_row(str(each.number), f"{each.pixels:,}", f"{each.iou:.4f}", f"{each.dice:.4f}")
    return table


def _describe(cost: Cost, target: Target | None) -> str:
    per_mac = f" ({cost.synaptic_operations / cost.macs:.2f} per MAC)" if cost.macs else ""
    counted = f"per image: {cost.events:,.0f} events, {cost.synaptic_operations:,.0f} synaptic operations{per_mac}"
    return counted + _priced(cost, target)


def _priced(cost: Cost, target: Target | None) -> str:
    if target is None or cost.energy_j is None:
        return ""
    joules = f", {rounded(cost.energy_j, 'J')} on {target.name}"
    if cost.static_j is None or cost.latency_s is None:
        return joules
    return f"{joules} ({cost.static_j / cost.energy_j:.0%} static, {BOUNDARY}), latency {rounded(cost.latency_s, 's')}"
