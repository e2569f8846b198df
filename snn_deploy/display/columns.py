"""Tables that fit the terminal: no number is ever cut.

Columns that say nothing go first, then, one after the other, those that can be missed; the caption names the latter.
Names of populations are shortened (:mod:`snn_deploy.display.labels`).
"""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Sequence

from rich import box
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from snn_deploy.display.labels import labels
from snn_deploy.display.plain_table import PlainTable

NOTHING = frozenset({"", "-", "0", "100%"})
"""Cells without news."""

NAMES = frozenset({"population", "node"})
"""Headings of columns that hold ONNX names."""

NUMBER = 28
"""Longest number, with unit and band; what is longer is text, and may be wrapped."""

_RULER = Console(width=10_000, color_system=None)


def fit(table: Table, width: int, *, silent: Collection[str] = (), optional: Sequence[str] = ()) -> Table:
    """``table`` without the ``silent`` columns whose cells are all :data:`NOTHING`, and as wide as ``width`` at most.

    As many of ``optional`` as need be are left out, in their order. If it is still too wide, names are folded.
    """
    columns = [
        column
        for column in table.columns
        if _heading(column) not in silent or not all(_plain(cell) in NOTHING for cell in column.cells)
    ]
    missed: list[str] = []
    fitted = _of(table, columns)
    for heading in optional:
        if _RULER.measure(fitted).maximum <= width:
            break
        if heading in map(_heading, columns):
            columns = [column for column in columns if _heading(column) != heading]
            missed.append(heading)
            fitted = _of(table, columns)
    if missed:
        text = f"not shown in {width} columns: {', '.join(missed)}"
        fitted.caption = f"{table.caption}; {text}" if table.caption else text
    return fitted


def _of(table: Table, columns: Sequence[Column]) -> Table:
    """``table`` with these of its columns, drawn lightly."""
    fitted = PlainTable(
        title=table.title,
        caption=table.caption,
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    fitted.title_justify = fitted.caption_justify = "left"
    cells = [_shortened(column) if _heading(column) in NAMES else list(column.cells) for column in columns]
    for column, values in zip(columns, cells, strict=True):
        number = column.justify == "right"
        widest = max(map(_width, values), default=0)
        heading = _stacked(_heading(column), widest) if number else column.header
        no_wrap = _heading(column) not in NAMES and ((number and widest <= NUMBER) or column.no_wrap)
        fitted.add_column(heading, justify=column.justify, no_wrap=no_wrap, overflow="fold")
    for row, texts in zip(table.rows, zip(*cells, strict=True), strict=True):
        fitted.add_row(*texts, style=row.style, end_section=row.end_section)
    return fitted


def _stacked(heading: str, width: int) -> str:
    """``heading`` in lines no longer than the numbers below it, where its words allow that."""
    return "\n".join(textwrap.wrap(heading, max([1, width, *map(len, heading.split())])))


def _width(cell: object) -> int:
    return len(_plain(cell))


def _shortened(column: Column) -> list[Text]:
    names = [_plain(cell) for cell in column.cells]
    short = labels(names)
    return [Text(short[name]) for name in names]


def _heading(column: Column) -> str:
    return _plain(column.header)


def _plain(cell: object) -> str:
    return cell.plain if isinstance(cell, Text) else str(cell)
