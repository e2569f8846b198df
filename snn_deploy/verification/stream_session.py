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
from snn_deploy.verification.traces.recorded import list_schedules, same_events
from snn_deploy.verification.traces.recordings import Batches
from snn_deploy.verification.traces.trace import Trace


def verify_stream(
    network: Network,
    frames: Iterable[Int64],
    backends: Sequence[Backend],
    level: Level = Level.TRAIN,
    *,
    recordings: Sequence[Batches] = (),
    share: float = 1.0,
    state: StreamState | None = None,
    total: int | None = None,
    progress: Progress | None = None,
) -> Verdict:
    """Compare streams of ``frames`` (B, C, H, W) int64 on ``backends``, the first being the baseline, and ``recordings`` of them.

    ``network`` is prepared for streams; ``state``: where they go on from; ``total``: how many frames to expect, for ``progress``.
    ``share`` is the part of each population that must have been probed.
    The verdict names the first divergence by population, frame, step and neuron; frames after it are not run.
    :class:`~snn_deploy.errors.BackendUnavailableError` where a backend does not run streams.
    """
    if not backends or len(backends) + len(recordings) < 2:
        raise VerificationError("one backend has nothing to be compared with; name a second one, as in reference,cpu")
    schedules = list_schedules(network, recordings)
    comparison = Comparison(network, level, share=share, schedules=schedules, replay=level >= Level.TRAIN)
    streams: list[FrameStream] = []
    seen = deque[Int64](maxlen=3)
    if state is not None:
        seen.append(state.source.astype(np.int64))
    for number, frame in enumerate(frames):
        if not streams:
            streams = [open_stream(backend, network, state, len(frame)) for backend in backends]
        before = streams[0].state() if comparison.replay else None
        seen.append(frame)
        sides = [Trace.of(stream.push(frame, level.record)) for stream in streams]
        sides += [same_events(network, schedules, _read_frame(recording, number)) for recording in recordings]
        traces = [replace(side, before=before) for side in sides]
        comparison.add(traces)
        if progress is not None:
            progress(number + 1, total or number + 2)
        verdict = comparison.verdict()
        if verdict.status is Status.DIFFERENT:
            return replace(verdict, cause=_explain(network, verdict, traces, list(seen)))
    if not streams:
        raise StimulusError("the stream contains no frames")
    for recording in recordings:
        if len(recording.images) > number + 1:
            raise VerificationError(
                f"{recording.name}: holds {len(recording.images)} frames, the stream {number + 1}; give those recorded"
            )
    return comparison.verdict()


def _read_frame(recording: Batches, number: int) -> Trace:
    """Frame ``number`` of ``recording``."""
    if not recording.frames:
        raise VerificationError(f"{recording.name}: is a recording of still images; its manifest does not say frames")
    if number >= len(recording.images):
        raise VerificationError(
            f"{recording.name}: holds {len(recording.images)} frames, the stream more; give those recorded"
        )
    return recording.read(number)


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
