"""What conversion costs: PSNR on whole images of Set12 at sigma 25, on the ``cpu`` backend (``make bench-accuracy``).

Exact mode at N = 63, 127 and 255; rate mode at T = 16 with connection-wise and layer-wise normalization. Calibration:
32 noisy patches of scikit-image's photographs. Status 1 where connection-wise loses as much as layer-wise.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from rich.table import Table

from snn_deploy.backend.registry import load_backend
from snn_deploy.conversion.convert import convert
from snn_deploy.conversion.options import Options, preset
from snn_deploy.data.calibration import load_calibration_images
from snn_deploy.data.datasets import list_clean_images
from snn_deploy.data.images import Images
from snn_deploy.data.sample import Entry
from snn_deploy.display.console import note, progress, show
from snn_deploy.evaluation.evaluate import Evaluation, FloatPredictor, Predictor, SpikingPredictor, evaluate

ROOT = Path(__file__).resolve().parents[2]
SIGMA = 25.0
STEPS = 16
RATE = ("multi-threshold", "spiking-unet")


def variants(steps: int) -> Iterator[tuple[str, Options]]:
    """(row's name, options) of every network."""
    for levels in (63, 127, 255):
        yield f"exact, N = {levels}", preset("exact", levels=levels)
    for name in RATE:
        for normalization in ("connection-wise", "layer-wise"):
            yield f"{name}, T = {steps}, {normalization}", preset(name, steps=steps, normalization=normalization)


def predictors(model: Path, calibration: Images, steps: int) -> Iterator[tuple[str, Predictor]]:
    """The float network, then each variant, converted when it is asked for."""
    yield "float", FloatPredictor(model)
    for name, options in variants(steps):
        yield name, SpikingPredictor(convert(model, calibration, options).conversion.network, load_backend("cpu"))


def main() -> int:
    """Parse the command line, evaluate, show the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=ROOT / "models/denoiser_s25.onnx")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/Set12", help="folder of clean images")
    parser.add_argument("--images", type=int, metavar="COUNT", help="use the first images only")
    parser.add_argument("--crop", type=int, metavar="SIDE", help="use the middle square of each image only")
    parser.add_argument("--steps", type=int, default=STEPS, metavar="T", help="rate mode: time steps (default: 16)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        parser.exit(2, f"{arguments.data} is absent: give --data a folder of clean gray images, Set12's for instance\n")
    entries = list_clean_images(arguments.data)[: arguments.images]
    calibration = load_calibration_images(None, 1, SIGMA, arguments.seed)
    found: dict[str, Evaluation] = {}
    table = _table(arguments, entries)
    for name, predictor in predictors(arguments.model, calibration, arguments.steps):
        started = time.perf_counter()
        with progress(name) as report:
            found[name] = evaluate(
                predictor,
                entries,
                "denoise",
                1,
                sigma=SIGMA,
                seed=arguments.seed,
                crop=arguments.crop,
                progress=report,
            )
        table.add_row(*_row(name, found, time.perf_counter() - started))
    show(table)
    return _status(found, arguments.steps)


def _table(arguments: argparse.Namespace, entries: tuple[Entry, ...]) -> Table:
    part = "whole images" if arguments.crop is None else f"middle {arguments.crop}x{arguments.crop} pixels"
    table = Table(
        title=f"{arguments.model.stem} on {len(entries)} images of {arguments.data.name}, {part}, sigma {SIGMA:g}",
        caption=f"noise of image i: seed {arguments.seed} + i; calibration: scikit-image's photographs, same seed",
    )
    for heading in ("network", "PSNR [dB]", "loss [dB]", "SSIM", "events / image", "operations / MAC", "time [s]"):
        table.add_column(heading, justify="left" if heading == "network" else "right")
    return table


def _row(name: str, found: dict[str, Evaluation], seconds: float) -> tuple[str, ...]:
    scores, cost = found[name].overall, found[name].cost
    loss = found["float"].overall["psnr_db"] - scores["psnr_db"]
    return (
        name,
        f"{scores['psnr_db']:.3f}",
        f"{loss:.3f}",
        f"{scores['ssim']:.4f}",
        "" if cost is None else f"{cost.events:,.0f}",
        "" if cost is None else f"{cost.synaptic_operations / cost.macs:.2f}",
        f"{seconds:.1f}",
    )


def _status(found: dict[str, Evaluation], steps: int) -> int:
    failed = [
        name
        for name in RATE
        if found[f"{name}, T = {steps}, connection-wise"].overall["psnr_db"]
        <= found[f"{name}, T = {steps}, layer-wise"].overall["psnr_db"]
    ]
    for name in failed:
        note(f"{name}: connection-wise normalization loses no less than layer-wise")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
