"""The trace of a run as one ``.npz`` that ``snn-deploy verify --trace`` reads: format 1 of ``verification.traces.trace_file``.

Entries ``0/KIND/NAME`` for every population NAME: ``counts`` and ``events`` (B, n) int64, or where recorded ``trains``
(B, steps, n) int32, from which both follow, and ``states`` and ``currents`` alike; n counts neurons in the order (C, H, W).
``0/stimulus/INPUT`` (B, C, H, W) are the payloads of the images. The text ``manifest`` names the network by the SHA-256 of its
``.snn`` file and the stimulus by that of shape and values. Each frame of a stream is a batch of its own, ``FRAME/KIND/NAME``, whose
counts are those after the frame and stand there beside its trains.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from snn_deploy_lava.runtime import axes
from snn_deploy_lava.runtime.description import Description

Array = npt.NDArray[Any]


def record_path(folder: Path, index: int) -> Path:
    """Where the recorder of population number ``index`` saves."""
    return folder / f"population{index:04d}.npz"


def collect(network: Description, folder: Path) -> dict[str, dict[str, Array]]:
    """Records of a finished job by recorded population, with axes (C, H, W); arrays without these axes are unchanged."""
    records = {}
    for index, name in enumerate(network.populations):
        if not record_path(folder, index).exists():
            continue
        with np.load(record_path(folder, index), allow_pickle=False) as saved:
            records[name] = {
                key: saved[key] if key in ("last", "extremes") else axes.maps_from_lava(saved[key])
                for key in saved.files
            }
    return records


def digest_stimulus(stimulus: Array) -> str:
    """SHA-256 of shape and values of input payloads."""
    data = np.ascontiguousarray(stimulus, dtype="<i8")
    return hashlib.sha256(repr(data.shape).encode() + data.tobytes()).hexdigest()


def write(
    path: Path,
    network: Description,
    stimulus: Array,
    records: dict[str, dict[str, Array]],
    name: str,
    models: dict[str, str],
) -> None:
    """Save ``records`` of a run of ``stimulus`` by a recorder called ``name``; ``models`` ran on a chip, by process."""
    source = network.manifest["populations"][0]["name"]
    parts = [slice(n, n + 1) for n in range(len(stimulus))] if network.frames else [slice(None)]
    entries: dict[str, Array] = {}
    for index, part in enumerate(parts):
        entries[f"{index}/stimulus/{source}"] = stimulus[part].astype(np.int64)
        for population, arrays in records.items():
            kinds = ("trains", "states", "currents") if "trains" in arrays else ("counts", "events")
            for kind in ("counts", *kinds) if network.frames else kinds:
                if kind in arrays:
                    values = arrays[kind][part]
                    entries[f"{index}/{kind}/{population}"] = values.reshape(*values.shape[:-3], -1)
    manifest = {
        "format": "snn-deploy trace",
        "version": 1,
        "name": name,
        "time": "window",
        "network": network.digest,
        "batches": [{"images": len(stimulus[part]), "stimulus": digest_stimulus(stimulus[part])} for part in parts],
        **({"frames": True} if network.frames else {}),
        **({"models": models} if models else {}),
    }
    np.savez(path, manifest=np.array(json.dumps(manifest)), **entries)


def list_differences(
    network: Description, expected: dict[str, Array], records: dict[str, dict[str, Array]]
) -> list[str]:
    """One line for every population whose counts are not those of ``expected`` (entries ``counts/NAME``)."""
    lines, unit = [], "frame" if network.frames else "image"
    for name, arrays in records.items():
        reference, counts = expected[f"counts/{name}"], arrays["counts"]
        if not np.array_equal(reference, counts):
            where = tuple(int(index) for index in np.argwhere(reference != counts)[0])
            lines.append(
                f"{name}: {np.count_nonzero(reference != counts)} of {counts.size} counts differ; the first, at ({unit}, channel,"
                f" y, x) {where}, is {counts[where]} and should be {reference[where]}{_explain(reference, counts)}"
            )
    return lines


def _explain(reference: Array, counts: Array) -> str:
    """What a read-out may have done that turns ``reference`` into ``counts``."""
    if not np.any((counts - reference) % (1 << 24)):
        return "; events that are negative and were read as unsigned words of 24 bits: sign-extend them"
    return ""
