"""Verification: are two runs the same, how is that known, and if not, where do they part and why."""

from snn_deploy.verify.comparison import Comparison, Recording, compare
from snn_deploy.verify.levels import Check, Level, Status
from snn_deploy.verify.table import record, table, text
from snn_deploy.verify.trace import Probe, Trace
from snn_deploy.verify.verdict import Coverage, Divergence, Row, Side, Verdict

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
    "table",
    "text",
]
