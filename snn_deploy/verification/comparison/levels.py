"""How strictly runs are compared, and what each strictness asks of a population.

Equal output counts alone prove little: on a recorded Loihi network five of eight realistic faults leave them identical
or off by one. A level therefore says what was compared, and holds everything the levels before it hold.
"""

from __future__ import annotations

from enum import Enum, IntEnum

from snn_deploy.backend.protocol import Record
from snn_deploy.network.network import Network, Population


class Level(IntEnum):
    """Strictness of a comparison; each level includes those before it."""

    OUTPUT_COUNT = 0
    """Count of every neuron of the output populations."""
    LAYER_COUNT = 1
    """Sum of counts of every population, image by image."""
    NEURON_COUNT = 2
    """Count of every neuron, and its number of events where both sides record it."""
    TRAIN = 3
    """Payload of every neuron in every step of its window."""
    STATE = 4
    """Membrane of every neuron after every step of its window, and its current where it has one."""

    @property
    def label(self) -> str:
        """The level as users write it: ``neuron-count``."""
        return self.name.lower().replace("_", "-")

    @property
    def record(self) -> Record:
        """What a backend must record so that runs can be compared at this level."""
        if self >= Level.STATE:
            return Record.STATES
        return Record.TRAINS if self >= Level.TRAIN else Record.COUNTS


class Check(Enum):
    """One kind of array that is compared; the value is its name in trace files and certificates."""

    TOTALS = "totals"
    COUNTS = "counts"
    TRAINS = "trains"
    STATES = "states"
    SECOND_STATES = "currents"

    @property
    def field(self) -> str:
        """Name of the array in :class:`~snn_deploy.verification.traces.trace.Probe`."""
        return "second_states" if self is Check.SECOND_STATES else self.value

    @property
    def label(self) -> str:
        """In words."""
        return self.field.replace("_", " ")


class Status(Enum):
    """What became of a comparison."""

    EQUAL = "equal"
    DIFFERENT = "different"
    NOT_COMPARED = "not compared"
    WITHIN_SPREAD = "within spread"
    """Recordings differ from the baseline, and not more than from each other: neither equal nor shown to be different."""


def list_state_checks(population: Population) -> frozenset[Check]:
    """The states that ``population`` has; the input has none."""
    if population.neuron is None:
        return frozenset()
    return frozenset({Check.STATES, Check.SECOND_STATES} if population.neuron.has_second_state else {Check.STATES})


def list_required_checks(level: Level, network: Network, population: Population) -> frozenset[Check]:
    """The arrays of ``population`` that ``level`` compares."""
    checks: set[Check] = set()
    if level >= Level.NEURON_COUNT or population.name in {output.population for output in network.outputs}:
        checks.add(Check.COUNTS)
    if level >= Level.LAYER_COUNT:
        checks.add(Check.TOTALS)
    if level >= Level.TRAIN:
        checks.add(Check.TRAINS)
    if level >= Level.STATE:
        checks |= list_state_checks(population)
    return frozenset(checks)
