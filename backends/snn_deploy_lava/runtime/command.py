"""The command of a bundle: ``python run.py --target sim --input x.npy --out trace.npz``."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from snn_deploy_lava.runtime import board, description, trace, versions
from snn_deploy_lava.runtime.chip_plan import ChipPlan
from snn_deploy_lava.runtime.description import Description
from snn_deploy_lava.runtime.guard import WorkerError, run_guarded
from snn_deploy_lava.runtime.worker import Job

T = TypeVar("T")
Int64 = npt.NDArray[np.int64]
Result = tuple[dict[str, dict[str, npt.NDArray[Any]]], dict[str, str]]


class UsageError(Exception):
    """Invalid input; the message is one line."""


def main(bundle: Path, arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 done and, where asked for, equal; 1 counts differ; 2 the run failed; 3 bad input."""
    options = _parser().parse_args(arguments)
    folder = bundle / "conformance" if options.conformance else bundle
    checked = options.conformance or options.input is None

    def run() -> tuple[Description, Int64, Result]:
        program = find_program(folder, options)
        network = description.read(program / "network.snn")
        stimulus = read_payloads(network, options.input or folder / "input.npy")
        return network, stimulus, run_bundle(program, stimulus, network, options)

    done = attempt(run, options)
    if isinstance(done, int):
        return done
    network, stimulus, (records, models) = done
    if options.out is not None:
        trace.write(options.out, network, stimulus, records, f"lava-{options.target}", models)
    if not checked:
        return 0
    with np.load(folder / "expected.npz", allow_pickle=False) as expected:
        lines = trace.list_differences(network, {name: expected[name] for name in expected.files}, records)
    populations = f"{len(records)} population" + ("s" if len(records) > 1 else "")
    sys.stdout.write("\n".join(lines or [f"equal: {populations}, every count"]) + "\n")
    return 1 if lines else 0


def attempt(run: Callable[[], T], options: argparse.Namespace) -> T | int:
    """What ``run`` returns with a version of Lava that was tested; else the exit status, and one line on standard error."""
    try:
        if not options.any_lava:
            versions.check()
        return run()
    except OSError as error:
        sys.stderr.write(f"error: {error.filename}: {error.strerror}\n")
        return 3
    except (UsageError, ValueError, versions.VersionError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 3
    except WorkerError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2


def find_program(folder: Path, options: argparse.Namespace) -> Path:
    """The folder of the network that runs: the chip's form of it, where that is asked for."""
    if options.target == "sim" and options.board is not None:
        raise UsageError("--board has no effect on --target sim; leave it out")
    if options.target == "sim" and not options.chip_graph:
        return folder
    if options.states:
        raise UsageError(
            "--states: membranes of the chip cannot be read while it runs; leave it out, or use --target sim"
        )
    if options.stream or options.stock_conv:
        name = "--stream" if options.stream else "--stock-conv"
        raise UsageError(
            f"{name} has no effect on the chip's graph; leave it out, or use --target sim without --chip-graph"
        )
    if not (folder / "chip").is_dir():
        raise UsageError("this bundle was written for the simulator only; emit it without --simulator-only")
    return folder / "chip"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Run the spiking network of this folder in Lava.")
    parser.add_argument("--target", choices=("sim", "loihi2"), default="sim", help="CPU simulation, or the chip")
    parser.add_argument(
        "--input",
        type=Path,
        help=".npy (B, C, H, W) or (C, H, W): real values of an image, or integer payloads as they are; a network of streams takes "
        "them as frames, one in rate mode (B, T, C, H, W) as the inputs of every step; without it the self-check input runs and "
        "its counts are compared",
    )
    parser.add_argument("--out", type=Path, help="trace to write (.npz)")
    parser.add_argument("--trains", action="store_true", help="keep every event of every step, not only counts")
    parser.add_argument("--states", action="store_true", help="keep membranes too (sim only)")
    parser.add_argument(
        "--record",
        nargs="+",
        default=[],
        metavar="POPULATION",
        help="populations that are recorded, or all (default: the outputs)",
    )
    parser.add_argument("--chip-graph", action="store_true", help="simulate the graph that runs on the chip")
    parser.add_argument("--stream", action="store_true", help="send images back to back, resetting layer by layer")
    parser.add_argument("--stock-conv", action="store_true", help="Lava's own CPU model of Conv (slow)")
    parser.add_argument("--conformance", action="store_true", help="run the neuron's conformance test instead")
    parser.add_argument(
        "--board", type=Path, metavar="FILE", help="loihi2: .toml with partition, board or host, and generation"
    )
    parser.add_argument("--any-lava", action="store_true", help="run with a lava-nc that was not tested, too")
    parser.add_argument("--timeout", type=float, default=3600.0, metavar="SECONDS", help="kill the run after this time")
    return parser


def read_payloads(network: Description, path: Path) -> Int64:
    """Input payloads (B, C, H, W) int64 of an image file; ``clip(rint(x / unit))`` for real values.

    In ``rate`` mode an input for every step, (B, T, C, H, W), may be given.
    """
    values: npt.NDArray[Any] = np.load(path, allow_pickle=False)
    record = network.manifest["populations"][0]
    if values.ndim == 3:
        values = values[None]
    shape = tuple(record["shape"])
    by_step = (int(network.manifest["steps"]), *shape) if network.manifest["mode"] == "rate" else shape
    if values.shape[1:] not in (shape, by_step):
        forms = " or ".join(f"(B, {', '.join(map(str, form))})" for form in dict.fromkeys([shape, by_step]))
        raise UsageError(f"{path.name}: shape {values.shape}; the network expects {forms}")
    low, high = record["input_min"], record["input_max"]
    if values.dtype.kind in "iu":
        if values.min() < low or values.max() > high:
            raise UsageError(
                f"{path.name}: payloads {values.min()}..{values.max()}; the input's limits are {low}..{high}"
            )
        return values.astype(np.int64)
    if values.dtype.kind != "f" or not np.all(np.isfinite(values)):
        raise UsageError(f"{path.name}: {values.dtype} values; only finite real numbers and integers are supported")
    unit = network.tensors[record["unit"]][:, None, None]
    payloads: Int64 = np.clip(np.rint(values.astype(np.float64) / unit), low, high).astype(np.int64)
    return payloads


def run_bundle(folder: Path, stimulus: Int64, network: Description, options: argparse.Namespace) -> Result:
    """Records of the populations asked for, and the models by process on a chip.

    Where the chip keeps the state of an image, each image is a run of its own. Counts of frames are those after each frame.
    """
    job = Job(
        trains=options.trains or options.states,
        states=options.states,
        stream=options.stream,
        conv="stock" if options.stock_conv else "exact",
        target=options.target,
        chip_graph=options.chip_graph or options.target == "loihi2",
        frames=network.frames,
        board={} if options.board is None else board.read(options.board),
        record=_recorded(network, options.record or (["all"] if options.conformance else [])),
    )
    plan = ChipPlan.read(folder / "chip.json") if job.chip_graph else None
    alone = plan is not None and plan.one_image and not network.frames
    runs = [stimulus[index : index + 1] for index in range(len(stimulus))] if alone else [stimulus]
    results = [_run_once(folder, images, network, job, options.timeout) for images in runs]
    records = {
        name: {key: np.concatenate([each[name][key] for each, _ in results]) for key in arrays}
        for name, arrays in results[0][0].items()
    }
    if network.frames:
        records = {name: {**arrays, "counts": np.cumsum(arrays["counts"], axis=0)} for name, arrays in records.items()}
    return records, results[0][1]


def _run_once(folder: Path, stimulus: Int64, network: Description, job: Job, timeout_s: float) -> Result:
    with tempfile.TemporaryDirectory(prefix="snn-lava-") as name:
        scratch = Path(name)
        for file in ("network.snn", "chip.json") if job.chip_graph else ("network.snn",):
            shutil.copyfile(folder / file, scratch / file)
        np.save(scratch / "stimulus.npy", stimulus)
        job.write(scratch)
        run_guarded(scratch, timeout_s, _show_progress if sys.stderr.isatty() else None)
        models = scratch / "models.json"
        named = json.loads(models.read_text(encoding="utf-8")) if models.exists() else {}
        return trace.collect(network, scratch), named


def _recorded(network: Description, asked: Sequence[str]) -> tuple[str, ...]:
    """Names of the populations to record; those of the outputs where none is asked for."""
    known = list(network.populations)
    if not asked:
        return tuple(dict.fromkeys(output["population"] for output in network.manifest["outputs"]))
    if list(asked) == ["all"]:
        return tuple(known)
    unknown = [name for name in asked if name not in known]
    if unknown:
        raise UsageError(f"--record {unknown[0]}: the network has {', '.join(known)}")
    return tuple(asked)


def _show_progress(done: int, total: int) -> None:
    sys.stderr.write(f"\rstep {done} of {total}" + ("\n" if done == total else ""))
