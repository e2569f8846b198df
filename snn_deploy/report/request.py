"""What a report is asked to be about."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from snn_deploy.backend.protocol import Record, Run
from snn_deploy.backend.registry import load_backend, run_backend
from snn_deploy.backend.stimulus import quantize_images
from snn_deploy.data.images import Image
from snn_deploy.evaluation.stream import StreamEvaluation
from snn_deploy.network.network import Network
from snn_deploy.shapes import Size
from snn_deploy.verification import Level
from snn_deploy.verification.session import Watch


@dataclass(frozen=True, eq=False)
class Request:
    """A network as its file holds it, one image (1, C, H, W) in its numbers, ``clean`` and with ``noise``, and what to do.

    ``source`` and ``artifact`` say where image and network come from. ``model`` is the float model, which adds its output,
    losses, operators and the ``curve``; ``calibration`` are images for that curve's conversions. ``backend`` runs the image,
    ``backends`` are compared at ``level`` on the middle of it, of the size ``part``. ``target`` is the device that is estimated.
    ``stream`` is what was measured of a sequence of frames.
    """

    network: Network
    clean: Image
    noisy: Image
    source: str
    artifact: str
    noise: float = 0.0
    seed: int = 0
    model: Path | None = None
    calibration: tuple[Path, ...] | None = None
    curve: bool = True
    backend: str = "cpu"
    backends: tuple[str, ...] = ("reference", "cpu")
    level: Level = Level.TRAIN
    part: Size | None = None
    target: str | Path = "loihi2"
    stream: StreamEvaluation | None = None

    def run(self, network: Network, image: Image, record: Record, watch: Watch) -> Run:
        """``network`` on ``image``."""
        payloads = quantize_images(network, image)
        with watch(f"{self.backend}: {network.name}, {image.shape[2]}x{image.shape[3]}") as report:
            return run_backend(load_backend(self.backend), network, payloads, record, report)
