"""Reading and writing images, noise, crops and patches, with Pillow and scikit-image.

Images are float32 (1, C, H, W): gray or color values in [0, 1], or what a network reads instead
(:class:`~snn_deploy.network.picture_scale.PictureScale`).
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from snn_deploy import files
from snn_deploy.arrays import Float32, Float64
from snn_deploy.data import array_file, picture_file, tiff_channels
from snn_deploy.errors import ReportError, StimulusError
from snn_deploy.network.picture_scale import PictureScale

Images = Sequence[Float32]


Image: TypeAlias = Float32

PLAIN = PictureScale()
"""Pictures as they are, from 0 to 1."""

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
"""Files of a folder that count as images."""

LABEL_COLORS = "label_colors.txt"
"""Beside images of which some are label maps: their colors and classes."""

CALIBRATION = ("astronaut", "brick", "chelsea", "coffee", "coins", "grass", "gravel", "moon", "rocket")
"""Photographs in scikit-image's wheel, the default calibration images."""


def read_image(path: Path, channels: int, scale: PictureScale = PLAIN) -> Image:
    """The image at ``path`` as float32 (1, C, H, W), as a network of this ``scale`` reads it; or an array (B, C, H, W).

    Pictures and arrays of integers are brought into the range of ``scale``, by default [0, 1]; arrays of floats are in it.
    """
    if path.suffix.lower() in picture_file.FEW and channels in (1, 3):
        return scale.apply(arrange_picture(path, picture_file.read(path), channels))
    return read_images(path, channels, scale)


def read_images(path: Path, channels: int, scale: PictureScale = PLAIN) -> Image:
    """As :func:`read_image`, and every page of a TIFF: float32 (B, C, H, W). Pages and arrays must have one size."""
    pages = read_each(path, channels, scale)
    sizes = sorted({page.shape[2:] for page in pages})
    if len(sizes) > 1:
        found = ", ".join(f"{height}x{width}" for height, width in sizes)
        raise StimulusError(f"{path}: {len(pages)} pages of sizes {found}; save each size as a separate file")
    return np.concatenate(pages)


def read_each(path: Path, channels: int, scale: PictureScale = PLAIN) -> list[Image]:
    """As :func:`read_images`, but pages and arrays apart: they may have different sizes."""
    if path.suffix.lower() in array_file.SUFFIXES:
        return array_file.read_arrays(path, channels, scale)
    if path.suffix.lower() in (".tif", ".tiff") and channels not in (1, 3):
        return [tiff_channels.read(path, channels, scale)]
    return [scale.apply(arrange_picture(path, page, channels)) for page in picture_file.read_pages(path, channels)]


def check_image(values: object, channels: int, where: str = "image") -> Image:
    """``values`` as float32 (B, C, H, W); :class:`StimulusError` for any other shape or type, and for NaN and infinity."""
    if not isinstance(values, np.ndarray) or values.ndim != 4 or not np.issubdtype(values.dtype, np.floating):
        kind = f"{values.dtype} {values.shape}" if isinstance(values, np.ndarray) else type(values).__name__
        raise StimulusError(f"{where}: {kind}; a float array (batch, {channels}, height, width) is needed")
    if 0 in values.shape or values.shape[1] != channels:
        raise StimulusError(
            f"{where}: shape {values.shape}; the network expects (batch, {channels}, height, width), as its read_image gives them"
        )
    with np.errstate(over="ignore"):  # values beyond float32 become infinite and are refused
        numbers = values.astype(np.float32, copy=False)
    if not np.all(np.isfinite(numbers)):
        place = tuple(int(index) for index in np.argwhere(~np.isfinite(numbers))[0])
        raise StimulusError(f"{where}: value {values[place]} at {place} is not finite in float32; replace it")
    return numbers


def arrange_picture(path: Path, values: Float32, channels: int) -> Image:
    """A picture (H, W) or (H, W, 3) as (1, C, H, W): color becomes gray, gray becomes equal channels."""
    from skimage import color

    if channels == 1:
        values = (color.rgb2gray(values) if values.ndim == 3 else values)[..., None]
    elif values.ndim == 2:
        values = np.repeat(values[..., None], channels, axis=2)
    if values.shape[2] != channels:
        raise StimulusError(
            f"{path}: {values.shape[2]} channels; the network expects {channels}; give a .npy array"
            f" (batch, {channels}, height, width) or a TIFF of {channels} channels"
        )
    return np.ascontiguousarray(np.moveaxis(values, 2, 0)[None], np.float32)


def require_folder(path: Path) -> None:
    """:class:`StimulusError` unless ``path`` is a folder."""
    if path.exists() and not path.is_dir():
        raise StimulusError(f"{path}: is a file; name the folder that contains the images")
    if not path.is_dir():
        raise StimulusError(f"{path}: no such folder")


def list_image_paths(folder: Path, more: tuple[str, ...] = ()) -> tuple[Path, ...]:
    """Image files in ``folder``, and those with ``more`` suffixes, sorted; :class:`StimulusError` if it has none.

    Label maps of a data set like CamSeq01, ``NAME_L`` beside ``NAME`` in a folder with :data:`LABEL_COLORS`, are no images.
    """
    require_folder(folder)
    suffixes = SUFFIXES + more
    paths = tuple(sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes))
    if (folder / LABEL_COLORS).is_file():
        names = {path.name for path in paths}
        labels = {f"{path.stem}_L{path.suffix}" for path in paths} & names
        paths = tuple(path for path in paths if path.name not in labels)
    if not paths:
        raise StimulusError(f"{folder}: no images; supported are {', '.join(suffixes)}")
    return paths


def load_photograph(name: str, channels: int) -> Image:
    """One of scikit-image's bundled photographs."""
    import skimage.data

    folder = Path(skimage.data.__file__).parent
    return read_image(next(folder.glob(f"{name}.*g")), channels)


def load_bundled_images(channels: int) -> list[Image]:
    """The photographs of :data:`CALIBRATION`; :class:`StimulusError` for networks that do not read gray or color."""
    if channels not in (1, 3):
        raise StimulusError(
            f"the network reads {channels} channels, and the photographs that come with scikit-image have 1 or 3: give"
            f" calibration images of your own, a .npy or .npz file of arrays (images, {channels}, height, width), TIFF files"
            " of as many channels, or a folder of these"
        )
    return [load_photograph(name, channels) for name in CALIBRATION]


def add_noise(image: Image, sigma: float, seed: int, scale: PictureScale = PLAIN) -> Image:
    """White Gaussian noise of ``sigma / 255`` of the way from black to white added, not clipped."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(image.shape, np.float32) * np.float32(sigma / 255)
    noisy: Image = image + (noise if scale.is_plain else noise * scale.gain())
    return noisy


def center_crop(image: Image, height: int, width: int, where: str = "image") -> Image:
    """The middle ``height`` x ``width`` pixels; :class:`StimulusError`, naming ``where``, if the image is smaller."""
    if image.shape[2] < height or image.shape[3] < width:
        raise StimulusError(
            f"{where}: {image.shape[2]}x{image.shape[3]} pixels, smaller than the crop of {height}x{width}; use a smaller crop"
        )
    top, left = (image.shape[2] - height) // 2, (image.shape[3] - width) // 2
    return np.ascontiguousarray(image[:, :, top : top + height, left : left + width])


def cut_patches(
    images: Sequence[Image], size: tuple[int, int], count: int, seed: int, *, exact: bool = False
) -> list[Image]:
    """``count`` random patches of ``size`` (H, W); multiples of 16 pixels where an image is smaller than that.

    With ``exact``, smaller images are continued by their mirror images instead.
    """
    rng = np.random.default_rng(seed)
    height, width = size
    if exact:
        images = [_mirrored(image, height, width) for image in images]
    else:
        smallest = tuple(min(image.shape[axis] for image in images) for axis in (2, 3))
        height, width = (
            side if side <= least else least // 16 * 16 for side, least in zip(size, smallest, strict=True)
        )
        if min(height, width) == 0:
            raise StimulusError(f"calibration needs images of at least 16x16 pixels, not {smallest[0]}x{smallest[1]}")
    cut = []
    for index in range(count):
        image = images[index % len(images)]
        top, left = (int(rng.integers(image.shape[2 + axis] - side + 1)) for axis, side in ((0, height), (1, width)))
        cut.append(np.ascontiguousarray(image[:, :, top : top + height, left : left + width]))
    return cut


def _mirrored(image: Image, height: int, width: int) -> Image:
    rows, columns = max(height - image.shape[2], 0), max(width - image.shape[3], 0)
    return np.pad(image, ((0, 0), (0, 0), (0, rows), (0, columns)), mode="symmetric") if rows or columns else image


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
