"""The event-driven path: each event adds its row of weights to the neurons that it reaches; silence costs nothing.

Dense 8-bit convolutions cost the same at any activity, and win above some percents of it.
The break-even is fitted on the machine when a layer is first found that quiet. Either way the sums are the same
integers: the certificate holds for any order of summation.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from snn_deploy.kernels import ConvKernel
from snn_deploy_cpu.firing import compiled_kernels
from snn_deploy_cpu.floating import Real
from snn_deploy_cpu.geometry import Convolution, Maps

QUIET = 0.12
"""Activity above which events were never faster; no break-even is fitted before a layer falls below it."""

SAMPLE = 2**14
"""Payloads looked at to estimate activity."""

ALL = -1
"""Every bit of a payload."""


class Scatter:
    """A convolution, event by event: payloads (M, H, W, C) to float32 currents (M, last - first, W', C') of rows."""

    def __init__(self, form: Convolution, exponent: int, width: int) -> None:
        self._form, self._width = form, width
        self._rows: npt.NDArray[Any] = np.ascontiguousarray(form.weight.transpose(2, 3, 1, 0), np.float32)
        self._rows *= 2.0**exponent

    @staticmethod
    def covers(form: Convolution, real: Real) -> bool:
        """Whether the path exists for ``form`` here."""
        return form.groups == 1 and form.up == (1, 1) and real is np.float32 and compiled_kernels() is not None

    def add(self, total: Maps | None, maps: Maps, first: int, last: int, bits: int = ALL) -> Maps:
        """The currents of ``bits`` of the payloads, in ``total`` where there is one."""
        form, kernels = self._form, compiled_kernels()
        if total is None:
            total = np.zeros((maps.shape[0], last - first, self._width, form.weight.shape[0]), np.float32)
        if kernels is not None:
            words, kept = _words(maps), _kept(maps, bits)
            kernels.scatter(
                maps,
                words,
                kept,
                np.full(words.itemsize // maps.itemsize, kept).view(words.dtype)[0],
                self._rows,
                form.strides,
                form.dilations,
                form.before,
                first,
                total,
            )
        return total


def activity(maps: Maps, bits: int = ALL) -> float:
    """Share of payloads with any of ``bits``, from an evenly spaced sample."""
    flat = maps.reshape(-1)
    sample = flat[:: max(1, flat.size // SAMPLE) | 1]
    return float(np.count_nonzero(sample & _kept(maps, bits))) / sample.size


@cache
def break_even(dense: Callable[[Convolution, Real], Callable[[Maps, int, int], Maps]]) -> float:
    """Activity at which events cost what ``dense`` costs, from one layer of middling size: medians of a few runs."""
    rng = np.random.default_rng(0)
    weight = rng.integers(-90, 90, (64, 64, 3, 3)).astype(np.int8)
    form = Convolution.of(ConvKernel(weight, pads=(1, 1, 1, 1)))
    level = 0.05
    maps = (rng.random((1, 32, 32, 64)) < level).astype(np.uint8)
    ratio = _seconds(partial(Scatter(form, 0, 32).add, None), maps) / _seconds(dense(form, np.float32), maps)
    return min(level / ratio, QUIET)


def _seconds(current: Callable[[Maps, int, int], Maps], maps: Maps) -> float:
    current(maps, 0, 32)
    spent = []
    for _ in range(9):
        started = time.perf_counter()
        current(maps, 0, 32)
        spent.append(time.perf_counter() - started)
    return float(np.median(spent))


def _kept(maps: Maps, bits: int) -> Any:
    """``bits`` as a number of the format of ``maps``."""
    return np.array(bits).astype(maps.dtype)[()]


def _words(maps: Maps) -> npt.NDArray[Any]:
    """``maps`` with as many channels in one number as fill 64 bits, where that comes out even."""
    return maps.view(np.uint64) if maps.shape[3] * maps.itemsize % 8 == 0 else maps
