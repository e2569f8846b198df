"""One sample of a data set, and how it is read when it is needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from snn_deploy.data.images import Image, center_crop
from snn_deploy.data.metrics import Labels
from snn_deploy.shapes import Size


@dataclass(frozen=True, eq=False)
class Sample:
    """One image (1, C, H, W) float32 in [0, 1]; ``labels`` (H, W) int64, or the ``target`` of restoration.

    Without either, the image itself is the target, and noise is added to it.
    """

    name: str
    image: Image
    labels: Labels | None = None
    target: Image | None = None

    def crop(self, size: Size) -> Sample:
        """Its middle ``size`` (H, W); :class:`~snn_deploy.errors.StimulusError` where it is smaller."""
        image, labels, target = center_crop(self.image, *size, self.name), self.labels, self.target
        if labels is not None:
            top, left = ((have - want) // 2 for have, want in zip(labels.shape, size, strict=True))
            labels = labels[top : top + size[0], left : left + size[1]]
        return Sample(self.name, image, labels, None if target is None else center_crop(target, *size, self.name))


@dataclass(frozen=True)
class Entry:
    """One sample of a data set, read when it is needed."""

    name: str
    read: Callable[[int], Sample]
    """Reads the sample with the given number of channels."""
