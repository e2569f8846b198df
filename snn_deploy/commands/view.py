"""``snn-deploy view``: a model or a spiking network as a graph in the browser."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from snn_deploy import artifact
from snn_deploy.display.console import note
from snn_deploy.errors import ReportError
from snn_deploy.files import check_writable, write
from snn_deploy.frontend.onnx.annotate import annotated


def add(verbs: Any) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "view",
        help="look at a model or a spiking network in netron",
        description="Open an ONNX model or an artifact in netron; an artifact becomes ONNX with thresholds and delays.",
        epilog="example: snn-deploy view out/denoiser.snn --out out/denoiser.onnx",
    )
    parser.add_argument("file", type=Path, help="ONNX model or artifact (.snn)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the annotated ONNX file and open nothing")
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Annotate, then write or open."""
    path: Path = arguments.file
    if arguments.out is not None:
        check_writable(arguments.out)
        write(arguments.out, _onnx(path))
        note(f"wrote {arguments.out}")
        return 0
    try:
        import netron
    except ImportError as error:
        raise ReportError("view needs netron: pip install snn-deploy[view]; or write a file with --out") from error
    with tempfile.TemporaryDirectory() as folder:
        shown = path
        if path.suffix == ".snn":
            shown = Path(folder) / f"{path.stem}.onnx"
            write(shown, _onnx(path))
        elif not path.is_file():
            raise ReportError(f"{path}: no such file")
        note("open in the browser until Ctrl-C")
        netron.start(str(shown))
        netron.wait()
    return 0


def _onnx(path: Path) -> bytes:
    data: bytes = annotated(artifact.load(path)).SerializeToString(deterministic=True)
    return data
