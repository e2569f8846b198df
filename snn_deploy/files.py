"""Files are written whole or not at all: a neighbour is filled, then takes the place of the old file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from snn_deploy.errors import ReportError, SnnDeployError


def write(path: Path, data: bytes | str) -> None:
    """Write ``data`` (text as UTF-8) to ``path`` atomically; :class:`ReportError` where that cannot be done."""
    with replacing(path) as partial:
        partial.write_bytes(data.encode() if isinstance(data, str) else data)


@contextmanager
def replacing(path: Path, failure: type[SnnDeployError] = ReportError) -> Iterator[Path]:
    """A neighbour of ``path`` to fill, which takes its place when all went well; ``failure`` where it cannot."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        raise failure(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        remove(partial)


def remove(path: Path) -> None:
    """Delete ``path`` where it exists; a file that is not there, or cannot be, is no error."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return


def check_writable(path: Path) -> None:
    """:class:`ReportError` where :func:`write` could not work; asked before minutes of work, not after them."""
    if path.is_dir():
        raise ReportError(f"{path}: is a folder; name a file in it")
    if not path.parent.is_dir():
        raise ReportError(f"{path}: folder {path.parent} does not exist; make it first")
    if not os.access(path.parent, os.W_OK):
        raise ReportError(f"{path}: folder {path.parent} may not be written to")
