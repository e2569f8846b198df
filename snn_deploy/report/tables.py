"""Tables of a report: cells are text, or one of these kinds, which the template draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from markupsafe import Markup


@dataclass(frozen=True)
class Named:
    """A population: its short label, and as a tooltip its name and its ONNX nodes; ``anchor`` leads to the first of them."""

    kind: ClassVar[str] = "name"
    label: str
    title: str
    anchor: str | None = None


@dataclass(frozen=True)
class Marked:
    """Text in a color of the page: ``good``, ``bad``, ``warn``; ``more`` stands behind it, without."""

    kind: ClassVar[str] = "marked"
    text: str
    color: str
    more: str = ""


@dataclass(frozen=True)
class Code:
    """A name from a file; ``anchor`` is where links to it lead."""

    kind: ClassVar[str] = "code"
    text: str
    anchor: str | None = None


Cell: TypeAlias = str | Markup | Named | Marked | Code


@dataclass(frozen=True)
class Table:
    """Columns ``numbers`` stand to the right, ``wide`` ones are wide; the last row may be a ``total``."""

    headings: tuple[str, ...]
    rows: Sequence[Sequence[Cell]]
    numbers: tuple[int, ...] = ()
    wide: tuple[int, ...] = ()
    total: bool = False

    def style(self, index: int) -> str:
        """CSS classes of column ``index``."""
        kinds = ["number"] * (index in self.numbers) + ["wide"] * (index in self.wide) + ["name"] * (index == 0)
        return " ".join(kinds)
