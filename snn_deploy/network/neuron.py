"""What every kind of neuron is asked: its step, what it can reach, what its counts depend on, its record in a file.

A kind is one class: :class:`~snn_deploy.network.multi_threshold.MultiThreshold`, :class:`~snn_deploy.network.two_sided.TwoSided`,
:class:`~snn_deploy.network.cuba_lif.CubaLif` and :class:`~snn_deploy.network.sigma_delta.SigmaDelta`. CONTRIBUTING.md says how
another is added.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np

from snn_deploy.arrays import Array, Int64, freeze, lies_within
from snn_deploy.errors import NetworkError
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.record import Record, RecordReader

Reset = Literal["subtract", "zero"]


@dataclass(frozen=True, eq=False)
class Staircase:
    """``clip(floor((total + offset) / theta), least, greatest)``; ``offset`` and ``theta`` (C,) int64.

    ``total`` is v0 and all that reached a membrane: bias and currents.
    """

    offset: Int64
    theta: Int64
    least: int
    greatest: int

    def count(self, total: Int64) -> Int64:
        """Counts of totals (..., C, H, W) int64."""
        level = (total + self.offset[:, None, None]) // self.theta[:, None, None]
        counts: Int64 = np.clip(level, self.least, self.greatest)
        return counts


@dataclass(frozen=True, eq=False)
class Neuron(ABC):
    """Neurons of one population; one row of numbers per channel.

    ``theta`` (C,) int64 > 0 is the lowest threshold, ``v0`` (C,) int64 the initial membrane. A step sends a payload in
    ``[payload_min, payload_max]``; the running count stays in ``[count_min, count_max]`` (``None``: unbounded, as in
    ``rate`` mode). ``strict`` fires for ``v > theta`` and not at equality, as the published neuron does. ``reset``: a
    spike takes what it stands for from the membrane (``subtract``), or empties it (``zero``, in ``rate`` mode only).
    """

    theta: Int64
    v0: Int64
    payload_min: int
    payload_max: int
    count_min: int | None = None
    count_max: int | None = None
    strict: bool = False
    reset: Reset = "subtract"

    kind: ClassVar[str]
    """Its name in words."""

    section: ClassVar[str | None] = None
    """Name of the part of its record in an artifact that no other kind has; the multi-threshold neuron needs none."""

    is_stock: ClassVar[bool] = False
    """Whether it is one of Lava's own neurons."""

    has_second_state: ClassVar[bool] = False
    """Whether runs record a second state beside the membrane, as leaky neurons have their current."""

    is_schedule_free: ClassVar[bool] = True
    """Whether counts of ``exact`` mode are the same under every schedule that ends in silence."""

    is_leaky: ClassVar[bool] = False
    """Whether its states decay and a bias charges it at every step, so that it may fire before an image arrives."""

    clips: ClassVar[bool] = True
    """Whether payloads and counts are limited to their limits; else the proof assumes them (:meth:`check`)."""

    current_shift: ClassVar[int] = 0
    """Bits by which synaptic input is shifted left before it joins the first state."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "theta", freeze(self.theta, np.int64))
        object.__setattr__(self, "v0", freeze(self.v0, np.int64))
        if self.theta.ndim != 1 or self.theta.shape != self.v0.shape:
            raise NetworkError(f"theta {self.theta.shape} and v0 {self.v0.shape} must both be (C,)")
        if self.theta.size == 0 or not lies_within(self.theta, 1, STATE_MAX):
            raise NetworkError(f"thresholds must lie in 1..{STATE_MAX}")
        if not lies_within(self.v0, -STATE_MAX, STATE_MAX):
            raise NetworkError(f"initial membranes must lie in +-{STATE_MAX}")
        if not -STATE_MAX <= self.payload_min <= 0 < self.payload_max <= STATE_MAX:
            raise NetworkError(
                f"payload limits {self.payload_min}..{self.payload_max} must hold 0 and lie in +-{STATE_MAX}"
            )
        if self.reset not in ("subtract", "zero"):
            raise NetworkError(f"reset {self.reset!r} is neither 'subtract' nor 'zero'")
        if (self.count_min is None) != (self.count_max is None):
            raise NetworkError("count limits come in pairs")
        if self.count_min is None or self.count_max is None:
            return
        if not -STATE_MAX <= self.count_min <= 0 < self.count_max <= STATE_MAX:
            raise NetworkError(f"count limits {self.count_min}..{self.count_max} must hold 0 and lie in +-{STATE_MAX}")

    @abstractmethod
    def charge(self, v: Int64, second: Int64, current: Int64) -> tuple[Int64, Int64]:
        """First state, not yet limited to 24 bits, and second state after ``current`` joined; arrays (..., C, H, W)."""

    @abstractmethod
    def step(self, v: Int64, second: Int64, current: Int64) -> tuple[Int64, Int64, Int64]:
        """One step: both states and the payload after it, from arrays (..., C, H, W) int64.

        ``second`` is the second state, or the running count of neurons that have none.
        """

    def reach(self, current: Int64) -> Int64:
        """Largest magnitude that inputs of magnitude ``current`` in every step give what synapses add up in."""
        return current

    def check(self, name: str, payload: Array) -> None:  # noqa: B027  # most kinds have nothing to check
        """:class:`~snn_deploy.errors.BackendError` where payloads of population ``name`` leave limits that it does not clip to."""

    @property
    def quantum(self) -> Int64:
        """Current (C,) that stands for one count."""
        return self.theta

    @property
    def discharge(self) -> Int64:
        """What each count takes (C,) from the first state."""
        return self.theta

    @property
    def quiet_floor(self) -> Int64:
        """The least membrane (C,) at which nothing negative is sent."""
        return np.zeros_like(self.theta)

    @property
    def largest_constant(self) -> int:
        """The largest number that a state is compared with."""
        return int(self.theta.max())

    @property
    def count_range(self) -> tuple[int, int] | None:
        """Least and greatest running count under any schedule; ``None`` where nothing bounds it.

        Neurons whose payloads are never negative do not count below 0, whatever ``count_min`` allows.
        """
        if self.count_min is None or self.count_max is None:
            return None
        return 0 if self.payload_min == 0 else self.count_min, self.count_max

    @property
    def resting_count_range(self) -> tuple[int, int] | None:
        """The same once a single step has brought all input."""
        return self.count_range

    @property
    def membrane_bias(self) -> Int64:
        """Bias (C,) that joins the membrane at every step from ``start`` on and bypasses the synapses."""
        return np.zeros_like(self.theta)

    @property
    def relays(self) -> bool:
        """Whether every step passes its whole input on (threshold 1, nothing held back)."""
        return False

    @property
    def is_scalable(self) -> bool:
        """Whether twice the currents, thresholds, states and biases give the same events."""
        return False

    @property
    def adds_up(self) -> bool:
        """Whether its state holds all that arrived since it was cleared, so that only clearing separates two images."""
        return False

    @property
    def settles(self) -> bool:
        """Whether a step without input, after one in which nothing was sent, changes no state and sends nothing."""
        return False

    @property
    def holds_back(self) -> bool:
        """Whether changes of a few counts are not sent (:meth:`holding`)."""
        return False

    @property
    def quantizes(self) -> bool:
        """Whether a count is ``clip(floor((v0 + bias + membrane_bias + currents - strict) / theta), limits)``, at any schedule."""
        return False

    @property
    def staircases(self) -> tuple[Staircase, ...]:
        """Functions of the total charge whose sum a count is at any schedule; none where counts depend on more than that."""
        limits = self.resting_count_range
        if not self.quantizes or limits is None:
            return ()
        return (Staircase(self.membrane_bias - int(self.strict), self.theta, *limits),)

    def channels(self, chosen: Int64) -> Neuron:
        """The neurons of the channels ``chosen`` (n,), an index."""
        return replace(self, theta=self.theta[chosen], v0=self.v0[chosen])

    def holding(self, counts: int) -> Neuron:
        """The same neurons, which do not send changes of at most so many ``counts``; :class:`NetworkError` where none can."""
        raise NetworkError(f"{self.kind} neurons cannot hold back {counts} counts; leave hold out")

    def to_record(self) -> Record:
        """What an artifact holds of it, arrays in the places where the file names tensors."""
        record: Record = {
            "theta": self.theta,
            "v0": self.v0,
            "payload_min": self.payload_min,
            "payload_max": self.payload_max,
            "count_min": self.count_min,
            "count_max": self.count_max,
            "strict": self.strict,
        }
        return record if self.reset == "subtract" else record | {"reset": self.reset}

    @classmethod
    @abstractmethod
    def from_record(cls, record: RecordReader) -> Neuron:
        """The neurons that :meth:`to_record` described."""


def read_common_fields(record: RecordReader) -> dict[str, Any]:
    """The fields that all kinds share, from what :meth:`Neuron.to_record` described."""
    return {
        "theta": record.int64_array("theta"),
        "v0": record.int64_array("v0"),
        "payload_min": record.integer("payload_min"),
        "payload_max": record.integer("payload_max"),
        "count_min": record.integer_or_none("count_min"),
        "count_max": record.integer_or_none("count_max"),
        "strict": record.flag("strict"),
        "reset": record.text("reset") if "reset" in record else "subtract",
    }


@dataclass(frozen=True, eq=False)
class StockNeuron(Neuron):
    """One of Lava's own neurons: a second state beside the membrane, and a bias ``offset`` (C,) int64 that bypasses synapses."""

    offset: Int64 = field(kw_only=True)

    is_stock: ClassVar[bool] = True
    has_second_state: ClassVar[bool] = True
    is_schedule_free: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "offset", freeze(self.offset, np.int64))
        if self.offset.shape != self.theta.shape or not lies_within(self.offset, -STATE_MAX, STATE_MAX):
            raise NetworkError(f"offsets {self.offset.shape} must be {self.theta.shape} and lie in +-{STATE_MAX}")

    @property
    def membrane_bias(self) -> Int64:
        """``offset``."""
        return self.offset

    def channels(self, chosen: Int64) -> Neuron:
        """The neurons of the channels ``chosen`` (n,), an index."""
        return replace(self, theta=self.theta[chosen], v0=self.v0[chosen], offset=self.offset[chosen])
