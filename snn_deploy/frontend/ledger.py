"""The ledger of an import: what became of every node of the file."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

Fate = Literal["mapped", "folded", "host", "refused"]
"""``mapped`` to populations or connections, ``folded`` into something, on the ``host`` at the end, or ``refused``."""

FATES: tuple[Fate, ...] = ("mapped", "folded", "host", "refused")


SHOWN = 8
"""Reasons for refusal that are printed."""


@dataclass(frozen=True)
class Row:
    """One node of the file: its name, operator and fate; ``note`` says into what, or why not and what to do.

    A refused node that is ``part_of`` what another is refused for is not a reason of its own.
    """

    node: str
    operator: str
    fate: Fate
    note: str
    part_of: str = ""


@dataclass(frozen=True)
class Ledger:
    """One row for every node of the file, in its order; ``remarks`` on the file as a whole."""

    rows: tuple[Row, ...]
    remarks: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Ledger({self._summary})"

    def __str__(self) -> str:
        """How many nodes have which fate, and why the first ones are refused."""
        return "\n".join([self._summary, *self.reasons[:SHOWN], *self.remarks])

    @property
    def _summary(self) -> str:
        counts = ", ".join(f"{number} {fate}" for fate, number in self.counts.items())
        return f"{len(self.rows)} nodes: {counts}"

    @property
    def refused(self) -> tuple[Row, ...]:
        """The rows that keep the file from being imported."""
        return tuple(row for row in self.rows if row.fate == "refused")

    @property
    def counts(self) -> dict[Fate, int]:
        """Number of nodes of each fate; their sum is the number of nodes in the file."""
        counts = Counter(row.fate for row in self.rows)
        return {fate: counts[fate] for fate in FATES}

    @property
    def reasons(self) -> tuple[str, ...]:
        """One line for each refused node that is not part of another's reason: name, operator, why, what to do."""
        return tuple(f"{row.node} ({row.operator}): {row.note}" for row in self.refused if not row.part_of)
