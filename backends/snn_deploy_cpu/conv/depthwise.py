"""Depthwise convolutions: pooling, relays, and the comparisons that maxima are made of.

They multiply too little for vectors of outputs; what counts is that pixels without payloads, and taps without weights, cost
nothing, and that neurons step while their currents are in the cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from snn_deploy.arrays import Array
from snn_deploy_cpu.conv.compiled import CompiledConv
from snn_deploy_cpu.kernels.arguments import PackedTaps, address_of, format_of
from snn_deploy_cpu.kernels.packing import pack_taps


@dataclass(frozen=True, eq=False)
class DepthwiseSums(CompiledConv):
    """Sums of 32 bits, which the float32 currents of the plan bound."""

    name: ClassVar[str] = "depthwise"

    @cached_property
    def weights(self) -> PackedTaps:
        """The weights, tap by tap."""
        taps, places = self._taps
        return PackedTaps(address_of(taps), address_of(places), len(taps), format_of(np.float32))

    @cached_property
    def _taps(self) -> tuple[Array, Array]:
        # here, for the structure holds addresses only
        return pack_taps(self.task.conv.weight)
