"""Are two runs the same, how is that known, and if not, where do they part and why.

``sd.verify`` answers in one call. :class:`Session` is the same route with all its parts: it gives what a certificate
needs. :class:`Comparison` adds up runs and traces that are already there.
"""

from snn_deploy.verification.certificate import (
    Certificate,
    certify,
    check_certificate,
    read_certificate,
    write_certificate,
)
from snn_deploy.verification.comparison.comparison import Comparison, Recording, compare
from snn_deploy.verification.comparison.levels import Check, Level, Status
from snn_deploy.verification.comparison.verdict import Coverage, Divergence, Row, Side, Verdict
from snn_deploy.verification.comparison.verdict_record import record
from snn_deploy.verification.many import verify_images
from snn_deploy.verification.session import Outcome, Session
from snn_deploy.verification.stimuli import Stimuli
from snn_deploy.verification.traces.nir_data import read_nir_data
from snn_deploy.verification.traces.recordings import Readout
from snn_deploy.verification.traces.sana_fe import read_sana_fe
from snn_deploy.verification.traces.trace import Probe, Trace
from snn_deploy.verification.traces.trace_file import read_trace, write_trace

__all__ = [
    "Certificate",
    "Check",
    "Comparison",
    "Coverage",
    "Divergence",
    "Level",
    "Outcome",
    "Probe",
    "Readout",
    "Recording",
    "Row",
    "Session",
    "Side",
    "Status",
    "Stimuli",
    "Trace",
    "Verdict",
    "certify",
    "check_certificate",
    "compare",
    "read_certificate",
    "read_nir_data",
    "read_sana_fe",
    "read_trace",
    "record",
    "verify_images",
    "write_certificate",
    "write_trace",
]
