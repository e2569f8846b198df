"""Memory that is used again.

Memory fresh from the system costs about as much, page by page, as the neurons' thresholds that fill it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from threading import Lock

import numpy as np
import numpy.typing as npt

from snn_deploy.arrays import Array


class BufferPool:
    """Buffers that are released when no later layer reads them. Threads may share it."""

    def __init__(self) -> None:
        self._unused: defaultdict[int, list[npt.NDArray[np.uint8]]] = defaultdict(list)
        self._lock = Lock()

    def acquire(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
        """An array of this shape and format, its values undefined."""
        # buffers are bytes, found by their size, so that a later layer of another format can have them
        size = math.prod(shape) * np.dtype(dtype).itemsize
        with self._lock:
            buffers = self._unused[size]
            buffer = buffers.pop() if buffers else np.empty(size, np.uint8)
        return buffer.view(dtype).reshape(shape)

    def release(self, array: Array) -> None:
        """Return what :meth:`acquire` gave; it may be given to others at once."""
        buffer = array.base
        if isinstance(buffer, np.ndarray):
            with self._lock:
                self._unused[buffer.nbytes].append(buffer)

    def trim(self, max_bytes: int) -> None:
        """Free unused buffers, largest first, until they have ``max_bytes`` or less."""
        with self._lock:
            total = sum(size * len(buffers) for size, buffers in self._unused.items())
            for size in sorted(self._unused, reverse=True):
                while self._unused[size] and total > max_bytes:
                    self._unused[size].pop()
                    total -= size
