"""Frames of a stream, read one at a time: a folder of pictures, a video, a TIFF of several pages, an array, or events.

Pictures of a folder come in natural order of their names, ``2.png`` before ``10.png``. Videos are decoded by PyAV (FFmpeg), which
the extra ``video`` brings, as 8-bit RGB.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from snn_deploy.arrays import Float32
from snn_deploy.data import array_file, images
from snn_deploy.data.event_file import holds_events, read_events
from snn_deploy.data.picture_file import check_size
from snn_deploy.errors import StimulusError, suggest_extras
from snn_deploy.files import check_regular
from snn_deploy.network.picture_scale import PictureScale
from snn_deploy.shapes import Size

VIDEOS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg")
"""Suffixes of files that are decoded as videos."""

STACKS = (".tif", ".tiff", *array_file.SUFFIXES)
"""Suffixes of files that hold all frames and are read as a whole."""

MAX_VIDEO = 2**38
"""Largest video in bytes; its frames are decoded one at a time."""


@dataclass(frozen=True)
class Frames:
    """The frames of ``path`` from ``first`` up to ``last`` (``None``: to the end), cropped, and with noise of ``noise / 255``.

    The noise of frame i has the seed ``seed + i``. Iterate it for ``(name, image (1, C, H, W) float32)``. ``bin``: duration of a
    frame of a file of events (:mod:`snn_deploy.data.event_file`), whose sensor has the ``size`` (H, W).
    """

    path: Path
    channels: int
    crop: Size | None = None
    noise: float = 0.0
    seed: int = 0
    picture: PictureScale = images.PLAIN
    first: int = 0
    last: int | None = None
    bin: float | None = None
    size: Size | None = None

    def __iter__(self) -> Iterator[tuple[str, images.Image]]:
        """Frame after frame; :class:`StimulusError` for what cannot be read, and where there is none."""
        index = None
        for index, (name, image) in enumerate(
            islice(self._read(), self.first, self.last), self.first
        ):  # tells whether any came
            if self.crop is not None:
                image = images.center_crop(image, *self.crop, name)
            yield name, images.add_noise(image, self.noise, self.seed + index, self.picture) if self.noise else image
        if index is None:
            raise StimulusError(f"{self.path}: no frames from number {self.first} on; frames count from 0")

    @property
    def number(self) -> int | None:
        """How many there are, as far as it can be told without reading them."""
        return None if not self.path.is_dir() else len(self._paths()[self.first : self.last])

    def _paths(self) -> tuple[Path, ...]:
        return tuple(sorted(images.list_image_paths(self.path, (".npy",)), key=lambda path: natural_key(path.name)))

    def _read(self) -> Iterator[tuple[str, images.Image]]:
        if self.path.is_dir():
            for path in self._paths():
                for page, image in enumerate(images.read_images(path, self.channels, self.picture)):
                    yield f"{path}[{page}]" if page else str(path), image[None]
        elif self.bin is not None or (self.path.is_file() and holds_events(self.path)):
            yield from self._read_events()
        elif self.path.suffix.lower() in STACKS:
            for page, image in enumerate(images.read_images(self.path, self.channels, self.picture)):
                yield f"{self.path}[{page}]", image[None]
        elif self.path.suffix.lower() in VIDEOS:
            for number, values in enumerate(_decode(self.path)):
                yield (
                    f"{self.path}[{number}]",
                    self.picture.apply(images.arrange_picture(self.path, values, self.channels)),
                )
        elif self.path.exists():
            raise StimulusError(
                f"{self.path}: no stream; name a folder of pictures, a TIFF or .npy of several, or a video ({', '.join(VIDEOS)})"
            )
        else:
            raise StimulusError(f"{self.path}: no such file or folder")

    def _read_events(self) -> Iterator[tuple[str, images.Image]]:
        if self.bin is None or self.size is None:
            raise StimulusError(f"{self.path}: holds events; say how much time a frame has, by --bin in the unit of t")
        for number, image in enumerate(read_events(self.path, self.channels, self.size, self.bin)):
            yield f"{self.path}[{number}]", image


def natural_key(name: str) -> tuple[tuple[int, int | str], ...]:
    """By what names are sorted: digits compare as numbers; equal numbers, 1 and 01 say, by their text."""
    parts = re.split(r"(\d+)", name)
    numbers = tuple((0, int(part)) if part.isdecimal() else (1, part) for part in parts if part)
    return (*numbers, (1, name))


def _decode(path: Path) -> Iterator[Float32]:
    """Pictures (H, W, 3) float32 in 0..1 of the first video stream of a file."""
    check_regular(path, StimulusError, MAX_VIDEO)
    try:
        import av
    except ImportError as error:
        raise StimulusError(
            f"{path}: videos need PyAV; {suggest_extras('video')}, or give a folder of pictures"
        ) from error
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise StimulusError(f"{path}: contains no video")
            for frame in container.decode(container.streams.video[0]):
                check_size(path, (frame.width, frame.height))
                values = np.asarray(frame.to_ndarray(format="rgb24"), np.float32)
                yield values / np.float32(255)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        said = " ".join(str(getattr(error, "strerror", None) or error).split())[:160]
        raise StimulusError(f"{path}: not a video that can be decoded: {said}") from error
