r"""The two-sided neuron: one signed population for LeakyReLU and PReLU, with thresholds of its own below zero.

.. math::

    v &\leftarrow \mathrm{sat}(v + I) \\
    a' &= \mathrm{clip}(\lfloor v / \theta \rfloor,\; 0,\; a_{max})
        + \mathrm{clip}(\lfloor (v + o) / \theta_b \rfloor,\; a_{min},\; 0) \\
    k &= \mathrm{clip}(a' - a,\; k_{min},\; k_{max}), \qquad k \leftarrow 0 \text{ where } |k| \le \mathrm{hold} \\
    a &\leftarrow a + k, \qquad \text{send } k \text{ if } k \ne 0

The membrane is all that has arrived: nothing is subtracted from it, and the running count says what was sent. So counts are a
function of the total charge alone, under any schedule and from frame to frame, and both signs count in one unit: one outgoing
connection serves them. A slope s is :math:`\theta_b = \theta / s`; with :math:`v_0 = \lfloor \theta / 2 \rfloor` and
:math:`o = \lfloor \theta_b / 2 \rfloor - v_0` both sides round to the nearest count.

A positive count begins at :math:`v = \theta`, and a negative one below :math:`v = -o`: since :math:`-o \le \theta`, at most one of
the two terms is not 0. In hardware they are two ladders of compares and subtractions, one for each sign
(:func:`snn_deploy.network.dynamics.fire_ladder`), shifts where thresholds are powers of two. A subtraction from the membrane in
their place would need the count times the threshold of its sign, a multiplication in every step.

With a negative slope counts would not tell on which side a membrane is, and rise where they fall: two populations of ReLUs say it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from snn_deploy.arrays import Int64, freeze, lies_within
from snn_deploy.errors import NetworkError
from snn_deploy.network import dynamics
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.neuron import Neuron, Staircase, read_common_fields
from snn_deploy.network.record import Record, RecordReader


@dataclass(frozen=True, eq=False)
class TwoSided(Neuron):
    """Neurons of one population. ``theta_below`` (C,) int64 > 0 is the charge of a negative count, ``offset_below`` (C,) int64 o.

    ``hold``: in streams, changes of at most so many counts are not sent, 0 for none.
    """

    theta_below: Int64 = field(kw_only=True)
    offset_below: Int64 = field(kw_only=True)
    hold: int = field(default=0, kw_only=True)

    kind: ClassVar[str] = "two-sided"
    section: ClassVar[str | None] = "two_sided"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "theta_below", freeze(self.theta_below, np.int64))
        object.__setattr__(self, "offset_below", freeze(self.offset_below, np.int64))
        if not self.theta_below.shape == self.offset_below.shape == self.theta.shape:
            raise NetworkError(
                f"theta_below {self.theta_below.shape} and offset_below {self.offset_below.shape} must be {self.theta.shape}"
            )
        if not lies_within(self.theta_below, 1, STATE_MAX):
            raise NetworkError(f"thresholds below zero must lie in 1..{STATE_MAX}")
        if not lies_within(self.offset_below, -STATE_MAX, STATE_MAX) or np.any(self.offset_below < -self.theta):
            raise NetworkError(
                f"offsets below zero must lie in +-{STATE_MAX} and not below -theta, else a membrane counts on both sides"
            )
        if self.count_min is None or self.count_min >= 0 or self.payload_min >= 0:
            raise NetworkError("a two-sided neuron sends negative counts: payload_min and count_min must be below 0")
        if self.strict or self.reset != "subtract":
            raise NetworkError("a two-sided neuron fires at its thresholds and is not reset")
        if not 0 <= self.hold < self.payload_max:
            raise NetworkError(f"hold {self.hold} must lie in 0..{self.payload_max - 1}, below the largest payload")

    def charge(self, v: Int64, second: Int64, current: Int64) -> tuple[Int64, Int64]:
        """Membrane, not yet limited, and the running count as it was."""
        return v + current, second

    def step(self, v: Int64, second: Int64, current: Int64) -> tuple[Int64, Int64, Int64]:
        """One step: ``(v, count, payload)`` after it, from arrays (..., C, H, W) int64; ``second`` is the running count."""
        v = dynamics.saturate(v + current)
        payload = np.clip(self.settle(v) - second, self.payload_min, self.payload_max)
        if self.hold:
            payload = np.where(np.abs(payload) > self.hold, payload, 0)
        return v, second + payload, payload

    def settle(self, v: Int64) -> Int64:
        """Counts a' of membranes (..., C, H, W) int64."""
        above, below = self.sides
        return above.count(v) + below.count(v)

    @property
    def discharge(self) -> Int64:
        """Nothing: the membrane only sums up; what was sent is the running count."""
        return np.zeros_like(self.theta)

    @property
    def is_scalable(self) -> bool:
        """True: it compares, and divides by its thresholds."""
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
    def sides(self) -> tuple[Staircase, Staircase]:
        """What counts above zero, and what counts below it."""
        above = Staircase(np.zeros_like(self.theta), self.theta, 0, self.count_max or 0)
        return above, Staircase(self.offset_below, self.theta_below, self.count_min or 0, 0)

    @property
    def staircases(self) -> tuple[Staircase, ...]:
        """One for each sign, unless changes are held back."""
        return () if self.hold else self.sides

    @property
    def quiet_floor(self) -> Int64:
        """Below it negative counts begin."""
        return -self.offset_below

    @property
    def largest_constant(self) -> int:
        """The largest number that a membrane is compared with."""
        return max(int(each.max()) for each in (self.theta, self.theta_below, np.abs(self.offset_below)))

    def channels(self, chosen: Int64) -> TwoSided:
        """The neurons of the channels ``chosen`` (n,), an index."""
        return replace(
            self,
            theta=self.theta[chosen],
            v0=self.v0[chosen],
            theta_below=self.theta_below[chosen],
            offset_below=self.offset_below[chosen],
        )

    def holding(self, counts: int) -> TwoSided:
        """The same neurons with another :attr:`hold`."""
        return replace(self, hold=counts)

    def to_record(self) -> Record:
        """What an artifact holds of it, arrays in the places where the file names tensors."""
        own = {"theta_below": self.theta_below, "offset_below": self.offset_below, "hold": self.hold}
        return super().to_record() | {"two_sided": own}

    @classmethod
    def from_record(cls, record: RecordReader) -> TwoSided:
        """The neurons that :meth:`to_record` described."""
        own = record.nested("two_sided")
        return cls(
            **read_common_fields(record),
            theta_below=own.int64_array("theta_below"),
            offset_below=own.int64_array("offset_below"),
            hold=own.integer("hold"),
        )
