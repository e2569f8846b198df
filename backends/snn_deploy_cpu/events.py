"""The event-driven path: what is silent costs nothing, every other payload one row of weights for each output pixel it reaches.

Dense 8-bit convolutions cost the same at any activity and multiply faster, so events win below some share of active
payloads. Which is cheaper is measured on the machine, on the payloads at hand, when a layer first shows activity of that
order. Either way the sums are the same integers: the certificate holds for any order of summation, and 16-bit sums are
moved to float32 before they could overflow.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from snn_deploy.kernels import Pair
from snn_deploy_cpu.firing import compiled_kernels
from snn_deploy_cpu.floating import Real
from snn_deploy_cpu.geometry import Convolution, Maps

QUIET = {np.int16: 0.5, np.float32: 0.25}
"""Activity above which events were never faster, for each format of sums; nothing is measured there."""

SAMPLE = 2**14
"""Payloads looked at to estimate activity."""

ALL = -1
"""Every bit of a payload."""

LANES = {np.int8: 128, np.int16: 128, np.float32: 64}
"""Most output channels summed at once, for each format of weights: 8 registers of AVX2, 4 of AVX-512."""

TRIALS = 2
"""Times that each path is run where they are compared."""

ENOUGH_PRODUCTS = 2**27
"""Work for a comparison: some milliseconds, on fewer rows the fixed cost of a dense call would count."""

WORTH_PRODUCTS = 2**24
"""Less work in a step stays dense: compiling the other path, once on a machine, takes two seconds."""

CLEARLY = 0.95
"""Share of the dense path's time that events may take."""

Stored: TypeAlias = type[np.int8] | type[np.int16] | type[np.float32]


@dataclass(frozen=True, eq=False)
class _Sums:
    """How sums are taken: the ``rows`` of weights, the format of payloads, and what part of the kernel ``at_once``.

    Sums of 8 and 16 bit weights are taken in 16 bits; parts (K_h, K_w), (1, K_w) or (1, 1) of a kernel are so small
    that none overflows. Those of float32 are exact at any size.
    """

    rows: npt.NDArray[Any]
    payload: type[np.int16] | type[np.float32]
    at_once: Pair


class Events:
    """A convolution, event by event: payloads (M, H, W, C) of ``source`` to currents (M, last - first, W', C') of rows."""

    def __init__(self, source: str, form: Convolution, exponent: int, size: Pair) -> None:
        self.source = source
        self._form, self._scale = form, np.float32(2.0**exponent)
        self._height, self._width = size
        self._rows: dict[Stored, npt.NDArray[Any]] = {}
        self._reach = _reach(form.weight)
        self._wins: dict[tuple[int, int | None], bool] = {}

    @staticmethod
    def covers(form: Convolution, real: Real) -> bool:
        """Whether the path exists for ``form`` here."""
        return form.groups == 1 and real is np.float32 and compiled_kernels() is not None

    def add(self, total: Maps | None, maps: Maps, first: int, last: int, bits: int = ALL) -> Maps:
        """The currents of ``bits`` of the payloads, in ``total`` where there is one."""
        from snn_deploy_cpu import events_numba

        form = self._form
        new, depth = total is None, form.weight.shape[0] // (form.up[0] * form.up[1])
        if total is None:
            total = np.empty((maps.shape[0], last - first, self._width, depth), np.float32)
        sums = self._sums(maps, bits)
        tiles = sums.rows.size // math.prod(form.weight.shape[1:])
        slots = form.reach(0) if tiles == 1 else maps.shape[1]
        events_numba.convolve(
            maps,
            np.array(bits).astype(maps.dtype)[()],
            _masks(),
            sums.rows,
            form.weight.shape[2:],
            sums.at_once,
            form.strides,
            form.dilations,
            form.before,
            form.up,
            form.cut,
            first,
            self._scale,
            new,
            slots,
            np.empty(slots * math.prod(maps.shape[2:]), sums.payload),
            total,
        )
        return total

    def _sums(self, maps: Maps, bits: int) -> _Sums:
        """In 16 bits where the largest payload allows it."""
        smallest, largest = int(maps.min()) if maps.dtype.kind == "i" else 0, int(maps.max())
        signed, largest = smallest < 0, max(largest, -smallest)
        if bits != ALL:
            largest = 2 ** largest.bit_length()
        stored = np.int8 if self._form.weight.dtype == np.int8 else np.int16
        for at_once, reach in self._reach.items():
            if largest * reach[signed] <= np.iinfo(np.int16).max:
                return _Sums(self._stored(stored), np.int16, at_once)
        _, _, height, width = self._form.weight.shape
        return _Sums(self._stored(np.float32), np.float32, (height, width))

    def _stored(self, format_: Stored) -> npt.NDArray[Any]:
        found = self._rows.get(format_)
        if found is None:
            found = self._rows[format_] = _rows(self._form, format_)
        return found

    def wins(self, maps: Maps, bits: int, dense: Callable[[int, int], Maps]) -> bool:
        """Whether events cost less than ``dense``, called with rows, at the activity of ``bits`` of ``maps``.

        Measured on the last map, once for each half octave of activity.
        """
        active = activity(maps, bits)
        if active >= QUIET[self._sums(maps, bits).payload]:
            return False
        key = (bits, round(2 * math.log2(active)) if active else None)
        if key not in self._wins:
            self._wins[key] = self._measured(maps[-1:], bits, dense)
        return self._wins[key]

    def _measured(self, maps: Maps, bits: int, dense: Callable[[int, int], Maps]) -> bool:
        products = self._width * self._form.weight.size // math.prod(self._form.up)
        rows = min(self._height, max(4, ENOUGH_PRODUCTS // products))
        if self._height * products < WORTH_PRODUCTS:
            return False
        spent = _seconds(lambda: dense(0, rows))
        return _seconds(lambda: self.add(None, maps, 0, rows, bits)) < CLEARLY * spent


def activity(maps: Maps, bits: int = ALL) -> float:
    """Share of payloads with any of ``bits``, from an evenly spaced sample."""
    flat = maps.reshape(-1)
    sample = flat[:: max(1, flat.size // SAMPLE) | 1]
    return float(np.count_nonzero(sample & np.array(bits).astype(maps.dtype))) / sample.size


def _reach(weight: npt.NDArray[Any]) -> dict[Pair, Pair]:
    """For parts of a kernel, largest first, how far payloads of at most 1 move any sum, in any order of summation.

    The second number holds for payloads of both signs.
    """
    positive = np.maximum(weight, 0).sum(1, np.int64)
    negative = np.maximum(-weight.astype(np.int64), 0).sum(1)
    height, width = weight.shape[2:]
    found: dict[Pair, Pair] = {}
    for part, axes in (((height, width), (1, 2)), ((1, width), (2,)), ((1, 1), ())):
        above, below = positive.sum(axes), negative.sum(axes)
        found.setdefault(part, (int(np.maximum(above, below).max()), int((above + below).max())))
    return found


def _rows(form: Convolution, format_: Stored) -> npt.NDArray[Any]:
    """The weights of ``form`` as rows (tile, h, w, i) of lanes, outputs filled up with zeros to whole tiles."""
    from snn_deploy_cpu.lanes import rows_of

    outputs, inputs, height, width = form.weight.shape
    tiles = -(-outputs // LANES[format_])
    lanes = -(-outputs // (16 * tiles)) * 16
    padded = np.zeros((tiles * lanes, inputs, height, width), format_)
    padded[:outputs] = form.weight
    return rows_of(padded.reshape(tiles, lanes, inputs, height, width).transpose(0, 3, 4, 2, 1))


def _seconds(work: Callable[[], object]) -> float:
    """The shortest of a few runs."""
    work()
    spent = []
    for _ in range(TRIALS):
        started = time.perf_counter()
        work()
        spent.append(time.perf_counter() - started)
    return min(spent)


@cache
def _masks() -> npt.NDArray[np.int32]:
    from snn_deploy_cpu.lanes import masks

    return masks()
