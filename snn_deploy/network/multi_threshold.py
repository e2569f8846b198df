"""The multi-threshold integrate-and-fire neuron of Spiking-UNet (arXiv 2307.10974): graded spikes of any sign.

:mod:`snn_deploy.network.dynamics` has the equations.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from snn_deploy.arrays import Int64
from snn_deploy.errors import NetworkError
from snn_deploy.network import dynamics
from snn_deploy.network.neuron import Neuron, read_common_fields
from snn_deploy.network.record import Record, RecordReader


@dataclass(frozen=True, eq=False)
class MultiThreshold(Neuron):
    """Neurons of one population. ``hold``: in streams, changes of at most so many counts are not sent, 0 for none."""

    hold: int = 0

    kind: ClassVar[str] = "multi-threshold"

    def __post_init__(self) -> None:
        super().__post_init__()
        bounded = self.count_min is not None and self.reset == "subtract"
        if not 0 <= self.hold < self.payload_max or (self.hold and not bounded):
            raise NetworkError(
                f"hold {self.hold} must lie in 0..{self.payload_max - 1}, below the largest payload; neurons hold changes back "
                "where counts are bounded and a spike subtracts its thresholds"
            )

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
        if self.hold:
            payload = np.where(np.abs(payload) > self.hold, payload, 0)
        rest = np.where(payload != 0, 0, v) if self.reset == "zero" else v - payload * theta
        return rest, second + payload, payload

    @property
    def relays(self) -> bool:
        """Whether every step passes its whole input on (threshold 1, nothing held back)."""
        subtracts = self.reset == "subtract"
        return bool(
            np.all(self.theta == 1) and np.all(self.v0 == 0) and not self.strict and subtracts and not self.hold
        )

    @property
    def is_scalable(self) -> bool:
        """True: it compares, subtracts and divides by its threshold."""
        return True

    @property
    def settles(self) -> bool:
        """True: membrane and count, all that a payload depends on, are those of the step before."""
        return True

    @property
    def holds_back(self) -> bool:
        """Whether :attr:`hold` is not 0."""
        return self.hold > 0

    @property
    def quantizes(self) -> bool:
        """Whether nothing is held back."""
        return not self.hold

    def holding(self, counts: int) -> MultiThreshold:
        """The same neurons with another :attr:`hold`."""
        return replace(self, hold=counts)

    def to_record(self) -> Record:
        """As of every kind, and what it holds back."""
        return super().to_record() | ({"hold": self.hold} if self.hold else {})

    @classmethod
    def from_record(cls, record: RecordReader) -> MultiThreshold:
        """The neurons that :meth:`to_record` described."""
        return cls(**read_common_fields(record), hold=record.integer("hold") if "hold" in record else 0)
