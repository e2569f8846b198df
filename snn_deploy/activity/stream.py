"""What streams do, frame by frame: totals that do not grow with the number of frames, and a few numbers of each.

The first frame of a stream is sent as a whole, as a still image is; means are of the frames after it, where there are any.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from snn_deploy.activity.activity import Activity
from snn_deploy.activity.synapses import count_fan_out, count_synapses
from snn_deploy.arrays import Float64, Int64
from snn_deploy.errors import NetworkError
from snn_deploy.network.network import Network


@dataclass(frozen=True)
class FrameActivity:
    """Of one frame, all streams side by side together: messages, synaptic operations, and neurons that sent, in all populations."""

    events: int
    synaptic_operations: int
    changed: int


@dataclass(frozen=True)
class PopulationMeans:
    """Means per frame of one population: events that it sends, synaptic operations that arrive at it; ``macs`` of the ANN."""

    name: str
    neurons: int
    events: float
    synaptic_operations: float
    macs: int


class StreamCounter:
    """Counts the frames of streams of ``network``; ``macs`` are those of one frame in the ANN."""

    def __init__(self, network: Network) -> None:
        self.network, self.frames = network, 0
        self._fan_out: dict[str, Float64] = {}
        self._macs = {population.name: 0 for population in network.populations}
        self._events, self._operations = dict(self._macs), dict(self._macs)
        for connection in network.connections:
            shape = network.population(connection.source).shape
            self._fan_out[connection.name] = count_fan_out(connection.kernel, shape).astype(np.float64).ravel()
            self._macs[connection.target] += count_synapses(connection.kernel, shape)

    @property
    def macs(self) -> int:
        """Multiplications of one frame in an ANN: non-zero weights inside the borders."""
        return sum(self._macs.values())

    @property
    def neurons(self) -> int:
        """Values of the input and neurons of all populations."""
        return sum(population.size for population in self.network.populations)

    @property
    def averaged(self) -> int:
        """Frames that the means are of: all but the first, where there are several."""
        return max(self.frames - 1, 1)

    def add(self, events: Mapping[str, Int64]) -> FrameActivity:
        """Count a frame whose ``events`` (B, C, H, W) are those of all populations."""
        sent, operations, changed = dict.fromkeys(self._macs, 0), dict.fromkeys(self._macs, 0), 0
        for population in self.network.populations:
            # float64 sums of integers below 2**53 are exact, and one product is faster than an integer one
            found = events[population.name]
            values = found.reshape(len(found), -1).astype(np.float64)
            sent[population.name] = int(values.sum())
            changed += int(np.count_nonzero(values))
            for connection in self.network.outgoing(population.name):
                operations[connection.target] += int((values @ self._fan_out[connection.name]).sum())
        self.frames += 1
        anew = self.frames == 2  # up to here there was only the first frame, which is sent whole
        for name in self._macs:
            self._events[name] = sent[name] + (0 if anew else self._events[name])
            self._operations[name] = operations[name] + (0 if anew else self._operations[name])
        return FrameActivity(sum(sent.values()), sum(operations.values()), changed)

    def means(self) -> tuple[PopulationMeans, ...]:
        """Means of the frames after the first, in the network's order."""
        return tuple(
            PopulationMeans(
                population.name,
                population.size,
                self._events[population.name] / self.averaged,
                self._operations[population.name] / self.averaged,
                self._macs[population.name],
            )
            for population in self.network.populations
        )


class ActivitySum:
    """The activity of many frames, summed up one after the other; memory grows by a few numbers with each."""

    def __init__(self) -> None:
        self._first: Activity | None = None
        self._parts: list[Activity] = []
        self._events: dict[str, Float64] = {}
        self._by_step: dict[str, Int64] = {}

    def add(self, activity: Activity) -> None:
        """Add the frames of ``activity``, of the same network."""
        for population in activity.populations:
            events = population.mean * activity.images
            self._events[population.name] = events + self._events.get(population.name, 0.0)
            if population.by_step is not None:
                steps = population.by_step.astype(np.int64)
                self._by_step[population.name] = steps + self._by_step.get(population.name, np.int64(0))
        self._first = self._first or activity
        self._parts.append(_without_maps(activity))

    def result(self, basis: str) -> Activity:
        """The activity of all frames; ``basis`` says where it comes from."""
        first = self._first
        if first is None:
            raise NetworkError("no frame was counted")
        images = sum(part.images for part in self._parts)
        populations = []
        for place, population in enumerate(first.populations):
            parts = [part.populations[place] for part in self._parts]
            units = [part.unit_spikes for part in parts if part.unit_spikes is not None]
            steps = self._by_step.get(population.name)
            populations.append(
                replace(
                    population,
                    events=np.concatenate([part.events for part in parts]),
                    unit_spikes=np.concatenate(units) if len(units) == len(parts) else None,
                    active=np.concatenate([part.active for part in parts]),
                    inactive=np.concatenate([part.inactive for part in parts]),
                    mean=self._events[population.name] / images,
                    by_step=None if steps is None else steps.astype(np.int32),
                )
            )
        connections = tuple(
            replace(
                connection,
                synaptic_operations=np.concatenate(
                    [part.connections[place].synaptic_operations for part in self._parts]
                ),
            )
            for place, connection in enumerate(first.connections)
        )
        return Activity(first.network, basis, images, tuple(populations), connections)


def _without_maps(activity: Activity) -> Activity:
    """``activity`` without what it knows of single neurons."""
    nothing = np.zeros(())
    populations = tuple(replace(each, mean=nothing, by_step=None) for each in activity.populations)
    return replace(activity, populations=populations)
