"""Measure everything that ``docs/results.md`` shows, and write it (``make reproduce``).

Every number is a part, kept under ``--cache`` by its name: a second run measures only what is missing. Whole images where
a part says so; the sweep over time steps runs on the middle 64x64 pixels of each image, because T = 128 on whole images
takes hours on two cores.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from results_page import write_page
from results_plots import write_plots

from snn_deploy import artifact, cli
from snn_deploy.backend import load_backend
from snn_deploy.conversion.calibrate import Images
from snn_deploy.conversion.options import Options, preset
from snn_deploy.display.console import note, progress
from snn_deploy.evaluate import Evaluation, FloatPredictor, SpikingPredictor, Task, evaluate
from snn_deploy.pipeline import PATCH, PATCHES, calibration_images, convert
from snn_deploy.target import load_target
from snn_deploy.tasks import images
from snn_deploy.tasks.datasets import Entry, clean_images, labelled_images

ROOT = Path(__file__).resolve().parents[2]
TARGET = "loihi2"
SIGMA = 25.0
CROP = 64
WHOLE_PIXELS = 150_000
SWEEP = (1, 2, 4, 8, 16, 32, 64, 128)

VARIANTS: dict[str, Options] = {
    "IF, layer-wise": preset("if", normalization="layer-wise"),
    "IF, connection-wise": preset("if"),
    "Spiking-UNet neuron, layer-wise": preset("spiking-unet", normalization="layer-wise"),
    "Spiking-UNet neuron, connection-wise": preset("spiking-unet"),
    "multi-threshold, connection-wise, MMSE": preset("multi-threshold"),
    "multi-threshold, channel-wise, MMSE": preset("multi-threshold", normalization="channel-wise"),
}
"""The sweep over T; the last two start at half a level, fire at the threshold and may take spikes back."""


WEIGHTS: dict[str, dict[str, bool]] = {
    "rounded": {"bias_correction": False},
    "with bias correction": {},
    "with bias correction and equalization": {"equalization": True},
}
"""What is done about rounding the weights."""

TUNED: dict[str, tuple[str, str]] = {
    "Spiking-UNet neuron, fine-tuned for T = 2": (
        "paper2",
        "--preset spiking-unet --steps 2 --iterations 250 --rate 2e-4",
    ),
    "Spiking-UNet neuron, fine-tuned for T = 4": (
        "paper4",
        "--preset spiking-unet --steps 4 --iterations 200 --rate 3e-4",
    ),
    "exact, N = 15, fine-tuned": ("qat15", "--preset exact --levels 15 --iterations 250 --rate 2e-4"),
}
"""Networks that ``snn-deploy finetune`` writes: file and arguments; trained and validated on 100 images of BSD400."""


@dataclass(frozen=True)
class Job:
    """One number: a model converted with ``options`` (``None``: the float model, or an artifact) on a data set."""

    name: str
    model: Path
    data: Path
    task: Task
    options: Options | None
    images: tuple[int, int | None] = (0, None)
    crop: int | None = None
    sigma: float = 0.0
    calibration: tuple[int, int] | None = None

    @property
    def key(self) -> str:
        """File name of the part."""
        return re.sub(r"[^A-Za-z0-9]+", "-", f"{self.model.stem}-{self.data.name}-{self.name}-{self.crop or 'whole'}")

    @property
    def effort(self) -> int:
        """Roughly how long the part takes: pixels times steps; short ones are measured first."""
        steps = self.options.steps if self.options is not None and self.options.mode == "rate" else 1
        return len(self.entries()) * steps * (WHOLE_PIXELS if self.crop is None else self.crop**2)

    def entries(self) -> tuple[Entry, ...]:
        """The images."""
        return (clean_images if self.task == "denoise" else labelled_images)(self.data)[slice(*self.images)]

    def patches(self) -> Images:
        """What activations are measured on: photographs of scikit-image, or training images of the data set."""
        if self.calibration is None:
            return calibration_images(None, 1, self.sigma, 0)
        training = labelled_images(self.data)[slice(*self.calibration)]
        return images.patches([entry.read(1).image for entry in training], (PATCH, PATCH), PATCHES, 0)

    def measure(self, report: Callable[[int, int], None]) -> Evaluation:
        """Convert, run, score."""
        if self.model.suffix == ".snn":
            network = artifact.load(self.model)
            predictor: Any = SpikingPredictor(network, load_backend("cpu"), target=load_target(TARGET))
        elif self.options is None:
            predictor = FloatPredictor(self.model)
        else:
            network = convert(self.model, self.patches(), self.options).conversion.network
            predictor = SpikingPredictor(network, load_backend("cpu"), target=load_target(TARGET))
        return evaluate(
            predictor, self.entries(), self.task, 1, sigma=self.sigma, seed=0, crop=self.crop, progress=report
        )


def denoising(shared: Path, tuned: Path) -> Iterator[Job]:
    """The gray denoiser at sigma 25: the sweep on crops, the essential rows on whole images."""
    model, set12 = ROOT / "models/denoiser_s25.onnx", shared / "data/Set12"
    base = Job("float", model, set12, "denoise", None, sigma=SIGMA)
    exact = {f"exact, N = {levels}": preset("exact", levels=levels) for levels in (15, 31, 63, 127, 255)}
    crops = replace(base, crop=CROP)
    yield crops
    for name, options in exact.items():
        yield replace(crops, name=name, options=options)
    for bits in (8, 7, 6, 5, 4):
        for name, changes in WEIGHTS.items():
            yield replace(crops, name=f"{bits} bits, {name}", options=preset("exact", weight_bits=bits, **changes))
    for name, options in VARIANTS.items():
        for steps in SWEEP:
            yield replace(crops, name=f"{name}, T = {steps}", options=replace(options, steps=steps))
    for name, (file, _) in TUNED.items():
        if (tuned / f"{file}.snn").is_file():
            yield replace(crops, name=name, model=tuned / f"{file}.snn")
    yield base
    for name in ("exact, N = 63", "exact, N = 127", "exact, N = 255"):
        yield replace(base, name=name, options=exact[name])
    for name, (file, _) in TUNED.items():
        if (tuned / f"{file}.snn").is_file():
            yield replace(base, name=name, model=tuned / f"{file}.snn")
    whole = ((VARIANTS["multi-threshold, connection-wise, MMSE"], "multi-threshold, connection-wise, MMSE", (2, 4, 8, 16)),
             (VARIANTS["Spiking-UNet neuron, connection-wise"], "Spiking-UNet neuron, connection-wise", (16, 32)),
             (VARIANTS["Spiking-UNet neuron, layer-wise"], "Spiking-UNet neuron, layer-wise", (16,)),
             (VARIANTS["IF, connection-wise"], "IF, connection-wise", (64,)))  # fmt: skip
    for options, name, counts in whole:
        for steps in counts:
            yield replace(base, name=f"{name}, T = {steps}", options=replace(options, steps=steps))
    bsd = replace(base, data=shared / "data/BSD68")
    yield bsd
    for name in ("exact, N = 127",):
        yield replace(bsd, name=name, options=exact[name])


def segmentation(shared: Path) -> Iterator[Job]:
    """The membrane segmenter on images 25-29: max pooling and signed populations."""
    data = shared / "data/ISBI2012"
    base = Job("float", ROOT / "models/segmenter_isbi.onnx", data, "segment", None, (25, 30), calibration=(0, 25))
    yield base
    for levels in (31, 63, 127, 255):
        yield replace(base, name=f"exact, N = {levels}", options=preset("exact", levels=levels))
    crops = replace(base, crop=256)
    yield crops
    for name in (
        "IF, connection-wise",
        "Spiking-UNet neuron, connection-wise",
        "multi-threshold, connection-wise, MMSE",
    ):
        for steps in (2, 4, 8, 16, 32):
            yield replace(crops, name=f"{name}, T = {steps}", options=replace(VARIANTS[name], steps=steps))


def tune(shared: Path, folder: Path) -> None:
    """The networks of :data:`TUNED` that are missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (file, arguments) in TUNED.items():
        if not (folder / f"{file}.snn").is_file():
            note(f"fine-tuning: {name}")
            common = f"--data {shared}/data/BSD400 --images 0-99 --task denoise --noise 25 --out {folder}/{file}.onnx"
            status = cli.main(["finetune", str(ROOT / "models/denoiser_s25.onnx"), *common.split(), *arguments.split()])
            if status != 0:
                raise SystemExit(status)


def measure(jobs: list[Job], cache: Path, budget_s: float) -> dict[str, dict[str, Any]]:
    """All parts by key, measured where they are missing and time is left."""
    cache.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    found = {}
    for number, job in enumerate(sorted(jobs, key=lambda job: job.effort)):
        path = cache / f"{job.key}.json"
        if not path.is_file():
            if time.perf_counter() - started > budget_s:
                note(f"left out, no time: {job.key}")
                continue
            with progress(f"{number + 1}/{len(jobs)} {job.key}") as report:
                begun = time.perf_counter()
                part = asdict(job.measure(report)) | {"seconds": time.perf_counter() - begun}
            path.write_text(json.dumps(part, indent=1), encoding="utf-8")
        found[job.key] = json.loads(path.read_text(encoding="utf-8"))
    return found


def main() -> None:
    """Parse the command line, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--cache", type=Path, default=ROOT / "out/results", help="parts measured so far")
    parser.add_argument("--tuned", type=Path, default=ROOT / "out", help="folder of fine-tuned networks")
    parser.add_argument("--no-tuning", action="store_true", help="leave out fine-tuned networks that are missing")
    parser.add_argument("--budget", type=float, default=1e9, metavar="SECONDS", help="start no part after this time")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/results.md")
    arguments = parser.parse_args()
    if not (arguments.shared / "data").is_dir():
        parser.exit(2, f"{arguments.shared}/data is absent: the images are not in this repository\n")
    if not arguments.no_tuning:
        tune(arguments.shared, arguments.tuned)
    jobs = [*denoising(arguments.shared, arguments.tuned), *segmentation(arguments.shared)]
    parts = measure(jobs, arguments.cache, arguments.budget)
    plots = write_plots(
        arguments.out.parent / "img", parts, {job.key: job for job in jobs}, noisy_crop(arguments.shared)
    )
    write_page(arguments.out, parts, {job.key: job for job in jobs}, plots)
    note(f"wrote {arguments.out}")


def noisy_crop(shared: Path) -> images.Image:
    """The crop that the plots of spikes and activations use: the first image of Set12."""
    (entry, *_) = clean_images(shared / "data/Set12")
    crop = images.center_crop(entry.read(1).image, 2 * CROP, 2 * CROP)
    return images.add_noise(crop, SIGMA, 0)


if __name__ == "__main__":
    main()
