"""Ed25519 keys in PEM files; the only module that needs the extra ``sign`` (the library cryptography).

A key is named by the SHA-256 of its public half (SubjectPublicKeyInfo, DER).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snn_deploy.errors import VerificationError, suggest_extras
from snn_deploy.files import read_limited
from snn_deploy.verification.certificate.envelope import Signature, encode_signed

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

KEY_LIMIT = 2**16
"""Largest key file in bytes; an Ed25519 key has about 120."""


@dataclass(frozen=True)
class PrivateKey:
    """What signs; never printed or written."""

    key: Ed25519PrivateKey

    def __repr__(self) -> str:
        return "PrivateKey(...)"

    @property
    def public(self) -> PublicKey:
        """The half that is handed out."""
        return PublicKey(self.key.public_key())

    def sign(self, payload: bytes) -> Signature:
        """Signature of a statement; Ed25519 is deterministic, so the same bytes have the same signature."""
        return Signature(self.public.keyid, self.key.sign(encode_signed(payload)))


@dataclass(frozen=True)
class PublicKey:
    """What checks signatures."""

    key: Ed25519PublicKey

    @property
    def keyid(self) -> str:
        """64 hexadecimal digits."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        encoded = self.key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return hashlib.sha256(encoded).hexdigest()

    def is_signer(self, payload: bytes, signature: Signature) -> bool:
        """Whether ``signature`` is that of this key over ``payload``."""
        from cryptography.exceptions import InvalidSignature

        try:
            self.key.verify(signature.value, encode_signed(payload))
        except InvalidSignature:
            return False
        return signature.keyid == self.keyid


def read_private_key(path: Path) -> PrivateKey:
    """The key in a PEM file (PKCS#8, not encrypted); :class:`VerificationError` for any other content."""
    data, (serialization, ed25519) = _pem(path, "PRIVATE"), _library()
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except TypeError as error:
        raise VerificationError(
            f"{path}: the key is encrypted; decrypt it first: openssl pkey -in {path.name} -out KEY.pem"
        ) from error
    except Exception as error:  # ValueError, UnsupportedAlgorithm, or what the library's parser raises
        raise VerificationError(f"{path}: damaged private key: {type(error).__name__}") from error
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise _other_kind(path, key)
    return PrivateKey(key)


def read_public_key(path: Path) -> PublicKey:
    """The key in a PEM file (SubjectPublicKeyInfo); :class:`VerificationError` for any other content."""
    data, (serialization, ed25519) = _pem(path, "PUBLIC"), _library()
    try:
        key = serialization.load_pem_public_key(data)
    except Exception as error:  # ValueError, UnsupportedAlgorithm, or what the library's parser raises
        raise VerificationError(f"{path}: damaged public key: {type(error).__name__}") from error
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise _other_kind(path, key)
    return PublicKey(key)


def _pem(path: Path, half: str) -> bytes:
    """The bytes of a file with a key of this ``half``, PRIVATE or PUBLIC."""
    data = read_limited(path, VerificationError, KEY_LIMIT)
    if half == "PUBLIC" and b"PRIVATE KEY-----" in data:
        raise VerificationError(
            f"{path}: a private key, which signs; write the public one: openssl pkey -in {path.name} -pubout -out PUB.pem"
        )
    if half == "PRIVATE" and b"-----BEGIN PUBLIC KEY-----" in data:
        raise VerificationError(f"{path}: a public key, which checks signatures (--key); sign with the private one")
    if f"{half} KEY-----".encode() not in data:
        raise VerificationError(f"{path}: not a {half.lower()} key in PEM; {_REMEDY}")
    return data


_REMEDY = "make one with: openssl genpkey -algorithm ed25519 -out KEY.pem"


def _library() -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise VerificationError(f"signatures need cryptography: {error}; {suggest_extras('sign')}") from error
    return serialization, ed25519


def _other_kind(path: Path, key: object) -> VerificationError:
    kind = type(key).__name__.removesuffix("Key").removesuffix("Private").removesuffix("Public")
    return VerificationError(f"{path}: a key of kind {kind}; certificates are signed with Ed25519, {_REMEDY}")
