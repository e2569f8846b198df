"""Verification of many images: each is run on all backends and compared where it was run; verdicts come back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from snn_deploy import artifact
from snn_deploy.backend import Backend, Progress, Record, load_backend
from snn_deploy.network import Network
from snn_deploy.pipeline import stimulus_at
from snn_deploy.scale import spread
from snn_deploy.tasks import images
from snn_deploy.verify import Level, Verdict, compare

RECORDS = {Level.TRAIN: Record.TRAINS, Level.STATE: Record.STATES}
"""What a backend must record for a level."""


@dataclass(frozen=True)
class Job:
    """What is the same for all images: the artifact's bytes, the backends (baseline first) and the level."""

    artifact: bytes
    backends: tuple[str, ...]
    level: Level


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
    """A verdict for each of ``total`` named images (B, C, H, W), in their order; see :func:`snn_deploy.scale.spread`."""
    job = Job(artifact.encode(network), tuple(backends), level)
    return spread(verify_image, job, found, total, scheduler=scheduler, workers=workers, progress=progress)


def verify_image(job: Job, item: tuple[str, images.Image]) -> Verdict:
    """Run one named image on every backend of ``job`` and compare."""
    name, image = item
    network, payloads = stimulus_at(_network(job.artifact), image, name)
    record = RECORDS.get(job.level, Record.COUNTS)
    return compare(network, [_backend(other).run(network, payloads, record) for other in job.backends], job.level)


def exit_code(verdicts: Sequence[Verdict]) -> int:
    """1 where any image differs, else 2 where any was not compared, else 0."""
    codes = {verdict.exit_code for verdict in verdicts}
    return next((code for code in (1, 2) if code in codes), 0)


@lru_cache(maxsize=2)
def _network(data: bytes) -> Network:
    return artifact.decode(data)


@lru_cache(maxsize=8)
def _backend(name: str) -> Backend:
    return load_backend(name)
