"""Reading and writing images, noise, crops and patches, with Pillow and scikit-image.

Images are float32 (1, C, H, W) with gray or color values in [0, 1], C = 1 or 3.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from tokenize import TokenError
from typing import TypeAlias

import numpy as np

from snn_deploy import files
from snn_deploy.arrays import Float32, Float64
from snn_deploy.data import picture_file
from snn_deploy.errors import ReportError, StimulusError
from snn_deploy.files import check_regular

Images = Sequence[Float32]


Image: TypeAlias = Float32

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
"""Files of a folder that count as images."""

CALIBRATION = ("astronaut", "brick", "chelsea", "coffee", "coins", "grass", "gravel", "moon", "rocket")
"""Photographs in scikit-image's wheel, the default calibration images."""


def read_image(path: Path, channels: int) -> Image:
    """The image at ``path`` as float32 (1, C, H, W) in [0, 1], or an ``.npy`` array (B, C, H, W), unscaled."""
    if path.suffix == ".npy":
        return _read_array(path, channels)
    return _arranged(path, picture_file.read(path), channels)


def read_images(path: Path, channels: int) -> Image:
    """As :func:`read_image`, and every page of a TIFF: float32 (B, C, H, W). Pages must have one size."""
    if path.suffix == ".npy":
        return _read_array(path, channels)
    pages = [_arranged(path, page, channels) for page in picture_file.read_pages(path)]
    sizes = sorted({page.shape[2:] for page in pages})
    if len(sizes) > 1:
        found = ", ".join(f"{height}x{width}" for height, width in sizes)
        raise StimulusError(f"{path}: {len(pages)} pages of sizes {found}; save each size as a separate file")
    return np.concatenate(pages)


def check_image(values: object, channels: int, where: str = "image") -> Image:
    """``values`` as float32 (B, C, H, W); :class:`StimulusError` for any other shape or type, and for NaN and infinity."""
    if not isinstance(values, np.ndarray) or values.ndim != 4 or not np.issubdtype(values.dtype, np.floating):
        kind = f"{values.dtype} {values.shape}" if isinstance(values, np.ndarray) else type(values).__name__
        raise StimulusError(f"{where}: {kind}; a float array (batch, {channels}, height, width) is needed")
    if 0 in values.shape or values.shape[1] != channels:
        raise StimulusError(f"{where}: shape {values.shape}; the network expects (batch, {channels}, height, width)")
    with np.errstate(over="ignore"):  # values beyond float32 become infinite and are refused
        numbers = values.astype(np.float32, copy=False)
    if not np.all(np.isfinite(numbers)):
        place = tuple(int(index) for index in np.argwhere(~np.isfinite(numbers))[0])
        raise StimulusError(f"{where}: value {values[place]} at {place} is not finite in float32; replace it")
    return numbers


def _read_array(path: Path, channels: int) -> Image:
    check_regular(path, StimulusError)
    try:
        with path.open("rb") as stream:
            values = np.lib.format.read_array(stream, allow_pickle=False)
    except OSError as error:
        raise StimulusError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, EOFError, MemoryError, OverflowError, TypeError, SyntaxError, TokenError) as error:
        raise StimulusError(f"{path}: not a readable .npy array: {str(error)[:200]}") from error
    return check_image(values, channels, str(path))


def _arranged(path: Path, values: Float32, channels: int) -> Image:
    """A picture (H, W) or (H, W, 3) as (1, C, H, W): color becomes gray, gray becomes equal channels."""
    from skimage import color

    if channels == 1:
        values = (color.rgb2gray(values) if values.ndim == 3 else values)[..., None]
    elif values.ndim == 2:
        values = np.repeat(values[..., None], channels, axis=2)
    if values.shape[2] != channels:
        raise StimulusError(f"{path}: {values.shape[2]} channels; the network expects {channels}")
    return np.ascontiguousarray(np.moveaxis(values, 2, 0)[None], np.float32)


def require_folder(path: Path) -> None:
    """:class:`StimulusError` unless ``path`` is a folder."""
    if path.exists() and not path.is_dir():
        raise StimulusError(f"{path}: is a file; name the folder that contains the images")
    if not path.is_dir():
        raise StimulusError(f"{path}: no such folder")


def list_image_paths(folder: Path) -> tuple[Path, ...]:
    """Image files in ``folder``, sorted; :class:`StimulusError` if it has none."""
    require_folder(folder)
    paths = tuple(sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES))
    if not paths:
        raise StimulusError(f"{folder}: no images; supported are {', '.join(SUFFIXES)}")
    return paths


def load_photograph(name: str, channels: int) -> Image:
    """One of scikit-image's bundled photographs."""
    import skimage.data

    folder = Path(skimage.data.__file__).parent
    return read_image(next(folder.glob(f"{name}.*g")), channels)


def load_bundled_images(channels: int) -> list[Image]:
    """The photographs of :data:`CALIBRATION`."""
    return [load_photograph(name, channels) for name in CALIBRATION]


def add_noise(image: Image, sigma: float, seed: int) -> Image:
    """White Gaussian noise of ``sigma / 255`` added, not clipped."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(image.shape, np.float32) * np.float32(sigma / 255)
    noisy: Image = image + noise
    return noisy


def center_crop(image: Image, height: int, width: int, where: str = "image") -> Image:
    """The middle ``height`` x ``width`` pixels; :class:`StimulusError`, naming ``where``, if the image is smaller."""
    if image.shape[2] < height or image.shape[3] < width:
        raise StimulusError(
            f"{where}: {image.shape[2]}x{image.shape[3]} pixels, smaller than the crop of {height}x{width}; use a smaller crop"
        )
    top, left = (image.shape[2] - height) // 2, (image.shape[3] - width) // 2
    return np.ascontiguousarray(image[:, :, top : top + height, left : left + width])


def cut_patches(images: Sequence[Image], size: tuple[int, int], count: int, seed: int) -> list[Image]:
    """``count`` random patches of ``size`` (H, W); multiples of 16 pixels where an image is smaller than that."""
    rng = np.random.default_rng(seed)
    smallest = tuple(min(image.shape[axis] for image in images) for axis in (2, 3))
    height, width = (side if side <= limit else limit // 16 * 16 for side, limit in zip(size, smallest, strict=True))
    if min(height, width) == 0:
        raise StimulusError(f"calibration needs images of at least 16x16 pixels, not {smallest[0]}x{smallest[1]}")
    cut = []
    for index in range(count):
        image = images[index % len(images)]
        top, left = (int(rng.integers(image.shape[2 + axis] - side + 1)) for axis, side in ((0, height), (1, width)))
        cut.append(np.ascontiguousarray(image[:, :, top : top + height, left : left + width]))
    return cut


def write_image(path: Path, image: Float32 | Float64) -> None:
    """Write one image (1, C, H, W), C = 1 or 3, clipped to [0, 1], in the format of the suffix."""
    files.write(path, encode_image(image, choose_format(path)))


def choose_format(path: Path) -> str:
    """Pillow's name of the format of ``path``; :class:`ReportError` unless the suffix is in :data:`SUFFIXES`."""
    if path.suffix.lower() not in SUFFIXES:
        raise ReportError(
            f"{path}: unsupported image format {path.suffix or '(no suffix)'}; use {', '.join(SUFFIXES)} or .npy"
        )
    return {".jpg": "JPEG", ".tif": "TIFF"}.get(path.suffix.lower(), path.suffix[1:].upper())


def encode_image(image: Float32 | Float64, form: str = "PNG") -> bytes:
    """One image (1, C, H, W), C = 1 or 3, clipped to [0, 1], as a file of 8 bits per value in Pillow's format ``form``."""
    from PIL import Image as Pillow

    if image.ndim != 4 or image.shape[0] != 1 or image.shape[1] not in (1, 3):
        raise ReportError(f"values of shape {image.shape} are not a gray or color image; write them as .npy")
    values = np.rint(np.clip(np.moveaxis(image[0], 0, 2), 0, 1) * 255).astype(np.uint8)
    buffer = io.BytesIO()
    Pillow.fromarray(values[..., 0] if values.shape[2] == 1 else values).save(buffer, form)
    return buffer.getvalue()
