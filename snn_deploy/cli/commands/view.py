"""``snn-deploy view``: a model or a spiking network as a graph in the browser."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from snn_deploy.activity.counting import count_activity
from snn_deploy.backend.protocol import Run
from snn_deploy.cli import arguments as shared
from snn_deploy.cli.modes import IMAGE, NOISE, Mode, Modes
from snn_deploy.display.console import note, show_json
from snn_deploy.errors import ReportError, suggest_extras
from snn_deploy.exchange.onnx_view import Measured, annotate
from snn_deploy.files import check_writable, write
from snn_deploy.network import artifact
from snn_deploy.network.network import Network

MODES = Modes(
    (
        Mode(
            "with an ONNX model",
            "file json",
            lambda arguments: arguments.out is None and not _is_artifact(arguments.file),
        ),
        Mode("with an artifact", "file out input crop noise seed backend json"),
    ),
    (IMAGE, NOISE),
)


def add(verbs: Any) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "view",
        description="Open an ONNX model or an artifact in netron; an artifact becomes ONNX with its numbers.",
        epilog="example: snn-deploy view out/denoiser.snn --out out/denoiser.onnx",
    )
    parser.add_argument("file", type=Path, help="ONNX model or artifact (.snn)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the annotated ONNX file and open nothing")
    shared.add_stimulus(parser, required=False)
    shared.add_backend(parser)
    shared.add_json(parser)
    parser.set_defaults(execute=execute, modes=MODES)


def execute(arguments: argparse.Namespace) -> int:
    """Annotate, then write or open."""
    path: Path = arguments.file
    if arguments.out is not None:
        shared.check_suffix(arguments.out, ".onnx")
        check_writable(arguments.out)
        write(arguments.out, _onnx(arguments))
        note(f"wrote {arguments.out}")
        if arguments.json:
            show_json("view", {"written": str(arguments.out), "opened": None})
        return 0
    with tempfile.TemporaryDirectory() as folder:
        shown = path
        if _is_artifact(path):
            shown = Path(folder) / f"{path.stem}.onnx"
            write(shown, _onnx(arguments))
        if arguments.json:
            show_json("view", {"written": None, "opened": str(path)})
        open_in_netron(shown)
    return 0


def _is_artifact(path: Path) -> bool:
    return path.suffix == ".snn"


def open_in_netron(path: Path) -> None:
    """Show ``path`` in the browser until Ctrl-C; :class:`ReportError` where netron or the file is missing."""
    try:
        import netron
    except ImportError as error:
        raise ReportError(f"view needs netron: {suggest_extras('view')}; or write a file with --out") from error
    if not path.is_file():
        raise ReportError(f"{path}: no such file")
    note("open in the browser until Ctrl-C")
    netron.start(str(path))
    netron.wait()


def _onnx(arguments: argparse.Namespace) -> bytes:
    network, measured = artifact.load(arguments.file), None
    if arguments.input is not None:
        network, payloads = shared.stimulus(arguments, network)
        measured = _measured(network, shared.run(arguments.backend, network, payloads))
    data: bytes = annotate(network, measured).SerializeToString(deterministic=True)
    return data


def _measured(network: Network, run: Run) -> Measured:
    """Events per neuron and step of every population, synaptic operations per image of every connection."""
    activity = count_activity(network, run)
    rates = {
        population.name: {
            "spike_rate": int(population.events.sum()) / (activity.images * population.neurons * network.steps)
        }
        for population in activity.populations
    }
    operations = {
        connection.name: {"synaptic_operations": int(connection.synaptic_operations.sum()) // activity.images}
        for connection in activity.connections
    }
    return {**rates, **operations}
