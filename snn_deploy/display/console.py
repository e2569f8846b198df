"""Where words go: results to standard output, progress and messages to standard error."""

from __future__ import annotations

import json
import math
import os
import shlex
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import Any, Protocol

from rich.console import Console, RenderableType
from rich.table import Table

from snn_deploy import __version__
from snn_deploy.display.columns import fit
from snn_deploy.display.names import visible
from snn_deploy.display.remaining import Remaining
from snn_deploy.errors import ReportError

PLAIN_WIDTH = 160
"""Columns of a result that goes to a file or a pipe."""

SCHEMA_VERSION = 1
"""Of every kind of JSON object; a kind whose fields are renamed, removed or change their meaning gets the next one."""

QUIET, NORMAL, VERBOSE = -1, 0, 1


class _Console(Console):
    """Shows text as it is, and leaves a closed pipe to :func:`writing`."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **settings)

    def on_broken_pipe(self) -> None:
        """Called while the error is handled; rich would exit with status 1, which is that of a difference."""
        raise


STDOUT = _Console()
if not STDOUT.is_terminal:
    STDOUT = _Console(width=PLAIN_WIDTH)
STDERR = _Console(stderr=True)

_verbosity = NORMAL


def set_verbosity(verbosity: int) -> None:
    """``QUIET``: results and errors only; ``VERBOSE``: also where every number comes from."""
    global _verbosity
    _verbosity = max(QUIET, min(VERBOSE, verbosity))


def verbose() -> bool:
    """Whether the user asked for everything."""
    return _verbosity == VERBOSE


@contextmanager
def writing() -> Iterator[None]:
    """What is printed inside reaches standard output, or :class:`ReportError` says why not; nothing waits in a buffer."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError as error:
        with suppress(OSError):  # the interpreter would try again, and fail again, when it ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise ReportError(f"standard output: {error.strerror or error}; the result is incomplete") from error


def show(renderable: RenderableType, *, silent: Collection[str] = (), optional: Sequence[str] = ()) -> None:
    """Print a table or text as a result; for ``silent`` and ``optional`` columns see :func:`snn_deploy.display.columns.fit`."""
    with writing():
        if isinstance(renderable, Table):
            STDOUT.print(fit(renderable, STDOUT.width, silent=silent, optional=optional), "")
        elif isinstance(renderable, str):
            STDOUT.print(visible(renderable, lines=True), soft_wrap=not STDOUT.is_terminal)
        else:
            STDOUT.print(renderable)


def show_json(kind: str, record: Mapping[str, Any]) -> None:
    """Print ``record`` as a JSON object, for machines, after its schema and the version of the package that wrote it."""
    show_raw(encode_json(kind, record))


def encode_json(kind: str, record: Mapping[str, Any]) -> str:
    """``record`` as text that the file ``snn_deploy/schemas/KIND.json`` describes; names come back from it unchanged.

    JSON has no infinity: such numbers are the strings ``"Infinity"``, ``"-Infinity"`` and ``"NaN"``, which ``float`` of
    Python and ``Number`` of JavaScript read back; ``null`` stays what was not computed.
    """
    head = {"schema": f"{kind}/{SCHEMA_VERSION}", "version": __version__}
    return json.dumps(_writable({**head, **record}), allow_nan=False, indent=2)


def _writable(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return json.dumps(float(value))  # the names that JSON's own extensions use
    if isinstance(value, Mapping):
        return {key: _writable(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_writable(entry) for entry in value]
    return value


def show_raw(text: str) -> None:
    """Print ``text`` for machines, as it is."""
    with writing():
        sys.stdout.write(text + "\n")


def note(message: str) -> None:
    """A line for the person watching, not part of the result."""
    if _verbosity > QUIET:
        with suppress(OSError):  # a message that cannot be written is not a reason to fail
            STDERR.print(visible(message, lines=True), soft_wrap=not STDERR.is_terminal)


def suggest_next(*words: object) -> None:
    """The command that usually follows, as a shell takes it; words in capitals are for the person watching to replace."""
    note(f"next: {shlex.join(map(str, words))}")


class Report(Protocol):
    """Told how far work is; ``detail`` stands beside its description from then on."""

    def __call__(self, done: int, total: int, detail: str = "") -> None:
        """``done`` of ``total`` parts are done."""


@contextmanager
def progress(description: str) -> Iterator[Report]:
    """A progress bar on a terminal's standard error, or in a notebook; yields ``report(done, total, detail)``.

    Where the work will take more than a minute, a line says so, in a terminal or not.
    """
    from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    disabled = not (STDERR.is_terminal or _live_notebook()) or _verbosity == QUIET
    with Progress(*columns, console=STDERR, transient=True, disable=disabled) as bar:
        task = bar.add_task(visible(description), total=None)
        remaining = Remaining()

        def report(done: int, total: int, detail: str = "") -> None:
            told = f"{description}: {detail}" if detail else description
            bar.update(task, completed=done, total=total, description=visible(told))
            if estimate := remaining.estimate(done, total):
                note(f"{description}: {estimate}")

        yield report


def _live_notebook() -> bool:
    """Whether this is a notebook in which rich can redraw; without ipywidgets it can only complain."""
    return STDERR.is_jupyter and find_spec("ipywidgets") is not None
