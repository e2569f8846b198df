"""An estimate for work that takes longer than a minute, said once, from the pace of its first parts."""

from __future__ import annotations

import time
from collections.abc import Callable

PACE_SECONDS = 3.0
"""Seconds of work before its pace is trusted: the first parts load libraries and compile."""

LONG_SECONDS = 60.0
"""Remaining seconds that are worth a line."""


class Remaining:
    """Watches one piece of work; ``clock`` counts seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._started = clock, clock()
        self._said = False

    def estimate(self, done: int, total: int) -> str | None:
        """How long the rest takes if it goes on at this pace, the first time that this is known and long; else ``None``.

        Work that reports 0 parts has ended its preparations: its pace counts from there.
        """
        now = self._clock()
        if done == 0:
            self._started = now
        elapsed = now - self._started
        if self._said or not 0 < done < total or elapsed < PACE_SECONDS:
            return None
        remaining = elapsed / done * (total - done)
        if remaining < LONG_SECONDS:
            return None
        self._said = True
        return (
            f"{done} of {total} parts took {elapsed:.0f} s; the rest takes about {_describe(remaining)} (Ctrl-C stops)"
        )


def _describe(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes == 1:
        return "a minute"
    return f"{minutes} minutes" if minutes < 120 else f"{round(seconds / 3600)} hours"
