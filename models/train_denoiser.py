"""Train the gray denoiser of this folder and export it as ONNX.

    python models/train_denoiser.py --sigma 25 --seed 0 --steps 14000 --out models/denoiser_s25.onnx

Data: the 400 gray 180x180 images of BSD400 where ``--data`` holds them, else scikit-image's bundled photographs. Noise is
additive, white, Gaussian, of ``sigma / 255``, not clipped. Set12 is used for the final score only; the last exponential
moving average of the weights is kept, so nothing is selected on the test set. A run goes on from its checkpoint.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn

from unet import DenoisingUNet

ROOT = Path(__file__).resolve().parent.parent


def load_images(folder: Path) -> list[npt.NDArray[np.uint8]]:
    """All gray PNG images of ``folder``; scikit-image's photographs where the folder is absent."""
    if folder.is_dir():
        return [np.asarray(Image.open(path).convert("L")) for path in sorted(folder.glob("*.png"))]
    from skimage import color, data

    names = ("camera", "brick", "grass", "gravel", "moon", "coins", "astronaut", "chelsea", "coffee", "rocket")
    images = [np.asarray(getattr(data, name)()) for name in names]
    return [image if image.ndim == 2 else np.uint8(color.rgb2gray(image) * 255) for image in images]


def batch(images: list[npt.NDArray[np.uint8]], rng: np.random.Generator, size: int, patch: int) -> torch.Tensor:
    """``size`` random patches, flipped and rotated: (size, 1, patch, patch) float32 in [0, 1]."""
    patches = np.empty((size, 1, patch, patch), np.float32)
    for index in range(size):
        image = images[rng.integers(len(images))]
        top, left = (rng.integers(extent - patch + 1) for extent in image.shape)
        crop = np.rot90(image[top : top + patch, left : left + patch], rng.integers(4))
        patches[index, 0] = crop[:, ::-1] if rng.integers(2) else crop
    return torch.from_numpy(patches / np.float32(255)).to(memory_format=torch.channels_last)


def psnr_db(net: nn.Module, images: list[npt.NDArray[np.uint8]], sigma: float, seed: int) -> float:
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


def train(arguments: argparse.Namespace) -> DenoisingUNet:
    """The moving average of the weights after ``arguments.steps`` Adam steps."""
    torch.manual_seed(arguments.seed)
    rng = np.random.default_rng(arguments.seed)
    images = load_images(arguments.data)
    net = DenoisingUNet(arguments.width).to(memory_format=torch.channels_last)
    average = torch.optim.swa_utils.AveragedModel(net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.999))
    optimizer = torch.optim.Adam(net.parameters(), lr=arguments.rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, arguments.rate, total_steps=arguments.steps, pct_start=0.05, div_factor=10, final_div_factor=200
    )
    checkpoint = arguments.out.with_suffix(".pt")
    start = 0
    if checkpoint.is_file():
        state = torch.load(checkpoint, weights_only=False)
        for part, saved in zip((net, average, optimizer, schedule), state["parts"], strict=True):
            part.load_state_dict(saved)
        start, rng = state["step"], state["rng"]
        torch.set_rng_state(state["torch_rng"])
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        task = progress.add_task("training", total=arguments.steps, completed=start)
        for step in range(start, arguments.steps):
            clean = batch(images, rng, arguments.batch, arguments.patch)
            noisy = clean + torch.randn_like(clean) * (arguments.sigma / 255)
            loss = nn.functional.mse_loss(net(noisy), clean)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            average.update_parameters(net)
            progress.advance(task)
            if (step + 1) % 500 == 0:
                parts = [part.state_dict() for part in (net, average, optimizer, schedule)]
                state = {"parts": parts, "step": step + 1, "rng": rng, "torch_rng": torch.get_rng_state()}
                torch.save(state, checkpoint.with_suffix(".tmp"))
                checkpoint.with_suffix(".tmp").replace(checkpoint)
    trained: DenoisingUNet = average.module.eval()
    return trained


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
    started = time.time()
    net = train(arguments)
    side = torch.zeros(1, 1, 64, 64)
    torch.onnx.export(
        net,
        (side,),
        str(arguments.out),
        dynamo=False,
        opset_version=17,
        input_names=["noisy"],
        output_names=["restored"],
        dynamic_axes={"noisy": {2: "height", 3: "width"}, "restored": {2: "height", 3: "width"}},
    )
    parameters = sum(parameter.numel() for parameter in net.parameters())
    message = f"{arguments.out.name}: {parameters} parameters, {arguments.steps} steps, {time.time() - started:.0f} s"
    if arguments.test.is_dir():
        score = psnr_db(net, load_images(arguments.test), arguments.sigma, seed=0)
        message += f", {arguments.test.name} {score:.3f} dB at sigma {arguments.sigma:g}"
    parser.exit(0, message + "\n")


if __name__ == "__main__":
    main()
