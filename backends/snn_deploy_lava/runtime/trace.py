"""The trace of a run as one ``.npz``: what :class:`snn_deploy.backend.Run` holds, and the names of what was run.

Entries ``counts/NAME``, ``events/NAME`` (B, C, H, W) int64, ``trains/NAME``, ``states/NAME`` (B, steps, C, H, W)
int32 for every population NAME, and the texts ``network`` and ``stimulus`` (SHA-256 of the ``.snn`` file, and of
shape and values of the input payloads) and ``backend``.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from snn_deploy_lava.runtime import axes
from snn_deploy_lava.runtime.description import Description

Array = npt.NDArray[Any]

KINDS = ("counts", "events", "trains", "states")


def record_path(folder: Path, index: int) -> Path:
    """Where the recorder of population number ``index`` saves."""
    return folder / f"population{index:04d}.npz"


def collect(network: Description, folder: Path) -> dict[str, dict[str, Array]]:
    """What the recorders of a finished job saved, by population, axes (C, H, W); ``last`` (B,) as it is."""
    records = {}
    for index, name in enumerate(network.populations):
        with np.load(record_path(folder, index), allow_pickle=False) as saved:
            records[name] = {
                key: saved[key] if key == "last" else axes.maps_from_lava(saved[key]) for key in saved.files
            }
    return records


def stimulus_digest(stimulus: Array) -> str:
    """SHA-256 of shape and values of input payloads."""
    data = np.ascontiguousarray(stimulus, dtype="<i8")
    return hashlib.sha256(repr(data.shape).encode() + data.tobytes()).hexdigest()


def write(
    path: Path, network: Description, stimulus: Array, records: dict[str, dict[str, Array]], backend: str
) -> None:
    """Save ``records`` of a run of ``stimulus``."""
    entries = {f"{kind}/{name}": arrays[kind] for name, arrays in records.items() for kind in KINDS if kind in arrays}
    texts = {"network": network.digest, "stimulus": stimulus_digest(stimulus), "backend": backend}
    np.savez(path, **entries, **{key: np.array(text) for key, text in texts.items()})


def differences(expected: dict[str, Array], records: dict[str, dict[str, Array]]) -> list[str]:
    """One line for every population whose counts are not those of ``expected`` (entries ``counts/NAME``)."""
    found = []
    for name, arrays in records.items():
        wanted, got = expected[f"counts/{name}"], arrays["counts"]
        if not np.array_equal(wanted, got):
            where = tuple(int(index) for index in np.argwhere(wanted != got)[0])
            found.append(
                f"{name}: {np.count_nonzero(wanted != got)} of {got.size} counts differ; the first, at (image, channel,"
                f" y, x) {where}, is {got[where]} and should be {wanted[where]}"
            )
    return found
