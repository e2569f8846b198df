"""The backend: still images from rest, and streams."""

from __future__ import annotations

import time

from snn_deploy.arrays import Int64
from snn_deploy.backend.protocol import Progress, Record, Run
from snn_deploy.backend.stimulus import check_stimulus
from snn_deploy.backend.stream import FrameStream, StreamState
from snn_deploy.network import artifact
from snn_deploy.network.network import Network
from snn_deploy_reference.simulator import NAME, Cells, gather, simulate
from snn_deploy_reference.stream import ReferenceStream


class ReferenceBackend:
    """Simulates every population in every step with the equations of :mod:`snn_deploy.network.dynamics`."""

    name = NAME

    def run(
        self,
        network: Network,
        stimulus: Int64,
        record: Record = Record.COUNTS,
        progress: Progress | None = None,
    ) -> Run:
        """Run ``stimulus`` (B, C, H, W), or (B, T, C, H, W) with an input for each step of a ``rate``-mode window.

        In ``exact`` mode :class:`~snn_deploy.errors.BackendError` unless all neurons end silent.
        """
        check_stimulus(network, stimulus, varying=True)
        started = time.perf_counter()
        cells = {population.name: Cells.of(population, stimulus.shape[0]) for population in network.populations}
        logs = simulate(network, cells, stimulus, record, progress=progress)
        return gather(artifact.digest(network), cells, logs, stimulus, record, time.perf_counter() - started)

    def open_stream(self, network: Network, state: StreamState) -> FrameStream:
        """A stream that goes on from ``state``."""
        return ReferenceStream(network, state)
