"""The frames of a stream in a report: curves of what changed, of operations and of quality over the frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from snn_deploy.display.score_names import COMPARED, SCORES, format_score
from snn_deploy.evaluation.stream import LEADING, FrameScore, StreamEvaluation
from snn_deploy.report.charts import Line, lines
from snn_deploy.report.sections import View
from snn_deploy.report.tables import Table

STREAM = "Frames of the stream"
"""Heading of the section."""

UNITS = {"denoise": ("PSNR in dB", "dB", 1.0), "segment": ("accuracy in %", "points", 100.0)}
"""Of each task's leading score: how it is called, the unit of a loss in it, and by what it is multiplied."""


def show_stream(stream: StreamEvaluation) -> View:
    """Operations and changes of every frame, its scores and what it lost, and all frames together."""
    rows = [
        (label, *(format_score(name, scores.get(name)) for name in SCORES if name in _names(stream)))
        for kind, label in COMPARED.items()
        if (scores := getattr(stream.overall, kind))
    ]
    headings = ("all frames", *(SCORES[name] for name in SCORES if name in _names(stream)))
    return {
        "text": f"{stream}. The first frame is sent as a whole, later ones as their difference to the one before.",
        "charts": [_activity(stream), *_quality(stream)],
        "table": Table(headings, rows, numbers=tuple(range(1, len(headings)))) if rows else None,
    }


def _names(stream: StreamEvaluation) -> set[str]:
    return {*stream.overall.scores, *stream.overall.agreement}


def _activity(stream: StreamEvaluation) -> Markup:
    """Operations per MAC, and the share of neurons that sent."""
    frames = [frame.activity for frame in stream.frames]
    drawn = [Line("neurons that changed", [frame.changed / stream.neurons for frame in frames])]
    if stream.macs:
        drawn.insert(0, Line("operations per MAC", [frame.synaptic_operations / stream.macs for frame in frames]))
    return lines(drawn, "frame", "per frame")


def _quality(stream: StreamEvaluation) -> Iterator[Markup]:
    """Scores over the frames, and the loss where there is one."""
    if stream.task is None:
        return
    name, (score, unit, factor) = LEADING[stream.task], UNITS[stream.task]

    def values(kind: str) -> Sequence[float]:
        return [factor * getattr(frame.compared, kind)[name] for frame in stream.frames]

    kinds = ("scores", "model") if stream.overall.scores else ("agreement",)
    drawn = [Line(COMPARED[kind], values(kind)) for kind in kinds if getattr(stream.overall, kind)]
    yield lines(drawn, "frame", score)
    losses = [_loss(stream, frame, factor) for frame in stream.frames]
    known = [loss for loss in losses if loss is not None]
    if known:
        yield lines([Line("float network above the spiking one", known)], "frame", f"loss in {unit}")


def _loss(stream: StreamEvaluation, frame: FrameScore, factor: float) -> float | None:
    loss = frame.compared.loss(stream.task)
    return None if loss is None else factor * loss
