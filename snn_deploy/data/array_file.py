"""Images in ``.npy`` and ``.npz`` files, and how arrays of any layout become (B, C, H, W).

Floating numbers are what the network reads, as they are. Integers are pictures: 0 and the largest number of their type are
black and white, and are brought into the network's range.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from tokenize import TokenError
from typing import Any, BinaryIO

import numpy as np

from snn_deploy.arrays import Array, Float32
from snn_deploy.errors import StimulusError
from snn_deploy.files import check_regular
from snn_deploy.network.picture_scale import PictureScale

SUFFIXES = (".npy", ".npz")

MAX_BYTES = 2**31
"""Most bytes of the arrays of one file."""


def read_arrays(path: Path, channels: int, scale: PictureScale) -> list[Float32]:
    """Every array of a file as float32 (B, C, H, W), as the network reads it; :class:`StimulusError` for anything else."""
    return [arrange(values, channels, scale, where) for where, values in _stored(path)]


def holds_windows(path: Path) -> bool:
    """Whether ``path`` is a ``.npy`` file of five axes: an image for every step of a window."""
    array = map_array(path)
    return array is not None and array.ndim == 5


def map_array(path: Path) -> Array | None:
    """The array of a ``.npy`` file, left on disk; ``None`` for anything else."""
    if path.suffix != ".npy":
        return None
    try:
        array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, EOFError, ValueError):
        return None
    return array


def read_windows(path: Path, channels: int, scale: PictureScale) -> Float32:
    """The images of every step of windows, (B, T, C, H, W), as float32; :class:`StimulusError` for anything else."""
    [(where, values)] = _stored(path)
    if values.ndim != 5 or 0 in values.shape:
        raise StimulusError(f"{where}: shape {values.shape}; (batch, step, {channels}, height, width) is needed")
    images = arrange(values.reshape(-1, *values.shape[2:]), channels, scale, where)
    return images.reshape(*values.shape[:2], *images.shape[1:])


def arrange(values: Array, channels: int, scale: PictureScale, where: str) -> Float32:
    """``values`` of any layout that ``channels`` tell as float32 (B, C, H, W), integers brought into the network's range."""
    values = values.astype(np.uint8) if values.dtype == np.bool_ else values
    if values.dtype.kind not in "fui" or 0 in values.shape:
        raise StimulusError(
            f"{where}: {values.dtype} {values.shape}; a float array (batch, {channels}, height, width) is needed"
        )
    ordered = _channels_first(values, channels)
    if ordered is None:
        raise StimulusError(
            f"{where}: shape {values.shape}; the network expects (batch, {channels}, height, width): transpose it, or choose"
            " its channels"
        )
    if ordered.dtype.kind in "ui":
        limits = np.iinfo(ordered.dtype)
        if ordered.dtype.itemsize > 2 or limits.min < 0:
            raise StimulusError(
                f"{where}: {values.dtype} numbers, whose white is unknown; save them as uint8, uint16, or as floats in the"
                " network's own range"
            )
        return scale.apply(ordered.astype(np.float32) / np.float32(limits.max))
    with np.errstate(over="ignore"):  # values beyond float32 become infinite and are refused
        numbers: Float32 = np.ascontiguousarray(ordered, np.float32)
    if not np.all(np.isfinite(numbers)):
        place = tuple(int(index) for index in np.argwhere(~np.isfinite(numbers))[0])
        raise StimulusError(f"{where}: value {ordered[place]} at {place} is not finite in float32; replace it")
    return numbers


def _channels_first(values: Array, channels: int) -> Array | None:
    """(B, C, H, W) from that, (B, H, W, C), one image without its batch, or gray without its channel."""
    if values.ndim == 2 and channels == 1:
        return values[None, None]
    if values.ndim == 3 and channels == 1 and 1 not in (values.shape[0], values.shape[2]):
        return values[:, None]
    if values.ndim == 3:
        values = values[None]
    if values.ndim != 4:
        return None
    if values.shape[1] == channels:
        return values
    return np.moveaxis(values, 3, 1) if values.shape[3] == channels else None


def read_entries(path: Path) -> dict[str, Array]:
    """The arrays of an ``.npz`` by name, as they are; :class:`StimulusError` for a file that is none."""
    return {where.removeprefix(f"{path}[").removesuffix("]"): values for where, values in _stored(path)}


def read_fields(path: Path) -> tuple[str, ...]:
    """Names of the fields of the records in an ``.npy``, from its header; empty for plain numbers, and for damaged files."""
    try:
        with path.open("rb") as stream:
            version = np.lib.format.read_magic(stream)
            read: Any = (
                np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            )
            names = read(stream)[2].names
    except (OSError, ValueError, EOFError, TypeError, SyntaxError, TokenError):
        return ()
    return tuple(names or ())


def _stored(path: Path) -> Iterator[tuple[str, Array]]:
    """Where each array stands, and the array."""
    check_regular(path, StimulusError)
    try:
        if path.suffix.lower() == ".npy":
            with path.open("rb") as stream:
                yield str(path), _parsed(stream)
            return
        with zipfile.ZipFile(path) as archive:
            total = sum(entry.file_size for entry in archive.infolist())
            if total > MAX_BYTES:
                raise StimulusError(f"{path}: has arrays of {total} bytes; at most {MAX_BYTES} are read; split it")
            for entry in archive.infolist():
                with archive.open(entry) as stream:
                    yield f"{path}[{entry.filename.removesuffix('.npy')}]", _parsed(stream)  # type: ignore[arg-type]
    except OSError as error:
        raise StimulusError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (
        *(ValueError, EOFError, MemoryError, OverflowError, TypeError, SyntaxError, TokenError),
        *(zipfile.BadZipFile, NotImplementedError, RuntimeError),
    ) as error:
        raise StimulusError(f"{path}: not a readable {path.suffix} array: {str(error)[:200]}") from error


def _parsed(stream: BinaryIO) -> Array:
    values: Array = np.lib.format.read_array(stream, allow_pickle=False)
    return values
