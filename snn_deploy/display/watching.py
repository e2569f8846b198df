"""A progress bar for functions that are also used where rich is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from snn_deploy.backend.protocol import Progress


@contextmanager
def watched(description: str) -> Iterator[Progress | None]:
    """A progress bar, where rich is installed: functions need NumPy and ONNX only."""
    try:
        from snn_deploy.display.console import progress
    except ModuleNotFoundError:
        yield None
        return
    with progress(description) as report:
        yield report
