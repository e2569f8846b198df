"""Certificates of verdicts, for others to check: an in-toto statement, and a DSSE envelope where it is signed."""

from snn_deploy.verification.certificate.check import (
    check_certificate,
    check_target,
    parse_certificate,
    read_certificate,
    write_certificate,
)
from snn_deploy.verification.certificate.keys import PrivateKey, PublicKey, read_private_key, read_public_key
from snn_deploy.verification.certificate.statement import Certificate, certify, digest_file, record_score

__all__ = [
    "Certificate",
    "PrivateKey",
    "PublicKey",
    "certify",
    "check_certificate",
    "check_target",
    "digest_file",
    "parse_certificate",
    "read_certificate",
    "read_private_key",
    "read_public_key",
    "record_score",
    "write_certificate",
]
