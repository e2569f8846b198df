"""Tables that fit the terminal: no number is ever cut.

Columns that say nothing go first, then, one after the other, those that can be missed; the caption names the latter.
Names and text are wrapped. A table that is still too wide becomes several, one below the other, each with the names of
the rows. Names of populations are shortened (:mod:`snn_deploy.display.labels`).
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from rich import box
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from snn_deploy.display.labels import labels
from snn_deploy.display.plain_table import PlainTable

NOTHING = frozenset({"", "-", "0", "100%"})
"""Cells without news."""

NAMES = frozenset({"population", "node", "source", "target"})
"""Headings of columns that hold ONNX names."""

NUMBER = 28
"""Longest number, with unit and band; what is longer is text, and may be wrapped."""

PIECE = re.compile(r"\d\S* \S+(?= \(\d)|\(\d[^()]* to \d[^()]*\)\S*|\S+")
"""What of a text stands on one line: a word, the band of a quantity, and the value with its unit before it."""

NAME_WIDTH, TEXT_WIDTH = 20, 16
"""Narrowest columns of names and of text, in characters; shorter ones are as narrow as their longest cell."""

GAP = 2
"""Characters between two columns."""


@dataclass(frozen=True)
class _Column:
    """One column as it is drawn: ``widest`` is its natural width, ``least`` the one below which a number would be cut."""

    heading: str
    header: RenderableType
    cells: tuple[RenderableType, ...]
    number: bool
    widest: int
    least: int


def fit(
    renderable: RenderableType, width: int, *, silent: Collection[str] = (), optional: Sequence[str] = ()
) -> RenderableType:
    """``renderable`` with every table in it at most ``width`` wide.

    The ``silent`` columns whose cells are all :data:`NOTHING` are left out, and as many of ``optional``, in their order,
    as need be. What is still too wide is wrapped, then split into tables one below the other.
    """
    if isinstance(renderable, Group):
        return Group(*(fit(part, width, silent=silent, optional=optional) for part in renderable.renderables))
    if not isinstance(renderable, Table):
        return renderable
    columns = _columns(renderable)
    columns = [
        column
        for column in columns
        if column.heading not in silent or not all(_plain(cell) in NOTHING for cell in column.cells)
    ]
    missed = []
    for heading in optional:
        if _sum(columns, [column.widest for column in columns]) <= width:
            break
        if any(column.heading == heading for column in columns):
            columns = [column for column in columns if column.heading != heading]
            missed.append(heading)
    caption = renderable.caption
    if missed:
        text = f"not shown in {width} columns: {', '.join(missed)}"
        caption = f"{caption}; {text}" if caption else text
    parts = _split(columns, width)
    drawn = [
        _draw(
            renderable,
            part,
            width,
            renderable.title if index == 0 else None,
            caption if index == len(parts) - 1 else None,
        )
        for index, part in enumerate(parts)
    ]
    return drawn[0] if len(drawn) == 1 else Group(*drawn)


def _columns(table: Table) -> list[_Column]:
    """The columns of ``table`` with the names in them shortened, and how wide each must and may be."""
    named = {_plain(cell) for column in table.columns if _plain(column.header) in NAMES for cell in column.cells}
    short = labels(sorted(named))
    columns = []
    for column in table.columns:
        heading = _plain(column.header)
        names = heading in NAMES
        cells = tuple(Text(short[_plain(cell)]) if names else cell for cell in column.cells)
        number = column.justify == "right"
        widest = max(map(_width, cells), default=0)
        whole = not names and widest <= NUMBER and (number or column.no_wrap)
        header = _stacked(heading, widest) if number else column.header
        words = [len(word) for cell in cells for word in _pieces(cell) if len(word) <= NUMBER and not names]
        room = NAME_WIDTH if names else TEXT_WIDTH
        needed = max([*map(len, heading.split()), widest if whole else max([min(widest, room), *words])])
        columns.append(_Column(heading, header, cells, number, max(widest, _width(header), needed), needed))
    return columns


def _split(columns: Sequence[_Column], width: int) -> list[list[_Column]]:
    """``columns`` in parts that fit ``width``; each begins with the names, or with the first column where there are none."""
    keys = 1
    while keys < len(columns) and columns[keys - 1].heading in NAMES and columns[keys].heading in NAMES:
        keys += 1
    parts = [list(columns[:keys])]
    for column in columns[keys:]:
        longer = [*parts[-1], column]
        if len(parts[-1]) > keys and _sum(longer, [each.least for each in longer]) > width:
            parts.append(list(columns[:keys]))
        parts[-1].append(column)
    return parts


def _draw(
    table: Table, columns: Sequence[_Column], width: int, title: RenderableType | None, caption: RenderableType | None
) -> PlainTable:
    """``table`` with these of its columns, drawn lightly."""
    drawn = PlainTable(
        title=title, caption=caption, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False
    )
    widths = _widths(columns, width)
    for column, chosen in zip(columns, widths, strict=True):
        drawn.add_column(column.header, justify="right" if column.number else "left", width=chosen, overflow="fold")
    for row, cells in zip(table.rows, zip(*(column.cells for column in columns), strict=True), strict=True):
        lines = [_wrapped(cell, chosen) for cell, chosen in zip(cells, widths, strict=True)]
        drawn.add_row(*lines, style=row.style, end_section=row.end_section)
    return drawn


def _pieces(cell: RenderableType) -> list[str]:
    return PIECE.findall(_plain(cell))


def _wrapped(cell: RenderableType, width: int) -> RenderableType:
    """``cell`` in lines of at most ``width`` that keep its pieces whole; rich would part numbers from their units."""
    pieces = _pieces(cell)
    if _width(cell) <= width or "\n" in _plain(cell) or all(" " not in piece for piece in pieces):
        return cell
    lines = [pieces[0]]
    for piece in pieces[1:]:
        longer = f"{lines[-1]} {piece}"
        lines[-1:] = [longer] if cell_len(longer) <= width else [lines[-1], piece]
    return Text("\n".join(lines), cell.style if isinstance(cell, Text) else "")


def _widths(columns: Sequence[_Column], width: int) -> list[int]:
    """A width for each column: what it needs, and the rest of ``width`` in equal steps to those that want more."""
    widths = [column.least for column in columns]
    spare = width - _sum(columns, widths)
    while spare > 0 and any(chosen < column.widest for chosen, column in zip(widths, columns, strict=True)):
        for index, column in enumerate(columns):
            if spare > 0 and widths[index] < column.widest:
                widths[index] += 1
                spare -= 1
    return widths


def _sum(columns: Sequence[_Column], widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(columns) - 1)


def _stacked(heading: str, width: int) -> str:
    """``heading`` in lines no longer than the numbers below it, where its words allow that."""
    return "\n".join(textwrap.wrap(heading, max([1, width, *map(len, heading.split())])))


def _width(cell: object) -> int:
    return max(map(cell_len, _plain(cell).splitlines()), default=0)


def _plain(cell: object) -> str:
    return cell.plain if isinstance(cell, Text) else str(cell)
