"""Names for new values: passes and exporters ask here, so that none ever meets a name of the model."""

from __future__ import annotations

from collections.abc import Iterable


class Names:
    """The names that are taken; :meth:`fresh` gives new ones, in constant time however often one is asked for."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)
        self._numbers: dict[str, int] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._taken

    def take(self, name: str) -> str:
        """Take ``name``, which may be taken already."""
        self._taken.add(name)
        return name

    def fresh(self, name: str) -> str:
        """``name``, or ``name.2``, ``name.3``, ...: the first that is not taken; it is from now on."""
        unused, number = name, self._numbers.get(name, 1)
        while unused in self._taken:
            number += 1
            unused = f"{name}.{number}"
        self._numbers[name] = number
        return self.take(unused)
