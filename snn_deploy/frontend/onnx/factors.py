"""Axes of an ONNX tensor as parts of the axes of a map, so that Reshape and Transpose only rename what they move.

A tensor of a map (N, C, H, W) has, on each of its axes, a product of *factors*: axis H of 32 rows cut into 16 x 2 has the
factors (H, 16, stride 2) and (H, 2, stride 1). Reshape cuts and joins factors, Transpose permutes axes, and pixel shuffling is
what remains when factors of one letter end up under another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

LETTERS = "NCHW"


class Factor(NamedTuple):
    """``extent`` positions along axis ``letter`` of the map, ``stride`` entries apart."""

    letter: str
    extent: int
    stride: int


Factored: TypeAlias = tuple[tuple[Factor, ...], ...]
"""For each axis of a tensor its factors, the slowest first; none where the axis has one entry."""


def whole(axes: str, extents: Sequence[int]) -> Factored:
    """Axes that are whole axes of the map."""
    return tuple(
        (Factor(letter, extent, 1),) if extent > 1 else () for letter, extent in zip(axes, extents, strict=True)
    )


def extents_of(axes: Factored) -> tuple[int, ...]:
    """Shape of the tensor."""
    return tuple(math.prod(factor.extent for factor in axis) for axis in axes)


def regroup(axes: Factored, shape: Sequence[int]) -> Factored | None:
    """The axes after a reshape to ``shape``; ``None`` where an entry of an axis would be cut apart."""
    rest = [factor for axis in axes for factor in axis]
    made = []
    for extent in shape:
        axis: list[Factor] = []
        while extent > 1:
            if not rest:
                return None
            letter, size, stride = rest.pop(0)
            if extent % size == 0:
                axis.append(Factor(letter, size, stride))
                extent //= size
            elif size % extent == 0:
                axis.append(Factor(letter, extent, stride * (size // extent)))
                rest.insert(0, Factor(letter, size // extent, stride))
                extent = 1
            else:
                return None
        made.append(join(axis))
    return None if rest else tuple(made)


def letters_of(axes: Factored, sizes: dict[str, int]) -> str | None:
    """One letter for each axis where every axis is a whole one of the map; axes of one entry take the letters that remain."""
    letters = ""
    for axis in axes:
        if len(axis) > 1 or (axis and axis[0] != Factor(axis[0].letter, sizes[axis[0].letter], 1)):
            return None
        letters += axis[0].letter if axis else "-"
    for letter in LETTERS:
        if letter not in letters:
            letters = letters.replace("-", letter, 1)
    return None if "-" in letters else letters


def join(axis: Sequence[Factor]) -> tuple[Factor, ...]:
    """Neighbours of one letter that follow each other without a gap become one factor."""
    joined: list[Factor] = []
    for factor in axis:
        last = joined[-1] if joined else None
        if last and last.letter == factor.letter and last.stride == factor.extent * factor.stride:
            joined[-1] = Factor(factor.letter, last.extent * factor.extent, factor.stride)
        else:
            joined.append(factor)
    return tuple(joined)
