"""``snn-deploy plan``: how a network runs on large images with the hardware at hand."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from snn_deploy import api
from snn_deploy.arrays import Int64
from snn_deploy.backend.registry import load_backend
from snn_deploy.cli import arguments as shared
from snn_deploy.cli.clipping import record_clipping
from snn_deploy.cli.modes import NOISE, Mode, Modes, Need
from snn_deploy.data import images
from snn_deploy.data.stimulus import prepare_stimulus
from snn_deploy.display.console import note, progress, show, show_json
from snn_deploy.display.plan_table import OPTIONAL, cost_table, options_table
from snn_deploy.errors import PlanError
from snn_deploy.files import check_writable, write
from snn_deploy.network import artifact
from snn_deploy.network.network import Network
from snn_deploy.planning.hardware import choose_hardware
from snn_deploy.planning.plan import save_plan
from snn_deploy.planning.weigh import PREFERENCES, choose_option, select_front, weigh
from snn_deploy.report.pareto_plot import pareto_plot
from snn_deploy.targets.load import load_target

COMMON = "network input size crop noise seed backend target chips cores board max_loss prefer out plot json"

MODES = Modes(
    (
        Mode("with a model (.onnx)", f"{COMMON} save", lambda arguments: _is_model(arguments.network)),
        Mode("with an artifact (.snn)", COMMON),
    ),
    (NOISE, Need("crop", "without --input", lambda arguments: arguments.input is not None)),
)


def add(verbs: Any) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "plan",
        description="Find tiles and groups of layers with which a network runs on large images on the hardware at hand: what"
        " each plan costs and loses, by executing it.",
        epilog="example: snn-deploy plan out/denoiser.snn --input photo.png --noise 25 --chips 1 --out out/plan.json",
    )
    parser.add_argument("network", type=Path, help="artifact (.snn), or a model (.onnx), converted by preset exact")
    shared.add_stimulus(parser, required=False)
    parser.add_argument(
        "--size", type=shared.size, metavar="HxW", help="of the images, without --input: a photograph stands for them"
    )
    shared.add_backend(parser)
    parser.add_argument("--target", default="loihi2", help="device name, or a TOML file (default: loihi2)")
    hardware = parser.add_mutually_exclusive_group()
    hardware.add_argument("--chips", type=shared.whole(1, 10**6), metavar="N", help="chips at hand (default: 1)")
    hardware.add_argument("--cores", type=shared.whole(1, 10**9), metavar="N", help="cores at hand")
    hardware.add_argument("--board", metavar="NAME", help="a board that the target names, as kapoho-point")
    parser.add_argument(
        "--max-loss",
        type=shared.real(0, 100),
        default=0.0,
        metavar="PERCENT",
        help="error of the output that the chosen plan may have, of its variation (default: 0, bit for bit)",
    )
    parser.add_argument(
        "--prefer",
        choices=PREFERENCES,
        default="traffic",
        help="what the chosen plan has least of: host events (traffic, the default), time (speed), or energy",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE.json", help="write the chosen plan, for run, verify, estimate and emit --plan"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="write the Pareto plot of energy and error")
    parser.add_argument("--save", type=Path, metavar="FILE.snn", help="write the converted network that the plan is of")
    shared.add_json(parser)
    parser.set_defaults(execute=execute, modes=MODES)


def _is_model(path: Path) -> bool:
    return path.suffix == ".onnx"


def execute(arguments: argparse.Namespace) -> int:
    """Propose, execute, choose, write."""
    for path, suffix in ((arguments.out, ".json"), (arguments.plot, ".svg"), (arguments.save, ".snn")):
        if path is not None:
            shared.check_suffix(path, suffix)
            check_writable(path)
    if (arguments.input is None) == (arguments.size is None):
        raise PlanError("give either --input FILE, a picture of the size to plan for, or --size HxW")
    target = load_target(arguments.target)
    hardware = choose_hardware(target, chips=arguments.chips, cores=arguments.cores, board=arguments.board)
    own = _network(arguments)
    clean, noisy = _pictures(arguments, own)
    network, payloads = prepare_stimulus(own, noisy, str(arguments.input or "--size"))
    known = clean if arguments.noise > 0 else None
    with progress(f"plans of {own.name}") as report:
        options = weigh(own, network, payloads, target, hardware, load_backend(arguments.backend), known, report)
    chosen = choose_option(options, arguments.max_loss / 100, arguments.prefer)
    if arguments.plot is not None:
        write(arguments.plot, pareto_plot([option.point for option in options], "energy_j", "error", goal="min"))
        note(f"wrote {arguments.plot}")
    if arguments.out is not None:
        save_plan(chosen.finished, arguments.out)
        note(f"wrote {arguments.out}")
    if arguments.json:
        front = select_front(options)
        show_json(
            "plan",
            {
                "chosen": options.index(chosen),
                "plans": [
                    option.finished.record() | {"front": best} for option, best in zip(options, front, strict=True)
                ],
                "clipped": record_clipping(arguments),
            },
        )
        return 0
    show(options_table(options, chosen), optional=OPTIONAL)
    show(cost_table(chosen.plan, chosen.cost))
    return 0


def _network(arguments: argparse.Namespace) -> Network:
    if not _is_model(arguments.network):
        return artifact.load(arguments.network)
    if arguments.out is not None and arguments.save is None:
        raise PlanError(
            "a plan is of a network: write the converted one too (--save FILE.snn), to run it by --out's plan"
        )
    converted = api.convert(arguments.network, noise=arguments.noise, seed=arguments.seed)
    if arguments.save is not None:
        artifact.save(converted.network, arguments.save)
        note(f"wrote {arguments.save}")
    return converted.network


def _pictures(arguments: argparse.Namespace, network: Network) -> tuple[images.Image, images.Image]:
    """The picture to plan for, without and with its noise."""
    if arguments.input is not None:
        return shared.clean_and_noisy(arguments, network)
    height, width = arguments.size
    photograph = images.load_bundled_images(network.input.shape[0])[0]
    rows, columns = _mirrored(photograph.shape[2], height), _mirrored(photograph.shape[3], width)
    clean = network.picture.apply(photograph[:, :, rows][:, :, :, columns])
    if arguments.noise == 0:
        return clean, clean
    return clean, images.add_noise(clean, arguments.noise, arguments.seed, network.picture)


def _mirrored(extent: int, wanted: int) -> Int64:
    """Indices (wanted,) of ``extent`` pixels, continued by their mirror image."""
    return np.pad(np.arange(extent), (0, max(wanted - extent, 0)), mode="symmetric")[:wanted]
