"""The certificate: a verdict that somebody else can check, as JSON, one HTML page and JUnit XML.

It holds what was compared and how strictly, and the SHA-256 of everything it rests on: the ONNX model, the artifact,
the stimuli, recorded traces. Its own digest covers all of that, so a careless edit shows; it is not a signature: who forges
a certificate can compute a digest too. :func:`check_certificate` therefore also derives the verdict from its own rows
again, and ``snn-deploy verify --check`` runs the comparison again wherever its files are at hand.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from snn_deploy.errors import VerificationError
from snn_deploy.files import check_regular, check_writable, read_limited, write_all
from snn_deploy.network.network import Network
from snn_deploy.verification.certificate_pages import as_mapping, render_junit, render_page
from snn_deploy.verification.comparison.levels import Level
from snn_deploy.verification.comparison.verdict import Verdict
from snn_deploy.verification.comparison.verdict_record import Json, find_contradictions, record
from snn_deploy.verification.diagnosis.mutation import MutationScore

FORMAT = "snn-deploy certificate"
VERSION = 2

SIZE_LIMIT = 2**26
"""Largest certificate in bytes that is read."""

_CHUNK = 2**20


@dataclass(frozen=True)
class Certificate:
    """A verdict with what it rests on, as plain values; ``digest`` is the SHA-256 of ``body``."""

    body: Mapping[str, Json]
    digest: str

    @property
    def json(self) -> str:
        """The text that is written."""
        return json.dumps({"digest": self.digest, **self.body}, indent=1, sort_keys=True, allow_nan=False)


def certify(
    verdict: Verdict,
    network: Network,
    *,
    files: Mapping[str, Path] | None = None,
    stimuli: Sequence[str] = (),
    score: MutationScore | None = None,
    engines: Mapping[str, str] | None = None,
    options: Mapping[str, Json] | None = None,
) -> Certificate:
    """Certificate of ``verdict``.

    ``files`` are hashed under the names given (``artifact``, ``trace 1``, ...), ``stimuli`` are digests of the input
    batches in order, ``engines`` says what computed each backend, ``options`` are
    what a new run of the same comparison needs to be told.
    """
    if verdict.asked >= Level.NEURON_COUNT and not stimuli:
        raise VerificationError("a certificate names the stimulus that it holds for; none was given")
    body: dict[str, Json] = {
        "format": FORMAT,
        "version": VERSION,
        "verdict": {key: value for key, value in record(verdict).items() if key != "cause"},
        "files": {name: {"name": path.name, "sha256": digest_file(path)} for name, path in (files or {}).items()},
        "stimuli": list(stimuli),
        "cause": verdict.cause,
        "mutation": None if score is None else record_score(score),
        "options": dict(options or {}),
        "configuration": {key: network.config[key] for key in sorted(network.config)},
        "schedule": {"mode": network.mode, "steps": network.steps, "duration": network.duration},
        "engines": dict(engines or {}),
        "versions": _versions(),
    }
    return Certificate(body, _digest(body))


def write_certificate(certificate: Certificate, path: Path) -> None:
    """Write ``path`` (JSON) and, beside it, the same as ``.html`` and as JUnit ``.xml``: all three, or none.

    :class:`VerificationError` for what :func:`check_target` refuses.
    """
    check_target(path)
    texts = {path: certificate.json} | _neighbors(certificate, path)
    write_all(texts, VerificationError)


def check_target(path: Path) -> None:
    """:class:`VerificationError` where a certificate cannot be written to ``path``; asked before the work, too.

    ``path`` must end in ``.json``, since two more files take its name. These replace pages and JUnit files of an older
    certificate, and no other file.
    """
    if path.suffix != ".json":
        raise VerificationError(
            f"{path}: a certificate is a .json file, with .html and .xml beside it; write {path.with_suffix('.json').name}"
        )
    check_writable(path)
    for suffix, mark in _MARKS.items():
        neighbor = path.with_suffix(suffix)
        check_writable(neighbor)
        if neighbor.exists() and not (
            neighbor.is_file() and mark in read_limited(neighbor, VerificationError, SIZE_LIMIT)
        ):
            raise VerificationError(
                f"{neighbor}: stands where the certificate's {suffix} belongs, and is not one; choose another name"
            )


_MARKS = {".html": b"<code>snn-deploy verify --check FILE.json</code>", ".xml": b'<testsuite name="snn-deploy verify '}
"""What every page and every JUnit file of a certificate holds."""


def _neighbors(certificate: Certificate, path: Path) -> dict[Path, str]:
    """The files beside the certificate at ``path``."""
    return {
        path.with_suffix(".html"): render_page(certificate.body, certificate.digest),
        path.with_suffix(".xml"): render_junit(certificate.body),
    }


def read_certificate(path: Path) -> Certificate:
    """The certificate in ``path``, not yet checked."""
    try:
        text = read_limited(path, VerificationError, SIZE_LIMIT).decode()
        values = json.loads(text, object_pairs_hook=_once)
    except KeyError as error:
        raise VerificationError(f"{path}: says {error} twice; it was edited") from error
    except (ValueError, RecursionError) as error:
        raise VerificationError(f"{path}: not JSON: {type(error).__name__}") from error
    if not isinstance(values, dict) or values.get("format") != FORMAT or values.get("version") != VERSION:
        raise VerificationError(f"{path}: not a certificate of {FORMAT!r} version {VERSION}")
    digest = values.pop("digest", None)
    if not isinstance(digest, str):
        raise VerificationError(f"{path}: holds no digest")
    return Certificate(values, digest)


def check_certificate(path: Path, files: Mapping[str, Path] | None = None) -> tuple[str, ...]:
    """What is wrong with the certificate in ``path``, one line each; empty where it stands.

    Its digest, and its verdict from its own rows, are recomputed; the page and the XML beside it must be its own;
    ``files`` must have the hashes it certifies.
    """
    certificate = read_certificate(path)
    wrong = []
    if certificate.digest != _digest(certificate.body):
        wrong.append("its digest is not that of its content; it was edited")
    try:
        wrong += find_contradictions(as_mapping(certificate.body["verdict"]))
        wrong += _beside(certificate, path)
    except (KeyError, TypeError, AttributeError, VerificationError) as error:
        wrong.append(f"it is incomplete: {type(error).__name__} {error}")
    certified = certificate.body.get("files")
    for name, file in (files or {}).items():
        entry = certified.get(name) if isinstance(certified, dict) else None
        if not isinstance(entry, dict):
            wrong.append(f"it does not certify a file {name!r}")
        elif entry.get("sha256") != digest_file(file):
            wrong.append(f"{name}: {file} is not the file that was verified; its SHA-256 differs")
    return tuple(wrong)


def digest_file(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    check_regular(path, VerificationError)
    try:
        with path.open("rb") as stream:
            while piece := stream.read(_CHUNK):
                digest.update(piece)
    except OSError as error:
        raise VerificationError(f"{path}: cannot be read: {error.strerror or error}") from error
    return digest.hexdigest()


def record_score(score: MutationScore) -> Json:
    """A mutation score as values for JSON."""
    return {
        "mutants": len(score.mutants),
        "visible": len(score.visible),
        "caught": {level.label: len(score.caught(level)) for level in Level},
    }


def _versions() -> dict[str, Json]:
    found: dict[str, Json] = {"python": platform.python_version()}
    for package in ("snn-deploy", "numpy", "onnx", "onnxruntime", "lava-nc"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def _digest(body: Mapping[str, Json]) -> str:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _once(pairs: Sequence[tuple[str, Json]]) -> dict[str, Json]:
    """A JSON object; :class:`KeyError` where it says something twice, of which a reader sees the first only."""
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        raise KeyError(next(name for name in names if names.count(name) > 1))
    return values


def _beside(certificate: Certificate, path: Path) -> list[str]:
    """Which of the files written with ``path`` are not its own; another version of this program writes others."""
    if as_mapping(certificate.body["versions"]).get("snn-deploy") != _versions()["snn-deploy"]:
        return []
    return [
        f"{neighbor} is not the one that was written with it"
        for neighbor, text in _neighbors(certificate, path).items()
        if neighbor.is_file() and read_limited(neighbor, VerificationError, SIZE_LIMIT) != text.encode()
    ]
