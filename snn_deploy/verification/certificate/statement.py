"""The certificate: a verdict that others can check, as an in-toto statement, signed or not.

The statement (https://in-toto.io/Statement/v1) is about the artifact, by its SHA-256. Its predicate says what was compared
and how strictly, and names by digest everything that this rests on: model, stimuli, recordings, verifier and backends.
It holds no time, host, user, path or processor, and its JSON is canonical: the same comparison by the same versions has
the same bytes on every machine.

The predicate's ``digest`` covers the statement, so a careless edit shows even in a certificate that is not signed. Who
forges a certificate can compute a digest, but not a signature (:mod:`snn_deploy.verification.certificate.envelope`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from snn_deploy.backend.protocol import Backend
from snn_deploy.errors import VerificationError
from snn_deploy.files import check_regular
from snn_deploy.network import artifact
from snn_deploy.network.network import Network
from snn_deploy.verification.certificate import canonical
from snn_deploy.verification.certificate.envelope import Signature, wrap
from snn_deploy.verification.certificate.keys import PrivateKey
from snn_deploy.verification.certificate.software import record_software
from snn_deploy.verification.comparison.levels import Level
from snn_deploy.verification.comparison.verdict import Verdict
from snn_deploy.verification.comparison.verdict_record import Json, as_mapping, record
from snn_deploy.verification.diagnosis.mutation import MutationScore

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "urn:snn-deploy:verification:3"
"""Type and version of the predicate; versions 1 and 2 were not in-toto statements."""

_CHUNK = 2**20


@dataclass(frozen=True)
class Certificate:
    """An in-toto statement as plain values, and its signature where it was signed."""

    statement: Mapping[str, Json]
    signature: Signature | None = None

    @property
    def payload(self) -> bytes:
        """The statement's bytes: what is signed. :class:`VerificationError` for text that is not Unicode."""
        try:
            return canonical.to_bytes(self.statement)
        except ValueError as error:
            raise VerificationError(f"the certificate cannot be written as JSON: {error}") from error

    @property
    def data(self) -> bytes:
        """The file's bytes: the statement, or the envelope around it, and a line feed."""
        return (self.payload if self.signature is None else wrap(self.payload, self.signature)) + b"\n"

    @property
    def predicate(self) -> dict[str, Json]:
        """What the statement says of its subject."""
        return as_mapping(self.statement["predicate"])

    @property
    def files(self) -> dict[str, Json]:
        """Every certified file, by its label: ``artifact``, ``stimulus``, ``trace 1``, ..."""
        subjects = self.statement["subject"]
        if not isinstance(subjects, list) or len(subjects) != 1:
            raise TypeError("a certificate has one subject, the artifact")
        return {"artifact": subjects[0], **as_mapping(self.predicate["files"])}

    def sign(self, key: PrivateKey) -> Certificate:
        """The certificate with the signature of ``key``, in place of another."""
        return replace(self, signature=key.sign(self.payload))


def certify(
    verdict: Verdict,
    network: Network,
    *,
    files: Mapping[str, Path] | None = None,
    stimuli: Sequence[str] = (),
    score: MutationScore | None = None,
    backends: Iterable[Backend] = (),
    options: Mapping[str, Json] | None = None,
) -> Certificate:
    """Certificate of ``verdict``, not signed.

    ``files`` are hashed under the labels given (``artifact``, ``trace 1``, ...); without ``artifact``, the subject is the
    file that ``network`` would be saved as. ``stimuli`` are digests of the input batches in order, ``backends`` those
    that ran, ``options`` what a new run of the same comparison needs to be told.
    """
    if verdict.asked >= Level.NEURON_COUNT and not stimuli:
        raise VerificationError("a certificate names the stimulus that it holds for; none was given")
    described = {label: _describe(path.name, digest_file(path)) for label, path in (files or {}).items()}
    subject = described.pop("artifact", None) or _describe(f"{network.name}.snn", artifact.digest(network))
    model = network.config.get("model_sha256")
    predicate: dict[str, Json] = {
        "verdict": {key: value for key, value in record(verdict).items() if key != "cause"},
        "cause": verdict.cause,
        "model": None if model is None else {"digest": {"sha256": str(model)}},
        "files": described,
        "stimuli": list(stimuli),
        "mutation": None if score is None else record_score(score),
        "options": dict(options or {}),
        "configuration": dict(network.config),
        "schedule": {"mode": network.mode, "steps": network.steps, "duration": network.duration},
        **record_software(backends),
    }
    statement: dict[str, Json] = {"_type": STATEMENT, "subject": [subject], "predicateType": PREDICATE}
    blank = Certificate({**statement, "predicate": predicate})
    return Certificate({**statement, "predicate": {**predicate, "digest": digest_statement(blank)}})


def digest_statement(certificate: Certificate) -> str:
    """SHA-256 of the statement without the predicate's ``digest``."""
    predicate = {key: value for key, value in certificate.predicate.items() if key != "digest"}
    return hashlib.sha256(Certificate({**certificate.statement, "predicate": predicate}).payload).hexdigest()


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


def _describe(name: str, sha256: str) -> Json:
    r"""An in-toto resource descriptor; bytes of a file name that are not UTF-8 are written as ``\udcXX``."""
    name = name.encode(errors="backslashreplace").decode()
    return {"name": name, "digest": {"sha256": sha256}}
