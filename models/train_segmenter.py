"""Train a segmenter of this folder and export it as ONNX.

    python models/train_segmenter.py --seed 0 --steps 2000 --out models/segmenter_isbi.onnx
    python models/train_segmenter.py --set camseq --width 18 --steps 1600 --out models/segmenter_camseq.onnx

Membranes: ``--data`` holds ``image/N.png`` and ``label/N.png`` of ISBI 2012 (512x512 gray; class 1 is membrane). Images
0-24 train, 25-29 test (a split of ours; the challenge's own test labels are not public).
Streets: ``val/NAME.png`` and ``valannot/NAME.png`` of SegNet's copy of CamSeq01 (480x360 color; 11 classes). Frames 0-59
train, the last 21 test: one drive, so the test frames show other places of the same streets.
The test images are used for the final score only.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from snn_deploy.data.datasets import list_labelled_images
from snn_deploy.data.metrics import VOID
from snn_deploy.evaluation.evaluate import FloatPredictor, evaluate
from training import ROOT, Bytes, Schedule, export, train, turn
from unet import SegmentationUNet

Pairs = list[tuple[Bytes, npt.NDArray[np.int64]]]


@dataclass(frozen=True)
class DataSet:
    """A folder of labelled images, its split, and which augmentations preserve the labels."""

    folder: str
    channels: int
    test: slice
    weights: tuple[float, ...]
    """Weight of each class in the loss, by class number."""
    upright: bool
    """Whether images may only be mirrored, not rotated."""

    @property
    def training(self) -> slice:
        """All images before the test images."""
        return slice(0, self.test.start)


SETS = {
    "isbi": DataSet("ISBI2012", 1, slice(25, 30), (1.0, 2.0), upright=False),
    "camseq": DataSet(
        # about the inverse square root of the classes' share of pixels
        "CamSeq_frames",
        3,
        slice(60, 81),
        (1.0, 0.6, 4.0, 0.55, 1.0, 0.75, 3.2, 1.7, 2.3, 3.7, 2.0),
        upright=True,
    ),
}


def load_pairs(folder: Path, data: DataSet) -> Pairs:
    """(image (H, W, C) uint8, label map (H, W) int64) of every training image."""
    samples = [entry.read(data.channels) for entry in list_labelled_images(folder)[data.training]]
    return [
        (np.moveaxis(np.rint(sample.image[0] * 255).astype(np.uint8), 0, 2), sample.labels)
        for sample in samples
        if sample.labels is not None
    ]


def batch(
    pairs: Pairs, rng: np.random.Generator, size: int, patch: int, *, upright: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """``size`` random patches with random symmetry, contrast and brightness, and their labels."""
    images = np.empty((size, pairs[0][0].shape[2], patch, patch), np.float32)
    labels = np.empty((size, patch, patch), np.int64)
    for index in range(size):
        image, label = pairs[rng.integers(len(pairs))]
        top, left = (rng.integers(extent - patch + 1) for extent in label.shape)
        turns, mirror = int(rng.integers(4)) * (not upright), bool(rng.integers(2))
        window = (slice(top, top + patch), slice(left, left + patch))
        contrast, brightness = rng.uniform(0.8, 1.2), rng.uniform(-0.1, 0.1)
        seen = np.clip(turn(image[window], turns, mirror) / 255 * contrast + brightness, 0, 1)
        images[index] = np.moveaxis(seen, 2, 0)
        labels[index] = turn(label[window], turns, mirror)
    return torch.from_numpy(images).to(memory_format=torch.channels_last), torch.from_numpy(labels)


def main() -> None:
    """Parse the command line, train, export, score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=tuple(SETS), default="isbi")
    parser.add_argument("--data", type=Path, help="the set's folder (default: beside the repository)")
    parser.add_argument("--out", type=Path, default=ROOT / "models/segmenter_isbi.onnx")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--patch", type=int, default=160)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    started = time.time()
    data = SETS[arguments.set]
    folder = arguments.data or ROOT.parent / "shared/data" / data.folder
    pairs = load_pairs(folder, data)

    def loss_of_batch(net: nn.Module, rng: np.random.Generator) -> torch.Tensor:
        images, labels = batch(pairs, rng, arguments.batch, arguments.patch, upright=data.upright)
        return nn.functional.cross_entropy(net(images), labels, weight=torch.tensor(data.weights), ignore_index=VOID)

    schedule = Schedule(arguments.steps, arguments.rate, arguments.seed)
    net = SegmentationUNet(arguments.width, channels=data.channels, classes=len(data.weights))
    net = train(net, schedule, arguments.out.with_suffix(".pt"), loss_of_batch)
    export(net, arguments.out, data.channels, "image", "logits")
    result = evaluate(FloatPredictor(arguments.out), list_labelled_images(folder)[data.test], "segment", data.channels)
    parameters = sum(parameter.numel() for parameter in net.parameters())
    scores = ", ".join(f"{name} {value:.4f}" for name, value in result.overall.items())
    message = f"{arguments.out.name}: {parameters} parameters, {arguments.steps} steps, {time.time() - started:.0f} s"
    parser.exit(0, f"{message}; test images: {scores}\n")


if __name__ == "__main__":
    main()
