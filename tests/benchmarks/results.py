"""Measure everything that ``docs/reference/results.md`` shows, and write it (``make reproduce``).

Every number is a part of ``docs/reference/results.json``, kept with a fingerprint of the model, the data and the options it was
measured with: a run measures what is missing or was measured with others. ``--fresh`` measures all of it again (hours on
two cores). ``--only TEXT`` keeps to studies whose title holds the text.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from results_page import has_energy, write_page
from results_plots import write_plots
from results_studies import ROOT, Row, Study, studies

from snn_deploy.backend.registry import load_backend
from snn_deploy.cli import app as cli
from snn_deploy.conversion.calibrate import Statistics
from snn_deploy.conversion.convert import convert
from snn_deploy.data import images
from snn_deploy.data.calibration import PATCH, PATCHES, load_calibration_images
from snn_deploy.data.datasets import list_clean_images, list_labelled_images
from snn_deploy.data.images import Images
from snn_deploy.data.sample import Entry
from snn_deploy.display.console import note, progress
from snn_deploy.evaluation.evaluate import Evaluation, FloatPredictor, SpikingPredictor, evaluate
from snn_deploy.files import write
from snn_deploy.network import artifact
from snn_deploy.targets.load import load_target

TARGET = "loihi2"
WHOLE_PIXELS = 150_000

Part = dict[str, Any]


def entries(study: Study, shared: Path) -> tuple[Entry, ...]:
    """The test images."""
    read = list_clean_images if study.task == "denoise" else list_labelled_images
    return read(shared / "data" / study.data)[slice(*study.images)]


@lru_cache(maxsize=16)
def calibrated(
    model: Path, channels: int, sigma: float, folder: Path, span: tuple[int, int] | None
) -> tuple[Images, Mapping[str, Statistics]]:
    """Calibration images and what they show of ``model``: photographs of scikit-image, or training images of ``folder``."""
    if span is None:
        found = load_calibration_images(None, channels, sigma, 0)
    else:
        training = [entry.read(channels).image for entry in list_labelled_images(folder)[slice(*span)]]
        found = images.cut_patches(training, (PATCH, PATCH), PATCHES, 0)
    return found, convert(model, found).conversion.statistics


def effort(study: Study, row: Row, crop: int | None, count: int) -> int:
    """Roughly how long a part takes: pixels times steps; short ones are measured first."""
    return count * row.steps * (WHOLE_PIXELS if crop is None else crop**2)


def measure(
    study: Study, row: Row, crop: int | None, shared: Path, tuned: Path, report: Callable[[int, int], None]
) -> Evaluation:
    """Convert (or load the fine-tuned network), run, score."""
    predictor: Any
    if row.options is None:
        predictor = FloatPredictor(study.path)
    else:
        if row.training:
            network = artifact.load(study.tuned(row, tuned))
        else:
            folder = shared / "data" / study.data
            patches, statistics = calibrated(study.path, study.channels, study.sigma, folder, study.calibration)
            network = convert(study.path, patches, row.options, statistics=statistics).conversion.network
        predictor = SpikingPredictor(network, load_backend("cpu"), target=load_target(TARGET))
    square = None if crop is None else (crop, crop)
    return evaluate(
        predictor, entries(study, shared), study.task, study.channels, sigma=study.sigma, crop=square, progress=report
    )


def tune(study: Study, row: Row, shared: Path, tuned: Path) -> None:
    """Fine-tune ``row`` where its network is missing."""
    if study.tuned(row, tuned).is_file():
        return
    tuned.mkdir(parents=True, exist_ok=True)
    command = study.command(row, tuned).replace("../shared", str(shared)).replace("models/", f"{ROOT}/models/")
    note(f"fine-tuning: {command}")
    status = cli.main(command.split()[1:])
    if status != 0:
        raise SystemExit(status)


def parts_of(study: Study) -> Iterator[tuple[Row, int | None]]:
    """Every row with the crop it is measured on."""
    yield from ((row, study.crop) for row in study.crops)
    yield from ((row, None) for row in study.whole)


def _is_known(part: Part | None, fingerprint: str) -> bool:
    """Whether nothing but the code has changed since, and the energy, if any, is the present model's."""
    if part is None or part["fingerprint"] != fingerprint:
        return False
    return not (part["cost"] and part["cost"]["macs"]) or has_energy(part)


def measure_all(chosen: list[Study], found: dict[str, Part], arguments: argparse.Namespace) -> None:
    """Add to ``found`` what is missing, shortest first; every part is on disk as soon as it is known."""
    jobs = [
        (effort(study, row, crop, len(entries(study, arguments.shared))), study, row, crop)
        for study in chosen
        for row, crop in parts_of(study)
        if not _is_known(found.get(study.key(row, crop)), study.fingerprint(row, crop))
        and not (row.training and arguments.no_tuning and not study.tuned(row, arguments.tuned).is_file())
    ]
    started = time.perf_counter()
    for number, (_, study, row, crop) in enumerate(sorted(jobs, key=lambda job: job[0])):
        key = study.key(row, crop)
        if time.perf_counter() - started > arguments.budget:
            note(f"left out, no time: {key}")
            continue
        if row.training:
            tune(study, row, arguments.shared, arguments.tuned)
        with progress(f"{number + 1}/{len(jobs)} {key}") as report:
            begun = time.perf_counter()
            evaluation = measure(study, row, crop, arguments.shared, arguments.tuned, report)
        found[key] = {
            "fingerprint": study.fingerprint(row, crop),
            "images": len(evaluation.images),
            "overall": {name: round(value, 6) for name, value in evaluation.overall.items()},
            "cost": None if evaluation.cost is None else _rounded(asdict(evaluation.cost)),
            "seconds": round(time.perf_counter() - begun, 1),
            "date": time.strftime("%Y-%m-%d"),
        }
        write(arguments.parts, (json.dumps(found, indent=1, sort_keys=True) + "\n").encode())


def main() -> None:
    """Parse the command line, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument(
        "--parts", type=Path, default=ROOT / "docs/reference/results.json", help="what was measured so far"
    )
    parser.add_argument("--tuned", type=Path, default=ROOT / "out/tuned", help="folder of fine-tuned networks")
    parser.add_argument("--no-tuning", action="store_true", help="leave out fine-tuned networks that are missing")
    parser.add_argument("--only", default="", metavar="TEXT", help="studies whose title holds TEXT")
    parser.add_argument("--fresh", action="store_true", help="measure everything again")
    parser.add_argument("--budget", type=float, default=1e9, metavar="SECONDS", help="start no part after this time")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/reference/results.md")
    arguments = parser.parse_args()
    if not (arguments.shared / "data").is_dir():
        parser.exit(2, f"{arguments.shared}/data is absent: the images are not in this repository\n")
    known = not arguments.fresh and arguments.parts.is_file()
    found: dict[str, Part] = json.loads(arguments.parts.read_text(encoding="utf-8")) if known else {}
    everything = [study for study in studies() if study.path.is_file()]
    measure_all([study for study in everything if arguments.only in study.title], found, arguments)
    plots = write_plots(arguments.out.parents[1] / "img", found, everything, noisy_crop(arguments.shared))
    write_page(arguments.out, found, everything, plots)
    note(f"wrote {arguments.out}")


def _rounded(cost: dict[str, float | None]) -> dict[str, float | None]:
    return {name: None if value is None else float(f"{value:.8g}") for name, value in cost.items()}


def noisy_crop(shared: Path) -> images.Image:
    """The crop that the plots of spikes and activations use: of the first image of Set12."""
    entry, *_ = list_clean_images(shared / "data/Set12")
    return images.add_noise(images.center_crop(entry.read(1).image, 128, 128), 25.0, 0)


if __name__ == "__main__":
    main()
