r"""Loihi's own neuron: leaky integration of a decaying current, hard reset to 0, binary spikes (CUBA-LIF).

.. math::

    u &\leftarrow \mathrm{decay}(u, d_u) + 64 I \\
    v &\leftarrow \mathrm{sat}(\mathrm{decay}(v, d_v) + u + b) \qquad
    \mathrm{decay}(x, d) = \mathrm{sign}(x) \lfloor |x| (4096 - d) / 4096 \rfloor \\
    k &= [v > \theta], \qquad v \leftarrow 0 \text{ where } k = 1

as lava-nc 0.10.0 (``proc/lif/models.py``, ``PyLifModelBitAcc``) and nengo-loihi compute it; a public record of a
chip's currents and spikes (lava-dl ``netx/gts/pilotnet_lif``) is reproduced without a mismatch. The current has 24
bits and would wrap on the chip; :mod:`snn_deploy.network.bounds` proves that it does not. A register counts 4096ths: Lava's
``du`` is ``d_u - 1``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from snn_deploy.arrays import Int64
from snn_deploy.errors import NetworkError
from snn_deploy.network import dynamics
from snn_deploy.network.neuron import StockNeuron, read_common_fields
from snn_deploy.network.record import Record, RecordReader

CURRENT_SHIFT = 6
"""Bits by which synaptic input is shifted left before it joins the current (lava-nc ``act_shift``)."""

DECAY_ONE = 4096
"""A decay that leaves nothing."""


@dataclass(frozen=True, eq=False)
class CubaLif(StockNeuron):
    """Neurons of one population; built by :meth:`of`. Payloads are 0 and 1, counts unbounded: ``rate`` mode only.

    ``current_decay`` in 1..4096 and ``voltage_decay`` in 0..4096 are shared by the population, as on the chip;
    ``offset`` (C,) int64 is the bias, which joins the membrane at every step from ``start`` on and bypasses the
    current.
    """

    current_decay: int = field(kw_only=True)
    voltage_decay: int = field(kw_only=True)

    kind: ClassVar[str] = "CUBA-LIF"
    section: ClassVar[str | None] = "cuba_lif"
    is_leaky: ClassVar[bool] = True
    current_shift: ClassVar[int] = CURRENT_SHIFT

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.current_decay <= DECAY_ONE or not 0 <= self.voltage_decay <= DECAY_ONE:
            raise NetworkError(
                f"decays {self.current_decay} and {self.voltage_decay} outside 1..{DECAY_ONE} and 0..{DECAY_ONE}"
            )
        binary = (self.payload_min, self.payload_max) == (0, 1) and self.count_min is None
        if not binary or not self.strict or np.any(self.v0):
            raise NetworkError("a CUBA-LIF neuron starts at 0 and sends single spikes for v > theta; use CubaLif.of")

    @property
    def quantum(self) -> Int64:
        """The threshold in units of the current."""
        return self.theta >> CURRENT_SHIFT

    @classmethod
    def of(cls, theta: Int64, offset: Int64, *, current_decay: int, voltage_decay: int) -> CubaLif:
        """Neurons with thresholds ``theta`` and biases ``offset``, both (C,) in units of the membrane."""
        return cls(
            theta=theta,
            v0=np.zeros_like(theta),
            payload_min=0,
            payload_max=1,
            strict=True,
            current_decay=current_decay,
            voltage_decay=voltage_decay,
            offset=offset,
        )

    def charge(self, v: Int64, second: Int64, current: Int64) -> tuple[Int64, Int64]:
        """Membrane, not yet limited, and u after ``current`` joined; arrays (..., C, H, W) int64."""
        u = decay(second, self.current_decay) + (current << CURRENT_SHIFT)
        return decay(v, self.voltage_decay) + u + self.offset[:, None, None], u

    def step(self, v: Int64, second: Int64, current: Int64) -> tuple[Int64, Int64, Int64]:
        """One step: ``(v, u, payload)`` after it, from arrays (..., C, H, W) int64."""
        raised, u = self.charge(v, second, current)
        v = dynamics.saturate(raised)
        payload = (v > self.theta[:, None, None]).astype(np.int64)
        return np.where(payload, 0, v), u, payload

    def reach(self, current: Int64) -> Int64:
        """Largest magnitude of u that inputs of magnitude ``current`` in every step can build up."""
        return -(-(current << CURRENT_SHIFT) * DECAY_ONE // self.current_decay)

    def to_record(self) -> Record:
        """What an artifact holds of it, arrays in the places where the file names tensors."""
        decays = {"current_decay": self.current_decay, "voltage_decay": self.voltage_decay}
        return super().to_record() | {"cuba_lif": decays | {"offset": self.offset}}

    @classmethod
    def from_record(cls, record: RecordReader) -> CubaLif:
        """The neurons that :meth:`to_record` described."""
        own = record.nested("cuba_lif")
        return cls(
            **read_common_fields(record),
            offset=own.int64_array("offset"),
            current_decay=own.integer("current_decay"),
            voltage_decay=own.integer("voltage_decay"),
        )


def decay(x: Int64, amount: int) -> Int64:
    """``x * (4096 - amount) / 4096``, rounded towards 0."""
    decayed: Int64 = np.sign(x) * (np.abs(x) * (DECAY_ONE - amount) >> 12)
    return decayed
