r"""The two-sided neuron of LeakyReLU: thresholds of its own below zero, and a membrane that only sums up.

One step, as of :mod:`snn_deploy_lava.runtime.processes.neuron` but for

.. math::

    k &= \mathrm{clip}\big(\mathrm{clip}(\lfloor v / \theta \rfloor, 0, a_{max})
        + \mathrm{clip}(\lfloor (v + o) / \theta_b \rfloor, a_{min}, 0) - a,\; k_{min},\; k_{max}\big) \\
    a &\leftarrow a + k, \quad \text{send } k
"""

from __future__ import annotations

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.ports import PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import OutPort
from lava.magma.core.process.variable import Var
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from snn_deploy_lava.runtime.arithmetic import Int64, fire_ladder
from snn_deploy_lava.runtime.processes.neuron import MultiThreshold, PyMultiThreshold


class TwoSided(MultiThreshold):
    """A layer of two-sided neurons; ``theta_below`` and ``offset_below`` (C,) are the threshold and the offset below zero."""

    def __init__(self, *, theta_below: Int64, offset_below: Int64, **own: Any) -> None:
        super().__init__(**own)
        self.theta_below = Var(shape=theta_below.shape, init=theta_below)
        self.offset_below = Var(shape=offset_below.shape, init=offset_below)


@implements(proc=TwoSided, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyTwoSided(PyMultiThreshold):
    """Closed form of the firing rule: one floor division for each sign."""

    implements_process = None  # inherited, and then no other process could be named

    theta_below: Int64 = LavaPyType(np.ndarray, np.int64, precision=24)
    offset_below: Int64 = LavaPyType(np.ndarray, np.int64, precision=24)

    def _fire(self) -> Int64:
        least, greatest = self.proc_params["counts"]
        above = self.fire(self.v, self.theta, 0, greatest, strict=False)
        below = self.fire(self.v + self.offset_below, self.theta_below, least, 0, strict=False)
        payload: Int64 = np.clip(above + below - self.count, *self.proc_params["payloads"])
        payload[np.abs(payload) <= self.proc_params["hold"]] = 0
        self.count += payload
        return payload


@implements(proc=TwoSided, protocol=LoihiProtocol)
@requires(CPU)
@tag("ladder")
class PyTwoSidedLadder(PyTwoSided):
    """The hardware form: two ladders of compares and subtractions, no division."""

    implements_process = None

    fire = staticmethod(fire_ladder)


class ProbedTwoSided(TwoSided):
    """The process with a port for its membrane after each step."""

    def __init__(self, **own: Any) -> None:
        super().__init__(**own)
        self.v_out = OutPort(shape=own["shape"])


@implements(proc=ProbedTwoSided, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyProbedTwoSided(PyTwoSided):
    """The same step, after which the membrane is sent."""

    implements_process = None

    v_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)

    def run_spk(self) -> None:
        """One step."""
        super().run_spk()
        self.v_out.send(self.v.astype(np.int32))


@implements(proc=ProbedTwoSided, protocol=LoihiProtocol)
@requires(CPU)
@tag("ladder")
class PyProbedTwoSidedLadder(PyProbedTwoSided):
    """The hardware form of it."""

    implements_process = None

    fire = staticmethod(fire_ladder)
