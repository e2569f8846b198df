"""The history of ``make bench``: a line of JSON for every run, drawn and tabulated in ``docs/reference/performance.md``.

Runs of machines with different instructions cannot be compared, so each set of instructions has a panel and rows of its own.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

BEGIN, END = "<!-- history: begin -->", "<!-- history: end -->"
"""What ``make bench`` writes into the page stands between these."""

SHOWN = (
    "small, exact, N = 127, automatic",
    "medium, exact, N = 127, automatic",
    "medium, rate, T = 32, automatic",
    "large, exact, N = 127, automatic",
)
"""Columns of the table, and lines of the drawing."""


@dataclass(frozen=True)
class BenchRun:
    """One run: ``figures`` are passes of the float network by "network, run, engine", ``load`` that at the end of the run."""

    date: str
    commit: str
    machine: str
    cores: int
    instruction_set: str
    load: float
    versions: Mapping[str, str]
    figures: Mapping[str, float]

    @classmethod
    def parse(cls, line: str) -> BenchRun:
        """From the line that :func:`append_run` wrote; ``TypeError`` for other fields."""
        return cls(**json.loads(line))


def name_commit(root: Path) -> str:
    """Short name of the commit at ``root``, with ``+`` where files outside of docs differ from it; "" outside of a repository."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, text=True, check=False
        ).stdout.strip()

    name = git("rev-parse", "--short", "HEAD")
    return f"{name}+" if name and git("status", "--porcelain", "--untracked-files=no", "--", ":!docs") else name


def append_run(path: Path, run: BenchRun) -> None:
    """Add one line to the file at ``path``."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(run)) + "\n")


def read_runs(path: Path) -> tuple[BenchRun, ...]:
    """All runs, as they were made."""
    return tuple(map(BenchRun.parse, path.read_text(encoding="utf-8").splitlines()))


def tabulate(runs: Sequence[BenchRun]) -> str:
    """A Markdown table, newest last; a figure that was not measured is "-"."""
    heads = ("date", "commit", "instructions", "load", *(name.removesuffix(", automatic") for name in SHOWN))
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for run in runs:
        figures = (f"{run.figures[name]:.3g}" if name in run.figures else "-" for name in SHOWN)
        cells = (run.date, run.commit or "-", f"{run.instruction_set}, {run.cores} cores", f"{run.load:.1f}", *figures)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(runs: Sequence[BenchRun], path: Path) -> None:
    """Passes over runs, a panel for each set of instructions."""
    sets = list(dict.fromkeys(run.instruction_set for run in runs))
    figure, panels = plt.subplots(1, len(sets), figsize=(4.5 * len(sets), 3.5), layout="constrained", squeeze=False)
    for axes, name in zip(panels.flat, sets, strict=True):
        chosen = [run for run in runs if run.instruction_set == name]
        for shown in SHOWN:
            points = [(place, run.figures[shown]) for place, run in enumerate(chosen) if shown in run.figures]
            if points:
                axes.plot(*zip(*points, strict=True), marker="o", ms=4, label=shown.removesuffix(", automatic"))
        axes.set(yscale="log", title=name, ylabel="passes of the float network")
        axes.set_xticks(range(len(chosen)), [f"{run.date}\n{run.commit}" for run in chosen], fontsize=7)
        if axes.lines:
            axes.legend(fontsize=7)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def update_page(page: Path, table: str, picture: str) -> None:
    """Put ``table`` and ``picture`` between the marks of ``page``; ``ValueError`` where it has none."""
    text = page.read_text(encoding="utf-8")
    before, begun, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not begun or not ended:
        raise ValueError(f"{page}: has no lines {BEGIN} and {END}, between which the history stands; put them in")
    shown = f"![Passes of the float network over runs of make bench]({picture})"
    page.write_text(f"{before}{BEGIN}\n\n{table}\n\n{shown}\n\n{END}{after}", encoding="utf-8")


def figures_of(rows: Sequence[Sequence[Any]]) -> dict[str, float]:
    """Passes by "network, run, engine", from rows that begin with these four cells."""
    return {", ".join(map(str, row[:3])): float(row[3]) for row in rows}
