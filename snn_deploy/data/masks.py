"""Masks of segmentation as people save them: class numbers, black and white, palettes; as class numbers (H, W).

A set whose masks hold nothing but 0 and 255 has two classes, and white is class 1. In any other set gray values and palette
indices are class numbers, and 255 is void: left out of scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from snn_deploy.arrays import Array, Int64
from snn_deploy.data.metrics import VOID, Labels
from snn_deploy.data.picture_file import MAX_PIXELS, telling_damage
from snn_deploy.errors import StimulusError
from snn_deploy.files import check_regular

WHITE = 255

LOOKED_AT = 64
"""Masks of a set that are read to learn what their numbers mean."""


@dataclass(frozen=True)
class Masks:
    """What the numbers of a set of masks mean: ``binary``, or class numbers with void."""

    binary: bool

    @classmethod
    def of(cls, paths: Sequence[Path]) -> Masks:
        """Learn it from the first of ``paths``."""
        return cls(all(_is_black_and_white(read_values(path)) for path in paths[:LOOKED_AT]))

    def read(self, path: Path) -> Labels:
        """Classes (H, W) int64 of the mask at ``path``; :class:`StimulusError` where it contradicts the others."""
        values = read_values(path)
        if not self.binary:
            return np.where(values == WHITE, VOID, values.astype(np.int64))
        if not _is_black_and_white(values):
            odd = sorted(set(np.unique(values).tolist()) - {0, WHITE})
            raise StimulusError(
                f"{path}: contains {odd[0]}, but the first masks of the set contain only 0 and 255, which are two classes; "
                "save all of them as class numbers"
            )
        return np.asarray(values == WHITE, np.int64)


def _is_black_and_white(values: Int64) -> bool:
    return bool(np.all((values == 0) | (values == WHITE)))


def read_values(path: Path) -> Int64:
    """The numbers (H, W) in a mask: gray values, indices of a palette of colors, integers of a ``.npy`` array."""
    check_regular(path, StimulusError)
    with telling_damage(path, "cannot be read as a mask"):
        values = _parsed(path)
    if values.dtype == np.bool_:
        values = values * np.uint8(WHITE)
    if values.ndim == 3 and values.shape[2] >= 3 and np.all(values[..., :3] == values[..., :1]):
        values = values[..., 0]
    if values.ndim == 3 and values.shape[2] >= 3:
        raise StimulusError(
            f"{path}: is in colors; save class numbers as gray values or as a palette image, or give label_colors.txt with a "
            "line 'R G B name' for each class beside the folders"
        )
    values = values[..., 0] if values.ndim == 3 else values
    if values.ndim != 2 or values.dtype.kind not in "iu":
        raise StimulusError(f"{path}: {values.dtype} {values.shape} is not a mask; integers (height, width) are")
    return values.astype(np.int64)


def _parsed(path: Path) -> Array:
    if path.suffix.lower() == ".npy":
        with path.open("rb") as stream:
            return np.asarray(np.squeeze(np.lib.format.read_array(stream, allow_pickle=False)))
    from PIL import Image as Pillow

    with path.open("rb") as stream, Pillow.open(stream) as picture:
        if picture.size[0] * picture.size[1] > MAX_PIXELS:
            raise StimulusError(f"{path}: {picture.size} pixels; at most {MAX_PIXELS} are read; split it into tiles")
        if picture.mode == "P":
            palette = np.array(picture.getpalette() or [0, 0, 0]).reshape(-1, 3)
            if np.all(palette == palette[:, :1]):  # a gray picture stored with a palette, as GIF files are
                return np.asarray(picture.convert("L"))
        return np.asarray(picture)
