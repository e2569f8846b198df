r"""The multi-threshold integrate-and-fire neuron: signed graded events, a bounded running count, either reset.

One step, with the schedule of :mod:`snn_deploy_lava.runtime.schedule` giving the step of the image:

.. math::

    v &\leftarrow \mathrm{sat}_{24}(v + I + \text{bias})  \\
    k &= \mathrm{clip}(\lfloor (v - \mathrm{strict}) / \theta \rfloor, k_{min}, k_{max}), \quad
    k \leftarrow \mathrm{clip}(k, a_{min} - a, a_{max} - a), \quad
    k \leftarrow 0 \text{ where } |k| \le \mathrm{hold} \\
    v &\leftarrow v - k\theta \; \text{(hard: } 0 \text{ where } k \ne 0), \quad a \leftarrow a + k, \quad
    \text{send } k
"""

from __future__ import annotations

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from snn_deploy_lava.runtime.arithmetic import STATE_MAX, Int64, fire, fire_ladder
from snn_deploy_lava.runtime.schedule import Clock


class MultiThreshold(AbstractProcess):  # type: ignore[misc]
    """A layer of multi-threshold neurons of ``shape`` (X, Y, C).

    ``theta`` and ``v0`` are (C,), ``bias`` broadcasts to ``shape``. ``payloads`` and ``counts`` are (least,
    greatest); counts of ``None`` are unbounded. An event subtracts its payload
    times theta from the membrane, or resets it to zero (``hard``). ``clock`` says when an image begins here and ``start``
    from which step of the image the layer fires; the bias is added once, at ``start``, or at every step from then on
    (``bias_repeats``). ``carried``: membranes and counts (B, X, Y, C) from which each image goes on, as the frames of a stream
    do; without them images begin from rest. ``frames``: images are frames of a stream: all but the first go on from the states
    of the one before, and the bias joins in the first. ``hold``: changes of at most so many counts are not sent.
    """

    def __init__(
        self,
        *,
        shape: tuple[int, int, int],
        theta: Int64,
        v0: Int64,
        bias: Int64,
        payloads: tuple[int, int],
        counts: tuple[int, int] | None,
        strict: bool,
        hard: bool,
        bias_repeats: bool,
        clock: Clock,
        start: int,
        end: int,
        name: str,
        carried: tuple[Int64, Int64] | None = None,
        frames: bool = False,
        hold: int = 0,
    ) -> None:
        super().__init__(
            name=name,
            shape=shape,
            payloads=payloads,
            counts=counts,
            strict=strict,
            hard=hard,
            bias_repeats=bias_repeats,
            clock=clock,
            start=start,
            end=end,
            carried=carried,
            frames=frames,
            hold=hold,
        )
        self.a_in = InPort(shape=shape)
        self.s_out = OutPort(shape=shape)
        self.theta = Var(shape=theta.shape, init=theta)
        self.v0 = Var(shape=v0.shape, init=v0)
        self.bias = Var(shape=bias.shape, init=bias)
        self.v = Var(shape=shape, init=np.broadcast_to(v0, shape))
        self.count = Var(shape=shape, init=0)
        self.saturations = Var(shape=(1,), init=0)


@implements(proc=MultiThreshold, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyMultiThreshold(PyLoihiProcessModel):  # type: ignore[misc]
    """Closed form of the firing rule: one floor division."""

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
    theta: Int64 = LavaPyType(np.ndarray, np.int64, precision=24)
    v0: Int64 = LavaPyType(np.ndarray, np.int64, precision=24)
    bias: Int64 = LavaPyType(np.ndarray, np.int64, precision=24)
    v: Int64 = LavaPyType(np.ndarray, np.int64, precision=24)
    count: Int64 = LavaPyType(np.ndarray, np.int64, precision=24)
    saturations: Int64 = LavaPyType(np.ndarray, np.int64, precision=32)

    fire = staticmethod(fire)

    def run_spk(self) -> None:
        """One step: integrate, fire, send."""
        current = self.a_in.recv().astype(np.int64)
        start, clock = self.proc_params["start"], self.proc_params["clock"]
        step, image = clock.image_step(self.time_step - 1), clock.image(self.time_step - 1)
        goes_on = self.proc_params["frames"] and image > 0
        if step == clock.onset and not goes_on:
            self._begin(image)
        if step == 0:
            current[:] = 0
        if not goes_on and (step == start or (step > start and self.proc_params["bias_repeats"])):
            current += self.bias
        raised = self.v + current
        self.v[:] = np.clip(raised, -STATE_MAX, STATE_MAX)
        if step < self.proc_params["end"] and not clock.is_over(self.time_step - 1):
            self.saturations[0] += np.count_nonzero(raised != self.v)
        payload = self._fire() if step >= start else np.zeros_like(self.v)
        self.s_out.send(payload.astype(np.int32))

    def _begin(self, image: int) -> None:
        """States at the first step of an image."""
        carried = self.proc_params["carried"]
        if carried is None:
            self.v[:], self.count[:] = self.v0, 0
        else:
            self.v[:], self.count[:] = carried[0][image], carried[1][image]

    def _fire(self) -> Int64:
        strict, counts = self.proc_params["strict"], self.proc_params["counts"]
        payload = self.fire(self.v, self.theta, *self.proc_params["payloads"], strict=strict)
        if counts is not None:
            payload = np.clip(payload, counts[0] - self.count, counts[1] - self.count)
            payload[np.abs(payload) <= self.proc_params["hold"]] = 0
            self.count += payload
        if self.proc_params["hard"]:
            self.v[payload != 0] = 0
        else:
            self.v -= payload * self.theta
        return payload


@implements(proc=MultiThreshold, protocol=LoihiProtocol)
@requires(CPU)
@tag("ladder")
class PyMultiThresholdLadder(PyMultiThreshold):
    """The hardware form: a ladder of compares and subtractions, no division."""

    fire = staticmethod(fire_ladder)


class ProbedMultiThreshold(MultiThreshold):
    """The process with a port for its membrane after each step."""

    def __init__(self, **own: Any) -> None:
        super().__init__(**own)
        self.v_out = OutPort(shape=own["shape"])


@implements(proc=ProbedMultiThreshold, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyProbedMultiThreshold(PyMultiThreshold):
    """The same step, after which the membrane is sent."""

    implements_process = None  # inherited, and then no other process could be named

    v_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)

    def run_spk(self) -> None:
        """One step."""
        super().run_spk()
        self.v_out.send(self.v.astype(np.int32))


@implements(proc=ProbedMultiThreshold, protocol=LoihiProtocol)
@requires(CPU)
@tag("ladder")
class PyProbedMultiThresholdLadder(PyProbedMultiThreshold):
    """The hardware form of it."""

    implements_process = None

    fire = staticmethod(fire_ladder)
