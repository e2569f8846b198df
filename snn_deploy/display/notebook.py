"""What rich prints, as HTML in notebooks."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console, RenderableType

from snn_deploy.cost.estimates import EnergyEstimate
from snn_deploy.display.columns import fit
from snn_deploy.display.tables import energy_table
from snn_deploy.display.verdict_table import render
from snn_deploy.verification import Verdict

WIDTH = 120


def html(renderable: RenderableType) -> str:
    """A preformatted block with the colors of the terminal."""
    console = Console(
        record=True,
        width=WIDTH,
        file=io.StringIO(),
        color_system="truecolor",
        highlight=False,
        force_jupyter=False,  # else printing would display a copy at once
    )
    console.print(fit(renderable, WIDTH))
    return console.export_html(inline_styles=True, code_format='<pre style="line-height:1.3">{code}</pre>')


def offer_tables() -> None:
    """In a notebook, show verdicts and estimates as the command line does; their packages do not import rich."""
    offer({Verdict: lambda verdict: render(verdict, WIDTH), EnergyEstimate: energy_table})


def offer(tables: Mapping[type, Callable[[Any], RenderableType]]) -> None:
    """In a notebook, show values of these types as their tables; elsewhere do nothing."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is None:
        return
    for kind, table in tables.items():
        shell.display_formatter.formatters["text/html"].for_type(kind, lambda value, table=table: html(table(value)))
