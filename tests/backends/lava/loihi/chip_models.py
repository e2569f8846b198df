"""A team's hook, as a bundle's ``chip_models.py``: the neuron's model, here in Python with the mark of a neuro-core."""

from lava.magma.core.decorator import implements, requires
from lava.magma.core.model.nc.model import AbstractNcProcessModel
from lava.magma.core.resources import Loihi2NeuroCore
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from snn_deploy_lava.runtime.processes.neuron import MultiThreshold, PyMultiThresholdLadder
from snn_deploy_lava.runtime.processes.two_sided import PyTwoSidedLadder, TwoSided


@implements(proc=MultiThreshold, protocol=LoihiProtocol)
@requires(Loihi2NeuroCore)
class NcMultiThreshold(PyMultiThresholdLadder, AbstractNcProcessModel):
    """The hardware form of the neuron."""


@implements(proc=TwoSided, protocol=LoihiProtocol)
@requires(Loihi2NeuroCore)
class NcTwoSided(PyTwoSidedLadder, AbstractNcProcessModel):
    """The hardware form of the two-sided neuron."""


def process_models():
    return {MultiThreshold: NcMultiThreshold, TwoSided: NcTwoSided}
