"""The command of a plan's folder: ``python run.py --input x.npy --out trace.npz``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from snn_deploy_lava.runtime import description, trace
from snn_deploy_lava.runtime.command import Int64, attempt, find_program, read_payloads, run_bundle
from snn_deploy_lava.runtime.tiles import Array, Records, run_groups


def main(folder: Path, arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 done and, where compared, equal; 1 counts differ; 2 a run failed; 3 bad input."""
    options = _parser().parse_args(arguments)

    def run() -> tuple[description.Description, Int64, tuple[Records, dict[str, str]]]:
        network = description.read(folder / "network.snn")
        stimulus = read_payloads(network, options.input or folder / "input.npy")
        return network, stimulus, _run(folder, network, stimulus, options)

    done = attempt(run, options)
    if isinstance(done, int):
        return done
    network, stimulus, (records, models) = done
    if options.out is not None:
        trace.write(options.out, network, stimulus, records, f"lava-{options.target}", models)
    if options.input is not None:
        return 0
    with np.load(folder / "expected.npz", allow_pickle=False) as stored:
        expected = {name: stored[name] for name in stored.files}
    outputs = {name: records[name] for name in records if f"counts/{name}" in expected}
    lines = trace.list_differences(network, expected, outputs)
    sys.stdout.write("\n".join(lines or [f"equal: every count of {', '.join(outputs)}"]) + "\n")
    return 1 if lines else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Run the tiles of this folder in Lava, and put them together.")
    parser.add_argument("--target", choices=("sim", "loihi2"), default="sim", help="CPU simulation, or the chip")
    parser.add_argument(
        "--input",
        type=Path,
        help=".npy (B, C, H, W) or (C, H, W): real values of images, or integer payloads as they are; without it the image that"
        " the plan was emitted with runs, and the counts of the outputs are compared",
    )
    parser.add_argument("--out", type=Path, help="trace of the whole image to write (.npz)")
    parser.add_argument("--trains", action="store_true", help="keep every event of every step, not only counts")
    parser.add_argument("--chip-graph", action="store_true", help="simulate the graphs that run on the chip")
    parser.add_argument(
        "--board", type=Path, metavar="FILE", help="loihi2: .toml with partition, board or host, and generation"
    )
    parser.add_argument("--any-lava", action="store_true", help="run with a lava-nc that was not tested, too")
    parser.add_argument(
        "--timeout", type=float, default=3600.0, metavar="SECONDS", help="kill the run of a group after this time"
    )
    # what the bundle of a group has, and a plan does not
    parser.set_defaults(states=False, stream=False, stock_conv=False, conformance=False, record=["all"])
    return parser


def _run(
    folder: Path, network: description.Description, stimulus: Int64, options: argparse.Namespace
) -> tuple[Records, dict[str, str]]:
    """Records of all populations, and the models by group and process on a chip."""
    plan = json.loads((folder / "tiles.json").read_text(encoding="utf-8"))
    shapes = {name: tuple(record["shape"]) for name, record in network.populations.items()}
    models: dict[str, str] = {}

    def run(number: int, payloads: Array) -> Records:
        name = plan["groups"][number]["folder"]
        sys.stderr.write(f"{name}: {len(payloads)} tiles\n")
        program = find_program(folder / name, options)
        records, used = run_bundle(program, payloads, description.read(program / "network.snn"), options)
        models.update({f"{name}/{process}": model for process, model in used.items()})
        return records

    return run_groups(plan["groups"], stimulus, shapes, run), models
