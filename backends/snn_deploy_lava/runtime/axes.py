"""All conversions of axis order: ONNX has (C, H, W), Lava has (X, Y, C) = (W, H, C).

Kernels turn from (C_out, C_in, K_h, K_w) into (C_out, K_x, K_y, C_in), pads (top, left, bottom, right) into
(left, top, right, bottom), pairs (y, x) into (x, y). Kernels are not flipped here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def shape_to_lava(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """(C, H, W) as (X, Y, C)."""
    channels, height, width = shape
    return width, height, channels


def maps_to_lava(maps: Array) -> Array:
    """(..., C, H, W) as contiguous (..., X, Y, C)."""
    return np.ascontiguousarray(np.swapaxes(maps, -3, -1))


def maps_from_lava(maps: Array) -> Array:
    """(..., X, Y, C) as contiguous (..., C, H, W)."""
    return np.ascontiguousarray(np.swapaxes(maps, -3, -1))


def kernel_to_lava(weight: Array) -> Array:
    """(C_out, C_in, K_h, K_w) as (C_out, K_x, K_y, C_in)."""
    return np.ascontiguousarray(weight.transpose(0, 3, 2, 1))


def pair_to_lava(pair: tuple[int, int]) -> tuple[int, int]:
    """(y, x) as (x, y)."""
    return pair[1], pair[0]


def pads_to_lava(pads: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """(top, left, bottom, right) as (left, top, right, bottom): before in x and y, then after in x and y."""
    top, left, bottom, right = pads
    return left, top, right, bottom


def pixels_to_lava(pixels: Array, size: tuple[int, int]) -> Array:
    """Flat pixel numbers of an (H, W) map, ``y * W + x``, as those of an (X, Y) map, ``x * H + y``."""
    height, width = size
    return (pixels % width) * height + pixels // width
