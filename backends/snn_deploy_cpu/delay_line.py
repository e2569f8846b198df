"""Payloads that arrive later in a window than they were sent in it: a delay line from chunk to chunk of steps."""

from __future__ import annotations

import numpy as np

from snn_deploy.arrays import Array
from snn_deploy_cpu.conv.geometry import Maps


class DelayLine:
    """What a connection carries, ``lag`` (at least 1) steps later; empty at the start of a window."""

    def __init__(self, lag: int, images: int) -> None:
        self._maps = lag * images
        self._pending: Maps | None = None

    def shift(self, x: Maps) -> Maps:
        """The payloads (steps * images, H, W, C) that arrive while ``x`` of the same shape are sent."""
        pending = np.zeros((self._maps, *x.shape[1:]), x.dtype) if self._pending is None else self._pending
        line: Array = np.concatenate((pending, x))
        self._pending = line[len(x) :]
        return line[: len(x)]

    @property
    def is_empty(self) -> bool:
        """Whether no event is on its way."""
        return self._pending is None or not np.any(self._pending)
