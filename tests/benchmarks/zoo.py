"""``make zoo``: every ONNX file of a folder, imported whole or refused with its reasons, and what its spikes are worth.

    python tests/benchmarks/zoo.py ../shared/models

A row says: the largest difference between the float graph after all passes and the file itself in onnxruntime, relative
to the largest output; whether reference, cpu and the integer network count the same spikes in ``exact`` mode; the output's
error, relative to its variation, of the options that ``convert`` chooses by default, and the least of all that ``--search``
tries; and the error in ``rate`` mode (T = 32), relative in the 2-norm. Inputs come from ``x`` of a ``NAME.npz`` beside the
file (``NAME`` up to the first dot), else they are seeded noise; the last four are held back, where there are eight. Status 1
if anything that was imported disagrees, or the defaults err by :data:`WORSE` more than the best options.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from rich.table import Table

from snn_deploy.backend.integer_ann import compute_integer_counts
from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.stimulus import quantize_images
from snn_deploy.conversion.calibrate import ActivationProbe
from snn_deploy.conversion.choose import Bench, Choice, Trial, choose, describe
from snn_deploy.conversion.convert import convert, input_scale
from snn_deploy.conversion.loss import IMAGES
from snn_deploy.conversion.lower import Conversion, lower
from snn_deploy.conversion.options import Options, preset
from snn_deploy.data.images import Images
from snn_deploy.data.metrics import psnr_db
from snn_deploy.display.console import progress, show
from snn_deploy.errors import SnnDeployError, UnsupportedModelError
from snn_deploy.frontend.onnx import Imported, read
from snn_deploy.graph.graph import Graph
from snn_deploy.passes import normal_form

WORSE = 0.01
"""By how much more than the best options the defaults may err."""

FLOAT_TOLERANCE = 1e-4
"""Largest relative difference of single-precision networks that compute the same function in another order."""

SIDE = 64
"""Height and width of the seeded input where a file has none beside it and leaves its axes open."""

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Row:
    """What became of one file."""

    name: str
    fate: str
    sound: bool
    cells: tuple[str, ...] = ()


def examine(path: Path) -> Row:
    """One file, start to finish; our own errors are its fate."""
    try:
        images, size = inputs(path)
        model = read(path, size)
        graph = normal_form(model.graph)
        wanted = graph_output(graph, images[0])
        float_error = difference(path, model, wanted, images[0])
        first, best = choose_twice(path, images)
        exact = first.converted.conversion
        stimulus = quantize_images(exact.network, images[0])
        counts = [load_backend(name).run(exact.network, stimulus).counts for name in ("reference", "cpu")]
        counts.append(compute_integer_counts(exact.network, stimulus))
        equal = all(np.array_equal(counts[0][name], other[name]) for other in counts[1:] for name in counts[0])
        rate = lower(graph, graph, images, preset("multi-threshold", steps=32))
    except UnsupportedModelError as error:
        more = f"; and {len(error.reasons) - 1} more" if len(error.reasons) > 1 else ""
        return Row(path.name, f"refused: {error.reasons[0]}{more}", sound=True)
    except SnnDeployError as error:
        return Row(path.name, " ".join(str(error).split()), sound=True)
    cells = (
        f"{float_error:.1e}",
        "equal" if equal else "DIFFERENT",
        f"{first.trial.error:.2%} ({describe(first.trial.options, Options())})",
        f"{best.error:.2%} ({describe(best.options, Options())})",
        f"{spiking_error(rate, wanted, images[0]):.2%}",
        score(path, exact),
    )
    fate = f"imported, {len(exact.network.populations)} populations"
    near = first.trial.error <= best.error + WORSE
    return Row(path.name, fate, equal and near and float_error <= FLOAT_TOLERANCE, cells)


def choose_twice(path: Path, images: Images) -> tuple[Choice, Trial]:
    """What the defaults give, and the trial of a search through all options that errs least."""
    seen, held_back = (images[:-IMAGES], images[-IMAGES:]) if len(images) >= 2 * IMAGES else (images, images[:IMAGES])
    backend, picture = load_backend("cpu"), input_scale(path)
    converted = convert(path, seen, Options(), picture=picture)
    bench = Bench(path, seen, picture, converted.conversion.statistics, held_back, form=Options().form)
    first = choose(bench, backend, converted, Options())
    trials = first.trials
    if (
        first.trial.is_enough and first.trial.error > WORSE
    ):  # else all was tried already, or nothing can be better by more
        trials = choose(bench, backend, converted, Options(), search=True).trials
    return first, min(trials, key=lambda trial: trial.error)


def beside(path: Path) -> Path:
    """The record of inputs and outputs that belongs to a model file."""
    name = path.name.split(".")[0]
    return path.parent / (f"{name}.bn.npz" if "bn.fixed" in path.name else f"{name}.npz")


def inputs(path: Path) -> tuple[Images, tuple[int, int]]:
    """Images (each (1, C, H, W)) that calibrate; the first is also the stimulus."""
    if beside(path).is_file():
        values = np.load(beside(path))["x"].astype(np.float32)
        return [values[index : index + 1] for index in range(len(values))], (values.shape[2], values.shape[3])
    shape = read(path, (SIDE, SIDE)).graph.input_shape
    rng = np.random.default_rng(0)
    return [rng.random((1, *shape), np.float32) for _ in range(4)], (shape[1], shape[2])


def graph_output(graph: Graph, image: Array) -> Array:
    """First output of a graph."""
    return next(iter(ActivationProbe(graph, ())(image).values()))


def difference(path: Path, model: Imported, found: Array, image: Array) -> float:
    """Largest difference to the file itself, relative to its largest output."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    batch = given.shape[0] if isinstance(given.shape[0], int) else 1
    shaped = np.repeat(np.moveaxis(image, 1, 3) if model.channels_last else image, batch, axis=0)
    wanted = session.run(None, {given.name: shaped.astype(np.float16 if "float16" in given.type else np.float32)})[0]
    return float(np.abs(found - wanted[:1]).max() / np.abs(wanted[:1]).max())


def spiking_error(conversion: Conversion, wanted: Array, image: Array) -> float:
    """Relative error of the spiking output in the 2-norm, on cpu."""
    network = conversion.network
    values = load_backend("cpu").run(network, quantize_images(network, image)).values(network)
    return float(np.linalg.norm(values - wanted) / np.linalg.norm(wanted))


def score(path: Path, conversion: Conversion) -> str:
    """PSNR of the float and of the spiking output against the targets that stand beside the file, where they do."""
    record = np.load(beside(path)) if beside(path).is_file() else {}
    if "target" not in record:
        return ""
    target = record["target"].astype(np.float32) / np.float32(255)
    network = conversion.network
    stimulus = quantize_images(network, record["x"].astype(np.float32))
    outputs = [record["y"], load_backend("cpu").run(network, stimulus).values(network)]
    decibels = [
        float(np.mean([psnr_db(output[index : index + 1], target[index : index + 1]) for index in range(len(target))]))
        for output in outputs
    ]
    return " / ".join(f"{item:.2f}" for item in decibels) + " dB"


def main() -> int:
    """Examine every ``*.onnx`` of the folder and show the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    paths = sorted(folder.glob("*.onnx"))
    if not paths:
        parser.exit(3, f"{folder}: contains no .onnx file\n")
    rows = []
    with progress("zoo") as report:
        for index, path in enumerate(paths):
            rows.append(examine(path))
            report(index + 1, len(paths))
    table = Table(title=f"{folder}: {len(rows)} files")
    for heading in (
        "file",
        "fate",
        "float",
        "spikes",
        "error at defaults",
        "least error of a search",
        "rate T=32",
        "PSNR: float / defaults",
    ):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(row.name, row.fate, *row.cells)
    show(table)
    return 0 if all(row.sound for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
