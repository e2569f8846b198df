"""``snn-deploy run``: one image through a network on one backend."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from snn_deploy.backend.protocol import Run
from snn_deploy.cli import arguments as shared
from snn_deploy.cli import streams
from snn_deploy.cli.clipping import record_clipping
from snn_deploy.cli.commands import run_stream
from snn_deploy.cli.modes import NOISE, Mode, Modes, Need
from snn_deploy.data.images import choose_format
from snn_deploy.data.result_files import ResultFiles
from snn_deploy.display.console import note, show, show_json
from snn_deploy.display.tables import run_table
from snn_deploy.files import check_writable
from snn_deploy.network import artifact
from snn_deploy.network.network import Network

MODES = Modes(
    (
        streams.mode("backend out labels colors resume save_state save_every json"),
        Mode("with --input", "network input bin crop noise seed backend plan out labels colors json"),
    ),
    (
        NOISE,
        streams.BIN,
        Need("labels colors", "without --out", lambda arguments: arguments.out is not None),
        Need("save_every", "without --save-state", lambda arguments: arguments.save_state is not None),
    ),
)

CLIPPED = 0.01
"""Share of values outside of [0, 1] above which a picture is not the output any more, and the user is told."""


def add(verbs: Any) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "run",
        description="Run an image, or a stream of frames, through a spiking network and show the spikes of every population.",
        epilog="example: snn-deploy run out/denoiser.snn --input photo.png --noise 25 --out out/restored.png",
    )
    parser.add_argument("network", type=Path, help="artifact (.snn)")
    shared.add_stimulus(parser, required=False)
    run_stream.add_options(parser)
    shared.add_backend(parser)
    shared.add_plan(parser, "run")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="write every output as .npy or as an image: x.png; x.NAME.png of several outputs, x.0.png of several images,"
        " x.000000.png of frame 0",
    )
    parser.add_argument(
        "--labels",
        action="store_true",
        help="write the class of every pixel as a label image (argmax outputs always are)",
    )
    parser.add_argument(
        "--colors", action="store_true", help="give label images a palette; their values stay the classes"
    )
    shared.add_json(parser)
    parser.set_defaults(execute=execute, modes=MODES)


def execute(arguments: argparse.Namespace) -> int:
    """Run, write the output, show the counts."""
    streams.check_one(arguments)
    if arguments.out is not None:
        check_output(arguments.out)
    own = artifact.load(arguments.network)
    if arguments.stream is not None:
        return run_stream.execute(arguments, own)
    plan = shared.planned(arguments, own)
    network, payloads = shared.stimulus(arguments, own)
    outputs = None
    if arguments.out is not None:
        outputs = ResultFiles(arguments.out, network, payloads.shape[0], arguments.labels, arguments.colors)
    result = shared.run(arguments.backend, network, payloads, plan=plan)
    if outputs is not None:
        write_outputs(outputs, result)
    if arguments.json:
        show_json("run", record(network, result) | {"clipped": record_clipping(arguments)})
    else:
        show(run_table(network, result), silent=("saturated",), optional=("engine", "neurons"))
    return 0


def check_output(path: Path) -> None:
    """Before anything is read: can ``path`` be written, and is it ``.npy`` or an image."""
    check_writable(path)
    if path.suffix != ".npy":
        choose_format(path)


def write_outputs(outputs: ResultFiles, run: Run) -> None:
    """Write every file; say which, and which pictures do not show the values as they are."""
    for written in outputs.write(run):
        note(f"wrote {written.path}")
        if written.clipped > CLIPPED:
            note(
                f"warning: {written.path}: {written.clipped:.0%} of the values lie outside of 0..1 and are clipped; "
                ".npy keeps them"
            )


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
