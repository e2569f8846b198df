"""What a simulator of a chip reports of one image: joules, seconds, messages and hops, step by step, and what caused them.

Such a simulator runs a program of its own, in which parts of a network are something else: relays stand for delays, and neurons
on a timetable for the host. Every message is assigned to a :data:`Cause`, so that an estimate can be compared with what both
count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, get_args, runtime_checkable

from snn_deploy.arrays import Int64
from snn_deploy.backend.protocol import Run
from snn_deploy.network.network import Network

Cause = Literal["direct", "relayed", "relays", "clocks", "late"]
"""``direct``: from a population to another, in its window. ``relayed``: the same, from the last relay of a skip. ``relays``: into
relays. ``clocks``: image, biases and start values. ``late``: spikes outside of a population's window."""

CAUSES: tuple[Cause, ...] = get_args(Cause)


@dataclass(frozen=True)
class Caused:
    """Synaptic operations, messages, and hops of messages along both axes of the mesh."""

    operations: int
    messages: int
    hops_ew: int
    hops_ns: int


@dataclass(frozen=True)
class NeuronWork:
    """Neurons times steps (``accesses``), those in which a membrane was updated, and spikes."""

    accesses: int
    updates: int
    spikes: int


@dataclass(frozen=True)
class SimulatedStep:
    """One step of the simulation."""

    duration_s: float
    operations: int
    messages: int
    hops: int


@dataclass(frozen=True, eq=False)
class Simulation:
    """One image on ``simulator``; its own figures in joules and, by step, seconds.

    Step 0 of the network is ``steps[lead]``. ``neurons`` are those of the network, of whose spikes ``late_spikes`` are outside of
    their windows; ``relays`` those that the program adds. ``run`` is what they did.
    """

    simulator: str
    synapse_j: float
    neuron_j: float
    network_j: float
    steps: tuple[SimulatedStep, ...]
    lead: int
    causes: Mapping[Cause, Caused]
    neurons: NeuronWork
    late_spikes: int
    relays: NeuronWork
    run: Run

    def __post_init__(self) -> None:
        if set(self.causes) != set(CAUSES):
            raise ValueError(f"causes {sorted(self.causes)}; all of {sorted(CAUSES)} are needed")

    @property
    def duration_s(self) -> float:
        """Seconds of all steps."""
        return sum(step.duration_s for step in self.steps)


@runtime_checkable
class ChipSimulator(Protocol):
    """A backend that also says what a run takes on the chip ``target``, by a model of its own."""

    target: str

    def simulate(self, network: Network, stimulus: Int64) -> Simulation:
        """Run one image, payloads ``stimulus`` (1, C, H, W) int64, and say what it took."""
        ...
