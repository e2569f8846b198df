"""Lava's own bit-accurate leaky neuron, with two additional ports for its state. Its arithmetic is unchanged."""

from __future__ import annotations

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.ports import PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import OutPort
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from lava.proc.lif.models import PyLifResetModelBitAcc
from lava.proc.lif.process import LIFReset

from snn_deploy_lava.runtime.arithmetic import Int64
from snn_deploy_lava.runtime.schedule import Clock

THRESHOLD_SHIFT = 6
"""Bits that a threshold's mantissa is shifted left (``vth_shift``)."""


def make_parameters(
    *,
    shape: tuple[int, int, int],
    theta: Int64,
    offset: Int64,
    current_decay: int,
    voltage_decay: int,
    clock: Clock,
    name: str,
) -> dict[str, Any]:
    """Arguments of Lava's ``LIFReset``: neurons of ``shape`` (X, Y, C), reset at every onset of ``clock``.

    ``theta`` and ``offset`` (C,) are thresholds and biases in units of the membrane
    (:mod:`snn_deploy.network.cuba_lif`); all thresholds
    are equal, as on the chip. Events that a layer sends before its first onset have no effect, as they arrive before the
    onset of its targets.
    """
    mantissa, exponent = split_bias(offset)
    threshold = np.unique(theta)
    if threshold.size != 1 or threshold[0] % (1 << THRESHOLD_SHIFT):
        raise ValueError(f"{name}: Lava's LIF has one threshold, a multiple of {1 << THRESHOLD_SHIFT}")
    return {
        "shape": shape,
        "du": current_decay - 1,
        "dv": voltage_decay,
        "vth": int(threshold[0]) >> THRESHOLD_SHIFT,
        "bias_mant": np.broadcast_to(mantissa, shape),
        "bias_exp": exponent,
        "reset_interval": clock.interval,
        "reset_offset": (clock.onset + 1) % clock.interval,
        "name": name,
    }


class ProbedLif(LIFReset):  # type: ignore[misc]
    """The process with ports for its membrane and its current."""

    def __init__(self, **own: Any) -> None:
        super().__init__(**own)
        self.v_out = OutPort(shape=own["shape"])
        self.u_out = OutPort(shape=own["shape"])


@implements(proc=ProbedLif, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyProbedLif(PyLifResetModelBitAcc):  # type: ignore[misc]
    """Lava's model, which also sends v and u after each step."""

    implements_process = None  # inherited, and then no other process could be named

    v_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
    u_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)

    def run_spk(self) -> None:
        """One step."""
        super().run_spk()
        self.v_out.send(self.v.astype(np.int32))
        self.u_out.send(self.u.astype(np.int32))


def split_bias(offset: Int64) -> tuple[Int64, int]:
    """13-bit mantissas and an exponent in 0..7 with ``offset = mantissa * 2**exponent``; ``ValueError`` if none exist."""
    for exponent in range(7, -1, -1):
        mantissa = offset >> exponent
        if np.array_equal(mantissa << exponent, offset) and np.all((mantissa >= -4096) & (mantissa <= 4095)):
            return mantissa, exponent
    raise ValueError(f"biases {offset.min()}..{offset.max()} are not 13-bit numbers times one power of two up to 2**7")
