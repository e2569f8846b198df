"""Damaged and forged HDF5 files: one of our errors, before anything large is read."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from snn_deploy.errors import NetworkError
from snn_deploy.exchange import hdf5_guard
from snn_deploy.exchange.hdf5 import MAX_ELEMENTS, check_hdf5


def fill_value(file: Any) -> None:
    file.create_dataset("large", (MAX_ELEMENTS + 1,), np.int8, fillvalue=7)


def many_parts(file: Any) -> None:
    for index in range(64):
        file.create_dataset(f"part{index}", (MAX_ELEMENTS // 32,), np.int8, fillvalue=7)


def one_part_many_times(file: Any) -> None:
    file.create_dataset("part", (MAX_ELEMENTS // 32,), np.int8, fillvalue=7)
    for index in range(64):
        file[f"again{index}"] = file["part"]


def compressed(file: Any) -> None:
    file.create_dataset("large", data=np.zeros(MAX_ELEMENTS + 1, np.int8), compression="gzip", chunks=(2**20,))


def wide(file: Any) -> None:
    file.create_dataset("large", (MAX_ELEMENTS // 32,), np.dtype((np.void, 1024)))


def texts(file: Any) -> None:
    file.create_dataset("texts", (10_000,), h5py.string_dtype(), fillvalue="x" * 100)


def in_a_circle(file: Any) -> None:
    inner = file.create_group("a").create_group("b")
    inner["a"] = file["a"]


def many_members(file: Any) -> None:
    for outer in range(110):
        file.create_group(f"g{outer}")
    for inner in range(100):
        file["g0"].create_group(f"h{inner}")
    for outer in range(1, 110):
        file[f"g{outer}/more"] = file["g0"]


def external_link(file: Any) -> None:
    file["elsewhere"] = h5py.ExternalLink("/etc/passwd", "/")


def external_storage(file: Any) -> None:
    file.create_dataset("elsewhere", (4,), np.int8, external=[("/etc/passwd", 0, 4)])


def virtual(file: Any) -> None:
    layout = h5py.VirtualLayout((4,), np.int8)
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (4,))
    file.create_virtual_dataset("elsewhere", layout)


FORGED: dict[str, tuple[Callable[[Any], None], str]] = {
    "fill value": (
        fill_value,
        r"/large: 33554433 numbers in .*; 33554432 are allowed, record fewer images, steps or neurons$",
    ),
    "many parts": (many_parts, r"34603008 numbers in this dataset and those before it; .* or neurons$"),
    "links": (one_part_many_times, r"34603008 numbers in this dataset and those before it; .* or neurons$"),
    "compressed": (compressed, r"/large: 33554433 numbers in .* or neurons$"),
    "wide": (wide, r"/large: 134217728 numbers in .* or neurons$"),
    "texts": (texts, r"/texts: 57920000 numbers in .* or neurons$"),
    "a circle": (in_a_circle, r"more than 10000 members or 32 groups within each other; write fewer$"),
    "members": (many_members, r"more than 10000 members or 32 groups within each other; write fewer$"),
    "an external link": (external_link, r"/elsewhere: lies in another file; copy it into this one$"),
    "external storage": (external_storage, r"/elsewhere: lies in another file; copy it into this one$"),
    "a virtual dataset": (virtual, r"/elsewhere: lies in another file; copy it into this one$"),
}


@pytest.mark.parametrize("case", FORGED)
def test_forged_files_are_refused_unread(case: str, tmp_path: Path) -> None:
    write, message = FORGED[case]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        write(file)
    with pytest.raises(NetworkError, match=message):
        check_hdf5(tmp_path / "a.h5", NetworkError)


DAMAGED = Path(__file__).parent / "damaged"


def test_a_file_on_which_the_library_hangs_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``hangs.nird`` keeps HDF5 1.14 busy for ever while it looks for an attribute; ``make fuzz`` found it."""
    with h5py.File(tmp_path / "sound.h5", "w") as file:
        file["x"] = np.arange(3)
    check_hdf5(tmp_path / "sound.h5", NetworkError)
    lost = hdf5_guard._running[os.getpid()]
    monkeypatch.setattr(hdf5_guard, "SECONDS", 0.5)
    with pytest.raises(
        NetworkError, match=r"hangs.nird: the HDF5 library did not come to an end .* or made to do this$"
    ):
        check_hdf5(DAMAGED / "hangs.nird", NetworkError)
    assert lost.returncode == -signal.SIGKILL
    monkeypatch.undo()
    check_hdf5(tmp_path / "sound.h5", NetworkError)


def test_a_guard_that_crashed_is_started_again(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a\nb é.h5", "w") as file:
        file["x"] = np.arange(3)
    check_hdf5(tmp_path / "a\nb é.h5", NetworkError)
    lost = hdf5_guard._running[os.getpid()]
    lost.kill()
    lost.wait()
    check_hdf5(tmp_path / "a\nb é.h5", NetworkError)
    assert hdf5_guard._running[os.getpid()] is not lost
