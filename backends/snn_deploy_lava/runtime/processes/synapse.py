"""Synapses: the events of one step leave, weighted, in the next. All sums are exact integers by BLAS.

================  ===============  ========================================================================
kernel            process          why
================  ===============  ========================================================================
conv, plain pads  Lava's ``Conv``  exact below 24 bits; its CPU model ignores ``weight_exp`` and calls scipy's
                                   ``convolve2d`` per pair of channels, so ``PyConvExact`` stands beside it
conv, other pads  ``Correlate``    ``Conv`` pads both sides alike and cannot crop
transposed conv   ``Transpose``    Lava has none; in ``Sparse`` odd weights of mixed sign lose their lowest bit
pixel map         ``SumPixels``    ``Sparse`` drops that bit too, and would repeat the map for every channel
================  ===============  ========================================================================
"""

from __future__ import annotations

from collections.abc import Callable

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
from lava.proc.conv.process import Conv

from snn_deploy_lava.runtime.arithmetic import (
    STATE_MAX,
    Array,
    Correlation,
    Int64,
    Pads,
    Pair,
    PixelSum,
    Transposition,
)


class _Synapse(AbstractProcess):  # type: ignore[misc]
    """Ports and buffer of every synapse; shapes are (X, Y, C)."""

    def _open(self, input_shape: tuple[int, int, int], output_shape: tuple[int, int, int]) -> None:
        self.s_in = InPort(shape=input_shape)
        self.a_out = OutPort(shape=output_shape)
        self.a_buf = Var(shape=output_shape, init=0)


class Correlate(_Synapse):
    """Convolution with any pads: ``weight`` and ``pads`` as :class:`Correlation` has them."""

    def __init__(
        self,
        *,
        weight: Array,
        input_shape: tuple[int, int, int],
        output_shape: tuple[int, int, int],
        strides: Pair,
        pads: Pads,
        dilations: Pair,
        groups: int,
        exponent: int,
        name: str,
    ) -> None:
        super().__init__(name=name, geometry=(strides, pads, dilations, groups, exponent))
        self._open(input_shape, output_shape)
        self.weight = Var(shape=weight.shape, init=weight)


class Transpose(Correlate):
    """Transposed convolution: ``weight`` and ``pads`` as :class:`Transposition` has them."""


class SumPixels(_Synapse):
    """One sparse map of pixels for all channels; the entries are described at :class:`PixelSum`."""

    def __init__(
        self,
        *,
        rows: Int64,
        indices: Int64,
        data: Array,
        input_shape: tuple[int, int, int],
        output_shape: tuple[int, int, int],
        exponent: int,
        name: str,
    ) -> None:
        super().__init__(name=name, size=output_shape[:2], exponent=exponent)
        self._open(input_shape, output_shape)
        self.rows = Var(shape=rows.shape, init=rows)
        self.indices = Var(shape=indices.shape, init=indices)
        self.data = Var(shape=data.shape, init=data)


class _PySynapse(PyLoihiProcessModel):  # type: ignore[misc]
    """Sends the buffer, then computes the next one; a step without events skips the arithmetic.

    A current beyond 24 bits is an error: Lava's simulator would carry on with it, a chip's accumulators cannot.
    """

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
    a_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
    a_buf: Array = LavaPyType(np.ndarray, np.int32, precision=24)

    _apply: Callable[[Array], Int64] | None = None

    def run_spk(self) -> None:
        """One step."""
        self.a_out.send(self.a_buf)
        payload = self.s_in.recv()
        if self._apply is None:
            self._apply = self._kernel()
        self.a_buf = self._limited(self._apply(payload)) if payload.any() else np.zeros_like(self.a_buf)

    @staticmethod
    def _limited(current: Int64) -> Array:
        largest = max(int(current.max()), -int(current.min()))
        if largest > STATE_MAX:
            raise OverflowError(f"its current reaches {largest}, and 24 bits hold {STATE_MAX}")
        return current.astype(np.int32)

    def _kernel(self) -> Callable[[Array], Int64]:
        raise NotImplementedError


@implements(proc=Correlate, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyCorrelate(_PySynapse):
    """Exact convolution."""

    weight: Array = LavaPyType(np.ndarray, np.int32, precision=8)

    def _kernel(self) -> Callable[[Array], Int64]:
        return Correlation(self.weight, *self.proc_params["geometry"])


@implements(proc=Transpose, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyTranspose(_PySynapse):
    """Exact transposed convolution."""

    weight: Array = LavaPyType(np.ndarray, np.int32, precision=8)

    def _kernel(self) -> Callable[[Array], Int64]:
        return Transposition(self.weight, *self.proc_params["geometry"])


@implements(proc=SumPixels, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PySumPixels(_PySynapse):
    """Exact sparse map."""

    rows: Int64 = LavaPyType(np.ndarray, np.int64, precision=32)
    indices: Int64 = LavaPyType(np.ndarray, np.int64, precision=32)
    data: Array = LavaPyType(np.ndarray, np.int32, precision=8)

    def _kernel(self) -> Callable[[Array], Int64]:
        return PixelSum(self.rows, self.indices, self.data, self.proc_params["size"], self.proc_params["exponent"])


@implements(proc=Conv, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyConvExact(_PySynapse):
    """A second model of Lava's ``Conv``: the same results below 24 bits, with ``weight_exp``, and BLAS instead of scipy."""

    weight: Array = LavaPyType(np.ndarray, np.int32, precision=8)
    weight_exp: Array = LavaPyType(np.ndarray, np.int32, precision=8)
    num_weight_bits: Array = LavaPyType(np.ndarray, np.int32, precision=5)
    num_message_bits: Array = LavaPyType(np.ndarray, np.int32, precision=5)
    kernel_size: Array = LavaPyType(np.ndarray, np.int32, precision=8)
    stride: Array = LavaPyType(np.ndarray, np.int32, precision=8)
    padding: Array = LavaPyType(np.ndarray, np.int32, precision=8)
    dilation: Array = LavaPyType(np.ndarray, np.int32, precision=8)
    groups: Array = LavaPyType(np.ndarray, np.int32, precision=8)

    def _kernel(self) -> Callable[[Array], Int64]:
        (stride_x, stride_y), (pad_x, pad_y), (gap_x, gap_y) = (
            (int(pair[0]), int(pair[1])) for pair in (self.stride, self.padding, self.dilation)
        )
        return Correlation(
            self.weight[:, ::-1, ::-1],
            (stride_x, stride_y),
            (pad_x, pad_y, pad_x, pad_y),
            (gap_x, gap_y),
            int(self.groups[0]),
            int(self.weight_exp[0]),
        )
