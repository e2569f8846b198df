"""Calibration images: random patches of the images of a folder, of arrays or of bundled photographs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from snn_deploy.data import images as pictures
from snn_deploy.data.images import Images
from snn_deploy.errors import StimulusError
from snn_deploy.shapes import Size

PATCH = 128
"""Side of a calibration patch in pixels where the model does not fix its input size."""

PATCHES = 32
"""Number of calibration patches."""


def load_calibration_images(
    source: Path | Sequence[pictures.Image] | None,
    channels: int,
    noise: float = 0.0,
    seed: int = 0,
    patch: Size | None = None,
) -> Images:
    """``PATCHES`` random patches, with Gaussian noise, of the images of a folder, of arrays, or of scikit-image's photographs.

    Patches have size ``patch`` (H, W), by default ``PATCH`` squared, or less where an image is smaller.
    :class:`StimulusError` for no image, for other shapes and for values or a ``noise`` that are not finite.
    """
    if not 0 <= noise < float("inf"):
        raise StimulusError(f"noise of {noise}: a standard deviation in units of 1/255, 0 or more, is needed")
    if source is None:
        images: Sequence[pictures.Image] = pictures.load_bundled_images(channels)
    elif isinstance(source, Path):
        images = [pictures.read_image(path, channels) for path in pictures.list_image_paths(source)]
    else:
        images = [pictures.check_image(image, channels) for image in source]
    if not images:
        raise StimulusError("no calibration image; give at least one, or None for scikit-image's photographs")
    cut = pictures.cut_patches(images, patch or (PATCH, PATCH), PATCHES, seed)
    return [pictures.add_noise(patch_image, noise, seed + 1 + index) for index, patch_image in enumerate(cut)]
