"""Typed access to the entries of one layer of a ``.net`` file; every error names the layer and the entry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from snn_deploy.arrays import Array, Int64, lies_within, round_to_int64
from snn_deploy.errors import NetworkError
from snn_deploy.network.limits import STATE_MAX


@dataclass(frozen=True, eq=False)
class Entries:
    """The group ``where`` of a file: names to arrays, or to groups of their own."""

    where: str
    values: Mapping[str, Any]

    @classmethod
    def of(cls, where: str, group: Any) -> Entries:
        """Everything in an h5py group, read."""
        return cls(
            where,
            {
                name: cls.of(where, entry) if hasattr(entry, "keys") else np.asarray(entry[()])
                for name, entry in group.items()
            },
        )

    def __contains__(self, name: str) -> bool:
        """Whether there is an entry ``name``."""
        return name in self.values

    def group(self, name: str) -> Entries:
        """The group ``name``."""
        value = self.values[name]
        if not isinstance(value, Entries):
            raise NetworkError(f"{self.where}: {name} holds numbers where entries with names belong")
        return value

    def refuse_unknown(self, what: str, known: Iterable[str]) -> None:
        """:class:`NetworkError` for entries besides ``known``, which would change the result."""
        surplus = sorted(set(self.values) - set(known))
        if surplus:
            raise NetworkError(
                f"{self.where}: {what} with {', '.join(surplus)} is not supported; remove it in the model"
            )

    def text(self, name: str) -> str:
        """The string that an entry holds, alone or as an array of one."""
        value = np.asarray(self.values[name]).reshape(-1)[0]
        return value.decode() if isinstance(value, bytes) else str(value)

    def integers(self, name: str) -> Int64:
        """The integers that an entry holds."""
        values = self._numbers(name)
        if np.any(values != np.rint(values)):
            raise NetworkError(
                f"{self.where}: {name} holds fractions, which lava-dl would cut off; export it quantized"
            )
        return round_to_int64(values)

    def cut(self, name: str) -> int:
        """The one number that an entry holds, without its fraction, as lava-dl reads it."""
        return int(self._single(name, self._numbers(name)))

    def whole(self, name: str) -> int:
        """The one integer that an entry holds."""
        return int(self._single(name, self.integers(name)))

    def pair(self, name: str) -> tuple[int, int]:
        """The two integers of an entry, (y, x); one number stands for both."""
        values = self.integers(name)
        if values.ndim == 0:
            return int(values), int(values)
        if values.shape != (2,):
            raise NetworkError(f"{self.where}: {name} has shape {values.shape}; it holds one or two numbers")
        return int(values[0]), int(values[1])

    def flag(self, name: str) -> bool:
        """Whether an entry holds anything but 0; ``False`` where it is absent."""
        return name in self and bool(np.any(np.asarray(self.values[name]).astype(bool)))

    def _numbers(self, name: str) -> Array:
        value = self.values[name]
        if isinstance(value, Entries):
            raise NetworkError(
                f"{self.where}: {name} is in {len(value.values)} parts ({', '.join(value.values)}), not numbers"
            )
        values = np.asarray(value)
        if values.dtype.kind not in "iuf":
            raise NetworkError(f"{self.where}: {name} holds {values.dtype} values, which are not real numbers")
        if values.size and not lies_within(values, -STATE_MAX, STATE_MAX):
            raise NetworkError(
                f"{self.where}: {name} spans {values.min()}..{values.max()}; at most {STATE_MAX} is read"
            )
        return values

    def _single(self, name: str, values: Array) -> Any:
        if values.size != 1:
            raise NetworkError(f"{self.where}: {name} holds {values.size} numbers, not one")
        return values.reshape(-1)[0]
