"""The direct path: every payload times every weight, with two instructions where the library's 8-bit kernels take three.

Without VNNI, oneDNN multiplies and adds pairs of 8-bit products in 16 bits, and widens every such sum to 32 bits. What a
spiking network sends is mostly small, so many of these sums can be added in 16 bits first: as many as weights and the
largest payload of each channel prove that nothing overflows. Payloads of 9 to 16 bits, for which the library needs several
8-bit convolutions, are multiplied as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from snn_deploy.arrays import Array, Int64
from snn_deploy_cpu.conv.compiled import CompiledConv, ConvTask, PayloadType, product_ring
from snn_deploy_cpu.conv.geometry import Convolution, Maps, UpsampledConv
from snn_deploy_cpu.conv.payload_stats import mask_like
from snn_deploy_cpu.kernels.arguments import CurrentRows, FusedNeurons, RowRing

INT16_MAX = int(np.iinfo(np.int16).max)


@dataclass(frozen=True, eq=False)
class DirectConv(CompiledConv):
    """Direct sums: ``accumulate_depth`` words of payloads before the sums are widened to 32 bits."""

    name: ClassVar[str] = "direct"

    @classmethod
    def of(cls, task: ConvTask, bits: int, signed: bool, channel_max: Int64) -> DirectConv | None:
        """The sums of payloads at most ``channel_max`` (C,) in magnitude; ``None`` where none are exact, or not on this machine.

        uint8 payloads where they fit and a depth of at least one word is exact in int16, else int16 payloads, whose
        products of two are exact in int32.
        """
        from snn_deploy_cpu.kernels.simd import has_avx2

        conv, largest = task.conv, int(channel_max.max())
        if not has_avx2():
            return None
        if not signed and largest <= np.iinfo(np.uint8).max:
            depth = exact_depth(conv, channel_max)
            if depth:
                return cls(task, bits, np.uint8, depth)
        return cls(task, bits, np.int16, conv.weight[0].size) if largest <= INT16_MAX else None

    def _convolve(self, x: Maps, target: CurrentRows, neurons: FusedNeurons) -> int:
        from snn_deploy_cpu.kernels.direct_conv import convolve
        from snn_deploy_cpu.kernels.register_tile import MR

        conv = self.task.conv
        # the ring has zeros where positions read beside the map
        window = conv.input_window(1, 0, target.out.shape[2])
        slots, left = conv.kernel_extent(0), max(-window.start, 0)
        # the last tile of positions reads beyond the window
        pixels = left + max(x.shape[2], window.stop + (MR - 1) * conv.strides[1])
        saturated = convolve(
            x,
            mask_like(x, self.bits),
            self.task.packed_weights(_pack, self.payload),
            self.accumulate_depth,
            tuple(conv.geometry),
            tuple(RowRing(self._zero_payloads(slots * pixels), slots, left)),
            tuple(target),
            tuple(neurons),
        )
        return int(saturated)

    def _convolve_upsampled(self, upsampled: UpsampledConv, x: Maps, target: CurrentRows, neurons: FusedNeurons) -> int:
        from snn_deploy_cpu.kernels.register_tile import MR
        from snn_deploy_cpu.kernels.upsampled_conv import convolve_words

        weights = self.task.packed_weights(_pack, self.payload)
        products = weights.nbytes // self._zero_payloads(1).nbytes
        positions = -(-x.shape[2] // MR) * MR
        saturated = convolve_words(
            x,
            mask_like(x, self.bits),
            weights,
            self.accumulate_depth,
            tuple(upsampled.geometry),
            product_ring(upsampled, positions, target.out.shape[2], products, np.int32),
            self._zero_payloads(positions),
            tuple(target),
            tuple(neurons),
        )
        return int(saturated)

    def _zero_payloads(self, pixels: int) -> Array:
        """Zeros for payloads of so many pixels, each filled up to whole words."""
        from snn_deploy_cpu.kernels.register_tile import KR_BYTES

        inputs, per_word = self.task.conv.weight.shape[1], KR_BYTES // np.dtype(self.payload).itemsize
        return np.zeros(pixels * -(-inputs // per_word) * per_word, self.payload)


def exact_depth(conv: Convolution, channel_max: Int64) -> int:
    """How many words of uint8 payloads, at most ``channel_max`` (C,), int16 sums hold; 0 if not even one.

    A word adds the products of two channels to one sum and those of two more to another one. Words neighbour each other
    along a row of the kernel; in a dilated one, within a tap. No sum goes beyond what all of one sign come to.
    """
    outputs, inputs, height, width = conv.weight.shape
    runs = height if conv.dilations[1] == 1 else height * width
    products = np.zeros((outputs, height, width, -(-inputs // 4) * 4), np.int32)
    products[..., :inputs] = conv.weight.transpose(0, 2, 3, 1) * channel_max.astype(np.int32)
    pairs = products.reshape(outputs, runs, -1, 2, 2)
    above, below = np.maximum(pairs, 0).sum(-1), np.maximum(-pairs, 0).sum(-1)
    length, parts = pairs.shape[2], 1
    while True:
        depth = -(-length // parts)
        # runs begin anew with every row of the kernel, so depth need not divide the whole
        starts = np.arange(0, length, depth)
        if max(np.add.reduceat(sums, starts, axis=2).max() for sums in (above, below)) <= INT16_MAX:
            return depth
        if depth == 1:
            return 0
        # half again as many parts: in steps of one, a large kernel would be tried hundreds of times
        parts += (parts + 1) // 2


def _pack(conv: Convolution, payload: PayloadType) -> npt.NDArray[np.void]:
    from snn_deploy_cpu.kernels.register_tile import pack_tiles

    return pack_tiles(conv.weight if payload is np.uint8 else conv.weight.astype(np.int16))
