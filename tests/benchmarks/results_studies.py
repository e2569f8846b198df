"""What ``docs/reference/results.md`` measures: a *study* is one trained network on one data set, a *row* one conversion of it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from snn_deploy.conversion.options import FEW_LEVELS, Options, preset
from snn_deploy.evaluation.evaluate import Task

ROOT = Path(__file__).resolve().parents[2]
SWEEP = (1, 2, 4, 8, 16, 32, 64, 128)

VARIANTS: dict[str, Options] = {
    "IF, layer-wise": preset("if", normalization="layer-wise"),
    "IF, connection-wise": preset("if"),
    "Spiking-UNet neuron, layer-wise": preset("spiking-unet", normalization="layer-wise"),
    "Spiking-UNet neuron, connection-wise": preset("spiking-unet"),
    "multi-threshold, connection-wise, MMSE": preset("multi-threshold"),
    "multi-threshold, channel-wise, MMSE": preset("multi-threshold", normalization="channel-wise"),
    "Spiking-UNet neuron, connection-wise, MMSE": preset("spiking-unet", scale="mmse"),
}
"""The sweep over T; multi-threshold neurons start at half a level, fire at the threshold and may take spikes back. The last one is
measured at few T: the published neuron, whose thresholds 2, 1, 1/2, 1/4 are of a unit by least square error."""

BASE = "IF, connection-wise"
"""What time steps are compared with."""

DEFAULTS = set(Options(rounding="nearest").record().items())
"""Options that a fingerprint leaves out, so that a new one, with the value that it had before it existed, changes none."""

ROUNDING: dict[str, dict[str, bool | str]] = {
    "rounded": {"rounding": "nearest", "bias_correction": False},
    "with bias correction": {"rounding": "nearest"},
    "with bias correction and equalization": {"rounding": "nearest", "equalization": True},
    "second-order": {},
    "second-order, integer thresholds": {"theta": "integer"},
}
"""What is done about rounding the weights."""


@dataclass(frozen=True)
class Row:
    """A network: the float one (no options), a conversion, or one fine-tuned with ``training`` before."""

    variant: str
    options: Options | None = None
    training: str = ""
    """Arguments of ``snn-deploy finetune`` that the options do not give."""

    @property
    def steps(self) -> int:
        """Time steps of a window; 1 in exact mode."""
        return self.options.steps if self.options is not None and self.options.mode == "rate" else 1

    @property
    def name(self) -> str:
        """As the tables show it."""
        rate = self.options is not None and self.options.mode == "rate"
        return f"{self.variant}, T = {self.steps}" if rate else self.variant


def exact(*levels: int) -> Iterator[Row]:
    """Exact mode at each N."""
    yield from (Row(f"exact, N = {count}", preset("exact", levels=count)) for count in levels)


def rate(variant: str, *steps: int) -> Iterator[Row]:
    """One of :data:`VARIANTS` at each T."""
    yield from (Row(variant, replace(VARIANTS[variant], steps=count)) for count in steps)


def sweep(
    *levels: int, variants: Iterable[str] = tuple(VARIANTS)[:-1], steps: tuple[int, ...] = SWEEP
) -> tuple[Row, ...]:
    """The float network, exact mode at ``levels``, and the variants at every T of ``steps``."""
    return Row("float"), *exact(*levels), *(row for name in variants for row in rate(name, *steps))


@dataclass(frozen=True)
class Study:
    """Rows on ``crops`` (the middle square of ``crop`` pixels of each image) and on ``whole`` images."""

    title: str
    model: str
    data: str
    task: Task
    metric: str
    crop: int
    whole: tuple[Row, ...]
    crops: tuple[Row, ...] = ()
    channels: int = 1
    sigma: float = 0.0
    images: tuple[int, int | None] = (0, None)
    calibration: tuple[int, int] | None = None
    """Training images on which activations are measured; by default photographs that scikit-image brings."""
    training: str = field(default="", kw_only=True)
    """Arguments of ``snn-deploy finetune`` that name the training images."""

    @property
    def path(self) -> Path:
        """The float model."""
        return ROOT / f"models/{self.model}.onnx"

    @property
    def tolerance(self) -> float:
        """How near to the float network is near: 0.1 dB, or one point of F1 or mIoU."""
        return 0.1 if self.task == "denoise" else 0.01

    def command(self, row: Row, folder: Path) -> str:
        """The command that fine-tunes ``row``."""
        options = row.options or Options()
        wanted = f"--preset exact --levels {options.levels}" + " --fuse-upsampling" * options.fuse_upsampling
        if options.weight_bits < Options().weight_bits:
            wanted += f" --weight-bits {options.weight_bits} --theta {options.theta}"
        if options.mode == "rate":
            name = "spiking-unet" if options.strict else "multi-threshold"
            wanted = f"--preset {name} --scale {options.scale} --steps {options.steps}"
        if options.level_budget <= FEW_LEVELS:
            wanted += f" --normalization {options.normalization}"
        return (
            f"snn-deploy finetune models/{self.model}.onnx --task {self.task} {self.training} {wanted} {row.training} "
            f"--out {self.tuned(row, folder)}"
        )

    def tuned(self, row: Row, folder: Path) -> Path:
        """Where the fine-tuned network of ``row`` lies."""
        return folder / f"{slug(f'{self.model}-{row.name}')}.snn"

    def key(self, row: Row, crop: int | None) -> str:
        """Name of the row's part."""
        return slug(f"{self.model}-{self.data}-{self.sigma:g}-{row.name}-{crop or 'whole'}")

    def fingerprint(self, row: Row, crop: int | None) -> str:
        """SHA-256 of everything that sets the row's numbers, but for the code; 16 digits."""
        record = None if row.options is None else sorted(set(row.options.record().items()) - DEFAULTS)
        training = self.training + row.training if row.training else ""
        described = repr((self.data, self.images, crop, self.sigma, self.calibration, record, training))
        return hashlib.sha256(self.path.read_bytes() + described.encode()).hexdigest()[:16]


def slug(text: str) -> str:
    """``text`` as a file name."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")


def studies() -> tuple[Study, ...]:
    """All of them; what is asked first stands first."""
    isbi = "--data ../shared/data/ISBI2012 --images 0-24"
    bsd = "--data ../shared/data/BSD400 --images 0-99 --noise 25"
    mmse, paper = "multi-threshold, connection-wise, MMSE", "Spiking-UNet neuron, connection-wise"
    own = "Spiking-UNet neuron, connection-wise, MMSE"
    tuned_paper, tuned_exact = "Spiking-UNet neuron, fine-tuned", "exact, N = {}, fine-tuned"

    def flow(steps: int, training: str) -> Row:
        return Row(tuned_paper, preset("spiking-unet", steps=steps), training)

    def fitted(steps: int, training: str) -> Row:
        return Row("Spiking-UNet neuron, MMSE, fine-tuned", replace(VARIANTS[own], steps=steps), training)

    def learned(levels: int, training: str) -> Row:
        return Row(tuned_exact.format(levels), preset("exact", levels=levels), training)

    def limited(share: float, training: str, *, levels: int = 127, fused: bool = False) -> Row:
        kind = "fused, " * fused
        name = f"exact, N = {levels}, {kind}fine-tuned to {share:.2f} operations per MAC of the conversion"
        return Row(name, preset("exact", levels=levels, fuse_upsampling=fused), f"--operations {share} {training}")

    bits = tuple(
        Row(f"{bits} bits, {name}", preset("exact", weight_bits=bits, **changes))
        for bits in (8, 7, 6, 5, 4)
        for name, changes in ROUNDING.items()
    )
    gray_tuned = (
        flow(2, "--iterations 400 --batch 4 --rate 1e-3 --check-every 100"),
        flow(4, "--iterations 800 --rate 2e-3 --check-every 100 --patience 8"),
        fitted(2, "--iterations 400"),
        fitted(4, "--iterations 800"),
        flow(12, "--iterations 400 --batch 4 --rate 1e-3 --check-every 100"),
        learned(15, "--iterations 1600 --rate 2e-3 --check-every 100 --patience 16"),
        learned(31, "--iterations 1500 --batch 4 --rate 1e-3 --check-every 150 --patience 99"),
        Row(
            "4 bits, integer thresholds, fine-tuned",
            preset("exact", weight_bits=4, theta="integer"),
            "--iterations 600 --rate 2e-3 --check-every 50 --patience 99",
        ),
        *(limited(share, "--iterations 200 --check-every 50") for share in (0.2, 0.15)),
    )
    six = Row("multi-threshold, 6 thresholds, connection-wise, MMSE", replace(VARIANTS[mmse], steps=1, thresholds=6))
    gray = Study(
        "Denoising, sigma 25, Set12", "denoiser_s25", "Set12", "denoise", "psnr_db", 64, sigma=25.0,
        crops=(*sweep(15, 31, 63, 127, 255), *rate(own, 1, 2, 4, 8, 16), *gray_tuned, *bits),
        whole=(
            Row("float"), *exact(63, 127, 255), *gray_tuned, *rate(mmse, 1, 2, 4, 8, 16), six,
            *rate(paper, 4, 16, 32), *rate(own, 2, 4), *rate("Spiking-UNet neuron, layer-wise", 16), *rate(BASE, 64),
        ),
        training=bsd,
    )  # fmt: skip
    brief = (Row("float"), *exact(63, 127, 255), *rate(mmse, 2, 4), *rate(paper, 16))
    three, to_64 = (BASE, paper, mmse), SWEEP[:-1]
    blind = tuple(
        Study(
            f"Denoising by one blind network, sigma {sigma:g}, Set12", "denoiser_blind", "Set12", "denoise", "psnr_db",
            64, brief, sweep(63, 127, 255, variants=three, steps=to_64), sigma=sigma,
        )
        for sigma in (15.0, 25.0, 35.0)
    )  # fmt: skip
    longer = (Row("float"), *exact(127), *rate(mmse, 4))
    fused = Row("exact, N = 127, fused", preset("exact", fuse_upsampling=True))
    streets = (
        limited(0.3, "--iterations 200 --rate 1e-3 --check-every 50", fused=True),
        limited(0.2, "--iterations 400 --rate 1e-3 --check-every 100", fused=True),
        limited(0.2, "--iterations 400 --rate 2e-3 --check-every 100", levels=15, fused=True),
    )
    return (
        gray,
        replace(gray, title="Denoising, sigma 25, BSD68", data="BSD68", whole=longer, crops=()),
        *blind,
        *(
            replace(item, title=item.title.replace("Set12", "BSD68"), data="BSD68", whole=longer[:2], crops=())
            for item in blind
        ),
        Study(
            "Denoising in color, sigma 25, CBSD68", "denoiser_color_s25", "CBSD68", "denoise", "psnr_db", 64,
            longer, channels=3, sigma=25.0,
        ),
        Study(
            "Membranes, ISBI 2012, images 25-29", "segmenter_isbi", "ISBI2012", "segment", "f1", 256,
            (Row("float"), *exact(31, 63, 127, 255), *rate(mmse, 1, 2, 4), *rate(paper, 16)),
            (
                *sweep(31, 63, 127, 255), *rate(own, 1, 2, 4),
                flow(4, "--patch 128 --batch 4 --rate 1e-3 --iterations 200 --check-every 50"),
                fitted(2, "--patch 128 --batch 2 --rate 1e-3 --iterations 100 --check-every 50"),
            ),
            images=(25, 30), calibration=(0, 25), training=isbi,
        ),
        Study(
            "Streets, CamSeq, frames 60-80", "segmenter_camseq", "CamSeq_frames", "segment", "miou", 128,
            (Row("float"), *exact(31, 63, 127, 255), fused, *streets, *rate(mmse, 1, 2, 4), *rate(paper, 16), *rate(own, 1, 2)),
            (*sweep(31, 63, 127, 255, variants=three, steps=to_64), *rate(own, 1, 2, 4)),
            channels=3, images=(60, 81), calibration=(0, 60),
            training="--data ../shared/data/CamSeq_frames --images 0-59 --patch 128 --batch 2",
        ),
    )  # fmt: skip
