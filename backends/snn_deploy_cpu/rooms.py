"""Memory that is used again.

Memory fresh from the system costs about as much, page by page, as the neurons' thresholds that fill it.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Rooms:
    """Arrays that are given back when nobody reads them any more, at most ``most`` bytes of them unused.

    Threads may share it.
    """

    def __init__(self, most: int) -> None:
        self._most, self._unused = most, 0
        self._blocks: defaultdict[int, list[npt.NDArray[np.uint8]]] = defaultdict(list)

    def take(self, shape: tuple[int, ...], number: npt.DTypeLike) -> Array:
        """An array, not set."""
        size = int(np.prod(shape)) * np.dtype(number).itemsize
        try:
            block = self._blocks[size].pop()
            self._unused -= size
        except IndexError:
            block = np.empty(size, np.uint8)
        return block.view(number).reshape(shape)

    def give(self, array: Array) -> None:
        """Give back what :meth:`take` returned."""
        block = array.base
        if isinstance(block, np.ndarray) and self._unused + block.nbytes <= self._most:
            self._blocks[block.nbytes].append(block)
            self._unused += block.nbytes
