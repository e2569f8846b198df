"""``snn-deploy emit``: a network as files that run without this project."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from snn_deploy.arrays import Int64
from snn_deploy.backend.protocol import Emitter
from snn_deploy.backend.registry import load_backend
from snn_deploy.cli import arguments as shared
from snn_deploy.cli import streams
from snn_deploy.cli.clipping import record_clipping
from snn_deploy.cli.modes import NOISE, Mode, Modes, Need
from snn_deploy.cli.streams import StreamInput
from snn_deploy.display.console import note, progress, show_json, suggest_next
from snn_deploy.errors import BackendUnavailableError
from snn_deploy.exchange.integer_onnx import write_onnx
from snn_deploy.exchange.netx_write import write_net
from snn_deploy.exchange.nir_write import write_nir
from snn_deploy.network import artifact
from snn_deploy.network.network import Network
from snn_deploy.planning.emission import emit_plan

WRITERS: dict[str, Callable[[Network, Path], object]] = {"onnx": write_onnx, "net": write_net, "nir": write_nir}
"""Formats that are one file."""

FOLDERS = ("lava", "sanafe")
"""Backends that write a folder with a program."""

MODES = Modes(
    (
        Mode(
            "with --to lava --stream",
            "network to out simulator_only stream frames bin dead_zone hold crop noise seed json",
            lambda arguments: arguments.to == "lava" and arguments.stream is not None,
        ),
        Mode(
            "with --to lava",
            "network to out simulator_only input bin crop noise seed plan json",
            lambda arguments: arguments.to == "lava",
        ),
        Mode(
            "with --to sanafe", "network to out input crop noise seed json", lambda arguments: arguments.to == "sanafe"
        ),
        Mode("unless --to is lava or sanafe", "network to out input crop json"),
    ),
    (Need("crop noise seed", "without --input or --stream", streams.is_shown), NOISE, streams.BIN),
)


def add(verbs: Any) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "emit",
        description="Write a Lava bundle (needs Python 3.10 and lava-nc only), files that SANA-FE loads, a model of integer "
        "ONNX operators, a .net file for lava-dl, or a NIR graph; SANA-FE, .net and NIR hold integrate-and-fire networks "
        "(convert --preset if-strict; netx; if or if-hard).",
        epilog="example: snn-deploy emit out/denoiser.snn --to lava --out out/bundle",
    )
    parser.add_argument("network", type=Path, help="artifact (.snn)")
    parser.add_argument(
        "--to",
        choices=("lava", "sanafe", "onnx", "net", "nir"),
        required=True,
        help="lava, sanafe: a folder; the others: a file",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder or file to write")
    parser.add_argument("--simulator-only", action="store_true", help="lava: skip Loihi 2 constraint checks")
    shared.add_stimulus(parser, required=False)
    streams.add_options(parser)
    shared.add_plan(parser, "lava: write a bundle for each group of layers, and a program that runs the image")
    shared.add_json(parser)
    parser.set_defaults(execute=execute, modes=MODES)


def execute(arguments: argparse.Namespace) -> int:
    """Check, write, and say what was written."""
    if arguments.to in WRITERS:
        shared.check_suffix(arguments.out, f".{arguments.to}")
    network = artifact.load(arguments.network)
    plan, stimulus = shared.planned(arguments, network), None
    if arguments.stream is not None:
        streams.check_one(arguments)
        network, stimulus = _frames(arguments, network)
    elif arguments.input is not None:
        network, stimulus = shared.stimulus(arguments, network)
    with progress(f"emit {network.name}") as report:
        if plan is not None:
            emitter, runner = load_backend(arguments.to), load_backend("reference")
            checked = not arguments.simulator_only
            emit_plan(plan, network, stimulus, emitter, arguments.out, runner, checked=checked, progress=report)
        elif arguments.to in WRITERS:
            WRITERS[arguments.to](network, arguments.out)
        else:
            backend = load_backend(arguments.to)
            if not isinstance(backend, Emitter):
                raise BackendUnavailableError(f"backend {arguments.to} cannot write a bundle")
            backend.emit(network, arguments.out, stimulus, checked=not arguments.simulator_only)
    note(f"wrote {arguments.out}")
    if arguments.json:
        written = {"written": str(arguments.out), "to": arguments.to, "network": artifact.digest(network)}
        show_json("emit", written | {"clipped": record_clipping(arguments)})
    elif arguments.to in FOLDERS:
        suggest_next("python", arguments.out / "run.py")
    elif arguments.to == "onnx":
        suggest_next("snn-deploy", "verify", arguments.network, "--prove", "--emitted", arguments.out)
    return 0


def _frames(arguments: argparse.Namespace, network: Network) -> tuple[Network, Int64]:
    """``network`` as it streams, and the frames (B, C, H, W) of the self-check."""
    given = StreamInput.of(arguments, network)
    return given.network, np.concatenate(list(given))
