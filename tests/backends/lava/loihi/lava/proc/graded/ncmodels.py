"""``GradedVec`` on the chip."""

from lava.magma.core.decorator import implements, requires
from lava.magma.core.model.nc.model import AbstractNcProcessModel
from lava.magma.core.resources import Loihi2NeuroCore
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from lava.proc.graded.models import PyGradedVecModelFixed
from lava.proc.graded.process import GradedVec


@implements(proc=GradedVec, protocol=LoihiProtocol)
@requires(Loihi2NeuroCore)
class NcModelGradedVec(PyGradedVecModelFixed, AbstractNcProcessModel):
    """Lava's arithmetic."""
