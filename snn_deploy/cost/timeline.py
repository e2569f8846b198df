"""The duration of every step, and of an image.

A step ends when the slowest core is done and all have met at the barrier::

    t(k)       = max(t_floor, max over cores c: SOP(c, k) t_syn + neurons(c) t_neuron + t_barrier)
    interval   = sum of t(k) over one period            throughput = 1 / interval
    latency    = sum of t(k) over the ``duration`` steps from the first input event to the end of the last window
    E_static   = chips P_static interval

Sources: Davies et al. 2018, Table 2 (times per operation, update and barrier), and the step times of PilotNet on Loihi 2,
which follow the operations of the busiest core (lava-dl, netx/pilotnet_snn/benchmark.ipynb). Messages take no time of their
own: no published figure says how many a core sends or receives in a second.
"""

from __future__ import annotations

from collections.abc import Mapping as MappingType
from dataclasses import dataclass

import numpy as np

from snn_deploy.cost.loads import Loads
from snn_deploy.mapping.fit import Mapping
from snn_deploy.mapping.traffic import Block, Traffic
from snn_deploy.targets.device import Target
from snn_deploy.targets.quantity import Quantity, largest, total


@dataclass(frozen=True)
class Step:
    """One step of a period.

    ``busiest``: the population, and ``core`` its core, that the others wait for; ``None`` where no core has synaptic
    operations, or the duration is measured. ``operations`` and ``messages`` of all cores, per image; ``dynamic_j`` joules.
    """

    duration_s: Quantity
    busiest: str | None
    core: int | None
    operations: float
    messages: float
    dynamic_j: Quantity

    def record(self) -> dict[str, object]:
        """For JSON."""
        return {
            "duration_s": self.duration_s.record(),
            "busiest": self.busiest,
            "core": self.core,
            "synaptic_operations": self.operations,
            "messages": self.messages,
            "dynamic_j": self.dynamic_j.record(),
        }


@dataclass(frozen=True)
class Timeline:
    """The steps of one period: those of an image one at a time, or those between two images of a stream.

    ``duration``: steps from the first input event of an image to the end of the last window. ``basis``: how operations are
    placed in steps. ``is_measured``: durations are a measured mean of the target's file.
    """

    steps: tuple[Step, ...]
    duration: int
    basis: str
    is_measured: bool = False

    def __post_init__(self) -> None:
        if not 1 <= len(self.steps) <= self.duration:
            raise ValueError(f"{len(self.steps)} steps from one image to the next; 1 to {self.duration} are possible")

    @property
    def is_streamed(self) -> bool:
        """Whether the next image enters before the one before has left."""
        return len(self.steps) < self.duration

    @property
    def interval_s(self) -> Quantity:
        """Seconds from one image to the next."""
        return total([step.duration_s for step in self.steps])

    @property
    def latency_s(self) -> Quantity:
        """Seconds from the first input event of an image to the end of the last window."""
        rounds, rest = divmod(self.duration, len(self.steps))
        return self.interval_s * float(rounds) + total([step.duration_s for step in self.steps[:rest]])

    @property
    def mean_step_s(self) -> Quantity:
        """Mean over the period."""
        return self.interval_s * (1 / len(self.steps))

    @property
    def longest(self) -> int:
        """Index of the longest step, the first of several."""
        return max(range(len(self.steps)), key=lambda index: self.steps[index].duration_s.value)

    def record(self) -> dict[str, object]:
        """For JSON."""
        return {
            "streamed": self.is_streamed,
            "duration_steps": self.duration,
            "basis": self.basis,
            "measured": self.is_measured,
            "steps": [step.record() for step in self.steps],
        }


def time_steps(
    loads: Loads, dynamic_j: tuple[Quantity, ...], traffic: Traffic, mapping: Mapping, target: Target, duration: int
) -> Timeline:
    """The timeline of ``loads``; ``dynamic_j`` of each step. A ``measured.step_us`` of the target is every step's duration."""
    is_measured = "measured.step_us" in target.figures
    if is_measured:
        durations = [target.quantity("measured.step_us")] * loads.period
        cores: list[int | None] = [None] * loads.period
    else:
        durations, slowest = _durations(loads, traffic, mapping, target)
        works = loads.operations.any(axis=1)
        cores = [int(core) if busy else None for core, busy in zip(slowest, works, strict=True)]
    steps = [
        Step(
            duration_s,
            None if core is None else _population(traffic.blocks, core),
            core,
            float(loads.operations[index].sum()),
            float(loads.messages[index]),
            joules,
        )
        for index, (duration_s, core, joules) in enumerate(zip(durations, cores, dynamic_j, strict=True))
    ]
    return Timeline(tuple(steps), duration, loads.basis, is_measured)


def _durations(
    loads: Loads, traffic: Traffic, mapping: Mapping, target: Target
) -> tuple[list[Quantity], np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Duration of each step, every end of the band for itself, and the core that determines it."""
    synapse, neuron = target.quantity("time.synapse_ns"), target.quantity("time.neuron_ns")
    barrier = target.quantity("time.barrier_chip_ns" if mapping.chips == 1 else "time.barrier_chips_ns")
    floor = target.quantity("time.step_floor_ns")
    times = [
        loads.operations * on_synapse + traffic.neurons * on_neuron
        for on_synapse, on_neuron in zip(synapse.ends, neuron.ends, strict=True)
    ]
    busy = [Quantity(*map(float, ends)) for ends in zip(*(time.max(axis=1) for time in times), strict=True)]
    return [largest(floor, each + barrier) for each in busy], np.asarray(times[0].argmax(axis=1), np.int64)


def _population(blocks: MappingType[str, Block], core: int) -> str:
    return next(name for name, block in reversed(tuple(blocks.items())) if block.first <= core)
