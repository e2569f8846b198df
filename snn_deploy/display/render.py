"""What rich prints, as HTML for notebooks."""

from __future__ import annotations

import io

from rich.console import Console, RenderableType

WIDTH = 120


def html(renderable: RenderableType) -> str:
    """A preformatted block with the colors of the terminal."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), color_system="truecolor", highlight=False)
    console.print(renderable)
    return console.export_html(inline_styles=True, code_format='<pre style="line-height:1.3">{code}</pre>')
