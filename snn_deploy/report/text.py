"""Text from files inside HTML and SVG."""

from __future__ import annotations

import html

from snn_deploy.display.names import visible


def escape(text: object) -> str:
    """``text`` as content or as an attribute: markup is escaped, and so are characters that XML and UTF-8 cannot hold."""
    return html.escape(visible(str(text)), quote=True)
