"""HTML from templates: files in the folder ``templates`` of a package.

Every value is escaped where it is written, text from files above all; a template that asks for something it is not given fails.
"""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment


def open_templates(package: str, show: Callable[[str], str]) -> Environment:
    """The templates of ``package``; ``show`` writes what a page cannot hold, such as control characters, in another way."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    def finalize(value: object) -> object:
        return value if hasattr(value, "__html__") else Markup(html.escape(show(str(value))))

    return Environment(
        loader=PackageLoader(package),
        autoescape=True,
        finalize=finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
