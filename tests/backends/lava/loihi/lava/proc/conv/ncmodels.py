"""``Conv`` on the chip."""

import numpy as np
from lava.magma.core.decorator import implements, requires
from lava.magma.core.model.nc.model import AbstractNcProcessModel
from lava.magma.core.resources import Loihi2NeuroCore
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from lava.proc.conv.models import PyConvModelFixed
from lava.proc.conv.process import Conv


@implements(proc=Conv, protocol=LoihiProtocol)
@requires(Loihi2NeuroCore)
class NcModelConv(PyConvModelFixed, AbstractNcProcessModel):
    """Lava's arithmetic, which has no exponent, with weights that the chip holds."""

    checked = False

    def run_spk(self):
        if not self.checked:
            self.check()
        super().run_spk()

    def check(self):
        low, high = self.weight.min(), self.weight.max()
        mixed = low < 0 < high
        limits = (-256, 254) if mixed else (-255, 255)
        if low < limits[0] or high > limits[1] or (mixed and np.any(self.weight % 2)):
            raise ValueError(f"weights {low}..{high} are not those of the chip")
        self.checked = True
