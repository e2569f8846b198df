"""The DSSE envelope: a statement with one Ed25519 signature.

Format and pre-authentication encoding (PAE) are those of the Dead Simple Signing Envelope, version 1
(https://github.com/secure-systems-lab/dsse), so other implementations check our signatures. What is read is narrower:
one signature, the ``keyid`` derived from the key, canonical JSON and canonical base64, so that an envelope has one
spelling, and a change of any byte of it is refused.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

from snn_deploy.verification.certificate import canonical

PAYLOAD_TYPE = "application/vnd.in-toto+json"
"""Media type of an in-toto statement."""

SIGNATURE_BYTES = 64
"""Length of an Ed25519 signature (RFC 8032)."""


@dataclass(frozen=True)
class Signature:
    """``value``: 64 bytes over :func:`encode_signed` of the statement; ``keyid`` names the key (a hint, itself not signed)."""

    keyid: str
    value: bytes

    def __post_init__(self) -> None:
        if len(self.value) != SIGNATURE_BYTES:
            raise ValueError(f"a signature of {len(self.value)} bytes; Ed25519 has {SIGNATURE_BYTES}")


def encode_signed(payload: bytes, payload_type: str = PAYLOAD_TYPE) -> bytes:
    """The bytes that are signed: PAE(type, payload), which covers the type and both lengths."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def wrap(payload: bytes, signature: Signature) -> bytes:
    """The envelope as JSON."""
    return canonical.to_bytes(
        {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"keyid": signature.keyid, "sig": base64.b64encode(signature.value).decode()}],
        }
    )


def unwrap(data: bytes) -> tuple[bytes, Signature]:
    """Payload and signature, not yet verified; :class:`ValueError` for bytes that :func:`wrap` does not write."""
    values = canonical.from_bytes(data)
    try:
        (entry,) = values["signatures"]
        payload = base64.b64decode(values["payload"], validate=True)
        signature = Signature(entry["keyid"], base64.b64decode(entry["sig"], validate=True))
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a DSSE envelope: {type(error).__name__} {error}") from error
    if wrap(payload, signature) != data:
        raise ValueError(
            f"not an envelope of {PAYLOAD_TYPE} with the fields payload, payloadType and one signature in plain base64"
        )
    return payload, signature
