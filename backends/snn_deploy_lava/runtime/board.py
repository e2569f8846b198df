"""Which board a run takes, from a small TOML file: ``partition`` or ``board`` of a SLURM cluster, or ``host``, and ``generation``.

::

    partition = "oheogulch"     # or: board = "ncl-og-01", or: host = "192.168.0.2"
    generation = "N3B3"         # N3B2, N3B3, N3C1, N3D1

These are the arguments of ``lava.utils.loihi.use_slurm_host`` and ``use_ethernet_host`` (lava-nc 0.10.0). Python 3.10 has no
reader of TOML, so lines ``key = "text"`` and comments are all that is read.
"""

from __future__ import annotations

import re
from pathlib import Path

KEYS = ("partition", "board", "host", "generation")

GENERATIONS = ("N3B2", "N3B3", "N3C1", "N3D1")
"""Of Loihi 2 (``lava.utils.loihi.ChipGeneration``)."""


class BoardError(Exception):
    """The board cannot be used; the message is one line."""


_LINE = re.compile(r'\s*([A-Za-z_-]+)\s*=\s*(?:"([^"\\]*)"|\'([^\']*)\')\s*(?:#.*)?')


def read(path: Path) -> dict[str, str]:
    """The settings in ``path``; ``ValueError`` names the line that is none."""
    settings: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _LINE.fullmatch(line)
        if found is None or found[1] not in KEYS:
            raise ValueError(
                f'{path.name}: line {number}: {line.strip()!r}; write KEY = "TEXT", with a key of {", ".join(KEYS)}'
            )
        if found[1] in settings:
            raise ValueError(f"{path.name}: line {number}: {found[1]} is given twice")
        settings[found[1]] = found[2] if found[2] is not None else found[3]
    places = [key for key in ("partition", "board", "host") if key in settings]
    if len(places) != 1:
        raise ValueError(f"{path.name}: {' and '.join(places) or 'no place'}; give one of partition, board and host")
    if settings.setdefault("generation", GENERATIONS[1]) not in GENERATIONS:
        raise ValueError(f"{path.name}: generation {settings['generation']!r}; Loihi 2 has {', '.join(GENERATIONS)}")
    return settings


def use(settings: dict[str, str]) -> None:
    """Set what Lava reads from the environment; nothing without settings."""
    if not settings:
        return
    from lava.utils import loihi

    generation = loihi.ChipGeneration[settings["generation"]]
    try:
        if "host" in settings:
            loihi.use_ethernet_host(settings["host"], loihi_gen=generation)
        else:
            loihi.use_slurm_host(settings.get("partition"), settings.get("board"), loihi_gen=generation)
    except FileNotFoundError as error:
        raise BoardError(
            f"--board: this machine has no command {error.filename}, by which Lava looks for it"
        ) from error
    except (ImportError, OSError, ValueError) as error:
        raise BoardError(f"--board: {error}") from error
