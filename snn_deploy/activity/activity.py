"""What a network did on some images: events, synaptic operations and neuron updates, population by population.

:mod:`snn_deploy.activity.counting` makes these values from a run, or from an assumed rate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snn_deploy.arrays import Float64, Int32, Int64, freeze


@dataclass(frozen=True, eq=False)
class ConnectionActivity:
    """What travelled along one connection.

    ``synaptic_operations`` (B,) int64 per image. ``synapses``: non-zero weights inside the borders, each counted at
    every place (the MACs of the same layer in an ANN that skips zeros); ``dense_macs``: the same as ANN counters have
    it. ``dense``: every synapse has a weight of its own.
    """

    name: str
    source: str
    target: str
    dense: bool
    synaptic_operations: Int64
    synapses: int
    dense_macs: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "synaptic_operations", freeze(self.synaptic_operations, np.int64))


@dataclass(frozen=True, eq=False)
class PopulationActivity:
    """What one population did in its window.

    ``events`` (B,) int64: messages sent, per image. ``unit_spikes`` (B,) int64, or ``None`` where payloads were not
    recorded and cannot be told from counts and events. ``active``, ``inactive`` (B,) int64: neuron updates with and
    without an event; the input is sent by the host and has none. ``mean`` (C, H, W) float64: events of each neuron,
    averaged over the images (all of one value, and no memory, where a rate is assumed). ``by_step`` (steps, C, H, W)
    int32: events of each neuron in each step of the window, summed over the images; ``None`` where trains were not recorded.
    """

    name: str
    neurons: int
    events: Int64
    unit_spikes: Int64 | None
    active: Int64
    inactive: Int64
    mean: Float64
    by_step: Int32 | None = None

    def __post_init__(self) -> None:
        if self.by_step is not None:
            object.__setattr__(self, "by_step", freeze(self.by_step, np.int32))
        if self.mean.flags.writeable:
            object.__setattr__(self, "mean", freeze(self.mean, np.float64))
        for name in ("events", "active", "inactive"):
            object.__setattr__(self, name, freeze(getattr(self, name), np.int64))
        if self.unit_spikes is not None:
            object.__setattr__(self, "unit_spikes", freeze(self.unit_spikes, np.int64))


@dataclass(frozen=True, eq=False)
class Activity:
    """A network's activity on ``images`` images; ``basis`` says where it comes from (a backend, or an assumed rate)."""

    network: str
    basis: str
    images: int
    populations: tuple[PopulationActivity, ...]
    connections: tuple[ConnectionActivity, ...]

    @property
    def events(self) -> int:
        """Messages of all populations and images."""
        return sum(int(population.events.sum()) for population in self.populations)

    @property
    def unit_spikes(self) -> int | None:
        """Unit spikes of all populations and images; ``None`` where one population's are unknown."""
        parts = [population.unit_spikes for population in self.populations]
        return (
            None if any(part is None for part in parts) else sum(int(part.sum()) for part in parts if part is not None)
        )

    @property
    def synaptic_operations(self) -> int:
        """Synaptic operations of all connections and images."""
        return sum(int(connection.synaptic_operations.sum()) for connection in self.connections)

    @property
    def macs(self) -> int:
        """Multiplications of the same connections in an ANN, per image: non-zero weights inside the borders."""
        return sum(connection.synapses for connection in self.connections)

    @property
    def dense_macs(self) -> int:
        """The same as ANN counters have it: zero weights and padding included."""
        return sum(connection.dense_macs for connection in self.connections)

    def population(self, name: str) -> PopulationActivity:
        """The activity of population ``name``."""
        return next(population for population in self.populations if population.name == name)

    def record(self) -> dict[str, object]:
        """For JSON: means per image."""
        return {
            "network": self.network,
            "basis": self.basis,
            "images": self.images,
            "events": self.events / self.images,
            "unit_spikes": None if self.unit_spikes is None else self.unit_spikes / self.images,
            "synaptic_operations": self.synaptic_operations / self.images,
            "macs": self.macs,
            "dense_macs": self.dense_macs,
            "populations": [
                {
                    "name": population.name,
                    "neurons": population.neurons,
                    "events": float(population.events.mean()),
                    "unit_spikes": None if population.unit_spikes is None else float(population.unit_spikes.mean()),
                    "synaptic_operations": float(self.arriving(population.name).mean()),
                    "active_updates": float(population.active.mean()),
                    "inactive_updates": float(population.inactive.mean()),
                }
                for population in self.populations
            ],
            "connections": [
                {
                    "name": connection.name,
                    "source": connection.source,
                    "target": connection.target,
                    "synaptic_operations": float(connection.synaptic_operations.mean()),
                    "macs": connection.synapses,
                    "dense_macs": connection.dense_macs,
                }
                for connection in self.connections
            ],
        }

    def arriving(self, population: str) -> Int64:
        """Synaptic operations (B,) int64 at ``population``."""
        parts = [connection.synaptic_operations for connection in self.connections if connection.target == population]
        return np.sum(parts, axis=0, dtype=np.int64) if parts else np.zeros(self.images, np.int64)
