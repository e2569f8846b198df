"""Arrays by dtype, and the one door through which they enter frozen values: copied, checked, read-only."""

from __future__ import annotations

from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
"""An array of any dtype; the docstring beside it says which."""

Bool: TypeAlias = npt.NDArray[np.bool_]
Int8: TypeAlias = npt.NDArray[np.int8]
Int32: TypeAlias = npt.NDArray[np.int32]
Int64: TypeAlias = npt.NDArray[np.int64]
Float32: TypeAlias = npt.NDArray[np.float32]
Float64: TypeAlias = npt.NDArray[np.float64]

Scalar = TypeVar("Scalar", bound=np.generic)


def freeze(values: npt.ArrayLike, dtype: type[Scalar]) -> npt.NDArray[Scalar]:
    """A read-only, C-contiguous copy of ``values`` as ``dtype``; ``ValueError`` where a value would change.

    Integers never wrap and fractions are never cut: ``frozen([1.5], np.int64)`` and ``frozen([300], np.int8)`` raise.
    """
    given = np.asarray(values)
    with np.errstate(invalid="ignore"):
        cast = np.array(given, dtype=dtype, order="C", copy=True)
    if np.issubdtype(dtype, np.integer) and not np.array_equal(cast, given):
        raise ValueError(f"values from {given.min()} to {given.max()} ({given.dtype}) do not fit {np.dtype(dtype)}")
    cast.flags.writeable = False
    return cast


def round_to_int64(values: Array) -> Int64:
    """``rint(values)``, ties to even; ``ValueError`` where one is not finite or beyond +-2**53.

    ``astype`` alone makes the least int64 of NaN, of infinity and of all that does not fit.
    """
    if not lies_within(values, -(2**53), 2**53):
        raise ValueError(
            f"values from {values.min():g} to {values.max():g} have no exact integers; +-2**53 is the limit"
        )
    return np.rint(values).astype(np.int64)


def lies_within(values: Array, least: float, greatest: float) -> bool:
    """Whether every one of ``values`` lies in ``least..greatest``, both included; NaN does not, an empty array does.

    Not by ``np.abs``: the magnitude of the least int64 does not fit int64, and NumPy gives it back negative.
    """
    return values.size == 0 or bool(values.min() >= least and values.max() <= greatest)


def find_largest_magnitude(values: Array) -> int:
    """Largest magnitude of integers ``values``, exact for the least int64 too; 0 for an empty array."""
    return max(-int(values.min()), int(values.max())) if values.size else 0
