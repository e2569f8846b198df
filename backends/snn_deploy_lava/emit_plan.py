"""Writes the groups of a plan, each as a bundle of its own, with a program that runs tile after tile and joins them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template

from snn_deploy.arrays import Int64
from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.tiled_group import TiledGroup
from snn_deploy.errors import ArtifactError
from snn_deploy.files import check_new_folder, write_folder
from snn_deploy.network import artifact
from snn_deploy.network.network import Network
from snn_deploy_lava.emit import BUNDLE, encode_counts, encode_stimulus, list_runtime, make_bundle, make_manifest


def write_plan(
    network: Network,
    groups: Sequence[TiledGroup],
    directory: Path,
    stimulus: Int64,
    expected: Mapping[str, Int64],
    *,
    any_target: bool = False,
) -> str:
    """Write ``groups`` of ``network``, which has the image's size, into ``directory``, which must not exist.

    ``stimulus`` (B, C, H, W) are payloads of whole images, ``expected`` the counts of the outputs that they must give. Every
    group is refused, or not, as :func:`~snn_deploy_lava.emit.write_bundle` does. Returns the SHA-256 of the manifest.
    """
    check_new_folder(directory, ArtifactError)
    simulator = load_backend("reference")
    folders = [f"group-{number}" for number in range(1, len(groups) + 1)]
    contents = {
        **list_runtime("run_plan.py"),
        "network.snn": artifact.encode(network),
        "input.npy": encode_stimulus(stimulus),
        "expected.npz": encode_counts(expected),
        "tiles.json": _encode_tiles(folders, groups),
        "README.md": _readme(network, groups).encode(),
    }
    for folder, group in zip(folders, groups, strict=True):
        bundle = make_bundle(group.network, None, simulator, any_target=any_target)
        contents |= {f"{folder}/{name}": data for name, data in bundle.items()}
    manifest = make_manifest(contents, network)
    write_folder(directory, contents | {"manifest.json": manifest}, ArtifactError)
    return hashlib.sha256(manifest).hexdigest()


def _encode_tiles(folders: Sequence[str], groups: Sequence[TiledGroup]) -> bytes:
    listed = [{"folder": folder, **group.record()} for folder, group in zip(folders, groups, strict=True)]
    return json.dumps({"groups": listed}, ensure_ascii=False).encode()


def _readme(network: Network, groups: Sequence[TiledGroup]) -> str:
    height, width = network.input.shape[1:]
    rows = [
        f"| {number} | {_listed(group.members)} | {len(group.places)} | {'x'.join(map(str, group.network.input.shape[1:]))} |"
        for number, group in enumerate(groups, 1)
    ]
    return Template((BUNDLE / "PLAN.md").read_text(encoding="utf-8")).substitute(
        name=network.name,
        size=f"{height}x{width}",
        groups=len(groups),
        digest=artifact.digest(network),
        shape=", ".join(map(str, network.input.shape)),
        rows="\n".join(rows),
    )


def _listed(names: Sequence[str]) -> str:
    return f"`{names[0]}` to `{names[-1]}`, {len(names)} populations"
