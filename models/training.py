"""The training loop of this folder: Adam, one-cycle learning rate, moving average of the weights, checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn

Net = TypeVar("Net", bound=nn.Module)
Bytes: TypeAlias = npt.NDArray[np.uint8]

ROOT = Path(__file__).resolve().parent.parent


Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True)
class Schedule:
    """``steps`` Adam steps, learning rate rising to ``rate`` and falling to a 2000th of it; ``seed`` of everything."""

    steps: int
    rate: float
    seed: int


def train(
    net: Net, schedule: Schedule, checkpoint: Path, loss_of_batch: Callable[[Net, np.random.Generator], torch.Tensor]
) -> Net:
    """The moving average of the weights after all steps; resumes from ``checkpoint`` if it exists."""
    rng = np.random.default_rng(schedule.seed)
    net = net.to(memory_format=torch.channels_last)
    smooth = torch.optim.swa_utils.get_ema_multi_avg_fn(0.999)
    average = torch.optim.swa_utils.AveragedModel(net, multi_avg_fn=smooth)
    optimizer = torch.optim.Adam(net.parameters(), lr=schedule.rate)
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, schedule.rate, total_steps=schedule.steps, pct_start=0.05, div_factor=10, final_div_factor=200
    )
    parts: tuple[Any, ...] = (net, average, optimizer, cycle)
    start = 0
    if checkpoint.is_file():
        state = torch.load(checkpoint, weights_only=False)
        for part, saved in zip(parts, state["parts"], strict=True):
            part.load_state_dict(saved)
        start, rng = state["step"], state["rng"]
        torch.set_rng_state(state["torch_rng"])
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        task = progress.add_task("training", total=schedule.steps, completed=start)
        for step in range(start, schedule.steps):
            loss = loss_of_batch(net, rng)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            cycle.step()
            average.update_parameters(net)
            progress.advance(task)
            if (step + 1) % 500 == 0:
                state = {
                    "parts": [part.state_dict() for part in parts],
                    "step": step + 1,
                    "rng": rng,
                    "torch_rng": torch.get_rng_state(),
                }
                torch.save(state, checkpoint.with_suffix(".tmp"))
                checkpoint.with_suffix(".tmp").replace(checkpoint)
    trained = cast(Net, average.module)
    measure_batch_statistics(trained, lambda: loss_of_batch(trained, rng))
    trained.eval()
    return trained


def measure_batch_statistics(net: nn.Module, forward: Callable[[], torch.Tensor], batches: int = 100) -> None:
    """Recompute batch statistics for the averaged weights, which no training step has used."""
    layers = [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # plain average over all batches
    net.train()
    with torch.no_grad():
        for _ in range(batches if layers else 0):
            forward()


def read_bytes(path: Path, channels: int) -> Bytes:
    """A gray or color image (H, W, C) uint8, C = 1 or 3."""
    image = np.asarray(Image.open(path).convert("L" if channels == 1 else "RGB"))
    return image.reshape(*image.shape[:2], channels)


def turn(array: npt.NDArray[Scalar], quarter_turns: int, mirror: bool) -> npt.NDArray[Scalar]:
    """One of the eight symmetries of a square, of the first two axes."""
    turned = np.rot90(array, quarter_turns)
    return turned[:, ::-1] if mirror else turned


def export(net: nn.Module, path: Path, channels: int, input_name: str, output_name: str) -> None:
    """Write ``net`` as ONNX, opset 17, with free height and width."""
    free = {2: "height", 3: "width"}
    torch.onnx.export(
        net,
        (torch.zeros(1, channels, 64, 64),),
        str(path),
        dynamo=False,
        opset_version=17,
        input_names=[input_name],
        output_names=[output_name],
        dynamic_axes={input_name: free, output_name: free},
    )
