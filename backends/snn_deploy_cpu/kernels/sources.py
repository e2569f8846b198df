"""What compiled kernels are made of, as one number: a library that was built from other sources computes other numbers.

Only the standard library is used: ``backends/hatch_build.py`` runs this file where nothing is installed yet.
"""

from __future__ import annotations

import hashlib
from pathlib import Path


def digest_sources(folder: Path) -> int | None:
    """A positive 63-bit digest of the names and content of the C files in ``folder``; ``None`` where it has none.

    A wheel has none: its libraries were built with it.
    """
    digest = hashlib.sha256()
    files = sorted(folder.glob("*.[ch]"))
    for file in files:
        digest.update(b"%s\0%s\0" % (file.name.encode(), file.read_bytes()))
    return int.from_bytes(digest.digest()[:8], "big") >> 1 if files else None
