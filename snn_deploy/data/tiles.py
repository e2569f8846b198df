"""Overlapping tiles of a large image, so that each pixel is taken from a tile whose border is far enough away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from snn_deploy.errors import StimulusError


@dataclass(frozen=True)
class Window:
    """One tile: pixels to ``read`` from the image, those to ``keep`` of the result, and where to ``write`` them."""

    read: tuple[slice, slice]
    keep: tuple[slice, slice]
    write: tuple[slice, slice]


def cut_windows(size: tuple[int, int], tile: tuple[int, int] | None, overlap: int) -> Iterator[Window]:
    """Tiles that cover ``size`` (H, W); neighbours overlap by at least ``overlap`` pixels and are joined in its middle."""
    spans = [_spans(whole, part, overlap) for whole, part in zip(size, tile or size, strict=True)]
    for rows in spans[0]:
        for columns in spans[1]:
            (read_y, keep_y, write_y), (read_x, keep_x, write_x) = rows, columns
            yield Window((read_y, read_x), (keep_y, keep_x), (write_y, write_x))


def _spans(whole: int, part: int, overlap: int) -> list[tuple[slice, slice, slice]]:
    if whole <= part:
        return [(slice(0, whole), slice(0, whole), slice(0, whole))]
    if not 0 <= overlap < part:
        raise StimulusError(f"tiles of {part} pixels cannot overlap by {overlap}; allowed are 0 to {part - 1}")
    number = -(-(whole - overlap) // (part - overlap))
    starts = [round(index * (whole - part) / (number - 1)) for index in range(number)]
    cuts = [0, *((before + part + after) // 2 for before, after in zip(starts, starts[1:], strict=False)), whole]
    return [
        (slice(start, start + part), slice(first - start, last - start), slice(first, last))
        for start, first, last in zip(starts, cuts, cuts[1:], strict=False)
    ]
