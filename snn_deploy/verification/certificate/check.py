"""Writing certificates, reading them, and what is wrong with one: signature, digest, verdict, pages, files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from snn_deploy.errors import VerificationError
from snn_deploy.files import check_writable, read_limited, write_all
from snn_deploy.verification.certificate import canonical
from snn_deploy.verification.certificate.envelope import Signature, unwrap
from snn_deploy.verification.certificate.keys import PublicKey
from snn_deploy.verification.certificate.pages import render_junit, render_page
from snn_deploy.verification.certificate.software import record_software
from snn_deploy.verification.certificate.statement import (
    PREDICATE,
    STATEMENT,
    Certificate,
    digest_file,
    digest_statement,
)
from snn_deploy.verification.comparison.verdict_record import as_mapping, find_contradictions

SIZE_LIMIT = 2**22
"""Largest certificate in bytes that is written and read: about 16,000 images; the worst file of it takes some seconds."""

PAGE_LIMIT = 8 * SIZE_LIMIT
"""Largest page in bytes that is read; HTML writes a quote with six characters."""


def write_certificate(certificate: Certificate, path: Path) -> None:
    """Write ``path`` (JSON) and, beside it, the same as ``.html`` and as JUnit ``.xml``: all three, or none.

    :class:`VerificationError` for what :func:`check_target` refuses.
    """
    check_target(path)
    data = certificate.data
    if len(data) > SIZE_LIMIT:
        raise VerificationError(
            f"{path}: a certificate of {len(data)} bytes; at most {SIZE_LIMIT} are read; certify fewer images at once"
        )
    write_all({path: data} | _pages(certificate, path), VerificationError)


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
            neighbor.is_file() and mark in read_limited(neighbor, VerificationError, PAGE_LIMIT)
        ):
            raise VerificationError(
                f"{neighbor}: stands where the certificate's {suffix} belongs, and is not one; choose another name"
            )


_MARKS = {".html": b"<code>snn-deploy verify --check FILE.json</code>", ".xml": b'<testsuite name="snn-deploy verify '}
"""What every page and every JUnit file of a certificate holds."""


def read_certificate(path: Path) -> Certificate:
    """The certificate in ``path``, not yet checked; its bytes are those that this program writes for its values."""
    return parse_certificate(read_limited(path, VerificationError, SIZE_LIMIT), path)


def parse_certificate(data: bytes, path: Path) -> Certificate:
    """The certificate in ``data``, the content of ``path``."""
    payload, signature = _open(data, path)
    try:
        values = canonical.from_bytes(payload)
    except ValueError as error:
        raise VerificationError(f"{path}: not a certificate as snn-deploy writes it: {error}") from error
    kind = (values.get("_type"), values.get("predicateType")) if isinstance(values, dict) else ()
    if kind != (STATEMENT, PREDICATE) or not isinstance(values.get("predicate"), dict):
        raise VerificationError(f"{path}: not a certificate of type {PREDICATE}; have it issued again by this version")
    return Certificate(values, signature)


def _open(data: bytes, path: Path) -> tuple[bytes, Signature | None]:
    """The statement's bytes and, from an envelope, the signature; neither is looked at."""
    payload = data.removesuffix(b"\n")
    if data != payload + b"\n":
        raise VerificationError(f"{path}: not a certificate as snn-deploy writes it: no line feed at its end")
    if not payload.startswith(b'{"payload"'):
        return payload, None
    try:
        return unwrap(payload)
    except ValueError as error:
        raise VerificationError(f"{path}: not a certificate as snn-deploy writes it: {error}") from error


def check_certificate(
    path: Path, files: Mapping[str, Path] | None = None, key: PublicKey | None = None
) -> tuple[str, ...]:
    """What is wrong with the certificate in ``path``, one line each; empty where it stands.

    With ``key``, it must be signed by it; if it is not, its content is not even parsed. Its digest, and its verdict from
    its own rows, are recomputed; the page and the XML beside it must be its own; ``files`` must have the hashes it
    certifies.
    """
    data = read_limited(path, VerificationError, SIZE_LIMIT)
    if key is not None and (refused := _refuse_signature(*_open(data, path), key)):
        return (refused,)
    certificate = parse_certificate(data, path)
    wrong = []
    try:
        if certificate.predicate.get("digest") != digest_statement(certificate):
            wrong.append("its digest is not that of its content; it was edited")
        wrong += find_contradictions(as_mapping(certificate.predicate["verdict"]))
        wrong += _find_foreign_pages(certificate, path)
        certified = certificate.files
    except (KeyError, TypeError, AttributeError, VerificationError) as error:
        return (*wrong, f"it is incomplete: {type(error).__name__} {error}")
    for label, file in (files or {}).items():
        if label not in certified:
            wrong.append(f"it does not certify a file {label!r}")
        elif _sha256(certified[label]) != digest_file(file):
            wrong.append(f"{label}: {file} is not the file that was verified; its SHA-256 differs")
    return tuple(wrong)


def _refuse_signature(payload: bytes, signature: Signature | None, key: PublicKey) -> str | None:
    if signature is None:
        return "it is not signed; ask for one that is, or check without --key what it says of itself"
    if key.is_signer(payload, signature):
        return None
    if signature.keyid != key.keyid:
        return f"it is signed by key {signature.keyid[:16]!a}, not by {key.keyid[:16]}, the key given"
    return "its signature is not that of its content; it was edited"


def _sha256(descriptor: object) -> object:
    digest = descriptor.get("digest") if isinstance(descriptor, dict) else None
    return digest.get("sha256") if isinstance(digest, dict) else None


def _pages(certificate: Certificate, path: Path) -> dict[Path, bytes]:
    """The files beside the certificate at ``path``: renderings of its statement as it is read again."""
    statement = canonical.from_bytes(certificate.payload)
    return {
        path.with_suffix(".html"): render_page(statement).encode(),
        path.with_suffix(".xml"): render_junit(statement).encode(),
    }


def _find_foreign_pages(certificate: Certificate, path: Path) -> list[str]:
    """Which of the files beside ``path`` are not its own; only the version that wrote them writes the same again."""
    beside = [path.with_suffix(suffix) for suffix in _MARKS if path.with_suffix(suffix).is_file()]
    if not beside or certificate.predicate.get("verifier") != record_software(())["verifier"]:
        return []
    pages = _pages(certificate, path)
    return [
        f"{page} is not the one that was written with it"
        for page in beside
        if read_limited(page, VerificationError, PAGE_LIMIT) != pages[page]
    ]
