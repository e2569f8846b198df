"""Which code came to a verdict: the verifier and the backends by the digest of their sources, libraries by their versions."""

from __future__ import annotations

import hashlib
import platform
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path

from snn_deploy import __version__
from snn_deploy.backend.protocol import Backend
from snn_deploy.backend.registry import GROUP
from snn_deploy.verification.comparison.verdict_record import Json

PROJECT = "snn-deploy"
LIBRARIES = ("numpy", "onnx", "onnxruntime", "torch", "lava-nc")
"""What backends compute with; ``None`` stands for one that is not installed."""


def record_software(backends: Iterable[Backend]) -> dict[str, Json]:
    """Verifier, backends by name, and libraries, as values for JSON; nothing of it depends on the processor."""
    return {
        "verifier": _package("snn_deploy", PROJECT),
        "backends": {backend.name: _backend(backend) for backend in backends},
        "libraries": {"python": platform.python_version(), **{name: _version(name) for name in LIBRARIES}},
    }


def _backend(backend: Backend) -> dict[str, Json]:
    package = type(backend).__module__.partition(".")[0]
    points = [point for point in entry_points(group=GROUP) if point.module.partition(".")[0] == package]
    distributions = [point.dist.name for point in points if point.dist is not None]
    return _package(package, distributions[0] if distributions else None)


def _package(name: str, distribution: str | None) -> dict[str, Json]:
    return {
        "name": name,
        "version": None if distribution is None else _version(distribution),
        "digest": {"sha256": digest_sources(name)},
    }


def digest_sources(package: str) -> str | None:
    """SHA-256 over paths and contents of the Python files of an imported package or module; ``None`` without files."""
    module = sys.modules.get(package)
    file = getattr(module, "__file__", None)
    folders = [Path(folder) for folder in getattr(module, "__path__", ())]
    sources = {path.relative_to(folder).as_posix(): path for folder in folders for path in folder.rglob("*.py")}
    if not folders and file is not None:
        sources = {Path(file).name: Path(file)}
    digest = hashlib.sha256()
    for name in sorted(sources):
        digest.update(f"{hashlib.sha256(sources[name].read_bytes()).hexdigest()}  {name}\n".encode())
    return digest.hexdigest() if sources else None


def _version(distribution: str) -> str | None:
    if distribution == PROJECT:
        return __version__  # the metadata of an editable installation may be those of an older checkout
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
