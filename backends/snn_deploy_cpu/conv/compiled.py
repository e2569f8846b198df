"""What the compiled convolutions share: where currents come from and go to, and how large payloads are."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from snn_deploy.shapes import Pair
from snn_deploy_cpu.conv.geometry import Convolution, Fold, Maps
from snn_deploy_cpu.kernels.dispatch import nobody

Stored: TypeAlias = type[np.uint8] | type[np.int16]
Layout: TypeAlias = Callable[[Convolution, Stored], npt.NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Path:
    """A convolution that computes maps of ``size`` (H', W') from the payloads of ``source``, times ``scale``, a power of two.

    Where there is a ``fold``, ``form`` only multiplies, and it adds.
    """

    source: str
    form: Convolution
    scale: np.float32
    size: Pair
    fold: Fold | None = None
    _held: dict[tuple[Layout, Stored], npt.NDArray[Any]] = field(default_factory=dict, repr=False)

    @property
    def products(self) -> int:
        """Products of one map."""
        pixels = math.prod(self.size) // (math.prod(self.form.up) if self.fold is None else self.fold.factor**2)
        return pixels * int(self.form.weight.size)

    @property
    def depth(self) -> int:
        """Channels of the target."""
        return int(self.form.weight.shape[0]) // math.prod(self.form.up if self.fold is None else self.fold.kernel)

    def weights(self, layout: Layout, payload: Stored) -> npt.NDArray[Any]:
        """The weights that payloads of this format are multiplied by, in the order of ``layout``."""
        found = self._held.get((layout, payload))
        if found is None:
            found = self._held[layout, payload] = layout(self.form, payload)
        return found


@dataclass(frozen=True, eq=False)
class Sums(ABC):
    """How ``path`` is summed by a compiled loop: payloads (M, H, W, C) of its source to float32 currents.

    Only ``bits`` of a payload count. Payloads of 8 bits are summed in 16, as many ``at_once`` as are proved not to overflow;
    those of 16 bits in 32, which hold whatever the certificate lets float32 hold.
    """

    name: ClassVar[str]
    path: Path
    bits: int
    payload: Stored
    at_once: int | Pair

    def add(self, total: Maps | None, maps: Maps, first: int, last: int) -> Maps:
        """The currents (M, last - first, W', C') of rows of the target, in ``total`` where there is one."""
        out = self._room(maps.shape[0], last - first) if total is None else total
        self._compute(maps, first, total is None, out, nobody())
        return out

    def fire(self, total: Maps | None, maps: Maps, first: int, last: int, neurons: tuple[object, ...]) -> int:
        """The same, and every row of ``neurons`` advances when its currents are complete.

        :func:`snn_deploy_cpu.neurons.multi_threshold.ready` says what they are.

        Returns how many membranes were limited. Currents are not kept.
        """
        out = self._room(1, last - first) if total is None else total
        return self._compute(maps, first, total is None, out, neurons)

    def _room(self, maps: int, lines: int) -> Maps:
        """Currents of so many rows of so many maps, not set."""
        return np.empty((maps, lines, self.path.size[1], self.path.depth), np.float32)

    def _compute(self, maps: Maps, first: int, new: bool, out: Maps, neurons: tuple[object, ...]) -> int:
        """Currents written into ``out`` where it is ``new`` and added otherwise; returns how many membranes were limited."""
        if self.path.fold is None:
            return self._convolve(maps, first, new, out, neurons)
        return self._fold(self.path.fold, maps, first, new, out, neurons)

    @abstractmethod
    def _convolve(self, maps: Maps, first: int, new: bool, out: Maps, neurons: tuple[object, ...]) -> int:
        """The same without a fold."""

    @abstractmethod
    def _fold(self, fold: Fold, maps: Maps, first: int, new: bool, out: Maps, neurons: tuple[object, ...]) -> int:
        """The same with one."""


def ring_of(
    fold: Fold, width: int, columns: int, lanes: int, number: type[np.int16] | type[np.int32]
) -> npt.NDArray[Any]:
    """Room for products of rows of ``width``, zeros beside them; ``WIDE`` lanes can be read from any on."""
    from snn_deploy_cpu.kernels.simd import WIDE

    return np.zeros((fold.rows, fold.pixels(width, columns) + -(-WIDE // lanes), lanes), number)
