"""Frame after frame, each by a graph of its own that begins with the membranes and counts of the frame before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

import numpy as np

from snn_deploy.arrays import Int64
from snn_deploy.backend.protocol import Progress, Record, Run
from snn_deploy.backend.stimulus import check_stimulus, digest_stimulus
from snn_deploy.backend.stream import StreamState, check_frame
from snn_deploy.network import dynamics
from snn_deploy.network.network import Network


class Execute(Protocol):
    """Runs a network on input payloads, from rest or from carried membranes and counts."""

    def __call__(
        self,
        network: Network,
        stimulus: Int64,
        record: Record,
        progress: Progress | None = None,
        carried: Mapping[str, tuple[Int64, Int64]] | None = None,
    ) -> Run:
        """The run."""
        ...


class LavaStream:
    """A stream in progress (:class:`snn_deploy.backend.stream.FrameStream`)."""

    def __init__(self, execute: Execute, network: Network, state: StreamState) -> None:
        self._execute, self._network, self._state = execute, network, state

    def push(self, frame: Int64, record: Record = Record.COUNTS) -> Run:
        """Run one frame."""
        network, state = self._network, self._state
        check_stimulus(network, frame)
        check_frame(frame, state.batch)
        carried = {
            name: (state.membranes[name].astype(np.int64), counts.astype(np.int64))
            for name, counts in state.counts.items()
        }
        change = dynamics.subtract_frames(frame, state.source.astype(np.int64))
        # membranes are what the next frame goes on from
        run = self._execute(network, change, Record.STATES, None, carried if state.frames else None)
        counts = {name: carried[name][1] + run.counts[name] for name in carried}
        membranes = {name: states[:, -1] for name, states in (run.states or {}).items()}
        self._state = replace(
            state,
            frames=state.frames + 1,
            source=frame.astype(np.int32),
            membranes=membranes,
            counts={name: values.astype(np.int32) for name, values in counts.items()},
        )
        return replace(
            run,
            stimulus=digest_stimulus(frame),
            counts={network.input.name: frame.copy(), **counts},
            trains=run.trains if record >= Record.TRAINS else None,
            states=run.states if record >= Record.STATES else None,
            second_states=run.second_states if record >= Record.STATES else None,
        )

    def state(self) -> StreamState:
        """What it carries over to the next frame."""
        return self._state
