"""The direct path: every payload times every weight, sums in registers.

Payloads of 8 bits are multiplied four at a time, those of up to 16 two at a time. With VNNI (and in plain C) products are
summed in 32 bits, and those of signed bytes, which the changes of a stream are, as if they were 128 more. AVX2 adds two
products in 16 bits; what a spiking network sends is mostly small, so many of these sums can be added in 16 bits before they
are widened: as many as weights and the largest payload of each channel prove not to overflow. Positions whose payloads are
all 0 are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from snn_deploy.arrays import Array, Int64
from snn_deploy_cpu.conv.compiled import CompiledConv, ConvTask
from snn_deploy_cpu.conv.exactness import INT16_MAX
from snn_deploy_cpu.conv.geometry import Convolution
from snn_deploy_cpu.kernels.arguments import PackedWeights, address_of, format_of
from snn_deploy_cpu.kernels.library import Kernels
from snn_deploy_cpu.kernels.packing import pack_tiles


@dataclass(frozen=True, eq=False)
class DirectConv(CompiledConv):
    """Direct sums: at most ``depth`` words of payloads before those in 16 bits are widened, where there are any."""

    name: ClassVar[str] = "direct"
    depth: int

    @classmethod
    def any_bytes(cls, kernels: Kernels, task: ConvTask) -> DirectConv:
        """The sums of any uint8 payloads, for kernels that sum in 32 bits."""
        return cls(kernels, task, np.uint8, task.conv.weight[0].size)

    @classmethod
    def within(cls, kernels: Kernels, task: ConvTask, signed: bool, channel_max: Int64) -> DirectConv | None:
        """The sums of payloads at most ``channel_max`` (C,) in magnitude; ``None`` where none are exact.

        uint8 payloads where they fit and at least one word is exact, int8 where sums have 32 bits (those of an upsampled
        convolution are of single pixels), else int16, whose products of two are exact in int32.
        """
        weight, largest = task.conv.weight, int(channel_max.max())
        if signed and largest <= np.iinfo(np.int8).max and kernels.sums_32_bits and task.upsampled is None:
            return cls(kernels, task, np.int8, weight[0].size)
        if not signed and largest <= np.iinfo(np.uint8).max:
            depth = weight[0].size if kernels.sums_32_bits else exact_depth(task.conv, channel_max)
            if depth:
                return cls(kernels, task, np.uint8, depth)
        return cls(kernels, task, np.int16, weight[0].size) if largest <= INT16_MAX else None

    def joins(self, other: DirectConv) -> bool:
        """Whether both may be computed as one: what they read differs, not where and for what."""
        ours, theirs = self.task, other.task
        if ours.upsampled is not None or theirs.upsampled is not None or ours.scale != theirs.scale:
            return False
        one, two = ours.conv, theirs.conv
        places = [
            (each.weight.shape[2:], each.strides, each.dilations, each.pads, each.phases, each.crop)
            for each in (one, two)
        ]
        return places[0] == places[1]

    @cached_property
    def weights(self) -> PackedWeights:
        """The weights in tiles."""
        layout = np.int16 if self.payload is np.int16 else np.uint8
        packed = self.task.packed_weights(self.name, layout, self._pack)
        tiles, _, _, _, vectors = packed.shape[:5]
        return PackedWeights(address_of(packed), tiles, vectors, self.depth, None, format_of(self.payload))

    def _pack(self) -> Array:
        weight = self.task.conv.weight
        tiled = weight.astype(np.int16) if self.payload is np.int16 else weight
        return pack_tiles(tiled, self.kernels.lanes, self.kernels.max_vectors)


@dataclass(frozen=True, eq=False)
class JoinedConv(DirectConv):
    """Direct sums over several sources with one geometry and one scale, without a sum of floats between them.

    Payloads of each may have a format of their own; those of the first, and its task, stand for all.
    """

    parts: tuple[DirectConv, ...]

    @classmethod
    def of(cls, parts: tuple[DirectConv, ...]) -> JoinedConv | None:
        """All ``parts`` as one; ``None`` where they cannot be."""
        first = parts[0]
        if not all(first.joins(part) for part in parts[1:]):
            return None
        return cls(first.kernels, first.task, first.payload, first.depth, parts)

    @property
    def _all_weights(self) -> tuple[PackedWeights, ...]:
        return tuple(part.weights for part in self.parts)


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
