"""``snn-deploy run``: one image through a network on one backend."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from snn_deploy import artifact, images
from snn_deploy.backend import Run, backend_names, load_backend
from snn_deploy.commands import arguments as shared
from snn_deploy.console import note, progress, show, show_json
from snn_deploy.errors import ReportError
from snn_deploy.host import apply_host
from snn_deploy.network import Network


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
    parser.add_argument("--backend", choices=backend_names(), default="cpu", help="default: cpu")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="write the output as .npy, or as an image by its suffix"
    )
    shared.add_json(parser)
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Run, write the output, show the counts."""
    network, _, stimulus = shared.stimulus(arguments, artifact.load(arguments.network))
    with progress(f"{arguments.backend}: {network.name}") as report:
        run = load_backend(arguments.backend).run(network, stimulus, progress=report)
    if arguments.out is not None:
        write_output(arguments.out, network, run)
    if arguments.json:
        show_json(record(network, run))
    else:
        show(table(network, run))
    return 0


def write_output(path: Path, network: Network, run: Run) -> None:
    """The first output after the host's functions, as ``.npy`` or as a picture of the first image."""
    values = apply_host(network.outputs[0].host, run.values(network))
    if path.suffix == ".npy":
        try:
            with path.open("wb") as file:
                np.save(file, values)
        except OSError as error:
            raise ReportError(f"{path}: cannot be written: {error.strerror or error}") from error
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


def table(network: Network, run: Run) -> Table:
    """The same for people."""
    batch = next(iter(run.counts.values())).shape[0]
    shown = Table(
        title=f"{network.name} on {run.backend}: {batch} image(s) of "
        f"{'x'.join(map(str, network.input.shape))} in {run.seconds:.2f} s"
    )
    for heading in ("population", "neurons", "engine", "events", "counts", "active", "saturated"):
        shown.add_column(heading, justify="left" if heading in ("population", "engine") else "right")
    for population in network.populations:
        events = run.events[population.name]
        shown.add_row(
            population.name,
            f"{population.size:,}",
            run.engines.get(population.name, "host"),
            f"{int(events.sum()):,}",
            f"{int(run.counts[population.name].sum()):,}",
            f"{float((events > 0).mean()):.1%}",
            f"{run.saturations.get(population.name, 0):,}",
        )
    return shown
