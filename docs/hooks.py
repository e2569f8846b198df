"""For MkDocs: references of docstrings, written as Sphinx roles, become plain code."""

import re
from typing import Any

ROLE = re.compile(r":(?:class|func|meth|mod|data|attr):\s*<code>~?([^<]+)</code>")


def on_page_content(html: str, **_: Any) -> str:
    """``:class:`~a.b.C``` to ``C``, other roles to their name."""
    return ROLE.sub(lambda found: f"<code>{found[1].removeprefix('snn_deploy.')}</code>", html)
