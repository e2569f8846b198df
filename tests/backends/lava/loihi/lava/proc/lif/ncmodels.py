"""``LIFReset`` on the chip."""

from lava.magma.core.decorator import implements, requires
from lava.magma.core.model.nc.model import AbstractNcProcessModel
from lava.magma.core.resources import Loihi2NeuroCore
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from lava.proc.lif.models import PyLifResetModelBitAcc
from lava.proc.lif.process import LIFReset


@implements(proc=LIFReset, protocol=LoihiProtocol)
@requires(Loihi2NeuroCore)
class NcModelLifReset(PyLifResetModelBitAcc, AbstractNcProcessModel):
    """Lava's arithmetic."""
