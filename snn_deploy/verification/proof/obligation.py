"""A proof: obligations that together give equality for all inputs, each proved, refuted by an example, or open.

What is open is never a pass: :attr:`Proof.exit_code` is 0 only where every obligation is proved, and there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal, TypeAlias

from snn_deploy.errors import CompiledFormError, ConversionError
from snn_deploy.verification.comparison.verdict_record import Json

Kind = Literal["structure", "linear", "firing", "formats", "bounds", "schedule", "form"]


class Outcome(Enum):
    """What became of an obligation."""

    PROVED = "proved"
    REFUTED = "refuted"
    OPEN = "open"


@dataclass(frozen=True)
class Obligation:
    """One statement about ``subject``, a population, a connection or the whole network.

    ``reason`` says how it was proved, by which example it is refuted, or why it is open. ``evidence`` are the numbers that a
    checker finds again.
    """

    kind: Kind
    subject: str
    outcome: Outcome
    reason: str
    evidence: Mapping[str, int] = field(default_factory=dict)


Shown: TypeAlias = tuple[Outcome, str, dict[str, int]]
"""An outcome, its reason and its evidence."""


def state(kind: Kind, subject: str, show: Callable[[], Shown]) -> Obligation:
    """The obligation with the outcome of ``show``; what cannot be decided is open."""
    try:
        outcome, reason, evidence = show()
    except (CompiledFormError, ConversionError) as error:
        return Obligation(kind, subject, Outcome.OPEN, str(error))
    return Obligation(kind, subject, outcome, reason, evidence)


@dataclass(frozen=True, repr=False)
class Proof:
    """All obligations of one network and one compiled form; both are named by SHA-256.

    ``outside`` names what is taken for granted.
    """

    network: str
    digest: str
    backend: str
    form_digest: str
    obligations: tuple[Obligation, ...]
    outside: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Proof({self.line})"

    def __str__(self) -> str:
        """In a few lines: the proof, and what it takes for granted."""
        return "\n".join([self.line, *(f"outside the proof: {text}" for text in self.outside)])

    def of(self, outcome: Outcome) -> tuple[Obligation, ...]:
        """The obligations with this outcome."""
        return tuple(each for each in self.obligations if each.outcome is outcome)

    @property
    def outcome(self) -> Outcome:
        """Refuted if any obligation is, else open if any is or there is none, else proved."""
        if self.of(Outcome.REFUTED):
            return Outcome.REFUTED
        return Outcome.OPEN if self.of(Outcome.OPEN) or not self.obligations else Outcome.PROVED

    @property
    def exit_code(self) -> int:
        """0 proved, 1 refuted, 2 open."""
        return {Outcome.PROVED: 0, Outcome.REFUTED: 1, Outcome.OPEN: 2}[self.outcome]

    @property
    def line(self) -> str:
        """The proof in one line; the exit code stands last."""
        start = f"{self.network} and {self.backend}"
        if self.outcome is Outcome.PROVED:
            return f"PROVED EQUAL for all inputs: {start}; {len(self.obligations)} obligations | exit 0"
        first = next(iter(self.of(self.outcome)), None)
        where = "no obligation was stated" if first is None else f"{first.subject}: {first.reason}"
        if self.outcome is Outcome.REFUTED:
            count = len(self.of(Outcome.REFUTED))
            return f"REFUTED: {start}; {count} of {len(self.obligations)} obligations; first {where} | exit 1"
        count = len(self.of(Outcome.OPEN))
        return f"NOT PROVED: {start}; {count} of {len(self.obligations)} obligations open; first {where} | exit 2"


def combine_proofs(proofs: Collection[Proof]) -> int:
    """The exit code of several proofs: 1 where any is refuted, else 2 where any is open or there is none, else 0."""
    codes = {proof.exit_code for proof in proofs} or {2}
    return 1 if 1 in codes else max(codes)


def record_proof(proof: Proof) -> dict[str, Json]:
    """``proof`` as values that :mod:`json` can write, and that the checker reads."""
    return {
        "network": proof.network,
        "digest": proof.digest,
        "backend": proof.backend,
        "form_digest": proof.form_digest,
        "outcome": proof.outcome.value,
        "exit_code": proof.exit_code,
        "line": proof.line,
        "obligations": [
            {
                "kind": each.kind,
                "subject": each.subject,
                "outcome": each.outcome.value,
                "reason": each.reason,
                "evidence": dict(each.evidence),
            }
            for each in proof.obligations
        ],
        "outside": list(proof.outside),
    }
