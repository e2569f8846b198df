"""Which Python model stands for each process of a graph in the simulator, and for those of the host when a chip runs.

Every process of a graph is named here, so that nothing is left to Lava's own choice: without a tag it takes the first model that
it finds, which for sources is one of floats.
"""

from __future__ import annotations

from typing import Literal

from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.conv.models import PyConvModelFixed
from lava.proc.conv.process import Conv
from lava.proc.graded.models import PyGradedVecModelFixed
from lava.proc.graded.process import GradedVec
from lava.proc.io.reset import PyResetFixed, Reset
from lava.proc.io.source import PySendModelFixed, RingBuffer
from lava.proc.lif.models import PyLifResetModelBitAcc
from lava.proc.lif.process import LIFReset
from lava.proc.sdn.models import PySigmaDeltaModelFixed
from lava.proc.sdn.process import SigmaDelta
from lava.proc.sparse.models import PyDelaySparseModelBitAcc, PySparseModelBitAcc
from lava.proc.sparse.process import DelaySparse, Sparse

from snn_deploy_lava.runtime.processes.lif import ProbedLif, PyProbedLif
from snn_deploy_lava.runtime.processes.neuron import (
    MultiThreshold,
    ProbedMultiThreshold,
    PyMultiThreshold,
    PyMultiThresholdLadder,
    PyProbedMultiThreshold,
    PyProbedMultiThresholdLadder,
)
from snn_deploy_lava.runtime.processes.sigma_delta import ProbedSigmaDelta, PyProbedSigmaDelta
from snn_deploy_lava.runtime.processes.synapse import (
    Correlate,
    PyConvExact,
    PyCorrelate,
    PySumPixels,
    PyTranspose,
    SumPixels,
    Transpose,
)
from snn_deploy_lava.runtime.processes.traffic import Delay, PyDelay, PyRecorder, PySource, Recorder, Source
from snn_deploy_lava.runtime.processes.two_sided import (
    ProbedTwoSided,
    PyProbedTwoSided,
    PyProbedTwoSidedLadder,
    PyTwoSided,
    PyTwoSidedLadder,
    TwoSided,
)

ConvModel = Literal["exact", "stock"]
FireModel = Literal["closed", "ladder"]

HOST: dict[type, type] = {RingBuffer: PySendModelFixed, Recorder: PyRecorder}
"""Processes that stay on the host when a chip runs the rest."""


def make_run_configuration(conv: ConvModel = "exact", fire: FireModel = "closed") -> Loihi2SimCfg:
    """Lava's simulator configuration with the models chosen: of ``Conv`` ours or its own, of the neuron either form."""
    closed = fire == "closed"
    return Loihi2SimCfg(
        select_tag="fixed_pt",
        exception_proc_model_map={
            Conv: PyConvModelFixed if conv == "stock" else PyConvExact,
            Correlate: PyCorrelate,
            Transpose: PyTranspose,
            SumPixels: PySumPixels,
            MultiThreshold: PyMultiThreshold if closed else PyMultiThresholdLadder,
            ProbedMultiThreshold: PyProbedMultiThreshold if closed else PyProbedMultiThresholdLadder,
            TwoSided: PyTwoSided if closed else PyTwoSidedLadder,
            ProbedTwoSided: PyProbedTwoSided if closed else PyProbedTwoSidedLadder,
            LIFReset: PyLifResetModelBitAcc,
            ProbedLif: PyProbedLif,
            SigmaDelta: PySigmaDeltaModelFixed,
            ProbedSigmaDelta: PyProbedSigmaDelta,
            Sparse: PySparseModelBitAcc,
            DelaySparse: PyDelaySparseModelBitAcc,
            GradedVec: PyGradedVecModelFixed,
            Reset: PyResetFixed,
            Source: PySource,
            Delay: PyDelay,
            **HOST,
        },
    )
