"""Processes that move events without weights: the source of images, delay lines, and recorders that save to files."""

from __future__ import annotations

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

from snn_deploy_lava.runtime.arithmetic import Array
from snn_deploy_lava.runtime.schedule import Clock


class Source(AbstractProcess):  # type: ignore[misc]
    """Sends image k of ``images`` (B, X, Y, C) int32 in the first ``repeats`` steps of its interval.

    Images (B, T, X, Y, C) are sent step by step.
    """

    def __init__(self, *, images: Array, repeats: int, clock: Clock, name: str) -> None:
        super().__init__(name=name, images=images, repeats=repeats, clock=clock)
        self.s_out = OutPort(shape=images.shape[-3:])


@implements(proc=Source, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PySource(PyLoihiProcessModel):  # type: ignore[misc]
    """Reads the images from the memory of the parent process, inherited by fork."""

    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)

    def run_spk(self) -> None:
        """One step."""
        images, clock = self.proc_params["images"], self.proc_params["clock"]
        sent = clock.select(images, self.proc_params["repeats"], self.time_step - 1)
        self.s_out.send(np.zeros(self.s_out.shape, images.dtype) if sent is None else sent)


class Delay(AbstractProcess):  # type: ignore[misc]
    """Sends each map of ``shape`` (X, Y, C) ``steps`` steps later; emptied every ``clear`` steps (0: never)."""

    def __init__(self, *, shape: tuple[int, int, int], steps: int, clear: int, name: str) -> None:
        super().__init__(name=name, clear=clear)
        self.s_in = InPort(shape=shape)
        self.s_out = OutPort(shape=shape)
        self.line = Var(shape=(steps, *shape), init=0)


@implements(proc=Delay, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyDelay(PyLoihiProcessModel):  # type: ignore[misc]
    """A ring buffer of maps."""

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
    line: Array = LavaPyType(np.ndarray, np.int32, precision=24)

    def run_spk(self) -> None:
        """One step."""
        step, clear = self.time_step - 1, self.proc_params["clear"]
        if clear and step % clear == 0:
            self.line[:] = 0
        slot = step % len(self.line)
        self.s_out.send(self.line[slot])
        self.line[slot] = self.s_in.recv()


class Recorder(AbstractProcess):  # type: ignore[misc]
    """Records ``s_in`` (events), ``v_in`` and ``u_in`` (first and second states) in each image's window.

    The window is ``[start, start + window)``.

    ``path`` receives, after step ``steps``, an ``.npz`` with ``counts`` and ``events`` (B, X, Y, C) int64, ``last``
    (B,) int64, the last step of the image in which an event was sent (-1: none), ``extremes`` (2,) int64, the least
    and the greatest payload (0 among them), and, where asked for, ``trains``,
    ``states`` and ``currents`` (B, window, X, Y, C) int32. Payloads of ``sign_bits`` bits are sign-extended (0: none).
    """

    def __init__(
        self,
        *,
        shape: tuple[int, int, int],
        images: int,
        window: int,
        start: int,
        steps: int,
        clock: Clock,
        trains: bool,
        states: bool,
        currents: bool,
        sign_bits: int,
        path: str,
        name: str,
    ) -> None:
        super().__init__(
            name=name,
            shape=shape,
            images=images,
            window=window,
            start=start,
            steps=steps,
            clock=clock,
            trains=trains,
            states=states,
            currents=currents,
            sign_bits=sign_bits,
            path=path,
        )
        self.s_in = InPort(shape=shape)
        self.v_in = InPort(shape=shape)
        self.u_in = InPort(shape=shape)


@implements(proc=Recorder, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyRecorder(PyLoihiProcessModel):  # type: ignore[misc]
    """Holds the arrays in its own process, so that no variable is read by Lava's element-by-element protocol."""

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
    v_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
    u_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)

    _records: dict[str, Array] | None = None

    def run_spk(self) -> None:
        """One step; the last one saves."""
        payload, v, u = _signed(self.s_in.recv(), self.proc_params["sign_bits"]), self.v_in.recv(), self.u_in.recv()
        if self._records is None:
            self._records = self._empty()
        clock, start = self.proc_params["clock"], self.proc_params["start"]
        step = self.time_step - 1
        image, local = clock.image(step), clock.image_step(step) - start
        if 0 <= image < self.proc_params["images"]:
            if payload.any():
                self._records["last"][image] = local + start
            if 0 <= local < self.proc_params["window"]:
                self._record(image, local, payload, {"states": v, "currents": u})
        if self.time_step == self.proc_params["steps"]:
            np.savez(self.proc_params["path"], **self._records)

    def _empty(self) -> dict[str, Array]:
        images, shape, window = (self.proc_params[key] for key in ("images", "shape", "window"))
        records: dict[str, Array] = {name: np.zeros((images, *shape), np.int64) for name in ("counts", "events")}
        records["last"], records["extremes"] = np.full(images, -1, np.int64), np.zeros(2, np.int64)
        for name in ("trains", "states", "currents"):
            if self.proc_params[name]:
                records[name] = np.zeros((images, window, *shape), np.int32)
        return records

    def _record(self, image: int, local: int, payload: Array, states: dict[str, Array]) -> None:
        records = self._records or {}
        records["counts"][image] += payload
        records["extremes"][:] = min(records["extremes"][0], payload.min()), max(records["extremes"][1], payload.max())
        records["events"][image] += payload != 0
        if "trains" in records:
            records["trains"][image, local] = payload
        for name, values in states.items():
            if name in records:
                records[name][image, local] = values


def _signed(payload: Array, bits: int) -> Array:
    """``payload`` with its ``bits`` lowest bits read as a signed number."""
    return payload << (32 - bits) >> (32 - bits) if bits else payload
