"""The multi-threshold integrate-and-fire neuron of Spiking-UNet (arXiv 2307.10974): graded spikes of any sign.

:mod:`snn_deploy.network.dynamics` has the equations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from snn_deploy.arrays import Int64
from snn_deploy.network import dynamics
from snn_deploy.network.neuron import Neuron, read_common_fields
from snn_deploy.network.record import RecordReader


@dataclass(frozen=True, eq=False)
class MultiThreshold(Neuron):
    """Neurons of one population; all numbers are those that every kind has."""

    kind: ClassVar[str] = "multi-threshold"

    def charge(self, v: Int64, second: Int64, current: Int64) -> tuple[Int64, Int64]:
        """Membrane, not yet limited, and the running count as it was."""
        return v + current, second

    def step(self, v: Int64, second: Int64, current: Int64) -> tuple[Int64, Int64, Int64]:
        """One step: ``(v, count, payload)`` after it, from arrays (..., C, H, W) int64; ``second`` is the running count."""
        theta = self.theta[:, None, None]
        v = dynamics.saturate(v + current)
        payload = dynamics.fire(v, theta, self.payload_min, self.payload_max, strict=self.strict)
        if self.count_min is not None and self.count_max is not None:
            payload = np.clip(payload, self.count_min - second, self.count_max - second)
        rest = np.where(payload != 0, 0, v) if self.reset == "zero" else v - payload * theta
        return rest, second + payload, payload

    @property
    def relays(self) -> bool:
        """Whether every step passes its whole input on (threshold 1, nothing held back)."""
        subtracts = self.reset == "subtract"
        return bool(np.all(self.theta == 1) and np.all(self.v0 == 0) and not self.strict and subtracts)

    @property
    def is_scalable(self) -> bool:
        """True: it compares, subtracts and divides by its threshold."""
        return True

    @property
    def settles(self) -> bool:
        """True: membrane and count, all that a payload depends on, are those of the step before."""
        return True

    @property
    def quantizes(self) -> bool:
        """True."""
        return True

    @classmethod
    def from_record(cls, record: RecordReader) -> MultiThreshold:
        """The neurons that :meth:`to_record` described."""
        return cls(**read_common_fields(record))
