"""Verification of many images: each is run on all backends and compared where it was run; verdicts come back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from snn_deploy.backend.protocol import Progress
from snn_deploy.backend.registry import load_backend
from snn_deploy.data import images
from snn_deploy.network import artifact
from snn_deploy.network.network import Network
from snn_deploy.verification.comparison.levels import Level
from snn_deploy.verification.comparison.verdict import Verdict
from snn_deploy.verification.session import Session
from snn_deploy.verification.stimuli import Stimuli
from snn_deploy.workers import gather


@dataclass(frozen=True)
class Verifying:
    """What is the same for all images: the artifact's bytes, the backends (baseline first) and the level."""

    artifact: bytes
    backends: tuple[str, ...]
    level: Level

    def __call__(self, named: tuple[str, images.Image]) -> Verdict:
        """Run one image, given with its name, on every backend and compare."""
        name, image = named
        return self._session.verify(Stimuli.of_images(self._network, image, name)).verdict

    @cached_property
    def _network(self) -> Network:
        return artifact.decode(self.artifact)

    @cached_property
    def _session(self) -> Session:
        """Backends are loaded once, since some prepare a network once for all its images."""
        return Session(tuple(load_backend(name) for name in self.backends), self.level)

    def __reduce__(self) -> tuple[type[Verifying], tuple[bytes, tuple[str, ...], Level]]:
        """What was prepared stays in the process that prepared it."""
        return Verifying, (self.artifact, self.backends, self.level)


def verify_images(
    network: Network,
    named: Iterable[tuple[str, images.Image]],
    total: int,
    backends: Sequence[str],
    level: Level,
    *,
    scheduler: str | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> list[Verdict]:
    """A verdict for each of ``total`` named images (B, C, H, W), in their order; see :func:`snn_deploy.workers.gather`."""
    Session(tuple(backends), level)  # what cannot be compared is said before workers start
    work = Verifying(artifact.encode(network), tuple(backends), level)
    return gather(work, named, total, scheduler=scheduler, workers=workers, progress=progress)


def combine_exit_codes(verdicts: Sequence[Verdict]) -> int:
    """1 where any image differs, else 2 where any was not compared, else 0."""
    codes = {verdict.exit_code for verdict in verdicts}
    return next((code for code in (1, 2) if code in codes), 0)
