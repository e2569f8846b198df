"""Streams on several backends, frame after frame, up to the first that differs.

Every frame is compared as an image is (:mod:`snn_deploy.verification.comparison`). Up to the first difference all sides carry
the same states: a population of the frame that differs is replayed from these, and the autopsy knows what streams get wrong.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from snn_deploy.arrays import Int64
from snn_deploy.backend.protocol import Backend, Progress
from snn_deploy.backend.stream import FrameStream, StreamState, open_stream
from snn_deploy.errors import StimulusError, VerificationError
from snn_deploy.network.network import Network
from snn_deploy.verification.comparison.comparison import Comparison
from snn_deploy.verification.comparison.levels import Level, Status
from snn_deploy.verification.comparison.verdict import Verdict
from snn_deploy.verification.diagnosis.autopsy import explain
from snn_deploy.verification.diagnosis.stream_faults import explain_input
from snn_deploy.verification.traces.trace import Trace


def verify_stream(
    network: Network,
    frames: Iterable[Int64],
    backends: Sequence[Backend],
    level: Level = Level.TRAIN,
    *,
    state: StreamState | None = None,
    total: int | None = None,
    progress: Progress | None = None,
) -> Verdict:
    """Compare streams of ``frames`` (B, C, H, W) int64 on ``backends``, the first being the baseline.

    ``network`` is prepared for streams; ``state``: where they go on from; ``total``: how many frames to expect, for ``progress``.
    The verdict names the first divergence by population, frame, step and neuron; frames after it are not run.
    :class:`~snn_deploy.errors.BackendUnavailableError` where a backend does not run streams.
    """
    if len(backends) < 2:
        raise VerificationError("one backend has nothing to be compared with; name a second one, as in reference,cpu")
    comparison = Comparison(network, level, replay=level >= Level.TRAIN)
    streams: list[FrameStream] = []
    seen = deque[Int64](maxlen=3)
    if state is not None:
        seen.append(state.source.astype(np.int64))
    for number, frame in enumerate(frames):
        if not streams:
            streams = [open_stream(backend, network, state, len(frame)) for backend in backends]
        before = streams[0].state() if comparison.replay else None
        seen.append(frame)
        runs = [stream.push(frame, level.record) for stream in streams]
        traces = [replace(Trace.of(run), before=before) for run in runs]
        comparison.add(traces)
        if progress is not None:
            progress(number + 1, total or number + 2)
        verdict = comparison.verdict()
        if verdict.status is Status.DIFFERENT:
            return replace(verdict, cause=_explain(network, verdict, traces, list(seen)))
    if not streams:
        raise StimulusError("the stream contains no frames")
    return comparison.verdict()


def _explain(network: Network, verdict: Verdict, traces: Sequence[Trace], frames: list[Int64]) -> str:
    """What explains the first difference: the input's mistake, or the first population's that introduced an error."""
    for trace in traces[1:]:
        sent = trace.probes[network.input.name].trains
        if sent is not None and sent.shape[1]:
            text = explain_input(network.input.name, sent[:, 0].reshape(frames[-1].shape).astype(np.int64), frames)
            if text:
                return f"{trace.name}: {text}"
    diagnosis = explain(network, verdict, traces)
    return "" if diagnosis is None else diagnosis.text
