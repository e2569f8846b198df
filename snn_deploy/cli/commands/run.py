"""``snn-deploy run``: one image through a network on one backend."""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import Any

import numpy as np

from snn_deploy.backend.protocol import Run
from snn_deploy.cli import arguments as shared
from snn_deploy.cli.clipping import record_clipping
from snn_deploy.cli.modes import NOISE, Mode, Modes
from snn_deploy.data import images
from snn_deploy.display.console import note, show, show_json
from snn_deploy.display.tables import run_table
from snn_deploy.files import check_writable, write
from snn_deploy.network import artifact
from snn_deploy.network.host import apply_host
from snn_deploy.network.network import Network

MODES = Modes((Mode("in any mode", "network input crop noise seed backend out json"),), (NOISE,))


def add(verbs: Any) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "run",
        help="run an image through a spiking network",
        description="Run an image through a spiking network and show the spikes of every population.",
        epilog="example: snn-deploy run out/denoiser.snn --input photo.png --noise 25 --out out/restored.png",
    )
    parser.add_argument("network", type=Path, help="artifact (.snn)")
    shared.add_stimulus(parser)
    shared.add_backend(parser)
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="write the output as .npy, or as an image by its suffix"
    )
    shared.add_json(parser)
    parser.set_defaults(execute=execute, modes=MODES)


def execute(arguments: argparse.Namespace) -> int:
    """Run, write the output, show the counts."""
    if arguments.out is not None:
        check_output(arguments.out)
    network, _, payloads = shared.stimulus(arguments, artifact.load(arguments.network))
    result = shared.run(arguments.backend, network, payloads)
    if arguments.out is not None:
        write_output(arguments.out, network, result)
    if arguments.json:
        show_json(record(network, result) | {"clipped": record_clipping(arguments)})
    else:
        show(run_table(network, result), silent=("saturated",), optional=("engine", "neurons"))
    return 0


def check_output(path: Path) -> None:
    """Before anything runs: can ``path`` be written, and is it ``.npy`` or an image."""
    check_writable(path)
    if path.suffix != ".npy":
        images.choose_format(path)


def write_output(path: Path, network: Network, run: Run) -> None:
    """The first output after the host's functions, as ``.npy`` or as a picture of the first image."""
    values = apply_host(network.outputs[0].host, run.values(network))
    if path.suffix == ".npy":
        buffer = io.BytesIO()
        np.save(buffer, values)
        write(path, buffer.getvalue())
    else:
        images.write_image(path, values[:1])
    note(f"wrote {path}")


def record(network: Network, run: Run) -> dict[str, Any]:
    """Counts and events of every population, summed over images."""
    return {
        "backend": run.backend,
        "network": run.network,
        "stimulus": run.stimulus,
        "seconds": round(run.seconds, 3),
        "populations": [
            {
                "name": population.name,
                "neurons": population.size,
                "engine": run.engines.get(population.name),
                "counts": int(run.counts[population.name].sum()),
                "events": int(run.events[population.name].sum()),
                "saturations": run.saturations.get(population.name, 0),
            }
            for population in network.populations
        ],
    }
