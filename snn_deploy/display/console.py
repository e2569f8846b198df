"""Where words go: results to standard output, progress and messages to standard error."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from snn_deploy.backend.protocol import Progress as Report
from snn_deploy.display.columns import fit

PLAIN_WIDTH = 160
"""Columns of a result that goes to a file or a pipe."""

QUIET, NORMAL, VERBOSE = -1, 0, 1

STDOUT = Console(highlight=False)
if not STDOUT.is_terminal:
    STDOUT = Console(highlight=False, width=PLAIN_WIDTH)
STDERR = Console(stderr=True, highlight=False)

_verbosity = NORMAL


def set_verbosity(verbosity: int) -> None:
    """``QUIET``: results and errors only; ``VERBOSE``: also where every number comes from."""
    global _verbosity
    _verbosity = max(QUIET, min(VERBOSE, verbosity))


def verbose() -> bool:
    """Whether the user asked for everything."""
    return _verbosity == VERBOSE


def show(renderable: RenderableType, *, silent: Collection[str] = (), optional: Sequence[str] = ()) -> None:
    """Print a table or text as a result; for ``silent`` and ``optional`` columns see :func:`snn_deploy.display.columns.fit`."""
    if isinstance(renderable, Table):
        STDOUT.print(fit(renderable, STDOUT.width, silent=silent, optional=optional), "")
    elif isinstance(renderable, str):
        STDOUT.print(renderable, soft_wrap=not STDOUT.is_terminal, markup=False)
    else:
        STDOUT.print(renderable)


def show_json(value: Any) -> None:
    """Print ``value`` as JSON, for machines."""
    STDOUT.print(json.dumps(value, allow_nan=False, indent=2), soft_wrap=True, markup=False)


def note(message: str) -> None:
    """A line for the person watching, not part of the result."""
    if _verbosity > QUIET:
        STDERR.print(message, markup=False, soft_wrap=not STDERR.is_terminal)


@contextmanager
def progress(description: str) -> Iterator[Report]:
    """A progress bar on a terminal's standard error, or in a notebook; yields ``report(done, total)``."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    disabled = not (STDERR.is_terminal or _live_notebook()) or _verbosity == QUIET
    with Progress(*columns, console=STDERR, transient=True, disable=disabled) as bar:
        task = bar.add_task(description, total=None)

        def report(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield report


def _live_notebook() -> bool:
    """Whether this is a notebook in which rich can redraw; without ipywidgets it can only complain."""
    return STDERR.is_jupyter and find_spec("ipywidgets") is not None
