"""What a run records, in the formats in which it was computed; it is widened and transposed when it is read.

As int64 the counts of a photograph fill eight times the memory that its payloads need; writing all of them out would
cost more than the simulation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from snn_deploy.arrays import Array

Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True, eq=False)
class LazyMaps(Mapping[str, npt.NDArray[Scalar]], Generic[Scalar]):
    """Maps by population, arrays (..., H, W, C) of any integer-valued format, read as contiguous (..., C, H, W) of ``dtype``.

    With ``nonzero`` each value reads as 1 where it is not 0. Every access converts again.
    """

    arrays: Mapping[str, Array]
    dtype: type[Scalar]
    nonzero: bool = False

    def __getitem__(self, name: str) -> npt.NDArray[Scalar]:
        values = self.arrays[name]
        if self.nonzero:
            values = values != 0
        # one pass: transposed and widened together
        return np.ascontiguousarray(np.moveaxis(values, -1, -3), dtype=self.dtype)

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)


@dataclass(frozen=True, eq=False)
class CarriedMaps(LazyMaps[Scalar]):
    """Maps of a stream, whose arrays the next frame changes in place unless they are detached first."""

    def detach(self) -> None:
        """Copy the arrays, so that they stay as they are."""
        object.__setattr__(self, "arrays", {name: values.copy() for name, values in self.arrays.items()})
