"""``SigmaDelta`` on the chip."""

from lava.magma.core.decorator import implements, requires
from lava.magma.core.model.nc.model import AbstractNcProcessModel
from lava.magma.core.resources import Loihi2NeuroCore
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from lava.proc.sdn.models import PySigmaDeltaModelFixed
from lava.proc.sdn.process import SigmaDelta


@implements(proc=SigmaDelta, protocol=LoihiProtocol)
@requires(Loihi2NeuroCore)
class NcModelSigmaDelta(PySigmaDeltaModelFixed, AbstractNcProcessModel):
    """Lava's arithmetic."""
