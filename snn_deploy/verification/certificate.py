"""The certificate: a verdict that somebody else can check, as JSON, one HTML page and JUnit XML.

It holds what was compared and how strictly, and the SHA-256 of everything it rests on: the ONNX model, the artifact,
the stimuli, recorded traces. Its own digest covers all of that, so a careless edit shows; it is no signature: who forges
a certificate can compute a digest too. :func:`check_certificate` therefore also derives the verdict from its own rows
again, and ``snn-deploy verify --check`` runs the comparison again wherever its files are at hand.
"""

from __future__ import annotations

import hashlib
import html
import json
import platform
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import cast

from snn_deploy.errors import VerificationError
from snn_deploy.files import check_regular, read_limited
from snn_deploy.network.network import Network
from snn_deploy.verification.comparison.levels import Level, Status
from snn_deploy.verification.comparison.verdict import Verdict
from snn_deploy.verification.comparison.verdict_record import Json, contradictions, record
from snn_deploy.verification.diagnosis.mutation import MutationScore

FORMAT = "snn-deploy certificate"
VERSION = 1

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
        "files": {name: {"name": path.name, "sha256": file_digest(path)} for name, path in (files or {}).items()},
        "stimuli": list(stimuli),
        "cause": verdict.cause,
        "mutation": None if score is None else score_record(score),
        "options": dict(options or {}),
        "configuration": {key: network.config[key] for key in sorted(network.config)},
        "schedule": {"mode": network.mode, "steps": network.steps, "duration": network.duration},
        "engines": dict(engines or {}),
        "versions": _versions(),
    }
    return Certificate(body, _digest(body))


def write_certificate(certificate: Certificate, path: Path) -> None:
    """Write ``path`` (JSON) and, beside it, the same as ``.html`` and as JUnit ``.xml``."""
    texts = {
        path: certificate.json,
        path.with_suffix(".html"): page(certificate),
        path.with_suffix(".xml"): junit(certificate),
    }
    for target, text in texts.items():
        try:
            target.write_text(text, encoding="utf-8")
        except OSError as error:
            raise VerificationError(f"{target}: cannot be written: {error.strerror or error}") from error


def read_certificate(path: Path) -> Certificate:
    """The certificate in ``path``, not yet checked."""
    try:
        text = read_limited(path, VerificationError, SIZE_LIMIT).decode()
        values = json.loads(text, object_pairs_hook=_once)
    except KeyError as error:
        raise VerificationError(f"{path}: says {error} twice; it was edited") from error
    except (ValueError, RecursionError) as error:
        raise VerificationError(f"{path}: no JSON: {type(error).__name__}") from error
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
        wrong += contradictions(_mapping(certificate.body["verdict"]))
        wrong += _beside(certificate, path)
    except (KeyError, TypeError, AttributeError, VerificationError) as error:
        wrong.append(f"it is incomplete: {type(error).__name__} {error}")
    certified = certificate.body.get("files")
    for name, file in (files or {}).items():
        entry = certified.get(name) if isinstance(certified, dict) else None
        if not isinstance(entry, dict):
            wrong.append(f"it does not certify a file {name!r}")
        elif entry.get("sha256") != file_digest(file):
            wrong.append(f"{name}: {file} is not the file that was verified; its SHA-256 differs")
    return tuple(wrong)


def file_digest(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    found = hashlib.sha256()
    check_regular(path, VerificationError)
    try:
        with path.open("rb") as stream:
            while piece := stream.read(_CHUNK):
                found.update(piece)
    except OSError as error:
        raise VerificationError(f"{path}: cannot be read: {error.strerror or error}") from error
    return found.hexdigest()


def junit(certificate: Certificate) -> str:
    """JUnit XML: one test case per population and backend beside the baseline, and one for the verdict."""
    verdict = _mapping(certificate.body["verdict"])
    suite = ET.Element("testsuite", name=f"snn-deploy verify {verdict['network']}")
    counts = {"tests": 0, "failures": 0, "errors": 0}
    for row in _rows(verdict):
        for side in _list(row["sides"])[1:]:
            case = ET.SubElement(suite, "testcase", classname=str(side["backend"]), name=str(row["name"]))
            _outcome(case, str(side["status"]), json.dumps(side["first"] or side["missing"], sort_keys=True), counts)
    case = ET.SubElement(suite, "testcase", classname="verdict", name=f"level {verdict['asked']}")
    _outcome(case, str(verdict["status"]), str(verdict["line"]), counts)
    for name, number in counts.items():
        suite.set(name, str(number))
    ET.indent(suite)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(suite, encoding="unicode") + "\n"


def _outcome(case: ET.Element, status: str, message: str, counts: dict[str, int]) -> None:
    counts["tests"] += 1
    if status == Status.DIFFERENT.value:
        counts["failures"] += 1
        ET.SubElement(case, "failure", message=message)
    elif status == Status.NOT_COMPARED.value:
        counts["errors"] += 1
        ET.SubElement(case, "error", message=message)


def page(certificate: Certificate) -> str:
    """One self-contained HTML page: no script, no address, nothing fetched."""
    body = certificate.body
    verdict = _mapping(body["verdict"])
    names = [str(name) for name in cast("list[Json]", verdict["backends"])]
    head = ["population", "neurons", "probed", *names, "differing", "status"]
    rows = []
    for row in _rows(verdict):
        sides = _list(row["sides"])
        differing = "; ".join(f"{side['backend']}: {_pairs(side['differing'])}" for side in sides[1:])
        cells = [
            row["name"],
            row["neurons"],
            row["probed"],
            *(side["spikes"] for side in sides),
            differing,
            row["status"],
        ]
        rows.append(_row("td", cells, str(row["status"])))
    warnings = "".join(f"<li>{_text(item)}</li>" for item in cast("list[Json]", verdict["warnings"]))
    facts = {key: body[key] for key in _FACTS}
    return "\n".join(
        [
            "<!doctype html><html lang=en><meta charset=utf-8>",
            f"<title>{_text(verdict['network'])}: {_text(verdict['status'])}</title><style>{_STYLE}</style>",
            f"<h1>{_text(verdict['network'])}</h1>",
            f"<p class='{_class(str(verdict['status']))}'>{_text(verdict['line'])}</p>",
            f"<p>{_text(verdict['story'])}</p><ul>{warnings}</ul>",
            f"<table><caption>Spikes of every population; asked for level {_text(verdict['asked'])}, reached "
            f"{_text(verdict['reached'])}</caption>{_row('th', head, '')}{''.join(rows)}</table>",
            f"<pre>{_text(json.dumps(facts, indent=1, sort_keys=True))}</pre>",
            f"<p>certificate {_text(certificate.digest)}; check it with",
            "<code>snn-deploy verify --check FILE.json</code></p></html>",
        ]
    )


_FACTS = ("files", "stimuli", "cause", "mutation", "options", "schedule", "configuration", "engines", "versions")

_STYLE = (
    "body{font:15px system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em}table{border-collapse:collapse}"
    "td,th{padding:.25em .7em;border-bottom:1px solid #ccc;text-align:right}"
    "td:first-child,th:first-child{text-align:left}"
    ".equal{color:#06623b}.different{color:#a4133c;font-weight:600}.not-compared{color:#8a5a00}"
)


def _row(tag: str, cells: Sequence[Json], status: str) -> str:
    return f"<tr class='{_class(status)}'>" + "".join(f"<{tag}>{_text(cell)}</{tag}>" for cell in cells) + "</tr>"


def _class(status: str) -> str:
    return status.replace(" ", "-")


def _text(value: Json) -> str:
    return html.escape("-" if value is None else f"{value:,}" if type(value) is int else str(value))


def _pairs(values: Json) -> str:
    return ", ".join(f"{key} {number:,}" for key, number in sorted(_mapping(values).items()) if isinstance(number, int))


def score_record(score: MutationScore) -> Json:
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
    if _mapping(certificate.body["versions"]).get("snn-deploy") != _versions()["snn-deploy"]:
        return []
    own = {path.with_suffix(".html"): page(certificate), path.with_suffix(".xml"): junit(certificate)}
    return [
        f"{neighbour} is not the one that was written with it"
        for neighbour, text in own.items()
        if neighbour.is_file() and neighbour.read_text(encoding="utf-8", errors="replace") != text
    ]


def _mapping(value: Json) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise TypeError(f"{type(value).__name__} stands where a record belongs")
    return value


def _list(value: Json) -> list[dict[str, Json]]:
    if not isinstance(value, list):
        raise TypeError(f"{type(value).__name__} stands where a list belongs")
    return [_mapping(item) for item in value]


def _rows(verdict: Mapping[str, Json]) -> list[dict[str, Json]]:
    return _list(verdict["populations"])
