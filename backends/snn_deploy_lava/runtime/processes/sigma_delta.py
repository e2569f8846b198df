"""Lava's own sigma-delta neuron, with two additional ports for its state. Its arithmetic is unchanged."""

from __future__ import annotations

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.ports import PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import OutPort
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from lava.proc.sdn.models import PySigmaDeltaModelFixed
from lava.proc.sdn.process import ActivationMode, SigmaDelta

from snn_deploy_lava.runtime.arithmetic import Int64


def make_parameters(
    *, shape: tuple[int, int, int], theta: Int64, offset: Int64, shift: int, rectify: bool, name: str
) -> dict[str, Any]:
    """Arguments of Lava's ``SigmaDelta``: ``theta`` and ``offset`` (C,) in units of the state, one threshold.

    Lava multiplies threshold and bias by ``2**state_exp``; a bias divided by it before is an exact float, so the product is the
    same integer.
    """
    return {
        "shape": shape,
        "vth": int(theta[0]) >> shift,
        "bias": np.broadcast_to(offset / 2**shift, shape),
        "act_mode": ActivationMode.RELU if rectify else ActivationMode.UNIT,
        "state_exp": shift,
        "name": name,
    }


class ProbedSigmaDelta(SigmaDelta):  # type: ignore[misc]
    """The process with ports for sigma and for the sum sent so far, ``act - residue``.

    :mod:`snn_deploy.network.sigma_delta` has the equations.
    """

    def __init__(self, **own: Any) -> None:
        super().__init__(**own)
        self.v_out = OutPort(shape=own["shape"])
        self.u_out = OutPort(shape=own["shape"])


@implements(proc=ProbedSigmaDelta, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyProbedSigmaDelta(PySigmaDeltaModelFixed):  # type: ignore[misc]
    """Lava's model, which also sends sigma and the sum sent so far after each step."""

    implements_process = None  # inherited, and then no other process could be named

    v_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
    u_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)

    def run_spk(self) -> None:
        """One step."""
        super().run_spk()
        self.v_out.send(self.sigma.astype(np.int32))
        self.u_out.send((self.act - self.residue).astype(np.int32))
