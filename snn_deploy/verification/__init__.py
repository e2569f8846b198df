"""Are two runs the same, how is that known, and if not, where do they part and why."""

from snn_deploy.verification.comparison.comparison import Comparison, Recording, compare
from snn_deploy.verification.comparison.levels import Check, Level, Status
from snn_deploy.verification.comparison.verdict import Coverage, Divergence, Row, Side, Verdict
from snn_deploy.verification.comparison.verdict_record import record
from snn_deploy.verification.traces.trace import Probe, Trace

__all__ = [
    "Check",
    "Comparison",
    "Coverage",
    "Divergence",
    "Level",
    "Probe",
    "Recording",
    "Row",
    "Side",
    "Status",
    "Trace",
    "Verdict",
    "compare",
    "record",
]
