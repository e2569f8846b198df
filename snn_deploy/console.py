"""Where words go: results to standard output, progress and messages to standard error."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from snn_deploy.backend import Progress as Report

PLAIN_WIDTH = 160
"""Columns of a result that goes to a file or a pipe."""

STDOUT = Console(highlight=False)
if not STDOUT.is_terminal:
    STDOUT = Console(highlight=False, width=PLAIN_WIDTH)
STDERR = Console(stderr=True, highlight=False)


def show(renderable: RenderableType) -> None:
    """Print a table, a panel or text as a result."""
    STDOUT.print(renderable)


def show_json(value: Any) -> None:
    """Print ``value`` as JSON, for machines."""
    STDOUT.print_json(json.dumps(value, allow_nan=False))


def note(message: str) -> None:
    """A line for the person watching, not part of the result."""
    STDERR.print(message, markup=False)


@contextmanager
def progress(description: str) -> Iterator[Report]:
    """A progress bar on standard error (nothing where that is no terminal); yields ``report(done, total)``."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=STDERR, transient=True, disable=not STDERR.is_terminal) as bar:
        task = bar.add_task(description, total=None)

        def report(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield report
