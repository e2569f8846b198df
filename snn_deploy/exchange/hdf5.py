"""Checks of untrusted HDF5 files before they are read: all data must be in the file and fit in memory.

A dataset of a few bytes can expand to terabytes (fill values, compression), refer to another file (external links and
storage, virtual datasets) or contain itself (cyclic links). The HDF5 library itself never returns from some damaged files
and crashes on others, so the first to look at a file is another process, which may be lost
(:mod:`snn_deploy.exchange.hdf5_guard`).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from snn_deploy.errors import SnnDeployError
from snn_deploy.exchange.hdf5_guard import ask
from snn_deploy.files import check_regular

MAX_ELEMENTS = 2**25
"""Most numbers of all datasets together, of a file with fewer bytes than that: as int64 they take 256 MiB."""

MAX_MEMBERS = 10_000
"""Most groups and datasets, each counted as often as links lead to it."""

MAX_DEPTH = 32
"""Deepest group; groups that contain each other have no deepest one."""


def check_hdf5(path: Path, failure: type[SnnDeployError]) -> None:
    """``failure`` unless ``path`` is a regular HDF5 file that is read from its own bytes, in bounded time and memory."""
    size = check_regular(path, failure)
    refusal = ask(path, max(MAX_ELEMENTS, size))
    if refusal:
        raise failure(f"{path}: {refusal}")


def find_refusal(path: Path, allowed: int) -> str:
    """Why the HDF5 file ``path`` is refused, where at most ``allowed`` numbers may be in it; empty where it is not.

    Everything that may be read later is read, since damage shows only there.
    """
    import h5py

    members, elements = 0, 0
    try:
        with h5py.File(path, "r") as file:
            waiting: list[tuple[Any, int]] = [(file, 0)]
            while waiting:
                group, depth = waiting.pop()
                _read_attributes(group)
                for name in group:
                    members += 1
                    where = f"{group.name.rstrip('/')}/{name}"
                    if members > MAX_MEMBERS or depth > MAX_DEPTH:
                        return f"{where}: more than {MAX_MEMBERS} members or {MAX_DEPTH} groups within each other; write fewer"
                    if isinstance(group.get(name, getlink=True), h5py.ExternalLink):
                        return f"{where}: lies in another file; copy it into this one"
                    member = group[name]
                    if isinstance(member, h5py.Group):
                        waiting.append((member, depth + 1))
                    elif isinstance(member, h5py.Dataset):
                        if member.is_virtual or member.external:
                            return f"{where}: lies in another file; copy it into this one"
                        elements += _elements(member, allowed)
                        if elements > allowed:
                            return (
                                f"{where}: {elements} numbers in this dataset and those before it; {allowed} are allowed,"
                                " record fewer images, steps or neurons"
                            )
                        _read_attributes(member)
                        member[()]  # for what it raises
    except (ArithmeticError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError) as error:
        return f"not an HDF5 file, or damaged: {' '.join(str(error).split())[:160]}"
    return ""


def _read_attributes(member: Any) -> None:
    for name in member.attrs:
        member.attrs[name]


def _elements(dataset: Any, allowed: int) -> int:
    if dataset.shape is None:
        return 0
    size, width = int(math.prod(dataset.shape)), int(dataset.dtype.itemsize)
    if dataset.dtype.hasobject and size > 1:  # strings of any length, each of which could be the same long one
        return size * math.isqrt(allowed)
    return size * max(width // 8, 1)
