"""What the command line says of images outside of a network's range: one line on standard error, one field of ``--json``."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from snn_deploy.errors import ClippedInputWarning


@contextmanager
def noting_clipping(parsed: argparse.Namespace) -> Iterator[None]:
    """Every :class:`ClippedInputWarning` inside becomes a note, each text once; ``parsed.clipped`` holds them."""
    from snn_deploy.display.console import note

    found: dict[str, ClippedInputWarning] = {}
    parsed.clipped = found
    with warnings.catch_warnings():
        warnings.simplefilter("always", ClippedInputWarning)
        others = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if not isinstance(message, ClippedInputWarning):
                others(message, category, filename, lineno, file, line)
            elif str(message) not in found:
                found[str(message)] = message
                note(f"warning: {message}")

        warnings.showwarning = show
        yield


def record_clipping(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """The worst clipping of this run for ``--json``; ``None`` where no image was outside of its network's range."""
    worst = max(arguments.clipped.values(), key=lambda warning: warning.share, default=None)
    if worst is None:
        return None
    return {"share": worst.share, "extreme": worst.extreme, "low": worst.low, "high": worst.high}
