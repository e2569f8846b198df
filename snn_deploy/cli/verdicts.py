"""What every comparison of ``verify`` says with ``--json``."""

from __future__ import annotations

import argparse

from snn_deploy.cli.clipping import record_clipping
from snn_deploy.display.console import show_json
from snn_deploy.verification import Verdict
from snn_deploy.verification import record as verdict_record
from snn_deploy.verification.certificate import record_score
from snn_deploy.verification.diagnosis.mutation import MutationScore


def show_verdict_json(arguments: argparse.Namespace, verdict: Verdict, score: MutationScore | None = None) -> None:
    """Print ``verdict``, and with ``--mutation`` the score of its stimulus."""
    record = {"exit_code": verdict.exit_code, "verdict": verdict_record(verdict)}
    scored = None if score is None else record_score(score)
    show_json("verify", {**record, "mutation": scored, "clipped": record_clipping(arguments)})
