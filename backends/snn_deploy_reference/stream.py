"""Frame after frame by the same loop over steps, from the cells that the frame before left."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from snn_deploy.arrays import Int64
from snn_deploy.backend.protocol import Record, Run
from snn_deploy.backend.stimulus import check_stimulus
from snn_deploy.backend.stream import StreamState, check_counts, check_frame
from snn_deploy.network import artifact, dynamics
from snn_deploy.network.network import Network
from snn_deploy_reference.simulator import Cells, gather, simulate


class ReferenceStream:
    """A stream of ``network`` in progress (:class:`snn_deploy.backend.stream.FrameStream`)."""

    def __init__(self, network: Network, state: StreamState) -> None:
        self._network, self._digest = network, artifact.digest(network)
        self._frames, self._source = state.frames, state.source.astype(np.int64)
        self._counts = {name: values.astype(np.int64) for name, values in state.counts.items()}
        self._cells = {population.name: Cells.of(population, state.batch) for population in network.populations}
        for name, membranes in state.membranes.items():
            cell = self._cells[name]
            cell.v = membranes.astype(np.int64)
            cell.count = state.second_states.get(name, state.counts[name]).astype(np.int64)

    def push(self, frame: Int64, record: Record = Record.COUNTS) -> Run:
        """Run one frame."""
        network, started = self._network, time.perf_counter()
        check_stimulus(network, frame)
        check_frame(frame, len(self._source))
        for cell in self._cells.values():
            cell.saturations = 0
        change = dynamics.subtract_frames(frame, self._source)
        logs = simulate(network, self._cells, change, record, self._frames)
        self._frames, self._source = self._frames + 1, frame.copy()
        for name, counts in self._counts.items():
            self._counts[name] = counts + logs[name].counts
            check_counts(network.population(name), self._counts[name])
        run = gather(self._digest, self._cells, logs, frame, record, time.perf_counter() - started)
        return replace(run, counts={network.input.name: self._source, **self._counts})

    def state(self) -> StreamState:
        """What it carries over to the next frame."""
        membranes, second = {}, {}
        for name, cell in self._cells.items():
            neuron = cell.population.neuron
            if neuron is not None:
                membranes[name] = cell.v.astype(np.int32)
                if neuron.has_second_state:
                    second[name] = cell.count.astype(np.int32)
        counts = {name: values.astype(np.int32) for name, values in self._counts.items()}
        return StreamState(self._digest, self._frames, self._source.astype(np.int32), membranes, counts, second)
