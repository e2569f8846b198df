"""What compiled convolutions share: a task that they compute, and how they are called."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, TypeAlias

import numpy as np

from snn_deploy.arrays import Array
from snn_deploy.shapes import Pair
from snn_deploy_cpu.conv.geometry import Convolution, Maps, UpsampledConv
from snn_deploy_cpu.kernels.arguments import Currents, ThresholdCells
from snn_deploy_cpu.kernels.library import Kernels, PackedKernel

PayloadType: TypeAlias = type[np.uint8] | type[np.int8] | type[np.int16] | type[np.int32]


Payloads: TypeAlias = Maps | tuple[Maps, ...]
"""Those of a source, or of several beside each other."""


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
    _packed: dict[tuple[str, PayloadType], Array] = field(default_factory=dict, repr=False)

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulates of one map."""
        repeats = math.prod(self.conv.phases) if self.upsampled is None else self.upsampled.factor**2
        return math.prod(self.size) // repeats * int(self.conv.weight.size)

    @cached_property
    def channels(self) -> int:
        """Channels of the target."""
        taps = self.conv.phases if self.upsampled is None else self.upsampled.kernel
        return int(self.conv.weight.shape[0]) // math.prod(taps)

    def packed_weights(self, layout: str, payload: PayloadType, pack: Callable[[], Array]) -> Array:
        """The weights for payloads of this format in this ``layout``, packed once."""
        # in the task and not in the convolutions: candidates come and go as payloads grow
        weights = self._packed.get((layout, payload))
        # two threads may both pack: the first one's array is everyone's, for kernels keep its address and nothing else does
        return self._packed.setdefault((layout, payload), pack()) if weights is None else weights


@dataclass(frozen=True, eq=False)
class CompiledConv(ABC):
    """Compiled ``kernels`` that compute ``task``: payloads (N, H, W, C) of its source to float32 currents.

    Payloads are multiplied in the format ``payload``, which holds them.
    """

    name: ClassVar[str]
    kernels: Kernels
    task: ConvTask
    payload: PayloadType

    def accumulate(self, total: Maps | None, x: Payloads, row_begin: int, row_end: int, threads: int = 1) -> Maps:
        """The currents (N, row_end - row_begin, W', C') of rows of the target, added to ``total`` where there is one.

        Up to ``threads`` share out the rows.
        """
        x = (x,) if isinstance(x, np.ndarray) else x
        out = self._currents(x[0].shape[0], row_end - row_begin) if total is None else total
        self._compute(x, self._written(out, row_begin, total is None), None, threads)
        return out

    def accumulate_and_fire(
        self, total: Maps | None, x: Payloads, row_begin: int, row_end: int, cells: ThresholdCells, threads: int = 1
    ) -> int:
        """The same, and every row of ``cells`` steps when its currents are complete; they are not kept.

        Returns how many membranes left 24 bits.
        """
        rows, shared_by = row_end - row_begin, None
        if total is None and self._completes_rows:
            # the currents of one row, for each thread, are enough: they are used up before the next one's are written
            out, shared_by = self._currents(1, threads * self.kernels.parts_each), rows
        else:  # or those of one map
            out = self._currents(1, rows) if total is None else total
        x = (x,) if isinstance(x, np.ndarray) else x
        return self._compute(x, self._written(out, row_begin, total is None, shared_by), cells, threads)

    def _currents(self, count: int, rows: int) -> Maps:
        """Currents of so many rows of so many maps, not set."""
        return np.empty((count, rows, self.task.size[1], self.task.channels), np.float32)

    @property
    def _completes_rows(self) -> bool:
        """Whether the currents of a row are complete before those of the next one begin."""
        return self.task.conv.phases[0] == 1

    def _written(self, out: Maps, row_begin: int, overwrite: bool, shared_by: int | None = None) -> Currents:
        return Currents.of(out, row_begin, float(self.task.scale), overwrite, shared_by)

    def _compute(self, x: tuple[Maps, ...], currents: Currents, cells: ThresholdCells | None, threads: int) -> int:
        task = self.task
        geometry = task.conv.geometry if task.upsampled is None else task.upsampled.geometry
        return self.kernels.convolve(x, self._all_weights, geometry, currents, cells, threads)

    @property
    def _all_weights(self) -> tuple[PackedKernel, ...]:
        """Those of every source."""
        return (self.weights,)

    @property
    @abstractmethod
    def weights(self) -> PackedKernel:
        """The packed weights, which select the kernel."""
