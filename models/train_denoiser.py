"""Train a denoiser of this folder and export it as ONNX.

    python models/train_denoiser.py --sigma 25 --seed 0 --steps 14000 --out models/denoiser_s25.onnx
    python models/train_denoiser.py --sigma 5-45 --start models/denoiser_s25.onnx --rate 1e-3 --seed 0 --steps 3000 \
        --out models/denoiser_blind.onnx
    python models/train_denoiser.py --sigma 25 --channels 3 --data ../shared/data/CamSeq_frames/val scikit-image \
        --test ../shared/data/CBSD68 --seed 0 --steps 6000 --out models/denoiser_color_s25.onnx

Data: the PNG images of the folders ``--data``, by default the 400 gray 180x180 images of BSD400; the word
``scikit-image`` stands for the photographs bundled with it. Noise is additive, white, Gaussian, of ``sigma / 255``, not
clipped; with a range, sigma is drawn uniformly for each patch, which trains a blind denoiser (as in Spiking-UNet). The
images of ``--test`` are used for the final score only: the exported weights are the last moving average, so nothing is
selected on the test set. ``--start`` starts from the weights of an exported network of the same shape. An interrupted
run resumes from its checkpoint.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

from snn_deploy.data.datasets import list_clean_images
from snn_deploy.data.images import load_bundled_images
from snn_deploy.evaluation.evaluate import FloatPredictor, evaluate
from training import ROOT, Bytes, Schedule, export, read_bytes, train, turn
from unet import DenoisingUNet

SCORED = (15.0, 25.0, 35.0)
"""Noise levels at which a blind denoiser is scored (those of Spiking-UNet, arXiv 2307.10974)."""


def load_images(sources: list[str], channels: int) -> list[Bytes]:
    """All PNG images (H, W, C) of the folders ``sources``; ``scikit-image`` stands for its bundled photographs."""
    images: list[Bytes] = []
    for source in sources:
        if source == "scikit-image":
            images += [
                np.moveaxis(np.rint(image[0] * 255).astype(np.uint8), 0, 2) for image in load_bundled_images(channels)
            ]
        else:
            images += [read_bytes(path, channels) for path in sorted(Path(source).glob("*.png"))]
    if not images:
        raise SystemExit(f"no PNG image in {', '.join(sources)}")
    return images


def batch(images: list[Bytes], rng: np.random.Generator, size: int, patch: int) -> torch.Tensor:
    """``size`` random patches, flipped and rotated: (size, C, patch, patch) float32 in [0, 1]."""
    patches = np.empty((size, images[0].shape[2], patch, patch), np.float32)
    for index in range(size):
        image = images[rng.integers(len(images))]
        top, left = (rng.integers(extent - patch + 1) for extent in image.shape[:2])
        window = image[top : top + patch, left : left + patch]
        patches[index] = np.moveaxis(turn(window, int(rng.integers(4)), bool(rng.integers(2))), 2, 0)
    return torch.from_numpy(patches / np.float32(255)).to(memory_format=torch.channels_last)


def noise_range(text: str) -> tuple[float, float]:
    """``25`` or ``5-45`` as (least, largest) sigma."""
    low, _, high = text.partition("-")
    return float(low), float(high or low)


def main() -> None:
    """Parse the command line, train, export, score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=[str(ROOT.parent / "shared/data/BSD400")], metavar="FOLDER")
    parser.add_argument("--test", type=Path, default=ROOT.parent / "shared/data/Set12")
    parser.add_argument("--out", type=Path, default=ROOT / "models/denoiser_s25.onnx")
    parser.add_argument("--sigma", type=noise_range, default=(25.0, 25.0), metavar="SIGMA[-SIGMA]")
    parser.add_argument("--channels", type=int, choices=(1, 3), default=1)
    parser.add_argument("--start", type=Path, metavar="ONNX")
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
    images = load_images(arguments.data, arguments.channels)
    low, high = arguments.sigma

    def loss_of_batch(net: nn.Module, rng: np.random.Generator) -> torch.Tensor:
        clean = batch(images, rng, arguments.batch, arguments.patch)
        sigma = low if low == high else torch.from_numpy(rng.uniform(low, high, (len(clean), 1, 1, 1))).float()
        noisy = clean + torch.randn_like(clean) * (sigma / 255)
        return nn.functional.mse_loss(net(noisy), clean)

    schedule = Schedule(arguments.steps, arguments.rate, arguments.seed)
    net = DenoisingUNet(arguments.width, channels=arguments.channels)
    if arguments.start is not None:
        tensors = onnx.load(arguments.start).graph.initializer
        net.load_state_dict({tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy()) for tensor in tensors})
    net = train(net, schedule, arguments.out.with_suffix(".pt"), loss_of_batch)
    export(net, arguments.out, arguments.channels, "noisy", "restored")
    parameters = sum(parameter.numel() for parameter in net.parameters())
    message = f"{arguments.out.name}: {parameters} parameters, {arguments.steps} steps, {time.time() - started:.0f} s"
    if arguments.test.is_dir():
        entries, predictor = list_clean_images(arguments.test), FloatPredictor(arguments.out)
        for sigma in (low,) if low == high else SCORED:
            result = evaluate(predictor, entries, "denoise", arguments.channels, sigma=sigma)
            message += f", {arguments.test.name} {result.overall['psnr_db']:.3f} dB at sigma {sigma:g}"
    parser.exit(0, message + "\n")


if __name__ == "__main__":
    main()
