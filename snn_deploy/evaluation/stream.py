r"""Scores of a stream, frame by frame and over the sequence, beside the operations that every frame took.

Three comparisons, each where there is something to compare with: the spiking network with the frames' references; the float
network with the same references; and the spiking with the float network, whose output is the reference then. In ``exact`` mode
all are those of still images: counts after a frame do not depend on the frames before it, except for what a dead zone of the
input, or neurons, hold back.

The *loss* of a frame is what the float network scores above the spiking one, in the first score of its task (PSNR in dB,
accuracy), against the references.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from snn_deploy.activity.stream import FrameActivity, StreamCounter
from snn_deploy.arrays import Float32, Int64
from snn_deploy.backend.protocol import Backend, Progress, Run
from snn_deploy.conversion.calibrate import ActivationProbe
from snn_deploy.conversion.convert import Model, open_float_probe
from snn_deploy.data.frame_samples import FrameSample
from snn_deploy.data.image_stream import ImageStream
from snn_deploy.data.images import Image
from snn_deploy.data.metrics import count_label_pairs, gain_db, score_restoration, score_segmentation
from snn_deploy.errors import StimulusError
from snn_deploy.evaluation.evaluate import Prediction, Task
from snn_deploy.network.host import apply_host, put_channels_first
from snn_deploy.network.network import Network

Scores: TypeAlias = dict[str, float]

LEADING = {"denoise": "psnr_db", "segment": "accuracy"}
"""The score of each task in which a loss is given."""


@dataclass(frozen=True)
class Comparisons:
    """Scores of the spiking network (``scores``) and the float one (``model``) against references, and against each other.

    Empty where there is nothing to compare with.
    """

    scores: Scores
    model: Scores
    agreement: Scores

    def loss(self, task: Task | None) -> float | None:
        """By how much the float network scores above the spiking one, in dB or as a share of the pixels."""
        name = "" if task is None else LEADING[task]
        if name not in self.scores or name not in self.model:
            return None
        return gain_db(self.model[name], self.scores[name])


NOTHING = Comparisons({}, {}, {})
"""Where nothing is scored."""


@dataclass(frozen=True)
class FrameScore:
    """One frame: its name, its scores, and what it took."""

    frame: str
    compared: Comparisons
    activity: FrameActivity


@dataclass(frozen=True)
class StreamEvaluation:
    """A sequence: every frame, and all together. ``macs`` of one frame in the ANN; ``neurons`` of all populations.

    ``task`` is ``None`` where nothing was scored.
    """

    task: Task | None
    frames: tuple[FrameScore, ...]
    overall: Comparisons
    macs: int
    neurons: int

    @property
    def operations_per_mac(self) -> float | None:
        """Mean of the frames after the first, which is sent as a whole; ``None`` without any, or without multiplications."""
        later = [frame.activity.synaptic_operations for frame in self.frames[1:]]
        return sum(later) / len(later) / self.macs if later and self.macs else None

    def __repr__(self) -> str:
        return f"StreamEvaluation({self})"

    def __str__(self) -> str:
        """The scores of all frames together, and what changes took."""
        shown = self.overall.scores or self.overall.agreement
        scores = ", ".join(f"{name} {value:.4g}" for name, value in shown.items())
        against = "" if self.overall.scores else " against the float network"
        judged = "" if self.task is None else f"{self.task}{against}: {scores}; "
        ratio = self.operations_per_mac
        took = "" if ratio is None else f", {ratio:.4f} operations per MAC after the first"
        return f"{judged}{len(self.frames)} frame(s){took}"


def evaluate_stream(
    network: Network,
    backend: Backend,
    samples: Iterable[FrameSample],
    task: Task | None,
    *,
    model: Model | None = None,
    dead_zone: Int64 | None = None,
    hold: int = 0,
    total: int | None = None,
    progress: Progress | None = None,
) -> StreamEvaluation:
    """Run ``samples`` through ``network``, at the size of the first, with states carried over, and score every frame.

    ``task``: ``None`` scores nothing, and needs nothing to compare with. ``model``: the float network. ``dead_zone`` in input
    counts (C, 1, 1); ``hold``: counts that neurons hold back. ``total``: how many frames to expect, for ``progress``.
    :class:`~snn_deploy.errors.StimulusError` for a frame without reference where there is no ``model`` either.
    """
    held = np.zeros((network.input.shape[0], 1, 1), np.int64) if dead_zone is None else dead_zone
    stream, judge = ImageStream(network, backend, held, hold=hold), None if task is None else _Judge(task, model)
    counter: StreamCounter | None = None
    frames = []
    for number, sample in enumerate(samples, 1):
        if judge is not None and sample.reference is None and model is None:
            raise StimulusError(
                f"{sample.name}: has nothing to be compared with; give a data set with references, the float model"
                + (" or noise to remove" if task == "denoise" else "")
            )
        run = stream.run(sample.seen)
        counter = counter or StreamCounter(stream.network)
        compared = NOTHING if judge is None else judge.compare(_predict(stream.network, run), sample)
        frames.append(FrameScore(sample.name, compared, counter.add(run.events)))
        if progress is not None:
            progress(number, total or number + 1)
    if counter is None:
        raise StimulusError("the stream contains no frames")
    overall = NOTHING if judge is None else judge.overall()
    return StreamEvaluation(task, tuple(frames), overall, counter.macs, counter.neurons)


def _predict(network: Network, run: Run) -> Prediction:
    functions, values = network.outputs[0].host, run.values(network)
    hosted, shown = put_channels_first(functions, apply_host(functions, values))
    return Prediction(shown, hosted, values.shape[1], picture=network.picture)


class _Judge:
    """Compares frames, and adds up what all of them have together."""

    def __init__(self, task: Task, model: Model | None) -> None:
        self._model = model
        self._probe: ActivationProbe | None = None
        self._tallies = (_Tally(task), _Tally(task), _Tally(task))

    def compare(self, spiking: Prediction, sample: FrameSample) -> Comparisons:
        """The three comparisons of one frame."""
        scores, model, agreement = self._tallies
        reference, floats = sample.reference, self._predict(spiking, sample.seen)
        return Comparisons(
            {} if reference is None else scores.add(spiking, reference),
            {} if reference is None or floats is None else model.add(floats, reference),
            {} if floats is None else agreement.add(spiking, agreement.as_reference(floats)),
        )

    def overall(self) -> Comparisons:
        """The same of all frames together."""
        return Comparisons(*(tally.overall() for tally in self._tallies))

    def _predict(self, like: Prediction, seen: Image) -> Prediction | None:
        """The float network's output."""
        if self._model is None:
            return None
        name = self._model.name if isinstance(self._model, Path) else "the float model"
        if self._probe is None:
            self._probe = open_float_probe(self._model, (seen.shape[2], seen.shape[3]))
        try:
            values = next(iter(self._probe(seen).values()))
        except StimulusError as error:
            raise StimulusError(f"{name}: is the float model of another network: {error}") from error
        hosted, planes = put_channels_first(self._probe.host, values)
        if planes.shape != like.values.shape:
            raise StimulusError(
                f"{name}: is the float model of another network: it gives {planes.shape}, the spiking network {like.values.shape}"
            )
        return Prediction(planes.astype(np.float64), hosted, self._probe.channels, picture=like.picture)


class _Tally:
    """Scores of one prediction after the other, and of all together: means of pictures, all pixels of label maps."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._scores: list[Scores] = []
        self._pairs: Int64 | None = None

    def add(self, prediction: Prediction, reference: Float32 | Int64) -> Scores:
        """Scores of ``prediction`` against a picture (1, C, H, W) or a label map (H, W)."""
        if self._task == "denoise":
            scores = score_restoration(prediction.restored, reference.astype(np.float32))
        else:
            classes, number = prediction.labels()
            pairs = count_label_pairs(classes, reference.astype(np.int64), number)
            self._pairs = pairs if self._pairs is None else self._pairs + pairs
            scores = score_segmentation(pairs)
        self._scores.append(scores)
        return scores

    def as_reference(self, prediction: Prediction) -> Float32 | Int64:
        """``prediction`` as something to be compared with."""
        if self._task == "segment":
            return prediction.labels()[0]
        return np.clip(prediction.restored, 0.0, 1.0).astype(np.float32)

    def overall(self) -> Scores:
        """Of all that were added; empty where none was."""
        if self._pairs is not None:
            return score_segmentation(self._pairs)
        names = self._scores[0] if self._scores else ()
        return {name: math.fsum(scores[name] for scores in self._scores) / len(self._scores) for name in names}
