"""Typed access to one record of an artifact's manifest and to the tensors that it names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from snn_deploy.arrays import Array, Float64, Int8, Int64, Scalar
from snn_deploy.errors import ArtifactError

Record: TypeAlias = dict[str, Any]

Value = TypeVar("Value", str, bool, int)


@dataclass(frozen=True, eq=False)
class RecordReader:
    """The fields of ``record`` by name; :class:`ArtifactError` where one has another type, ``KeyError`` where it is missing.

    Arrays are stored as tensors of their own; the record holds their names in ``tensors``.
    """

    record: Record
    tensors: Mapping[str, Array]

    def __contains__(self, name: str) -> bool:
        """Whether there is a field ``name``."""
        return name in self.record

    def nested(self, name: str) -> RecordReader:
        """The record in field ``name``."""
        return RecordReader(self.record[name], self.tensors)

    def several(self, name: str) -> tuple[RecordReader, ...]:
        """The records in field ``name``."""
        return tuple(RecordReader(record, self.tensors) for record in self.record[name])

    def text(self, name: str) -> str:
        """A string."""
        return self._typed(name, self.record[name], str, "a string")

    def texts(self, name: str) -> tuple[str, ...]:
        """Strings."""
        return tuple(self._typed(name, value, str, "a string") for value in self.record[name])

    def flag(self, name: str) -> bool:
        """True or false."""
        return self._typed(name, self.record[name], bool, "true or false")

    def integer(self, name: str) -> int:
        """An integer, not a boolean."""
        return self._typed(name, self.record[name], int, "an integer")

    def integer_or_none(self, name: str) -> int | None:
        """An integer, or null."""
        return None if self.record[name] is None else self.integer(name)

    def number(self, name: str) -> float:
        """A number with a fraction, written with a point or an exponent."""
        value = self.record[name]
        if type(value) is not float:
            raise ArtifactError(f"{name}: {value!r} stands where a number with a fraction belongs")
        return value

    def numbers(self, name: str) -> tuple[float, ...]:
        """Numbers with fractions."""
        values = self.record[name]
        if not isinstance(values, list) or any(type(value) is not float for value in values):
            raise ArtifactError(f"{name}: {values!r} stands where numbers with fractions belong")
        return tuple(values)

    def pair(self, name: str) -> tuple[int, int]:
        """Two integers."""
        first, second = self._integers(name, 2)
        return first, second

    def triple(self, name: str) -> tuple[int, int, int]:
        """Three integers."""
        first, second, third = self._integers(name, 3)
        return first, second, third

    def quadruple(self, name: str) -> tuple[int, int, int, int]:
        """Four integers."""
        first, second, third, fourth = self._integers(name, 4)
        return first, second, third, fourth

    def int8_array(self, name: str) -> Int8:
        """A tensor of int8."""
        return self._array(name, np.int8)

    def int64_array(self, name: str) -> Int64:
        """A tensor of int64."""
        return self._array(name, np.int64)

    def float64_array(self, name: str) -> Float64:
        """A tensor of float64."""
        return self._array(name, np.float64)

    def _integers(self, name: str, length: int) -> tuple[int, ...]:
        values = self.record[name]
        if not isinstance(values, list) or len(values) != length:
            raise ArtifactError(f"{name}: {values!r} stands where {length} integers belong")
        return tuple(self._typed(name, value, int, "an integer") for value in values)

    @staticmethod
    def _typed(name: str, value: object, kind: type[Value], words: str) -> Value:
        """``value`` of field ``name``, which is exactly of type ``kind``: ``True`` is not an integer."""
        if type(value) is not kind:
            raise ArtifactError(f"{name}: {value!r} stands where {words} belongs")
        return value

    def _array(self, name: str, dtype: type[Scalar]) -> npt.NDArray[Scalar]:
        tensor = self.record[name]
        if self.tensors[tensor].dtype != dtype:
            raise ArtifactError(f"{tensor} is {self.tensors[tensor].dtype}, not {np.dtype(dtype)}")
        return self.tensors[tensor]
