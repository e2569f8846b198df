"""Verification: are two runs the same, how is that known, and if not, where do they part and why.

The package itself can be called: ``snn_deploy.verify(network, images)`` is :func:`snn_deploy.api.verify`.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

from snn_deploy.verify.comparison import Comparison, Recording, compare
from snn_deploy.verify.levels import Check, Level, Status
from snn_deploy.verify.table import table, text
from snn_deploy.verify.trace import Probe, Trace
from snn_deploy.verify.verdict import Coverage, Divergence, Row, Side, Verdict
from snn_deploy.verify.verdict_record import record

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


class _Callable(ModuleType):
    """Importing this room makes it the attribute ``verify`` of the front, where a function is expected."""

    def __call__(
        self, network: object, images: object, backends: Sequence[str] = ("reference", "cpu"), level: str = "train"
    ) -> Verdict:
        """See :func:`snn_deploy.api.verify`."""
        verdict: Verdict = import_module("snn_deploy.api").verify(network, images, backends, level)
        return verdict


sys.modules[__name__].__class__ = _Callable
