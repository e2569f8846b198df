"""Shapes of maps and windows, as tuples of integers in a fixed order of axes."""

from __future__ import annotations

from typing import TypeAlias

Shape: TypeAlias = tuple[int, int, int]
"""(C, H, W) of a map."""

Size: TypeAlias = tuple[int, int]
"""(H, W) of an image or a map."""

Pair: TypeAlias = tuple[int, int]
"""(vertical, horizontal) strides or dilations."""

Pads: TypeAlias = tuple[int, int, int, int]
"""(top, left, bottom, right) zeros around a map; a negative number crops."""
