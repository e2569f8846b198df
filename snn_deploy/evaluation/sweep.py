"""Sweeps over a grid of settings and their Pareto front: parallel, resumable, with progress after every point.

The function that is swept maps the settings of one point to its scores, so this module is independent of models. Results
are appended to a JSON-lines journal as they arrive; a restarted sweep reads it and computes the missing points. The
first line has the grid's name and digest, so that results of different sweeps are never mixed. A crash can truncate the
last line, which is then dropped.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias

from snn_deploy import files
from snn_deploy.errors import ReportError, SnnDeployError
from snn_deploy.workers import spread

Value: TypeAlias = str | int | float | bool
Settings: TypeAlias = dict[str, Value]
Scores: TypeAlias = dict[str, float]
Goal = Literal["min", "max"]


@dataclass(frozen=True)
class Grid:
    """Every combination of ``axes``, the last axis fastest. ``name`` identifies what is swept, such as a model's digest."""

    name: str
    axes: tuple[tuple[str, tuple[Value, ...]], ...]

    def __post_init__(self) -> None:
        names = [name for name, _ in self.axes]
        if len(set(names)) != len(names):
            raise ReportError(f"sweep {self.name}: two axes share a name: {', '.join(names)}")
        empty = [name for name, values in self.axes if not values or len(set(map(repr, values))) != len(values)]
        if not self.axes or empty:
            raise ReportError(
                f"sweep {self.name}: every axis needs values without duplicates: {', '.join(empty) or 'there are no axes'}"
            )

    def points(self) -> tuple[Settings, ...]:
        """All settings in order."""
        names = [name for name, _ in self.axes]
        return tuple(
            dict(zip(names, values, strict=True)) for values in itertools.product(*(axis for _, axis in self.axes))
        )

    @property
    def digest(self) -> str:
        """SHA-256 of the name and the axes' names, so that a journal stays valid when values are added to an axis."""
        return hashlib.sha256(json.dumps([self.name, sorted(name for name, _ in self.axes)]).encode()).hexdigest()


def parse_axis(text: str) -> tuple[str, tuple[Value, ...]]:
    """``"steps=8,16"`` as an axis; integers, floats, true and false are recognised, all else is text."""
    name, sign, values = text.partition("=")
    if not sign or not name.strip() or not values.strip():
        raise ReportError(f"axis {text!r} is not of the form name=value,value")
    return name.strip(), tuple(_value(value.strip()) for value in values.split(","))


def _value(text: str) -> Value:
    if text in ("true", "false"):
        return text == "true"
    if re.fullmatch(r"[+-]?\d+", text):
        return int(text)
    if re.fullmatch(r"[+-]?(\d+\.\d*|\.?\d+)([eE][+-]?\d+)?", text):
        return float(text)
    return text


@dataclass(frozen=True)
class Point:
    """One result: the scores, or the error that prevented them."""

    settings: Settings
    scores: Scores
    error: str | None = None


Progress: TypeAlias = Callable[[int, int, Point | None], None]
"""Called with (done, total, newest point)."""


def sweep(
    grid: Grid,
    score: Callable[[Settings], Mapping[str, float]],
    *,
    journal: Path | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    progress: Progress | None = None,
) -> tuple[Point, ...]:
    """Score every point of ``grid``, in grid order, by ``workers`` processes or those of ``scheduler``.

    ``score`` must then be a value that survives pickling (:func:`snn_deploy.workers.spread`). A :class:`SnnDeployError`
    becomes the point's ``error`` and the sweep continues; any other error stops it, with all finished points in the journal.
    """
    points = grid.points()
    done = _read(journal, grid) if journal is not None else {}
    done = {_key(point): done[_key(point)] for point in points if _key(point) in done}
    if progress is not None:
        progress(len(done), len(points), None)

    def keep(point: Point) -> None:
        done[_key(point.settings)] = point
        if journal is not None:
            files.append(journal, _line({"settings": point.settings, "scores": point.scores, "error": point.error}))
        if progress is not None:
            progress(len(done), len(points), point)

    missing = [point for point in points if _key(point) not in done]
    for _, point in spread(
        partial(_score, score), missing, scheduler=scheduler, workers=min(workers, len(missing) or 1)
    ):
        keep(point)
    return tuple(done[_key(point)] for point in points)


def _score(score: Callable[[Settings], Mapping[str, float]], settings: Settings) -> Point:
    try:
        scores = {name: float(value) for name, value in score(dict(settings)).items()}
    except SnnDeployError as error:
        return Point(settings, {}, f"{type(error).__name__}: {error}")
    odd = [name for name, value in scores.items() if not math.isfinite(value)]
    return Point(settings, {}, f"not finite: {', '.join(odd)}") if odd else Point(settings, scores)


def _key(settings: Settings) -> str:
    return json.dumps(settings, sort_keys=True)


def _line(record: Mapping[str, object]) -> str:
    return json.dumps(record, sort_keys=True)


def _read(journal: Path, grid: Grid) -> dict[str, Point]:
    """Finished points of ``journal``, which is begun or repaired; points that failed are computed again."""
    head = _line({"sweep": grid.name, "digest": grid.digest})
    text = _journal_text(journal)
    whole, line_feed, cut = text.rpartition("\n")
    if not line_feed and head.startswith(cut):  # absent, empty or cut inside the first line
        files.write(journal, f"{head}\n")
        return {}
    try:
        header, *lines = [json.loads(line) for line in (whole or text).splitlines()]
        if header["digest"] != grid.digest:
            raise ReportError(
                f"{journal}: belongs to another sweep ({header['sweep']!r}); choose another file or remove it"
            )
        points = [Point(line["settings"], line["scores"], line["error"]) for line in lines]
    except (ValueError, KeyError, TypeError) as error:
        raise ReportError(f"{journal}: not a sweep journal ({type(error).__name__}); choose another file") from error
    if cut:
        files.write(journal, f"{whole}\n")
    return {_key(point.settings): point for point in points if point.error is None}


def _journal_text(journal: Path) -> str:
    """The content of ``journal``; empty where it does not exist yet."""
    try:
        return journal.read_text("utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ReportError(f"{journal}: cannot be read: {reason}; choose another file") from error


def select_pareto_front(points: Sequence[Point], goals: Mapping[str, Goal]) -> tuple[Point, ...]:
    """The points that are not dominated by any other, in the given order, without failed ones."""
    if not goals:
        raise ReportError("a Pareto front needs at least one goal")
    scored = [point for point in points if point.error is None]
    missing = sorted({name for point in scored for name in goals if name not in point.scores})
    if missing:
        raise ReportError(f"scores do not include {', '.join(missing)}; available are {', '.join(scored[0].scores)}")

    def signed(point: Point) -> tuple[float, ...]:
        return tuple(point.scores[name] * (1 if goal == "min" else -1) for name, goal in goals.items())

    def dominated(candidate: tuple[float, ...]) -> bool:
        return any(
            other != candidate and all(a <= b for a, b in zip(other, candidate, strict=True))
            for other in map(signed, scored)
        )

    return tuple(point for point in scored if not dominated(signed(point)))
