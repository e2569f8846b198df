"""The sparse path: payloads that are 0 cost nothing, every other one adds a row of weights to each output pixel it reaches.

Dense convolutions cost the same at any density and multiply faster, so this one wins below some share of payloads that
are not 0. Either way the sums are the same integers: the bound of a current holds for any order of summation, and 16-bit
sums are moved to float32 before they could overflow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from snn_deploy.arrays import Array, Int64
from snn_deploy.shapes import Pair
from snn_deploy_cpu.conv.compiled import CompiledConv, ConvTask, PayloadType, product_ring
from snn_deploy_cpu.conv.geometry import Convolution, Maps, UpsampledConv
from snn_deploy_cpu.conv.payload_stats import mask_like
from snn_deploy_cpu.kernels.arguments import CurrentRows, FusedNeurons, RowRing

TILE_CHANNELS = {np.uint8: 128, np.int16: 64}
"""Most output channels summed at once, for each format of payloads: 8 registers of AVX2."""

SUMS: dict[PayloadType, type[np.int16] | type[np.int32]] = {np.uint8: np.int16, np.int16: np.int32}
"""Formats of sums of products with payloads of each format."""

MAX_ROW_PAYLOADS = 2**31 // 128
"""Payloads of a row of a map: no more, for their lists hold 32-bit offsets into rows of weights of up to 128 bytes."""


@dataclass(frozen=True, eq=False)
class SparseConv(CompiledConv):
    """Sums over the payloads that are not 0.

    ``accumulate_depth`` is the part (K_h, K_w), (1, K_w) or (1, 1) of a kernel over which no sum overflows.
    """

    name: ClassVar[str] = "sparse"

    @classmethod
    def of(cls, task: ConvTask, bits: int, signed: bool, channel_max: Int64) -> SparseConv | None:
        """The sums of payloads at most ``channel_max`` (C,) in magnitude; ``None`` where none are exact.

        uint8 payloads below 128, whose pairs of products fit int16 (``2 * 127 * 128``), else int16 payloads.
        """
        from snn_deploy_cpu.kernels.simd import has_avx2

        conv, int16_max, largest = task.conv, int(np.iinfo(np.int16).max), int(channel_max.max())
        # PMADDUBSW takes payloads without sign
        if not signed and largest < 128 and has_avx2():
            part = exact_part(conv.weight, channel_max, int16_max)
            if part is not None:
                return cls(task, bits, np.uint8, part)
        height, width = conv.weight.shape[2:]
        return cls(task, bits, np.int16, (height, width)) if largest <= int16_max else None

    def _convolve(self, x: Maps, target: CurrentRows, neurons: FusedNeurons) -> int:
        from snn_deploy_cpu.kernels.sparse_conv import convolve

        conv, rows = self.task.conv, self.task.packed_weights(_pack, self.payload)
        tiles = rows.size // math.prod(conv.weight.shape[1:])
        # each tile of outputs goes through the whole map, which it should not list again
        slots = conv.kernel_extent(0) if tiles == 1 else x.shape[1]
        saturated = convolve(
            x,
            mask_like(x, self.bits),
            _compress_table(),
            rows,
            self.accumulate_depth,
            tuple(conv.geometry),
            tuple(RowRing(np.empty(slots * _list_size(*x.shape[2:]), self.payload), slots, 0)),
            tuple(target),
            tuple(neurons),
        )
        return int(saturated)

    def _convolve_upsampled(self, upsampled: UpsampledConv, x: Maps, target: CurrentRows, neurons: FusedNeurons) -> int:
        from snn_deploy_cpu.kernels.upsampled_conv import convolve_events

        rows = self.task.packed_weights(_pack, self.payload)
        products = rows.nbytes // np.dtype(self.payload).itemsize // self.task.conv.weight.shape[1]
        saturated = convolve_events(
            x,
            mask_like(x, self.bits),
            _compress_table(),
            rows,
            tuple(upsampled.geometry),
            product_ring(upsampled, x.shape[2], target.out.shape[2], products, SUMS[self.payload]),
            np.empty(_list_size(*x.shape[2:]), self.payload),
            tuple(target),
            tuple(neurons),
        )
        return int(saturated)


def exact_part(weight: Array, channel_max: Int64, limit: int) -> Pair | None:
    """The largest part (K_h, K_w), (1, K_w) or (1, 1) of a kernel over which no sum leaves +-``limit``, in any order.

    ``weight`` (O, I, K_h, K_w), payloads 0 to ``channel_max`` (I,). ``None`` where even a single tap may.
    """
    taps = weight.transpose(2, 3, 0, 1).astype(np.float64)
    above, below = np.maximum(taps, 0) @ channel_max, np.maximum(-taps, 0) @ channel_max
    height, width = above.shape[:2]
    for part, axes in (((height, width), (0, 1)), ((1, width), (1,)), ((1, 1), ())):
        if max(above.sum(axes).max(), below.sum(axes).max()) <= limit:
            return part
    return None


def _list_size(width: int, channels: int) -> int:
    """Numbers that the list of a row may have: an even number for each pixel, and what is written beyond the last."""
    from snn_deploy_cpu.kernels.simd import GROUP

    return width * (channels + channels % 2) + GROUP


def _pack(conv: Convolution, payload: PayloadType) -> Array:
    """The weights of ``conv`` as rows (tile, h, w, i) of outputs, filled up with zeros to whole tiles."""
    from snn_deploy_cpu.kernels.sparse_rows import ROW_GROUP, pack_rows

    outputs, inputs, height, width = conv.weight.shape
    tiles = -(-outputs // TILE_CHANNELS[payload])
    row = -(-outputs // (ROW_GROUP * tiles)) * ROW_GROUP
    padded = np.zeros((tiles * row, inputs, height, width), np.int8 if payload is np.uint8 else np.int16)
    padded[:outputs] = conv.weight
    return pack_rows(padded.reshape(tiles, row, inputs, height, width).transpose(0, 3, 4, 2, 1))


@cache
def _compress_table() -> npt.NDArray[np.uint8]:
    from snn_deploy_cpu.kernels.simd import compress_table

    return compress_table()
