"""The one route to a verdict: images shown to backends, recordings of the same images, errors attributed and explained.

Python's ``sd.verify``, the command line and verification of folders all take it, so that they cannot differ in what
they compare or find out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TypeAlias

from snn_deploy.arrays import Int64
from snn_deploy.backend.protocol import Backend, Progress, Record, Run
from snn_deploy.backend.registry import load_backend, run_backend
from snn_deploy.backend.stimulus import digest_stimulus
from snn_deploy.errors import BackendUnavailableError, VerificationError
from snn_deploy.network.network import Network
from snn_deploy.verification.comparison.comparison import Comparison
from snn_deploy.verification.comparison.levels import Level, Status
from snn_deploy.verification.comparison.replay import forward, repeat
from snn_deploy.verification.comparison.spread import Spread
from snn_deploy.verification.comparison.spread_tally import SpreadTally
from snn_deploy.verification.comparison.verdict import Divergence, Verdict, judge_spread
from snn_deploy.verification.diagnosis.autopsy import explain
from snn_deploy.verification.diagnosis.hidden_faults import HiddenFaults
from snn_deploy.verification.diagnosis.readout import explain_readout
from snn_deploy.verification.stimuli import Stimuli
from snn_deploy.verification.traces.alignment import Alignment, align_batch
from snn_deploy.verification.traces.recorded import list_schedules, same_events, scheduled
from snn_deploy.verification.traces.recordings import AS_RECORDED, Batches, Readout, open_recording
from snn_deploy.verification.traces.trace import Trace

SPREAD_LEVELS = (Level.OUTPUT_COUNT, Level.NEURON_COUNT)
"""Levels at which recordings may be judged by their spread: they compare the counts of single neurons, and no time.

In one step a neuron sends 0 or little else, so that two recordings with a spike and without one admit every value; and an
event that comes a step late is two differences of trains and none of what was computed.
"""

Watch: TypeAlias = Callable[[str], AbstractContextManager[Progress | None]]
"""From the description of a run to a context, in which its progress is reported to what the context gives."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """A verdict with what a certificate of it needs.

    ``network`` has the size of the images; ``stimuli`` are digests of the batches, ``payloads`` (B, C, H, W) int64 the
    last of them; ``backends`` ran, and ``engines`` says what computed each. ``unavailable`` says why others did not.
    """

    verdict: Verdict
    network: Network
    stimuli: tuple[str, ...]
    payloads: Int64
    backends: tuple[Backend, ...]
    engines: Mapping[str, str]
    unavailable: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Session:
    """What is compared, and how strictly: ``backends``, the first being the baseline, then recordings (``traces``).

    Backends are named, or given. ``share`` is the part of each population that must have been probed; ``readout`` says
    how to read the recordings. At levels ``train`` and ``state`` errors are attributed, and the first is explained.
    ``skip_unavailable`` leaves out backends that raise :class:`BackendUnavailableError`, as long as there is
    something to compare; otherwise that error ends the session.
    ``spread``: the recordings are of one chip that is not deterministic, and are judged by how much they differ from each
    other (:mod:`snn_deploy.verification.comparison.spread`), at one of :data:`SPREAD_LEVELS`.
    """

    backends: tuple[str | Backend, ...] = ("reference", "cpu")
    level: Level = Level.TRAIN
    traces: tuple[Path | Trace, ...] = ()
    share: float = 1.0
    readout: Readout = AS_RECORDED
    skip_unavailable: bool = False
    spread: bool = False

    def __post_init__(self) -> None:
        if not self.backends:
            raise VerificationError("no backend is named, and the first is the baseline; name one, as reference")
        if len(self.backends) + len(self.traces) < 2:
            raise VerificationError(
                "one backend and no recording: there is nothing to compare it with; name a second backend, as in "
                "reference,cpu, or a trace"
            )
        if not 0 <= self.share <= 1:
            raise VerificationError(f"share {self.share} is not between 0 and 1, all neurons")
        if self.spread and len(self.traces) < 2:
            raise VerificationError(
                f"{len(self.traces)} recording(s) show no spread; give two or more of the same stimulus, better ten"
            )
        if self.spread and self.level not in SPREAD_LEVELS:
            raise VerificationError(
                f"level {self.level.label} cannot be judged by a spread, only counts of neurons can; choose "
                f"{' or '.join(level.label for level in SPREAD_LEVELS)}"
            )

    def verify(self, stimuli: Stimuli, watch: Watch | None = None) -> Outcome:
        """Run the backends on one batch after the other, and compare them with what was recorded of it."""
        network, watched = stimuli.network, watch or unwatched
        unavailable: dict[str, str] = {}
        backends = self._load(unavailable)
        digests: list[str] = []
        engines: dict[str, str] = {}
        cause = _Cause()
        readouts: dict[str, None] = {}
        with ExitStack() as opened:
            recordings = [opened.enter_context(open_recording(trace, network, self.readout)) for trace in self.traces]
            streams = [recording.name for recording in recordings if recording.frames]
            if streams:
                raise VerificationError(
                    f"{streams[0]}: is a recording of a stream, frame by frame; compare it by itself: snn-deploy verify NETWORK "
                    "--trace FILE, or verification.stream_session.verify_stream"
                )
            schedules = list_schedules(network, recordings)
            comparison = Comparison(
                network, self.level, share=self.share, schedules=schedules, replay=self.level >= Level.TRAIN
            )
            whole = any(recording.time == "recording" for recording in recordings)
            record = max(self.level.record, Record.TRAINS if whole else Record.COUNTS)
            tally: SpreadTally | None = None
            for index, payloads in enumerate(_batches(stimuli, recordings)):
                runs = []
                for backend in backends:
                    with self._skipping(backend.name, unavailable):
                        runs.append(_run(backend, network, payloads, record, watched))
                backends = [backend for backend in backends if backend.name not in unavailable]
                if unavailable and (not runs or len(runs) + len(recordings) < 2):
                    raise BackendUnavailableError("; ".join(unavailable.values()))
                baseline = Trace.of(runs[0])
                aligned = [
                    align_batch(scheduled(network, schedules, recording.network), baseline, recording.read(index))
                    for recording in recordings
                ]
                for recording, alignment in zip(recordings, aligned, strict=True):
                    comparison.warn(f"{recording.name}: {warning}" for warning in alignment.warnings)
                traces = [same_events(network, schedules, alignment.trace) for alignment in aligned]
                batch: list[Run | Trace] = [*runs, *traces]
                comparison.add(batch)
                if self.spread:
                    tally = tally or SpreadTally(comparison.backends[len(runs) :], comparison.expected)
                    tally.add(baseline, traces)
                digests.append(digest_stimulus(payloads))
                engines |= {run.backend: "+".join(sorted(set(run.engines.values()))) for run in runs}
                cause = cause.after(network, comparison.verdict(), batch)
                if comparison.verdict().status is Status.DIFFERENT:
                    readouts |= dict.fromkeys(_read_outs(network, baseline, aligned))
            verdict = replace(comparison.verdict(), cause="; ".join(readouts) or cause.text)
            if tally is not None:
                verdict = _judge(verdict, tally.spread(), stimuli, recordings, watched)
        return Outcome(verdict, network, tuple(digests), payloads, tuple(backends), engines, unavailable)

    def _load(self, unavailable: dict[str, str]) -> list[Backend]:
        loaded: list[Backend] = []
        for backend in self.backends:
            if isinstance(backend, str):
                with self._skipping(backend, unavailable):
                    loaded.append(load_backend(backend))
            else:
                loaded.append(backend)
        return loaded

    @contextmanager
    def _skipping(self, name: str, unavailable: dict[str, str]) -> Iterator[None]:
        """Why backend ``name`` is unavailable goes to ``unavailable``, if it may be skipped."""
        try:
            yield
        except BackendUnavailableError as error:
            if not self.skip_unavailable:
                raise
            unavailable[name] = str(error)


def _read_outs(network: Network, baseline: Trace, aligned: Sequence[Alignment]) -> Iterator[str]:
    """What reading out did to the recordings: missing steps, or values that are those expected, changed in one way."""
    for alignment in aligned:
        if alignment.loss:
            yield f"{alignment.trace.name}: {alignment.loss}"
        else:
            yield from explain_readout(network, baseline, alignment.trace)


def _judge(verdict: Verdict, spread: Spread, stimuli: Stimuli, recordings: Sequence[Batches], watch: Watch) -> Verdict:
    """``verdict`` by ``spread`` and, where it says "within", with the faults that it does not exclude."""
    if not spread.differs:
        note = "the recordings do not differ from each other in any count; they are compared like any other"
        return replace(verdict, warnings=(*verdict.warnings, note))
    notes = tuple(f"{one} and {two} are equal in every count; was one given twice?" for one, two in spread.twins)
    notes += tuple(
        f"{name} is further from the baseline than the other recordings are from each other" for name in spread.outliers
    )
    verdict = replace(verdict, warnings=verdict.warnings + notes)
    judged = judge_spread(verdict, spread)
    if judged.status is not Status.WITHIN_SPREAD:
        return judged
    network = stimuli.network
    faults = HiddenFaults(network, spread)
    for index, payloads in enumerate(_batches(stimuli, recordings)):
        right = forward(network, repeat(network, payloads)).trace
        traces = [align_batch(network, right, recording.read(index)).trace for recording in recordings]
        with watch("faults that the spread hides") as report:
            faults.add(payloads, traces, report)
    return judge_spread(verdict, faults.spread_with_hidden())


@dataclass(frozen=True)
class _Cause:
    """The autopsy of the first introduced error of the batches so far."""

    first: Divergence | None = None
    text: str = ""

    def after(self, network: Network, verdict: Verdict, batch: Sequence[Run | Trace]) -> _Cause:
        """The autopsy after one more ``batch``, which holds the first introduced error if that is another now."""
        first = verdict.introduced
        if first == self.first or verdict.status is not Status.DIFFERENT:
            return self
        diagnosis = explain(network, verdict, batch)
        return _Cause(first, "" if diagnosis is None else diagnosis.text)


def _run(backend: Backend, network: Network, payloads: Int64, record: Record, watch: Watch) -> Run:
    with watch(f"{backend.name}: {network.name}, {network.input.shape[1]}x{network.input.shape[2]}") as report:
        return run_backend(backend, network, payloads, record, report)


def unwatched(_: str) -> AbstractContextManager[None]:
    """A :data:`Watch` without a bar."""
    return nullcontext()


def _batches(stimuli: Stimuli, recordings: Sequence[Batches]) -> Iterator[Int64]:
    """The payloads, batch by batch as they were recorded."""
    sizes = {recording.images for recording in recordings}
    if len(sizes) > 1:
        raise VerificationError(f"the recordings hold batches of {' and '.join(map(str, sorted(sizes)))} images")
    images_of = sizes.pop() if sizes else (stimuli.together,) * (stimuli.count // stimuli.together)
    if sum(images_of) != stimuli.count:
        raise VerificationError(
            f"{recordings[0].name}: holds {sum(images_of)} image(s), {stimuli.name} {stimuli.count}; give those recorded"
        )
    for first, last in pairwise(accumulate(images_of, initial=0)):
        yield stimuli.read(first, last)
