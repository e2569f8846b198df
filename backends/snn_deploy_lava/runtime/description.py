"""Reads an ``.snn`` file without snn-deploy: a stored ZIP of ``manifest.json`` and hashed ``tensors/*.npy``."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

SCHEMA = 1

Record = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Description:
    """The manifest of a network, its tensors, and the SHA-256 of the file, which names the network."""

    manifest: Record
    tensors: dict[str, npt.NDArray[Any]]
    digest: str

    @property
    def populations(self) -> dict[str, Record]:
        """Records of the populations by name, sources first; the input is the first."""
        return {record["name"]: record for record in self.manifest["populations"]}

    @property
    def duration(self) -> int:
        """Steps from the first input event of an image to the end of the last window."""
        return int(max(record["start"] for record in self.manifest["populations"]) + self.manifest["steps"])

    @property
    def frames(self) -> bool:
        """Whether its images are frames of a stream, of which it computes the changes."""
        return bool(self.manifest.get("stream"))

    @property
    def needs_stream(self) -> bool:
        """Whether some neurons are Lava's own, which start on time only by the resets of a stream."""
        return any(_stock(record) for record in self.manifest["populations"][1:])

    @property
    def stock(self) -> bool:
        """Whether all neurons are Lava's own; then every process is one of Lava's."""
        return all(_stock(record) for record in self.manifest["populations"][1:])

    @property
    def aligned(self) -> bool:
        """Whether every delay equals the difference of the starts it joins."""
        start = {name: record["start"] for name, record in self.populations.items()}
        return all(
            connection["delay"] == start[connection["target"]] - start[connection["source"]]
            for connection in self.manifest["connections"]
        )


def _stock(record: Record) -> bool:
    return "cuba_lif" in record["neuron"] or "sigma_delta" in record["neuron"]


def read(path: Path) -> Description:
    """The network in ``path``; ``ValueError`` for an altered tensor or an unknown schema."""
    data = path.read_bytes()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        if manifest["schema"] != SCHEMA:
            raise ValueError(f"{path.name}: schema version {manifest['schema']!r}; this program reads version {SCHEMA}")
        tensors = {}
        for name, expected in manifest["sha256"].items():
            stored = archive.read(name)
            if hashlib.sha256(stored).hexdigest() != expected:
                raise ValueError(f"{path.name}: {name} is altered: its SHA-256 is not the one in the manifest")
            tensors[name] = np.load(io.BytesIO(stored), allow_pickle=False)
    return Description(manifest, tensors, hashlib.sha256(data).hexdigest())
