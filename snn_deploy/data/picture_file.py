"""Picture files as arrays of gray or color values in [0, 1]: only files that Pillow reads exactly are accepted.

Pillow opens more than it keeps: signed numbers lose their sign, 12-bit ones their scale, and CMYK and CIELAB have no values
without a color profile. Each of these is refused with its reason and remedy. Of 16-bit colors it keeps one byte, so these are
decoded twice, once for each byte.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from snn_deploy.arrays import Float32
from snn_deploy.errors import StimulusError
from snn_deploy.files import check_regular

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_SIDE = 2**15
"""Most pixels along a side of an image that is read."""

MAX_PIXELS = 2**25
"""Most pixels of an image that is read; as float32 colors they take 400 MiB."""

FEW = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
"""Suffixes of files that hold one picture, or pages of them."""

FORMATS = {"PNG": "PNG", "JPEG": "JPEG", "MPO": "JPEG", "TIFF": "TIFF", "BMP": "BMP"}
"""Pillow's names of the formats that are read; an MPO is a JPEG whose first frame is the photograph."""

AS_IT_IS = ("1", "L", "LA", "RGB", "RGBA", "I;16", "I;16L", "I;16B", "F")
"""Modes whose arrays hold the picture's own values."""

_CONVERTED = {"P": "RGB", "PA": "RGBA", "La": "LA", "RGBa": "RGBA"}
"""Modes that Pillow turns into one of these without loss."""

_EIGHT_BITS = "save it with 8 bits per color, or as a float .npy array"
_RGB = "save it as gray or RGB"

_BITS_PER_SAMPLE, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339  # TIFF 6.0, section 8
_WHITE_IS_ZERO, _SIGNED = 0, 2


def read(path: Path) -> Float32:
    """Gray (H, W) or color (H, W, 3) values of the one picture at ``path``; :class:`StimulusError` for several."""
    pages = read_pages(path)
    if len(pages) > 1:
        raise StimulusError(f"{path}: contains {len(pages)} pictures; save each as a separate file")
    return pages[0]


@contextmanager
def telling_damage(path: Path, reading: str = "cannot be read") -> Iterator[None]:
    """What a library raises for the file at ``path`` as :class:`StimulusError`; damaged bytes lead to errors of many kinds."""
    try:
        yield
    except StimulusError:
        raise
    except OSError as error:
        raise StimulusError(f"{path}: {reading}: {error.strerror or error}") from error
    except Exception as error:
        raise StimulusError(f"{path}: damaged: {str(error)[:200] or type(error).__name__}") from error


def read_pages(path: Path, channels: int = 1) -> tuple[Float32, ...]:
    """Every page of a TIFF, or the one picture of another file: gray (H, W) or color (H, W, 3) values.

    Transparent pixels are laid on white, unless as many ``channels`` are read as the picture has with its opacity; EXIF
    orientation is applied. :class:`StimulusError` for damaged files and for
    those whose values Pillow does not give exactly.
    """
    from PIL import Image as Pillow
    from PIL import UnidentifiedImageError

    check_regular(path, StimulusError)
    with telling_damage(path):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # unusual metadata does not matter, and the size is checked below
                # A stream, not a path: Pillow 11 to 13 map uncompressed TIFFs of a path into memory and forget to turn them.
                with path.open("rb") as stream, Pillow.open(stream) as picture:
                    check_size(path, picture.size)
                    number = _count_pages(path, picture)
                    return tuple(_read_page(path, stream, picture, page, number, channels) for page in range(number))
        except UnidentifiedImageError as error:
            raise StimulusError(
                f"{path}: not a picture that can be read; save it as PNG, JPEG, TIFF, BMP or .npy"
            ) from error
        except Pillow.DecompressionBombError as error:
            raise StimulusError(f"{path}: {error}") from error


def _read_page(path: Path, stream: BinaryIO, picture: Image, page: int, pages: int, channels: int) -> Float32:
    if pages > 1:
        picture.seek(page)
    check_size(path, picture.size, pages)
    _check_format(path, picture)
    if _is_deep_color(picture):
        return _unit(path, _read_deep_color(path, stream, picture, page), channels)
    return _unit(path, np.asarray(_upright(_plain(path, picture))), channels)


def _unit(path: Path, values: Any, channels: int) -> Float32:
    """Values of any type that is read as values in [0, 1], without opacity where it is not one of the ``channels``."""
    from skimage import util

    if values.ndim not in (2, 3) or 0 in values.shape:
        raise StimulusError(f"{path}: an array of shape {values.shape} is not a picture")
    if values.dtype == np.float32:
        _check_range(path, values)
    elif values.dtype == np.int32:  # 16-bit PNG in Pillow before 10.1
        values = values / np.float32(65535)
    else:
        values = util.img_as_float32(values)
    if (
        values.ndim == 3 and values.shape[2] in (2, 4) and values.shape[2] != channels
    ):  # the last channel is opacity; the page is white
        values = values[..., :-1] * values[..., -1:] + 1 - values[..., -1:]
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    return np.asarray(values, np.float32)


def check_size(path: Path, size: tuple[int, int], pages: int = 1) -> None:
    """:class:`StimulusError` where pictures of ``size`` (W, H) have more pixels than are read."""
    width, height = size
    if max(size) > MAX_SIDE or width * height * pages > MAX_PIXELS:
        many = f"{pages} pages of " if pages > 1 else ""
        raise StimulusError(
            f"{path}: {many}{height}x{width} pixels; at most {MAX_SIDE} per side and {MAX_PIXELS} in total are allowed; "
            "split it into tiles"
        )


def _count_pages(path: Path, picture: Image) -> int:
    """Pages of a TIFF; the first picture of an MPO is the photograph. Animations are refused."""
    number = int(getattr(picture, "n_frames", 1))
    if picture.format in FORMATS and picture.format not in ("TIFF", "MPO") and number > 1:
        raise StimulusError(f"{path}: contains {number} pictures; save each as a separate file")
    return number if picture.format == "TIFF" else 1


def _check_format(path: Path, picture: Image) -> None:
    """:class:`StimulusError` for pictures whose values Pillow would change."""
    name = str(picture.format)
    if name not in FORMATS:
        raise StimulusError(f"{path}: is a {name} file; save it as PNG, JPEG, TIFF, BMP or .npy")
    if name == "TIFF":
        _check_tiff(path, picture)
    raw = _raw_mode(picture)
    if picture.mode in ("RGB", "RGBA") and ";16" in raw and not _is_deep_color(picture):
        raise StimulusError(f"{path}: has 16 bits per value ({raw}), of which Pillow keeps 8; {_EIGHT_BITS}")
    if picture.mode == "I" and name != "PNG":
        raise StimulusError(f"{path}: has integers of more than 16 bits or with a sign ({raw}); {_EIGHT_BITS}")
    if picture.mode not in (*AS_IT_IS, *_CONVERTED, "I"):
        colors = f"{picture.mode} colors, whose RGB values depend on a profile"
        raise StimulusError(f"{path}: has {colors}; {_RGB}")


def _check_tiff(path: Path, picture: Image) -> None:
    tags = getattr(picture, "tag_v2", {})
    bits = tags.get(_BITS_PER_SAMPLE, (1,))
    deep = max(bits) > 8
    if deep and bits[0] not in (16, 32, 64):
        raise StimulusError(f"{path}: has {bits[0]} bits per value; {_EIGHT_BITS}")
    if _SIGNED in tags.get(_SAMPLE_FORMAT, ()):
        raise StimulusError(f"{path}: has signed integers; {_EIGHT_BITS}")
    if deep and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        raise StimulusError(f"{path}: has {bits[0]}-bit values of which 0 is white; save it with 0 as black")


def _raw_mode(picture: Image) -> str:
    """Pillow's name of the layout in the file, ``RGB;16B`` say; empty where a format has none."""
    for tile in getattr(picture, "tile", ()):
        arguments = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
        if arguments and isinstance(arguments[0], str):
            return arguments[0]
    return ""


def _is_deep_color(picture: Image) -> bool:
    """Whether the picture has 16 bits for each of red, green, blue and perhaps opacity."""
    return picture.mode in ("RGB", "RGBA") and _raw_mode(picture)[:-1] == f"{picture.mode};16"


def _read_deep_color(path: Path, stream: BinaryIO, picture: Image, page: int) -> Any:
    """Colors (H, W, 3 or 4) uint16: what Pillow keeps is the upper byte, and the lower one if the byte order is swapped."""
    if "transparency" in picture.info:
        raise StimulusError(f"{path}: makes one color of 16 bits transparent; {_EIGHT_BITS}")
    order = _raw_mode(picture)[-1]
    native = "L" if sys.byteorder == "little" else "B"
    swapped = {"L": "B", "B": "L"}[native if order == "N" else order]
    upper, lower = (_decode(stream, page, each) for each in (order, swapped))
    return upper.astype(np.uint16) << 8 | lower


def _decode(stream: BinaryIO, page: int, order: str) -> Any:
    """Page ``page`` of the picture in ``stream`` with the bytes of its values in this order."""
    from PIL import Image as Pillow

    stream.seek(0)
    with Pillow.open(stream) as picture:
        picture.seek(page)
        raw = f"{picture.mode};16{order}"
        tiles: Any = picture.tile
        picture.tile = [
            tile._replace(args=(raw, *tile.args[1:]) if isinstance(tile.args, tuple) else raw) for tile in tiles
        ]
        return np.asarray(_upright(picture))


def _plain(path: Path, picture: Image) -> Image:
    """The picture in a mode of :data:`AS_IT_IS`, with an opacity where the file makes a color or gray value transparent."""
    transparent = "transparency" in picture.info
    if picture.mode == "P" or (transparent and picture.mode == "RGB"):
        return picture.convert("RGBA" if transparent else "RGB")
    if transparent and picture.mode in ("1", "L", "I", "I;16"):
        if _raw_mode(picture) != "L":
            raise StimulusError(f"{path}: makes one gray value of fewer or more than 8 bits transparent; {_RGB}")
        return picture.convert("LA")
    return picture.convert(_CONVERTED[picture.mode]) if picture.mode in _CONVERTED else picture


def _upright(picture: Image) -> Image:
    from PIL import ImageOps

    picture.load()  # Pillow turns a TIFF itself, and forgets its tag
    return ImageOps.exif_transpose(picture)


def _check_range(path: Path, values: Float32) -> None:
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 1):  # false for NaN, too
        raise StimulusError(
            f"{path}: float values from {low:g} to {high:g}; only values in [0, 1] are allowed:"
            " scale them, or save them as a .npy array, which is read unscaled"
        )
