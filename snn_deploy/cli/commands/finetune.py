"""``snn-deploy finetune``: convert a model, and train the integers of its spiking network."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snn_deploy.cli import arguments as shared
from snn_deploy.cli.modes import Modes, Need
from snn_deploy.cli.status import DIFFERENT, DONE
from snn_deploy.cli.structure import add_structure
from snn_deploy.display.console import note, progress, show, show_json
from snn_deploy.display.plain_table import PlainTable
from snn_deploy.errors import BackendUnavailableError, ReportError, suggest_extras
from snn_deploy.evaluation.evaluate import TASKS
from snn_deploy.frontend.onnx import read
from snn_deploy.network import artifact

if TYPE_CHECKING:
    from snn_deploy.finetuning.training import Tuned

MODES = Modes(
    shared.conversion_modes(
        "model data task out images iterations batch patch rate validation check_every patience loss operations device "
        "fuse_upsampling noise seed range mean std json",
        exact="leaky",
    ),
    (Need("noise", "with --task segment", lambda arguments: arguments.task == "denoise"),),
)


LARGEST_SHARE = 1e6
"""More operations per MAC than any window of steps takes."""


def add(verbs: Any) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "finetune",
        description="Convert a model and train the integer weights and biases of its spiking network, by the integers that it "
        "will compute: with few weight bits, levels or steps, or for fewer synaptic operations, which energy follows. Without "
        "labels or clean images it learns from the float model. Writes the network (.snn); status 1 where operations stay above "
        "their limit.",
        epilog="example: snn-deploy finetune models/denoiser_s25.onnx --data BSD400 --task denoise --noise 25 "
        "--preset multi-threshold --steps 2 --out out/tuned.snn",
    )
    parser.add_argument("model", type=Path, help="ONNX file")
    parser.add_argument(
        "--data", type=Path, required=True, metavar="FOLDER", help="training images; never the test set"
    )
    parser.add_argument("--task", choices=TASKS, required=True, help="what the model does")
    parser.add_argument("--out", type=Path, required=True, help="network to write (.snn)")
    _add_training(parser)
    shared.add_conversion(parser, calibration=False)
    add_structure(parser)
    shared.add_picture_scale(parser)
    shared.add_json(parser)
    parser.set_defaults(execute=execute, modes=MODES)


def _add_training(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("training")
    group.add_argument(
        "--images", type=shared.indices, metavar="FIRST-LAST", help="range of images to use, counted from 0"
    )
    group.add_argument(
        "--iterations", type=shared.whole(1), default=800, help="largest number of training steps (default: 800)"
    )
    group.add_argument(
        "--batch", type=shared.whole(1), default=8, metavar="PATCHES", help="patches in a training step (default: 8)"
    )
    group.add_argument(
        "--patch", type=shared.whole(1), default=64, metavar="SIDE", help="side of a patch in pixels (default: 64)"
    )
    group.add_argument(
        "--rate",
        type=shared.real(0, 10),
        default=2e-3,
        help="Adam's learning rate, as a share of the largest weight (default: 2e-3)",
    )
    group.add_argument(
        "--validation",
        type=shared.real(0, 1),
        default=0.1,
        metavar="SHARE",
        help="share of the images kept for validation (default: 0.1)",
    )
    group.add_argument(
        "--check-every",
        type=shared.whole(1),
        default=100,
        metavar="ITERATIONS",
        help="training steps between checks (default: 100)",
    )
    group.add_argument(
        "--patience",
        type=shared.whole(1),
        default=8,
        metavar="CHECKS",
        help="stop after so many checks without a better score (default: 8)",
    )
    group.add_argument(
        "--loss",
        choices=("float", "data"),
        default="float",
        help="what outputs should be near to: those of the float model, or the data's labels and clean images (default: float)",
    )
    group.add_argument(
        "--operations",
        type=_share,
        metavar="SHARE",
        help="train for at most SHARE synaptic operations per multiplication of the plain conversion, without "
        "--fuse-upsampling, which evaluate and the table at the end call per MAC (0.35 to 0.6 without this option in exact "
        "mode): fewer events, weights and channels",
    )
    group.add_argument("--device", default="cpu", help="torch device, cpu or cuda (default: cpu)")


def _share(text: str) -> float:
    """Reads a number above 0."""
    value = shared.real(0, LARGEST_SHARE)(text)
    if value == 0:
        raise argparse.ArgumentTypeError("0 operations per MAC leave no network; give a number above 0")
    return value


def execute(arguments: argparse.Namespace) -> int:
    """Train, write the network, show the checks."""
    try:
        from snn_deploy.finetuning.data import Data, list_training
        from snn_deploy.finetuning.training import Schedule, finetune
    except ImportError as error:
        raise BackendUnavailableError(f"fine-tuning needs torch: {error}; {suggest_extras('train')}") from error
    if arguments.out.suffix != ".snn" or not arguments.out.parent.is_dir():
        raise ReportError(f"{arguments.out}: name a .snn file in a folder that exists")
    options = shared.options_of(arguments, training=True)
    entries = list_training(arguments.data, arguments.task)
    entries = entries if arguments.images is None else entries[arguments.images]
    channels = read(arguments.model, (arguments.patch, arguments.patch)).graph.input_shape[0]
    data = Data.of(
        entries, arguments.task, channels, arguments.validation, arguments.noise, arguments.patch, arguments.seed
    ).scaled(shared.picture_scale(arguments, arguments.model))
    schedule = Schedule(
        arguments.iterations,
        arguments.batch,
        arguments.rate,
        arguments.check_every,
        arguments.patience,
        arguments.seed,
        arguments.loss,
        arguments.operations,
    )
    with progress("finetune") as report:
        tuned = finetune(
            arguments.model,
            data,
            options,
            schedule,
            device=arguments.device,
            checkpoint=arguments.out.with_suffix(".checkpoint"),
            report=report,
        )
    digest = artifact.save(tuned.network, arguments.out)
    note(f"wrote {arguments.out} (sha256 {digest[:16]}) in {tuned.seconds:.0f} s")
    if not tuned.is_met:
        note(
            f"warning: {tuned.best.operations:.4f} operations per MAC are the fewest that were reached, more than "
            f"{arguments.operations:g}; train for more iterations, or allow more"
        )
    if arguments.json:
        checks = [
            {"iteration": check.iteration, "score": check.score, "operations": check.operations}
            for check in tuned.checks
        ]
        best = {"metric": tuned.metric, "best": tuned.best.iteration, "operations_limit": arguments.operations}
        show_json("finetune", {**best, "checks": checks, "sha256": digest})
    else:
        show(tabulate_checks(tuned))
    return DONE if tuned.is_met else DIFFERENT


def tabulate_checks(tuned: Tuned) -> PlainTable:
    """Every check, the best one marked; operations are per MAC of the plain conversion."""
    table = PlainTable(title="network on the validation images")
    table.add_column("iteration", justify="right")
    table.add_column(tuned.metric, justify="right")
    table.add_column("operations per MAC", justify="right")
    table.add_column("")
    for check in tuned.checks:
        row = str(check.iteration), f"{check.score:.4f}", f"{check.operations:.4f}"
        table.add_row(*row, "written" if check == tuned.best else "")
    return table
