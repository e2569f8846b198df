"""Colours and shapes that pictures of a mapping share."""

from __future__ import annotations

COLOURS = ("#fee838", "#dac75a", "#b3a772", "#8f8b78", "#6c6e72", "#414d6b", "#00224e")
"""Cividis from light (little load) to dark (full)."""


STYLE = (
    "<style>text{font:12px system-ui,sans-serif;fill:#222}.chip{fill:#fff;stroke:#888}"
    ".bar{stroke:#8888}@media(prefers-color-scheme:dark){text{fill:#ddd}.chip{fill:#555}}</style>"
)
