"""Train the membrane segmenter of this folder (ISBI 2012) and export it as ONNX.

    python models/train_segmenter.py --seed 0 --steps 2000 --out models/segmenter_isbi.onnx

Data: ``--data`` holds ``image/N.png`` and ``label/N.png`` (512x512 gray; membrane where the label is below 128).
Images 0-24 train, 25-29 test (a split of ours; the challenge's own test labels are not public). Class 1 is
membrane. The test images are used for the final score only.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from training import ROOT, Schedule, export, read_gray, train, turn
from unet import SegmentationUNet

TRAINING = range(25)
TEST = range(25, 30)

Gray = npt.NDArray[np.uint8]
Pairs = list[tuple[Gray, Gray]]


def load_pairs(folder: Path, indices: range) -> Pairs:
    """(image, label) pairs; a label is 1 at membranes."""
    return [
        (read_gray(folder / f"image/{index}.png"), (read_gray(folder / f"label/{index}.png") < 128).astype(np.uint8))
        for index in indices
    ]


def batch(pairs: Pairs, rng: np.random.Generator, size: int, patch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """``size`` random patches with random symmetry, contrast and brightness, and their labels."""
    images = np.empty((size, 1, patch, patch), np.float32)
    labels = np.empty((size, patch, patch), np.int64)
    for index in range(size):
        image, label = pairs[rng.integers(len(pairs))]
        top, left = (rng.integers(extent - patch + 1) for extent in image.shape)
        turns, mirror = int(rng.integers(4)), bool(rng.integers(2))
        window = (slice(top, top + patch), slice(left, left + patch))
        contrast, brightness = rng.uniform(0.8, 1.2), rng.uniform(-0.1, 0.1)
        images[index, 0] = np.clip(turn(image[window], turns, mirror) / 255 * contrast + brightness, 0, 1)
        labels[index] = turn(label[window], turns, mirror)
    return torch.from_numpy(images).to(memory_format=torch.channels_last), torch.from_numpy(labels)


def f1_score(net: nn.Module, pairs: Pairs) -> float:
    """F1 of the membrane class over all pixels of ``pairs``."""
    hits = found = wanted = 0
    for image, label in pairs:
        with torch.inference_mode():
            predicted = net(torch.from_numpy(image / np.float32(255))[None, None]).argmax(1)[0].numpy()
        hits += int((predicted & label).sum())
        found += int(predicted.sum())
        wanted += int(label.sum())
    return 2 * hits / (found + wanted)


def main() -> None:
    """Parse the command line, train, export, score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/ISBI2012")
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
    pairs = load_pairs(arguments.data, TRAINING)

    def loss_of_batch(net: nn.Module, rng: np.random.Generator) -> torch.Tensor:
        images, labels = batch(pairs, rng, arguments.batch, arguments.patch)
        return nn.functional.cross_entropy(net(images), labels, weight=torch.tensor([1.0, 2.0]))

    schedule = Schedule(arguments.steps, arguments.rate, arguments.seed)
    net = train(SegmentationUNet(arguments.width), schedule, arguments.out.with_suffix(".pt"), loss_of_batch)
    export(net, arguments.out, 1, "image", "logits")
    score = f1_score(net, load_pairs(arguments.data, TEST))
    parameters = sum(parameter.numel() for parameter in net.parameters())
    parser.exit(
        0,
        f"{arguments.out.name}: {parameters} parameters, {arguments.steps} steps, {time.time() - started:.0f} s, "
        f"F1 of membranes {score:.4f} on images 25-29\n",
    )


if __name__ == "__main__":
    main()
