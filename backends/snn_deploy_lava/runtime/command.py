"""The command of a bundle: ``python run.py --target sim --input x.npy --out trace.npz``."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from snn_deploy_lava.runtime import description, trace
from snn_deploy_lava.runtime.description import Description
from snn_deploy_lava.runtime.guard import WorkerError, run_guarded
from snn_deploy_lava.runtime.worker import Job

Int64 = npt.NDArray[np.int64]


class UsageError(Exception):
    """Invalid input; the message is one line."""


def main(bundle: Path, arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 done and, where asked for, equal; 1 counts differ; 2 the run failed; 3 bad input."""
    options = _parser().parse_args(arguments)
    folder = bundle / "conformance" if options.conformance else bundle
    checked = options.conformance or options.input is None
    try:
        network = description.read(folder / "network.snn")
        stimulus = _payloads(network, options.input or folder / "input.npy")
        records = _run(folder, stimulus, network, options)
    except OSError as error:
        sys.stderr.write(f"error: {error.filename}: {error.strerror}\n")
        return 3
    except (UsageError, ValueError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 3
    except WorkerError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    if options.out is not None:
        trace.write(options.out, network, stimulus, records, f"lava-{options.target}")
    if not checked:
        return 0
    with np.load(folder / "expected.npz", allow_pickle=False) as expected:
        lines = trace.list_differences({name: expected[name] for name in expected.files}, records)
    sys.stdout.write("\n".join(lines or [f"equal: {len(records)} populations, every count"]) + "\n")
    return 1 if lines else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Run the spiking network of this folder in Lava.")
    parser.add_argument("--target", choices=("sim", "loihi2"), default="sim", help="CPU simulation, or the chip")
    parser.add_argument(
        "--input",
        type=Path,
        help=".npy (B, C, H, W) or (C, H, W): real values of an image, or integer payloads as they are; "
        "without it the self-check input runs and its counts are compared",
    )
    parser.add_argument("--out", type=Path, help="trace to write (.npz)")
    parser.add_argument("--trains", action="store_true", help="keep every event of every step, not only counts")
    parser.add_argument("--states", action="store_true", help="keep membranes too (sim only)")
    parser.add_argument("--stream", action="store_true", help="send images back to back, resetting layer by layer")
    parser.add_argument("--stock-conv", action="store_true", help="Lava's own CPU model of Conv (slow)")
    parser.add_argument("--conformance", action="store_true", help="run the neuron's conformance test instead")
    parser.add_argument("--timeout", type=float, default=3600.0, metavar="SECONDS", help="kill the run after this time")
    return parser


def _payloads(network: Description, path: Path) -> Int64:
    """Input payloads (B, C, H, W) int64 of an image file; ``clip(rint(x / unit))`` for real values."""
    values: npt.NDArray[Any] = np.load(path, allow_pickle=False)
    record = network.manifest["populations"][0]
    if values.ndim == 3:
        values = values[None]
    if values.ndim != 4 or values.shape[1:] != tuple(record["shape"]):
        raise UsageError(
            f"{path.name}: shape {values.shape}; the network expects (B, {', '.join(map(str, record['shape']))})"
        )
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


def _run(
    folder: Path, stimulus: Int64, network: Description, options: argparse.Namespace
) -> dict[str, dict[str, npt.NDArray[Any]]]:
    job = Job(
        trains=options.trains or options.states,
        states=options.states,
        stream=options.stream,
        conv="chip" if options.target == "loihi2" else "stock" if options.stock_conv else "exact",
        target=options.target,
    )
    with tempfile.TemporaryDirectory(prefix="snn-lava-") as name:
        scratch = Path(name)
        (scratch / "network.snn").write_bytes((folder / "network.snn").read_bytes())
        np.save(scratch / "stimulus.npy", stimulus)
        job.write(scratch)
        run_guarded(scratch, options.timeout, _show_progress if sys.stderr.isatty() else None)
        return trace.collect(network, scratch)


def _show_progress(done: int, total: int) -> None:
    sys.stderr.write(f"\rstep {done} of {total}" + ("\n" if done == total else ""))
