"""The sparse path: payloads that are 0 cost nothing, every other one adds a row of weights to each output pixel it reaches.

Dense convolutions cost the same at any density and multiply faster, so this one wins below some share of payloads that
are not 0. Either way the sums are the same integers: the bound of a current holds for any order of summation, and 16-bit
sums are moved to float32 before they could overflow.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from snn_deploy.arrays import Array, Int64
from snn_deploy.shapes import Pair
from snn_deploy_cpu.conv.compiled import CompiledConv, ConvTask
from snn_deploy_cpu.conv.exactness import INT16_MAX
from snn_deploy_cpu.kernels.arguments import PackedRows, PairField, address_of, format_of
from snn_deploy_cpu.kernels.library import Kernels
from snn_deploy_cpu.kernels.packing import pack_rows

MAX_ROW_PAYLOADS = 2**31 // 128
"""Payloads of a row of a map: no more, for their lists hold 32-bit offsets into rows of weights of up to 128 bytes."""


@dataclass(frozen=True, eq=False)
class SparseConv(CompiledConv):
    """Sums over the payloads that are not 0; over a ``part`` (K_h, K_w), (1, K_w) or (1, 1) of a kernel none overflows."""

    name: ClassVar[str] = "sparse"
    part: Pair

    @classmethod
    def within(cls, kernels: Kernels, task: ConvTask, signed: bool, channel_max: Int64) -> SparseConv | None:
        """The sums of payloads at most ``channel_max`` (C,) in magnitude; ``None`` where none are exact.

        uint8 payloads below 128, whose pairs of products fit int16 (``2 * 127 * 128``), else int16 payloads.
        """
        weight, largest = task.conv.weight, int(channel_max.max())
        if not signed and largest < 128:
            part = exact_part(weight, channel_max, INT16_MAX)
            if part is not None:
                return cls(kernels, task, np.uint8, part)
        height, width = weight.shape[2:]
        return cls(kernels, task, np.int16, (height, width)) if largest <= INT16_MAX else None

    @cached_property
    def weights(self) -> PackedRows:
        """The weights in rows of outputs."""
        packed = self.task.packed_weights(self.name, self.payload, self._pack)
        tiles, width = packed.shape[0], packed.shape[-1]
        return PackedRows(address_of(packed), tiles, width, PairField(*self.part), format_of(self.payload))

    @property
    def _completes_rows(self) -> bool:
        # every tile of outputs goes through the whole map
        return super()._completes_rows and (self.task.upsampled is not None or self.weights.tiles == 1)

    def _pack(self) -> Array:
        return pack_rows(self.task.conv.weight, self.payload, self.kernels.interleaves_rows)


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
