"""Which lava-nc this was tested with, and whether that is installed."""

from __future__ import annotations

import sys
from importlib import metadata

TESTED = ("0.10.0", "0.11.0.dev0")
"""The release, and the main branch since; 0.9.0 has no names for sigma-delta neurons, 0.8.0 no graded vectors."""

PYTHONS = ((3, 10), (3, 11), (3, 12))


class VersionError(Exception):
    """Another version; the message is one line."""


def check() -> None:
    """:class:`VersionError` unless Python and lava-nc are those that were tested."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    if sys.version_info[:2] not in PYTHONS:
        raise VersionError(f"Python {python}; lava-nc runs on 3.10, 3.11 and 3.12: make an environment of one of them")
    try:
        found = metadata.version("lava-nc")
    except metadata.PackageNotFoundError:
        raise VersionError(
            f"lava-nc is not installed in this Python {python}; README.md says how to install version {TESTED[0]}"
        ) from None
    if found not in TESTED:
        raise VersionError(
            f"lava-nc {found}; this was tested with {' and '.join(TESTED)}: install one of them, or try with --any-lava"
        )
