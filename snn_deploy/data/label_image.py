"""Label images: every pixel holds the number of its class, as in the label maps of data sets.

Values are kept: 8 bits per pixel for up to 255 classes (255 stays free for "void"), 16 bits above, in a format without
loss. With colors an 8-bit image gets a palette: its values are still the classes, and viewers show the color of each.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from snn_deploy.arrays import Array, Int64
from snn_deploy.errors import ReportError

FORMATS = {".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF", ".bmp": "BMP"}
"""Pillow's names of the formats without loss, by suffix."""

FEW = 255
"""Most classes of an image of 8 bits per pixel."""

MANY = 65535
"""Most classes of an image of 16 bits per pixel."""


def _list_colors() -> Array:
    """Colors (256, 3) uint8: bits 0, 3, 6 of the number, highest first, are red, bits 1, 4, 7 green, 2 and 5 blue."""
    numbers = np.arange(256)
    parts = [sum((numbers >> (3 * bit + part) & 1) << (7 - bit) for bit in range(3)) for part in range(3)]
    return np.stack(parts, axis=1).astype(np.uint8)


COLORS = _list_colors()
"""A different color (256, 3) uint8 for each class, black for class 0: that of the PASCAL VOC data set's label images."""


def choose_label_format(path: Path, classes: int, *, colors: bool = False) -> str:
    """Pillow's name of the format of ``path``; :class:`ReportError` where it cannot hold the labels of ``classes``."""
    form = FORMATS.get(path.suffix.lower())
    if form is None:
        raise ReportError(
            f"{path}: {path.suffix or 'no suffix'} does not keep labels; use {', '.join(FORMATS)} or .npy"
        )
    if classes > MANY:
        raise ReportError(f"{path}: {classes} classes; an image has at most {MANY}: use .npy")
    if classes > FEW and (colors or form == "BMP"):
        what = "a palette has" if colors else "BMP holds"
        raise ReportError(f"{path}: {classes} classes; {what} at most {FEW}: use .png or .tif, without colors")
    return form


def narrow_labels(labels: Int64, classes: int) -> Array:
    """``labels`` in the smallest unsigned type that holds ``classes``: uint8, uint16 or uint32."""
    kind = np.uint8 if classes <= FEW else np.uint16 if classes <= MANY else np.uint32
    return labels.astype(kind)


def encode_labels(labels: Int64, classes: int, path: Path, *, colors: bool = False) -> bytes:
    """Labels (H, W) in 0..``classes`` - 1 as an image file in the format of the suffix of ``path``."""
    from PIL import Image

    form = choose_label_format(path, classes, colors=colors)
    picture = Image.fromarray(np.ascontiguousarray(narrow_labels(labels, classes)))
    if colors:
        picture.putpalette(COLORS.tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, form)
    return buffer.getvalue()
