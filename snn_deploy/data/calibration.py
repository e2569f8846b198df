"""Calibration images: random patches of the images of files and folders, of arrays or of bundled photographs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from snn_deploy.data import array_file
from snn_deploy.data import images as pictures
from snn_deploy.data.images import PLAIN, Images
from snn_deploy.errors import StimulusError
from snn_deploy.network.picture_scale import PictureScale
from snn_deploy.shapes import Size

PATCH = 128
"""Side of a calibration patch in pixels where neither the model nor the user says a size."""

PATCHES = 32
"""Number of calibration patches, if they are not larger than ``PATCH`` squared."""

FEWEST = 8
"""Number of larger ones."""

HELD_BACK = 4
"""Further patches, on which a conversion is measured."""

Source = Path | Sequence[Path | pictures.Image] | None


@dataclass(frozen=True, eq=False)
class Calibration:
    """Images that a conversion is made from, others that it is measured on, and these without noise where some was added."""

    seen: Images
    held_back: Images
    clean: Images | None = None


def load_calibration(
    source: Source,
    channels: int,
    noise: float = 0.0,
    seed: int = 0,
    patch: Size | None = None,
    scale: PictureScale = PLAIN,
) -> Calibration:
    """The images of :func:`load_calibration_images`, and :data:`HELD_BACK` further ones."""
    cut = _cut(source, channels, noise, seed, patch, scale, HELD_BACK)
    noisy = _noisy(cut, noise, seed, scale)
    return Calibration(noisy[:-HELD_BACK], noisy[-HELD_BACK:], cut[-HELD_BACK:] if noise else None)


def load_calibration_images(
    source: Source,
    channels: int,
    noise: float = 0.0,
    seed: int = 0,
    patch: Size | None = None,
    scale: PictureScale = PLAIN,
) -> Images:
    """Random patches, with Gaussian noise, of files, of all images of folders, of arrays, or of scikit-image's photographs.

    Patches have size ``patch`` (H, W), and smaller images are continued by their mirror images; without ``patch`` they
    are ``PATCH`` squared, or less where an image is smaller. There are ``PATCHES``, or fewer large ones. Pictures are brought
    into the range of ``scale``; arrays of floats are in it. :class:`StimulusError` for no image, for other
    shapes and for values or a ``noise`` that are not finite.
    """
    return _noisy(_cut(source, channels, noise, seed, patch, scale), noise, seed, scale)


def _noisy(images: Images, noise: float, seed: int, scale: PictureScale) -> Images:
    return [pictures.add_noise(image, noise, seed + 1 + index, scale) for index, image in enumerate(images)]


def _cut(
    source: Source,
    channels: int,
    noise: float,
    seed: int,
    patch: Size | None,
    scale: PictureScale,
    further: int = 0,
) -> Images:
    """Patches without noise, and ``further`` ones behind them."""
    if not 0 <= noise < float("inf"):
        raise StimulusError(f"noise of {noise}: a standard deviation in units of 1/255, 0 or more, is needed")
    if source is None:
        images = [scale.apply(image) for image in pictures.load_bundled_images(channels)]
    else:
        given = [source] if isinstance(source, Path) else source
        images = [image for each in given for image in _read(each, channels, scale)]
    if not images:
        raise StimulusError("no calibration image; give at least one, or None for scikit-image's photographs")
    size = patch or (PATCH, PATCH)
    return pictures.cut_patches(images, size, _count(size) + further, seed, exact=patch is not None)


def _count(size: Size) -> int:
    return min(max(PATCHES * PATCH**2 // (size[0] * size[1]), FEWEST), PATCHES)


def _read(given: Path | pictures.Image, channels: int, scale: PictureScale) -> Iterator[pictures.Image]:
    """Every image of an array, a file or a folder, each (1, C, H, W)."""
    if isinstance(given, Path):
        files = [given] if given.is_file() else pictures.list_image_paths(given, array_file.SUFFIXES)
        batches = [image for path in files for image in pictures.read_each(path, channels, scale)]
    elif isinstance(given, np.ndarray) and given.dtype.kind in "ui":
        batches = [array_file.arrange(given, channels, scale, "image")]
    else:
        batches = [pictures.check_image(given, channels)]
    for batch in batches:
        yield from (batch[index : index + 1] for index in range(len(batch)))
