"""The event-driven path: each event adds its row of weights to the neurons that it reaches; silence costs nothing.

Dense 8-bit convolutions cost the same at any activity, and win above some percents of it (performance.md, section 4).
The break-even is fitted on the machine when a layer is first found that quiet. Either way the sums are the same
integers: the certificate holds for any order of summation.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
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

    def __call__(self, maps: Maps, first: int, last: int) -> Maps:
        """The currents."""
        form, kernels = self._form, compiled_kernels()
        out: npt.NDArray[Any] = np.zeros((maps.shape[0], last - first, self._width, form.weight.shape[0]), np.float32)
        if kernels is not None:
            kernels.scatter(maps, self._rows, form.strides, form.dilations, form.before, first, out)
        return out


def activity(maps: Maps) -> float:
    """Share of payloads that are not 0, from an evenly spaced sample."""
    flat = maps.reshape(-1)
    sample = flat[:: max(1, flat.size // SAMPLE) | 1]
    return float(np.count_nonzero(sample)) / sample.size


@cache
def break_even(dense: Callable[[Convolution, Real], Callable[[Maps, int, int], Maps]]) -> float:
    """Activity at which events cost what ``dense`` costs, from one layer of middling size: medians of a few runs."""
    rng = np.random.default_rng(0)
    weight = rng.integers(-90, 90, (64, 64, 3, 3)).astype(np.int8)
    form = Convolution.of(ConvKernel(weight, pads=(1, 1, 1, 1)))
    level = 0.05
    maps = (rng.random((1, 32, 32, 64)) < level).astype(np.uint8)
    ratio = _seconds(Scatter(form, 0, 32), maps) / _seconds(dense(form, np.float32), maps)
    return min(level / ratio, QUIET)


def _seconds(current: Callable[[Maps, int, int], Maps], maps: Maps) -> float:
    current(maps, 0, 32)
    spent = []
    for _ in range(9):
        started = time.perf_counter()
        current(maps, 0, 32)
        spent.append(time.perf_counter() - started)
    return float(np.median(spent))
