"""``Sparse`` and ``DelaySparse`` on the chip."""

from lava.magma.core.decorator import implements, requires
from lava.magma.core.model.nc.model import AbstractNcProcessModel
from lava.magma.core.resources import Loihi2NeuroCore
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from lava.proc.sparse.models import PyDelaySparseModelBitAcc, PySparseModelBitAcc
from lava.proc.sparse.process import DelaySparse, Sparse


@implements(proc=Sparse, protocol=LoihiProtocol)
@requires(Loihi2NeuroCore)
class NcModelSparse(PySparseModelBitAcc, AbstractNcProcessModel):
    """Lava's arithmetic."""


@implements(proc=DelaySparse, protocol=LoihiProtocol)
@requires(Loihi2NeuroCore)
class NcModelDelaySparse(PyDelaySparseModelBitAcc, AbstractNcProcessModel):
    """Lava's arithmetic."""
