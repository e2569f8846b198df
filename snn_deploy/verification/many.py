"""Verification of many images: each is run on all backends and compared where it was run; verdicts come back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from snn_deploy.backend.protocol import Backend, Progress
from snn_deploy.backend.registry import load_backend, run_backend
from snn_deploy.data import images
from snn_deploy.data.stimulus import stimulus_at
from snn_deploy.network import artifact
from snn_deploy.network.network import Network
from snn_deploy.verification import Level, Verdict, compare
from snn_deploy.workers import gather


@dataclass(frozen=True)
class Verifying:
    """What is the same for all images: the artifact's bytes, the backends (baseline first) and the level."""

    artifact: bytes
    backends: tuple[str, ...]
    level: Level

    def __call__(self, item: tuple[str, images.Image]) -> Verdict:
        """Run one named image on every backend and compare."""
        name, image = item
        network, payloads = stimulus_at(self._network, image, name)
        record = self.level.record
        runs = [run_backend(backend, network, payloads, record) for backend in self._backends]
        return compare(network, runs, self.level)

    @cached_property
    def _network(self) -> Network:
        return artifact.decode(self.artifact)

    @cached_property
    def _backends(self) -> tuple[Backend, ...]:
        return tuple(load_backend(name) for name in self.backends)

    def __reduce__(self) -> tuple[type[Verifying], tuple[bytes, tuple[str, ...], Level]]:
        """What was prepared stays in the process that prepared it."""
        return Verifying, (self.artifact, self.backends, self.level)


def verify_images(
    network: Network,
    found: Iterable[tuple[str, images.Image]],
    total: int,
    backends: Sequence[str],
    level: Level,
    *,
    scheduler: str | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> list[Verdict]:
    """A verdict for each of ``total`` named images (B, C, H, W), in their order; see :func:`snn_deploy.workers.gather`."""
    work = Verifying(artifact.encode(network), tuple(backends), level)
    return gather(work, found, total, scheduler=scheduler, workers=workers, progress=progress)


def exit_code(verdicts: Sequence[Verdict]) -> int:
    """1 where any image differs, else 2 where any was not compared, else 0."""
    codes = {verdict.exit_code for verdict in verdicts}
    return next((code for code in (1, 2) if code in codes), 0)
