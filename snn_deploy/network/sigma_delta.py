r"""Lava's sigma-delta neuron: it sends by how much its activation has changed, as a graded event.

.. math::

    \sigma &\leftarrow \sigma + I, \qquad a = \max(\sigma + b, 0) \quad \text{(linear: } \sigma + b) \\
    \delta &= a - s, \qquad s \leftarrow s + \delta, \quad k = \lfloor \delta / 2^e \rfloor
    \qquad \text{where } |\delta| \ge \theta, \text{ else nothing is sent}

as lava-nc 0.10.0 computes it (``proc/sdn/models.py``, ``PySigmaDeltaModelFixed``, ``state_exp`` e, ``vth`` :math:`\theta /
2^e`, no cumulative error). A ``vth`` of 0 is :math:`\theta = 1`: every change of an integer is at least 1. Lava keeps the last
activation and a residue; s, all that was sent so far, is their difference. What the shift by e drops is lost there, and so
it is here. No state is limited: what an event may carry is assumed by the proof of 24 bits and looked at in every run
(:meth:`SigmaDelta.check`).

Aligned and reset at its start, a neuron sends all at once, and its count is the quantized activation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from snn_deploy.arrays import Array, Int64
from snn_deploy.errors import BackendError, NetworkError
from snn_deploy.network.neuron import StockNeuron, read_common_fields
from snn_deploy.network.record import Record, RecordReader

SHIFT_MAX = 22
"""Largest ``shift``: one count must stay within 24 bits."""


@dataclass(frozen=True, eq=False)
class SigmaDelta(StockNeuron):
    """Neurons of one population; built by :meth:`of`.

    ``theta`` (C,), one number as in Lava, is the least change that is sent; ``shift`` the exponent e; ``rectify`` makes a
    ReLU of it. Payload and count limits are assumptions, not clips.
    """

    shift: int = field(kw_only=True)
    rectify: bool = field(kw_only=True)

    kind: ClassVar[str] = "sigma-delta"
    section: ClassVar[str | None] = "sigma_delta"
    clips: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.shift <= SHIFT_MAX:
            raise NetworkError(f"shift {self.shift} of sigma-delta neurons lies outside 0..{SHIFT_MAX}")
        if np.unique(self.theta).size != 1 or (self.theta[0] != 1 and self.theta[0] % (1 << self.shift)):
            raise NetworkError(f"sigma-delta neurons share one threshold, 1 or a multiple of 2**{self.shift}")
        if np.any(self.v0) or self.strict or self.reset != "subtract":
            raise NetworkError("a sigma-delta neuron starts at 0 and sends at its threshold; use SigmaDelta.of")

    @property
    def resting_count_range(self) -> tuple[int, int] | None:
        """Nothing below 0 where activations are rectified; later changes are shifted one by one and may sum up to less."""
        counts = self.count_range
        return (0, counts[1]) if counts is not None and self.rectify else counts

    @property
    def quantum(self) -> Int64:
        """``2**shift``, whatever the least change that is sent."""
        return np.full_like(self.theta, 1 << self.shift)

    @property
    def discharge(self) -> Int64:
        """Nothing: sigma only sums up; what was sent is the second state."""
        return np.zeros_like(self.theta)

    @property
    def adds_up(self) -> bool:
        """Unless it sends the sum of every step and nothing else."""
        return self.rectify or self.shift > 0 or bool(np.any(self.theta != 1))

    @property
    def is_scalable(self) -> bool:
        """Where the shift can be one more."""
        return self.adds_up and self.shift < SHIFT_MAX

    @property
    def quantizes(self) -> bool:
        """Whether what is sent at once is ``floor(activation / 2**shift)``, no more and no less."""
        return bool(np.all(self.theta == 1 << self.shift)) and (self.rectify or self.shift == 0)

    @classmethod
    def of(
        cls,
        offset: Int64,
        *,
        shift: int,
        payloads: tuple[int, int],
        counts: tuple[int, int] | None = None,
        threshold: int = 1,
        rectify: bool = True,
    ) -> SigmaDelta:
        """Neurons with biases ``offset`` (C,) in units of the state; ``threshold`` in counts (Lava's ``vth``).

        With 0 every change is sent. ``payloads`` and ``counts`` are the (least, greatest) that the proof of 24 bits assumes.
        """
        return cls(
            theta=np.full_like(offset, max(threshold << shift, 1)),
            v0=np.zeros_like(offset),
            payload_min=payloads[0],
            payload_max=payloads[1],
            count_min=None if counts is None else counts[0],
            count_max=None if counts is None else counts[1],
            offset=offset,
            shift=shift,
            rectify=rectify,
        )

    def charge(self, v: Int64, second: Int64, current: Int64) -> tuple[Int64, Int64]:
        """Sigma after ``current`` joined, and s as it was."""
        return v + current, second

    def step(self, v: Int64, second: Int64, current: Int64) -> tuple[Int64, Int64, Int64]:
        """One step: ``(sigma, s, payload)`` after it, from arrays (..., C, H, W) int64."""
        v = v + current
        activation = v + self.offset[:, None, None]
        delta = (np.maximum(activation, 0) if self.rectify else activation) - second
        sent: Int64 = np.where(np.abs(delta) >= self.theta[:, None, None], delta, 0)
        return v, second + sent, sent >> self.shift

    def check(self, name: str, payload: Array) -> None:
        """:class:`BackendError` where an event of population ``name`` carries more than the proof assumes."""
        least, greatest = int(payload.min()), int(payload.max())
        if least < self.payload_min or greatest > self.payload_max:
            beyond = greatest if greatest > self.payload_max else least
            raise BackendError(
                f"{name}: an event carries {beyond}; the network is proved for {self.payload_min}..{self.payload_max}, "
                "calibrate it on images like this one or convert with fewer levels"
            )

    def to_record(self) -> Record:
        """What an artifact holds of it, arrays in the places where the file names tensors."""
        own = {"shift": self.shift, "rectify": self.rectify, "offset": self.offset}
        return super().to_record() | {"sigma_delta": own}

    @classmethod
    def from_record(cls, record: RecordReader) -> SigmaDelta:
        """The neurons that :meth:`to_record` described."""
        own = record.nested("sigma_delta")
        return cls(
            **read_common_fields(record),
            offset=own.int64_array("offset"),
            shift=own.integer("shift"),
            rectify=own.flag("rectify"),
        )
