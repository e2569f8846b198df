"""The event-driven path: what is silent costs nothing, every other payload one row of weights for each output pixel it reaches.

Dense convolutions cost the same at any activity and multiply faster, so events win below some share of active payloads.
Either way the sums are the same integers: the certificate holds for any order of summation, and 16-bit sums are moved to
float32 before they could overflow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from snn_deploy.shapes import Pair
from snn_deploy_cpu.conv.compiled import Path, Stored, Sums, ring_of
from snn_deploy_cpu.conv.geometry import Convolution, Fold, Maps
from snn_deploy_cpu.conv.payload_stats import kept

LANES = {np.uint8: 128, np.int16: 64}
"""Most output channels summed at once, for each format of payloads: 8 registers of AVX2."""

SUMS: dict[Stored, type[np.int16] | type[np.int32]] = {np.uint8: np.int16, np.int16: np.int32}
"""Formats of sums of products with payloads of each format."""

MOST_PLACES = 2**31 // 128
"""Payloads of a row of a map: no more, for their lists hold 32-bit offsets into rows of weights of up to 128 bytes."""


@dataclass(frozen=True, eq=False)
class EventSums(Sums):
    """Sums event by event.

    Of 8-bit payloads the parts (K_h, K_w), (1, K_w) or (1, 1) of a kernel taken ``at_once`` are so small that no 16-bit sum
    overflows.
    """

    name: ClassVar[str] = "events"

    @classmethod
    def of(cls, path: Path, bits: int, signed: bool, peaks: npt.NDArray[np.int64]) -> EventSums | None:
        """The sums of payloads that are so large in each channel; ``None`` where there are none."""
        from snn_deploy_cpu.kernels import simd as vectors

        form, most, largest = path.form, np.iinfo(np.int16).max, peaks.max()
        if not signed and largest < 128 and vectors.pairs_products():
            part = _part(form.weight, peaks, most)
            if part is not None:
                return cls(path, bits, np.uint8, part)
        height, width = form.weight.shape[2:]
        return cls(path, bits, np.int16, (height, width)) if largest <= most else None

    def _convolve(self, maps: Maps, first: int, new: bool, out: Maps, neurons: tuple[object, ...]) -> int:
        from snn_deploy_cpu.kernels import sparse_conv as events_numba

        form, rows = self.path.form, self.path.weights(_rows, self.payload)
        tiles = rows.size // math.prod(form.weight.shape[1:])
        slots = form.reach(0) if tiles == 1 else maps.shape[1]
        limited = events_numba.convolve(
            maps,
            kept(maps, self.bits),
            _orders(),
            rows,
            self.at_once,
            form.numbers,
            first,
            self.path.scale,
            new,
            slots,
            np.empty(slots * _listed(*maps.shape[2:]), self.payload),
            out,
            neurons,
        )
        return int(limited)

    def _fold(self, fold: Fold, maps: Maps, first: int, new: bool, out: Maps, neurons: tuple[object, ...]) -> int:
        from snn_deploy_cpu.kernels import upsampled_conv as folds_numba

        rows = self.path.weights(_rows, self.payload)
        lanes = rows.nbytes // np.dtype(self.payload).itemsize // self.path.form.weight.shape[1]
        limited = folds_numba.fold_events(
            maps,
            kept(maps, self.bits),
            _orders(),
            rows,
            fold.numbers,
            first,
            self.path.scale,
            new,
            ring_of(fold, maps.shape[2], out.shape[2], lanes, SUMS[self.payload]),
            np.empty(_listed(*maps.shape[2:]), self.payload),
            out,
            neurons,
        )
        return int(limited)


def _part(weight: npt.NDArray[Any], peaks: npt.NDArray[np.int64], most: int) -> Pair | None:
    """The largest part (K_h, K_w), (1, K_w) or (1, 1) of a kernel that moves no sum beyond ``most`` in any order of summation."""
    taps = weight.transpose(2, 3, 0, 1).astype(np.float64)
    above, below = np.maximum(taps, 0) @ peaks, np.maximum(-taps, 0) @ peaks
    height, width = above.shape[:2]
    for part, axes in (((height, width), (0, 1)), ((1, width), (1,)), ((1, 1), ())):
        if max(above.sum(axes).max(), below.sum(axes).max()) <= most:
            return part
    return None


def _listed(width: int, channels: int) -> int:
    """Numbers that the list of a row may have: an even number for each pixel, and what is written beyond the last."""
    from snn_deploy_cpu.kernels.simd import TOGETHER

    return width * (channels + channels % 2) + TOGETHER


def _rows(form: Convolution, payload: Stored) -> npt.NDArray[Any]:
    """The weights of ``form`` as rows (tile, h, w, i) of lanes, outputs filled up with zeros to whole tiles."""
    from snn_deploy_cpu.kernels.sparse_rows import WIDTH, rows_of

    outputs, inputs, height, width = form.weight.shape
    tiles = -(-outputs // LANES[payload])
    lanes = -(-outputs // (WIDTH * tiles)) * WIDTH
    filled = np.zeros((tiles * lanes, inputs, height, width), np.int8 if payload is np.uint8 else np.int16)
    filled[:outputs] = form.weight
    return rows_of(filled.reshape(tiles, lanes, inputs, height, width).transpose(0, 3, 4, 2, 1))


@cache
def _orders() -> npt.NDArray[np.uint8]:
    from snn_deploy_cpu.kernels.sparse_rows import orders

    return orders()
