"""What compiled convolutions share: a task that they compute, and the interface of those that sum and those that fire."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

import numpy as np

from snn_deploy.arrays import Array
from snn_deploy.shapes import Pair
from snn_deploy_cpu.conv.geometry import Convolution, Maps, UpsampledConv
from snn_deploy_cpu.kernels.arguments import NO_NEURONS, CurrentRows, FusedNeurons

PayloadType: TypeAlias = type[np.uint8] | type[np.int16]
Layout: TypeAlias = Callable[[Convolution, PayloadType], Array]


@dataclass(frozen=True, eq=False)
class ConvTask:
    """Maps of ``size`` (H', W') from the payloads of population ``source``, times ``scale``, a power of two.

    Where ``upsampled``, ``conv`` is pointwise and multiplies, and ``upsampled`` says what is added.
    """

    source: str
    conv: Convolution
    scale: np.float32
    size: Pair
    upsampled: UpsampledConv | None = None
    _packed: dict[tuple[Layout, PayloadType], Array] = field(default_factory=dict, repr=False)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one map."""
        repeats = math.prod(self.conv.phases) if self.upsampled is None else self.upsampled.factor**2
        return math.prod(self.size) // repeats * int(self.conv.weight.size)

    @property
    def channels(self) -> int:
        """Channels of the target."""
        taps = self.conv.phases if self.upsampled is None else self.upsampled.kernel
        return int(self.conv.weight.shape[0]) // math.prod(taps)

    def packed_weights(self, layout: Layout, payload: PayloadType) -> Array:
        """The weights for payloads of this format, packed by ``layout``, once."""
        # in the task and not in the kernels: candidates come and go as payloads grow
        weights = self._packed.get((layout, payload))
        if weights is None:
            weights = self._packed[layout, payload] = layout(self.conv, payload)
        return weights


@dataclass(frozen=True, eq=False)
class CompiledConv(ABC):
    """A compiled loop that computes ``task``: payloads (N, H, W, C) of its source to float32 currents.

    Payloads are masked by ``bits`` and multiplied in the format ``payload``. Those of 8 bits are summed in 16, over an
    ``accumulate_depth`` that is proved not to overflow; those of 16 bits in 32, which hold whatever float32 may hold.
    """

    name: ClassVar[str]
    task: ConvTask
    bits: int
    payload: PayloadType
    accumulate_depth: int | Pair

    def accumulate(self, total: Maps | None, x: Maps, row_begin: int, row_end: int) -> Maps:
        """The currents (N, row_end - row_begin, W', C') of rows of the target, added to ``total`` where there is one."""
        out = self._currents(x.shape[0], row_end - row_begin) if total is None else total
        self._compute(x, self._target(out, row_begin, total), NO_NEURONS)
        return out

    def accumulate_and_fire(
        self, total: Maps | None, x: Maps, row_begin: int, row_end: int, neurons: FusedNeurons
    ) -> int:
        """The same, and every row of ``neurons`` steps when its currents are complete; they are not kept.

        Returns how many membranes left 24 bits.
        """
        # the currents of one map are enough: they are used up before the next map's are written
        out = self._currents(1, row_end - row_begin) if total is None else total
        return self._compute(x, self._target(out, row_begin, total), neurons)

    def _target(self, out: Maps, row_begin: int, total: Maps | None) -> CurrentRows:
        return CurrentRows(out, row_begin, self.task.scale, total is None)

    def _currents(self, count: int, rows: int) -> Maps:
        """Currents of so many rows of so many maps, not set."""
        return np.empty((count, rows, self.task.size[1], self.task.channels), np.float32)

    def _compute(self, x: Maps, target: CurrentRows, neurons: FusedNeurons) -> int:
        """Write the currents into ``target`` and step ``neurons``; returns how many membranes left 24 bits."""
        if self.task.upsampled is None:
            return self._convolve(x, target, neurons)
        return self._convolve_upsampled(self.task.upsampled, x, target, neurons)

    @abstractmethod
    def _convolve(self, x: Maps, target: CurrentRows, neurons: FusedNeurons) -> int:
        """:meth:`_compute` of a plain convolution."""

    @abstractmethod
    def _convolve_upsampled(self, upsampled: UpsampledConv, x: Maps, target: CurrentRows, neurons: FusedNeurons) -> int:
        """:meth:`_compute` of one fused with the upsampling before it."""


def product_ring(
    upsampled: UpsampledConv, width: int, columns: int, products: int, number: type[np.int16] | type[np.int32]
) -> Array:
    """A row ring buffer (slots, pixel, product) for rows of ``width``, zeros beside them."""
    from snn_deploy_cpu.kernels.simd import WIDE

    # WIDE sums are read from any product on, so the last pixel needs as many numbers after it
    return np.zeros(
        (upsampled.ring_rows, upsampled.ring_pixels(width, columns) + -(-WIDE // products), products), number
    )
