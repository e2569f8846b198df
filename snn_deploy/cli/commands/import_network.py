"""``snn-deploy import``: a network of another tool to an ``.snn`` artifact."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from snn_deploy.cli import arguments as shared
from snn_deploy.cli.modes import Mode, Modes
from snn_deploy.conversion.options import RANGES
from snn_deploy.display.console import note, show, show_json
from snn_deploy.display.tables import network_table
from snn_deploy.exchange.foreign import read_foreign
from snn_deploy.files import check_writable
from snn_deploy.network import artifact
from snn_deploy.network.limits import STATE_MAX

MODES = Modes(
    (
        Mode(
            "with a .net file",
            "file out steps payloads size together json",
            lambda arguments: arguments.file.suffix == ".net",
        ),
        Mode("unless the file is a .net file", "file out steps payloads dt json"),
    )
)


def add(verbs: Any) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "import",
        description="Read a .net file of lava-dl or a NIR graph as an artifact (.snn). What the file does not say has options.",
        epilog="example: snn-deploy import network.net --out out/network.snn",
    )
    parser.add_argument("file", type=Path, help=".net or .nir file")
    parser.add_argument("--out", type=Path, required=True, help="artifact to write (.snn)")
    low, high = (int(limit) for limit in RANGES["steps"])
    parser.add_argument(
        "--steps",
        type=shared.whole(low, high),
        metavar="T",
        help="time steps of an image (default: the file's, else 16)",
    )
    parser.add_argument(
        "--payloads",
        type=_payloads,
        metavar="LOW..HIGH",
        help="least and greatest input payload (default: the file's, else 0..1; -255..255 where neurons of a .net file read it)",
    )
    parser.add_argument(
        "--size", type=shared.size, metavar="HxW", help="image size of a .net file that begins with a convolution"
    )
    parser.add_argument(
        "--together",
        action="store_true",
        help="start all layers of a .net file in one step, as lava-dl does without reset_interval",
    )
    parser.add_argument(
        "--dt",
        type=shared.real(1e-9, 1e9),
        metavar="DT",
        help="step of a NIR graph's equations (default: 1, or 1e-4 where time constants are below 1)",
    )
    shared.add_json(parser)
    parser.set_defaults(execute=execute, modes=MODES)


def execute(arguments: argparse.Namespace) -> int:
    """Read, write, and show the populations."""
    shared.check_suffix(arguments.out, ".snn")
    check_writable(arguments.out)
    network = read_foreign(
        arguments.file,
        steps=arguments.steps,
        payloads=arguments.payloads,
        size=arguments.size,
        dt=arguments.dt,
        together=arguments.together,
    )
    digest = artifact.save(network, arguments.out)
    note(f"wrote {arguments.out} ({arguments.out.stat().st_size / 2**20:.2f} MiB, sha256 {digest[:16]})")
    if not network.aligned:
        note(
            "its layers keep no common schedule; reference, cpu and Lava run it, bundles and other formats need an aligned network"
        )
    if arguments.json:
        names = [population.name for population in network.populations]
        written = {"artifact": str(arguments.out), "sha256": digest}
        show_json("import", {**written, "mode": network.mode, "populations": names})
    else:
        show(network_table(network))
    return 0


def _payloads(text: str) -> tuple[int, int]:
    """``LOW..HIGH`` around 0."""
    low, _, high = text.partition("..")
    try:
        limits = int(low), int(high)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a range; write LOW..HIGH, for example 0..255") from error
    if not -STATE_MAX <= limits[0] <= 0 < limits[1] <= STATE_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} must hold 0 and end above it, within +-{STATE_MAX}")
    return limits
