"""A table of plain text: what a cell says is what is shown, whatever characters it has."""

from __future__ import annotations

from copy import copy
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from snn_deploy.display.names import visible


class PlainTable(Table):
    """A table whose strings are neither markup nor emoji codes, with control characters escaped.

    A cell with a colour of its own is a :class:`rich.text.Text`, which is taken as it is. Title and caption are wrapped at the
    width of the terminal, not at that of the columns.
    """

    def __init__(self, *headings: str, title: Any = None, caption: Any = None, **settings: Any) -> None:
        super().__init__(
            *headings,
            title=_plain(title, "table.title"),
            caption=_plain(caption, "table.caption", lines=True),
            **settings,
        )

    def add_column(self, header: RenderableType = "", footer: RenderableType = "", **settings: Any) -> None:
        """As of :class:`rich.table.Table`; the heading may have several lines."""
        super().add_column(_plain(header, lines=True), _plain(footer), **settings)

    def add_row(self, *cells: RenderableType | None, **settings: Any) -> None:
        """As of :class:`rich.table.Table`."""
        super().add_row(*map(_plain, cells), **settings)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        rows = copy(self)
        rows.title = rows.caption = None
        if self.title:
            yield self.title
        yield from Table.__rich_console__(rows, console, options)
        if self.caption:
            yield self.caption


def line(text: str, style: str = "") -> Text:
    """A line below a table."""
    return Text(visible(text), style)


def _plain(content: Any, style: str = "", *, lines: bool = False) -> Any:
    """A string as text that nothing interprets; anything else as it is."""
    return Text(visible(content, lines=lines), style) if isinstance(content, str) else content
