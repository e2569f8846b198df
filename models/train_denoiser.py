"""Train the gray denoiser of this folder and export it as ONNX.

    python models/train_denoiser.py --sigma 25 --seed 0 --steps 14000 --out models/denoiser_s25.onnx

Data: the 400 gray 180x180 images of BSD400 where ``--data`` holds them, else scikit-image's bundled photographs.
Noise is additive, white, Gaussian, of ``sigma / 255``, not clipped. Set12 is used for the final score only; the
last moving average of the weights is kept, so nothing is selected on the test set. A run goes on from its
checkpoint.
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
from unet import DenoisingUNet

Gray = npt.NDArray[np.uint8]


def load_images(folder: Path) -> list[Gray]:
    """All gray PNG images of ``folder``; scikit-image's photographs where the folder is absent."""
    if folder.is_dir():
        return [read_gray(path) for path in sorted(folder.glob("*.png"))]
    from skimage import color, data

    names = ("camera", "brick", "grass", "gravel", "moon", "coins", "astronaut", "chelsea", "coffee", "rocket")
    images = [np.asarray(getattr(data, name)()) for name in names]
    return [image if image.ndim == 2 else np.uint8(color.rgb2gray(image) * 255) for image in images]


def batch(images: list[Gray], rng: np.random.Generator, size: int, patch: int) -> torch.Tensor:
    """``size`` random patches, flipped and rotated: (size, 1, patch, patch) float32 in [0, 1]."""
    patches = np.empty((size, 1, patch, patch), np.float32)
    for index in range(size):
        image = images[rng.integers(len(images))]
        top, left = (rng.integers(extent - patch + 1) for extent in image.shape)
        patches[index, 0] = turn(
            image[top : top + patch, left : left + patch], int(rng.integers(4)), bool(rng.integers(2))
        )
    return torch.from_numpy(patches / np.float32(255)).to(memory_format=torch.channels_last)


def psnr_db(net: nn.Module, images: list[Gray], sigma: float, seed: int) -> float:
    """Mean PSNR in dB of the clipped restorations over whole images, one noise field per image."""
    rng = np.random.default_rng(seed)
    scores = []
    for image in images:
        clean = image.astype(np.float32)[None, None] / np.float32(255)
        noisy = clean + rng.standard_normal(clean.shape, np.float32) * np.float32(sigma / 255)
        with torch.inference_mode():
            restored = net(torch.from_numpy(noisy)).numpy().clip(0, 1)
        scores.append(-10 * np.log10(np.mean((restored - clean) ** 2)))
    return float(np.mean(scores))


def main() -> None:
    """Parse the command line, train, export, score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/BSD400")
    parser.add_argument("--test", type=Path, default=ROOT.parent / "shared/data/Set12")
    parser.add_argument("--out", type=Path, default=ROOT / "models/denoiser_s25.onnx")
    parser.add_argument("--sigma", type=float, default=25.0)
    parser.add_argument("--width", type=int, default=24)
    parser.add_argument("--steps", type=int, default=14000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--patch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    started = time.time()
    images = load_images(arguments.data)

    def loss_of_batch(net: nn.Module, rng: np.random.Generator) -> torch.Tensor:
        clean = batch(images, rng, arguments.batch, arguments.patch)
        noisy = clean + torch.randn_like(clean) * (arguments.sigma / 255)
        return nn.functional.mse_loss(net(noisy), clean)

    schedule = Schedule(arguments.steps, arguments.rate, arguments.seed)
    net = train(DenoisingUNet(arguments.width), schedule, arguments.out.with_suffix(".pt"), loss_of_batch)
    export(net, arguments.out, 1, "noisy", "restored")
    parameters = sum(parameter.numel() for parameter in net.parameters())
    message = f"{arguments.out.name}: {parameters} parameters, {arguments.steps} steps, {time.time() - started:.0f} s"
    if arguments.test.is_dir():
        score = psnr_db(net, load_images(arguments.test), arguments.sigma, seed=0)
        message += f", {arguments.test.name} {score:.3f} dB at sigma {arguments.sigma:g}"
    parser.exit(0, message + "\n")


if __name__ == "__main__":
    main()
