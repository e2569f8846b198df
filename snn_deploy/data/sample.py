"""One sample of a data set, and how it is read when it is needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from snn_deploy.data.images import Image
from snn_deploy.data.metrics import Labels


@dataclass(frozen=True, eq=False)
class Sample:
    """One image (1, C, H, W) float32 in [0, 1]; ``labels`` (H, W) int64, or the ``target`` of restoration.

    Without either, the image itself is the target, and noise is added to it.
    """

    name: str
    image: Image
    labels: Labels | None = None
    target: Image | None = None


@dataclass(frozen=True)
class Entry:
    """One sample of a data set, read when it is needed."""

    name: str
    read: Callable[[int], Sample]
    """Reads the sample with the given number of channels."""
