"""Pictures in and out, noise, crops and scores; scikit-image does the work.

Images are float32 (1, C, H, W) with gray or color values in [0, 1], C = 1 or 3.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from snn_deploy.errors import ReportError, StimulusError

Image: TypeAlias = npt.NDArray[np.float32]

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
"""Files of a folder that count as images."""

CALIBRATION = ("astronaut", "brick", "chelsea", "coffee", "coins", "grass", "gravel", "moon", "rocket")
"""Photographs inside scikit-image's wheel that calibrate where the user gives none."""


def read_image(path: Path, channels: int) -> Image:
    """The image at ``path`` as float32 (1, C, H, W) in [0, 1], or an ``.npy`` array of that shape as it is."""
    from skimage import color, io, util

    try:
        values = np.load(path, allow_pickle=False) if path.suffix == ".npy" else io.imread(path)
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError) as error:
        raise StimulusError(f"{path}: not a readable image or array: {' '.join(str(error).split())[:200]}") from error
    if path.suffix == ".npy":
        if values.ndim != 4 or not np.issubdtype(values.dtype, np.floating):
            raise StimulusError(
                f"{path}: {values.dtype} {values.shape}; a float array (batch, channels, H, W) is needed"
            )
        array: Image = values.astype(np.float32)
        return array
    if values.ndim not in (2, 3) or 0 in values.shape:
        raise StimulusError(f"{path}: an array of shape {values.shape} is no image")
    values = util.img_as_float32(values)
    if values.ndim == 3 and values.shape[2] == 4:
        values = color.rgba2rgb(values)
    if channels == 1:
        values = (
            color.rgb2gray(values) if values.ndim == 3 and values.shape[2] == 3 else values.reshape(values.shape[:2])
        )
        values = values[..., None]
    elif values.ndim == 2:
        values = np.repeat(values[..., None], channels, axis=2)
    if values.shape[2] != channels:
        raise StimulusError(f"{path}: {values.shape[2]} channels; the network reads {channels}")
    return np.ascontiguousarray(np.moveaxis(values, 2, 0)[None], np.float32)


def image_paths(folder: Path) -> tuple[Path, ...]:
    """Image files of ``folder``, sorted; :class:`StimulusError` where there are none."""
    if not folder.is_dir():
        raise StimulusError(f"{folder}: no such folder")
    found = tuple(sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES))
    if not found:
        raise StimulusError(f"{folder}: holds no image ({', '.join(SUFFIXES)})")
    return found


def photograph(name: str, channels: int) -> Image:
    """One of scikit-image's bundled photographs."""
    import skimage.data

    return (
        read_image(Path(skimage.data.__file__).parent / f"{name}.png", channels)
        if name != "rocket"
        else read_image(Path(skimage.data.__file__).parent / "rocket.jpg", channels)
    )


def bundled_images(channels: int) -> list[Image]:
    """The photographs of :data:`CALIBRATION`."""
    return [photograph(name, channels) for name in CALIBRATION]


def add_noise(image: Image, sigma: float, seed: int) -> Image:
    """White Gaussian noise of ``sigma / 255`` added, not clipped."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(image.shape, np.float32) * np.float32(sigma / 255)
    noisy: Image = image + noise
    return noisy


def center_crop(image: Image, height: int, width: int) -> Image:
    """The middle ``height`` x ``width`` pixels; :class:`StimulusError` where the image is smaller."""
    if image.shape[2] < height or image.shape[3] < width:
        raise StimulusError(f"image of {image.shape[2]}x{image.shape[3]} holds no crop of {height}x{width}")
    top, left = (image.shape[2] - height) // 2, (image.shape[3] - width) // 2
    return np.ascontiguousarray(image[:, :, top : top + height, left : left + width])


def patches(images: list[Image], size: int, count: int, seed: int) -> list[Image]:
    """``count`` random ``size`` x ``size`` patches (fewer pixels where an image is smaller than that)."""
    rng = np.random.default_rng(seed)
    side = min(size, *(min(image.shape[2:]) for image in images)) // 16 * 16
    if side == 0:
        raise StimulusError("calibration needs images of at least 16x16 pixels")
    found = []
    for index in range(count):
        image = images[index % len(images)]
        top, left = (int(rng.integers(extent - side + 1)) for extent in image.shape[2:])
        found.append(np.ascontiguousarray(image[:, :, top : top + side, left : left + side]))
    return found


def psnr_db(restored: npt.NDArray[np.float32] | npt.NDArray[np.float64], clean: Image) -> float:
    """Peak signal-to-noise ratio in dB of ``restored``, clipped to [0, 1], against ``clean``; all pixels."""
    from skimage.metrics import peak_signal_noise_ratio

    clipped = np.clip(restored, 0.0, 1.0).astype(np.float64)
    return float(peak_signal_noise_ratio(clean.astype(np.float64), clipped, data_range=1.0))


def write_image(path: Path, image: npt.NDArray[np.float32] | npt.NDArray[np.float64]) -> None:
    """Write one image (1, C, H, W), clipped to [0, 1], as an 8-bit PNG."""
    from skimage import io

    values = np.rint(np.clip(np.moveaxis(image[0], 0, 2), 0, 1) * 255).astype(np.uint8)
    try:
        io.imsave(path, values[..., 0] if values.shape[2] == 1 else values, check_contrast=False)
    except OSError as error:
        raise ReportError(f"{path}: cannot be written: {error.strerror or error}") from error
