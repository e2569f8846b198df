"""Adapters between the host and the chip; ports ``inp`` and ``out`` as in public programs."""

from __future__ import annotations

import numpy as np
from lava.magma.core.decorator import implements, requires
from lava.magma.core.model.c.model import CLoihiProcessModel
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import LMT
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol


class _Adapter(AbstractProcess):
    def __init__(self, *, shape, num_message_bits=0, spike_exp=0, compression=None, **kwargs):
        super().__init__(shape=shape, bits=num_message_bits, spike_exp=spike_exp, **kwargs)
        self.inp, self.out = InPort(shape=shape), OutPort(shape=shape)


class PyToN3ConvAdapter(_Adapter):
    """Before ``Conv``."""


class PyToNxAdapter(_Adapter):
    """Before ``Dense`` and ``Sparse``."""


class NxToPyAdapter(_Adapter):
    """Behind neurons."""


class _Model(PyLoihiProcessModel, CLoihiProcessModel):
    inp: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
    out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)

    def run_spk(self):
        self.out.send(self.adapt(self.inp.recv(), self.proc_params["bits"]).astype(np.int32))


class _ToChip(_Model):
    def adapt(self, payload, bits):
        if bits == 0:
            return payload != 0
        if np.any(np.abs(payload) >= 1 << (bits - 1)):
            raise ValueError(f"a payload does not fit {bits} bits")
        return payload << self.proc_params["spike_exp"]


@implements(proc=PyToN3ConvAdapter, protocol=LoihiProtocol)
@requires(LMT)
class ConvAdapterModel(_ToChip):
    """Payloads as they are."""


@implements(proc=PyToNxAdapter, protocol=LoihiProtocol)
@requires(LMT)
class NxAdapterModel(_ToChip):
    """Payloads as they are."""


@implements(proc=NxToPyAdapter, protocol=LoihiProtocol)
@requires(LMT)
class PyAdapterModel(_Model):
    """Words of 24 bits without a sign."""

    def adapt(self, payload, bits):
        return payload & ((1 << bits) - 1) if bits else payload != 0
