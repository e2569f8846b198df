"""Images that a network is calibrated on: random patches of a folder, of arrays or of bundled photographs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from snn_deploy.data import images as pictures
from snn_deploy.data.images import Images
from snn_deploy.shapes import Size

PATCH = 128
"""Side of a calibration patch where the model leaves the size open."""


PATCHES = 32
"""Patches that activations are measured on."""


def calibration_images(
    source: Path | Sequence[pictures.Image] | None,
    channels: int,
    noise: float = 0.0,
    seed: int = 0,
    patch: Size | None = None,
) -> Images:
    """``PATCHES`` random patches, with Gaussian noise, of the images of a folder, of arrays, or of scikit-image's photographs.

    Patches have size ``patch`` (H, W), by default ``PATCH`` squared, or less where an image is smaller.
    """
    if source is None:
        found: Sequence[pictures.Image] = pictures.bundled_images(channels)
    elif isinstance(source, Path):
        found = [pictures.read_image(path, channels) for path in pictures.image_paths(source)]
    else:
        found = [pictures.checked(image, channels) for image in source]
    cut = pictures.patches(found, patch or (PATCH, PATCH), PATCHES, seed)
    return [pictures.add_noise(item, noise, seed + 1 + index) for index, item in enumerate(cut)]
