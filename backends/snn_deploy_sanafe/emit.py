"""Writes a network with one image as a folder that SANA-FE alone loads and runs.

SANA-FE reads an architecture from one file, and a network with its mapping to cores from another. What our backend builds in
memory is saved by SANA-FE itself, so the files are what ``verify --backends reference,sanafe`` runs.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from importlib.metadata import version
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from snn_deploy.arrays import Int64
from snn_deploy.backend.protocol import Run
from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.stimulus import check_stimulus, digest_stimulus
from snn_deploy.errors import ArtifactError
from snn_deploy.files import check_new_folder, write_folder
from snn_deploy.network import artifact
from snn_deploy.network.network import Network
from snn_deploy_sanafe.chip import describe_chip
from snn_deploy_sanafe.program import LEAD, Program, check_size, count_inputs, count_steps, group_name
from snn_deploy_sanafe.support import check_network, is_read_out

_BUNDLE = Path(__file__).resolve().parent / "bundle"


def write_files(sanafe: Any, network: Network, directory: Path, stimulus: Int64 | None) -> str:
    """Write the files into ``directory``, which must not exist; returns the SHA-256 of its manifest.

    ``stimulus`` (1, C, H, W) int64, payloads of one image (seeded noise by default), is part of the network there; the
    reference backend computes the counts that it must give.
    """
    check_network(network)
    check_size(network)
    check_new_folder(directory, ArtifactError)
    payloads = _noise(network) if stimulus is None else stimulus
    check_stimulus(network, payloads)
    if payloads.shape[0] != 1:
        raise ArtifactError(f"{network.name}: {payloads.shape[0]} images; SANA-FE's files hold one, emit one at a time")
    expected = load_backend("reference").run(network, payloads)
    contents: dict[str, bytes] = {
        "architecture.yaml": describe_chip(count_inputs(network)).encode(),
        "network.yaml": _save(Program(sanafe, network, payloads[0]).net),
        "expected.json": _encode(_describe(network, expected)),
        "run.py": (_BUNDLE / "run.py").read_bytes(),
        "README.md": _readme(network).encode(),
    }
    manifest = _encode(
        {
            "network": artifact.digest(network),
            "name": network.name,
            "image": digest_stimulus(payloads),
            "sanafe": version("sanafe"),
            "files": {name: hashlib.sha256(contents[name]).hexdigest() for name in sorted(contents)},
        }
    )
    write_folder(directory, contents | {"manifest.json": manifest}, ArtifactError)
    return hashlib.sha256(manifest).hexdigest()


def _noise(network: Network) -> Int64:
    random = np.random.default_rng(0)
    return random.integers(network.input.input_min, network.input.input_max + 1, (1, *network.input.shape))


def _save(net: Any) -> bytes:
    """``net`` as SANA-FE writes it."""
    with tempfile.TemporaryDirectory(prefix="snn-sanafe-") as folder:
        path = Path(folder) / "network.yaml"
        net.save(str(path))
        return path.read_bytes()


def _describe(network: Network, expected: Run) -> dict[str, object]:
    """Steps, and every population in SANA-FE's order: its group, its window, and the counts (C, H, W) in C order."""
    return {
        "steps": count_steps(network),
        "populations": [
            {
                "group": group_name(number),
                "name": population.name,
                "onnx": list(population.origin),
                "shape": list(population.shape),
                "first_step": population.start + LEAD,
                "steps": network.steps,
                "fires": not is_read_out(network, population),
                "counts": expected.counts[population.name].ravel().tolist(),
            }
            for number, population in enumerate(network.populations[1:])
        ],
    }


def _encode(record: dict[str, object]) -> bytes:
    return (json.dumps(record, allow_nan=False) + "\n").encode()


def _readme(network: Network) -> str:
    return Template((_BUNDLE / "README.md").read_text(encoding="utf-8")).substitute(
        name=network.name,
        populations=len(network.populations) - 1,
        neurons=f"{sum(population.size for population in network.populations[1:]):,}",
        steps=network.steps,
        size=f"{network.input.shape[1]}x{network.input.shape[2]}",
        digest=artifact.digest(network),
        sanafe=version("sanafe"),
        simulated=count_steps(network),
    )
