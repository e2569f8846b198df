"""Memory that is used again.

Memory fresh from the system costs about as much, page by page, as the neurons' thresholds that fill it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Rooms:
    """Arrays that are given back when nobody reads them any more. Threads may share it."""

    def __init__(self) -> None:
        self._unused: defaultdict[int, list[npt.NDArray[np.uint8]]] = defaultdict(list)
        self._lock = Lock()

    def take(self, shape: tuple[int, ...], number: npt.DTypeLike) -> Array:
        """An array, not set."""
        size = math.prod(shape) * np.dtype(number).itemsize
        with self._lock:
            blocks = self._unused[size]
            block = blocks.pop() if blocks else np.empty(size, np.uint8)
        return block.view(number).reshape(shape)

    def give(self, array: Array) -> None:
        """Give back what :meth:`take` returned."""
        block = array.base
        if isinstance(block, np.ndarray):
            with self._lock:
                self._unused[block.nbytes].append(block)

    def trim(self, most: int) -> None:
        """Let go of what is unused, largest arrays first, until it is ``most`` bytes or less."""
        with self._lock:
            total = sum(size * len(blocks) for size, blocks in self._unused.items())
            for size in sorted(self._unused, reverse=True):
                while self._unused[size] and total > most:
                    self._unused[size].pop()
                    total -= size
