"""What a network did on some images: events, synaptic operations and neuron updates, population by population.

:mod:`snn_deploy.activity.counting` makes these values from a run, or from an assumed rate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snn_deploy.arrays import Float64, Int64, frozen


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
        object.__setattr__(self, "synaptic_operations", frozen(self.synaptic_operations, np.int64))


@dataclass(frozen=True, eq=False)
class PopulationActivity:
    """What one population did in its window.

    ``events`` (B,) int64: messages sent, per image. ``unit_spikes`` (B,) int64, or ``None`` where payloads were not
    recorded and cannot be told from counts and events. ``active``, ``inactive`` (B,) int64: neuron updates with and
    without an event; the input is sent by the host and has none. ``mean`` (C, H, W) float64: events of each neuron,
    averaged over the images (all of one value, and no memory, where a rate is assumed).
    """

    name: str
    neurons: int
    events: Int64
    unit_spikes: Int64 | None
    active: Int64
    inactive: Int64
    mean: Float64

    def __post_init__(self) -> None:
        if self.mean.flags.writeable:
            object.__setattr__(self, "mean", frozen(self.mean, np.float64))
        for name in ("events", "active", "inactive"):
            object.__setattr__(self, name, frozen(getattr(self, name), np.int64))
        if self.unit_spikes is not None:
            object.__setattr__(self, "unit_spikes", frozen(self.unit_spikes, np.int64))


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
        return sum(int(item.events.sum()) for item in self.populations)

    @property
    def unit_spikes(self) -> int | None:
        """Unit spikes of all populations and images; ``None`` where one population's are unknown."""
        parts = [item.unit_spikes for item in self.populations]
        return (
            None if any(part is None for part in parts) else sum(int(part.sum()) for part in parts if part is not None)
        )

    @property
    def synaptic_operations(self) -> int:
        """Synaptic operations of all connections and images."""
        return sum(int(item.synaptic_operations.sum()) for item in self.connections)

    @property
    def macs(self) -> int:
        """Multiplications of the same connections in an ANN, per image: non-zero weights inside the borders."""
        return sum(item.synapses for item in self.connections)

    @property
    def dense_macs(self) -> int:
        """The same as ANN counters have it: zero weights and padding included."""
        return sum(item.dense_macs for item in self.connections)

    def population(self, name: str) -> PopulationActivity:
        """The activity of population ``name``."""
        return next(item for item in self.populations if item.name == name)

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
                    "name": item.name,
                    "neurons": item.neurons,
                    "events": float(item.events.mean()),
                    "unit_spikes": None if item.unit_spikes is None else float(item.unit_spikes.mean()),
                    "synaptic_operations": float(self.arriving(item.name).mean()),
                    "active_updates": float(item.active.mean()),
                    "inactive_updates": float(item.inactive.mean()),
                }
                for item in self.populations
            ],
            "connections": [
                {
                    "name": item.name,
                    "source": item.source,
                    "target": item.target,
                    "synaptic_operations": float(item.synaptic_operations.mean()),
                    "macs": item.synapses,
                    "dense_macs": item.dense_macs,
                }
                for item in self.connections
            ],
        }

    def arriving(self, population: str) -> Int64:
        """Synaptic operations (B,) int64 at ``population``."""
        parts = [item.synaptic_operations for item in self.connections if item.target == population]
        return np.sum(parts, axis=0, dtype=np.int64) if parts else np.zeros(self.images, np.int64)
