"""Equality for all inputs: the network and what a backend has compiled it into, compared without a stimulus."""

from snn_deploy.verification.proof.obligation import Obligation, Outcome, Proof, combine_proofs, record_proof
from snn_deploy.verification.proof.prove import prove_backend, prove_form, prove_reading

__all__ = [
    "Obligation",
    "Outcome",
    "Proof",
    "combine_proofs",
    "prove_backend",
    "prove_form",
    "prove_reading",
    "record_proof",
]
