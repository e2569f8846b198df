"""The files in ``snn_deploy/schemas``: what ``--json`` prints, kind by kind, as JSON Schema (draft 2020-12).

Parts that several kinds share stand in ``definitions.json`` and are referred to by its URN. Beside the standard's keywords,
``unit`` gives the unit of a number.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

DEFINITIONS = "definitions"
"""The file that is not a kind."""


def list_kinds() -> tuple[str, ...]:
    """The kinds, in alphabetical order."""
    names = (path.name.removesuffix(".json") for path in _folder().iterdir() if path.name.endswith(".json"))
    return tuple(sorted(name for name in names if name != DEFINITIONS))


def read_schema(kind: str) -> dict[str, Any]:
    """The schema of ``kind``, complete in itself: the shared definitions are embedded, as the standard bundles them."""
    return _read(kind) | {"$defs": {DEFINITIONS: _read(DEFINITIONS)}}


def _read(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(_folder().joinpath(f"{name}.json").read_text(encoding="utf-8"))
    return document


def _folder() -> Any:
    return files("snn_deploy") / "schemas"
