"""Frames of a stream with what they should become: label maps, clean pictures, or themselves before noise is added.

References come from where the data have them: a folder or table laid out as :mod:`snn_deploy.data.datasets` describes is read
in natural order of its names, a table in its own order. Frames of any other kind (:mod:`snn_deploy.data.frames`) have none,
unless noise is added to them and a network is to take it away.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from snn_deploy.arrays import Float32, Int64
from snn_deploy.data import images
from snn_deploy.data.datasets import holds_labels, list_entries
from snn_deploy.data.frames import Frames, natural_key
from snn_deploy.data.own_data import list_pairs
from snn_deploy.data.sample import Entry
from snn_deploy.errors import StimulusError


@dataclass(frozen=True, eq=False)
class FrameSample:
    """What the network sees of one frame, (1, C, H, W) float32 as it reads it, and what it is judged by.

    ``reference``: a picture (1, C, H, W) from 0 to 1, a label map (H, W) int64, or ``None``.
    """

    name: str
    seen: images.Image
    reference: Float32 | Int64 | None = None


@dataclass(frozen=True)
class FrameSamples:
    """The frames that ``frames`` describes, for ``task``: ``denoise``, ``segment``, or ``None`` without references. Iterate it."""

    frames: Frames
    task: str | None

    @property
    def number(self) -> int | None:
        """How many there are, as far as it can be told without reading them."""
        return self.frames.number if self.task is None or not self._has_layout() else len(self._entries(self.task))

    def __iter__(self) -> Iterator[FrameSample]:
        """One after the other; :class:`StimulusError` for what cannot be read, and where there is none."""
        if self.task is None or not self._has_layout():
            return self._of_frames()
        return self._of_layout(self.task)

    def _has_layout(self) -> bool:
        path = self.frames.path
        if not path.is_dir():
            return path.suffix.lower() == ".csv"
        return holds_labels(path) if self.task == "segment" else list_pairs(path) is not None

    def _entries(self, task: str) -> tuple[Entry, ...]:
        frames = self.frames
        entries = list_entries(frames.path, task)
        if frames.path.is_dir():
            entries = tuple(sorted(entries, key=lambda entry: natural_key(entry.name)))
        return entries[frames.first : frames.last]

    def _of_layout(self, task: str) -> Iterator[FrameSample]:
        frames, entries = self.frames, self._entries(task)
        if not entries:
            raise StimulusError(f"{frames.path}: no frames from number {frames.first} on; frames count from 0")
        for number, entry in enumerate(entries, frames.first):
            sample = entry.read(frames.channels)
            if frames.crop is not None:
                sample = sample.crop(frames.crop)
            if frames.noise and sample.target is not None:
                raise StimulusError(f"{sample.name}: has a clean image of its own; leave the noise out")
            seen = self._noisy(frames.picture.apply(sample.image), number)
            yield FrameSample(sample.name, seen, sample.target if task == "denoise" else sample.labels)

    def _of_frames(self) -> Iterator[FrameSample]:
        frames = self.frames
        has_reference = self.task == "denoise" and frames.noise > 0
        for number, (name, clean) in enumerate(replace(frames, noise=0.0), frames.first):
            reference = frames.picture.of_input(clean) if has_reference else None
            yield FrameSample(Path(name).name, self._noisy(clean, number), reference)

    def _noisy(self, image: images.Image, number: int) -> images.Image:
        frames = self.frames
        return images.add_noise(image, frames.noise, frames.seed + number, frames.picture) if frames.noise else image
