"""The event-driven path: what is silent costs nothing, every other payload one row of weights for each output pixel it reaches.

Dense 8-bit convolutions cost the same at any activity and multiply faster, so events win below some share of active
payloads. Which is cheaper is measured on the machine, on the payloads at hand, when a layer first shows activity of that
order. Either way the sums are the same integers: the certificate holds for any order of summation, and 16-bit sums are
moved to float32 before they could overflow. Where nothing else is to be added, neurons fire row by row, while their
currents are still in the nearest cache.
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
from snn_deploy_cpu.firing import compiled_kernels, nobody
from snn_deploy_cpu.floating import Real
from snn_deploy_cpu.geometry import Convolution, Maps

QUIET = 0.5
"""Activity above which events were never faster; nothing is measured there."""

SAMPLE = 2**12
"""Payloads looked at to estimate activity."""

ALL = -1
"""Every bit of a payload."""

LANES = {np.uint8: 128, np.int16: 64}
"""Most output channels summed at once, for each format of payloads: 8 registers of AVX2."""

MOST_PLACES = 2**31 // 128
"""Payloads of a row of a map: no more, for their lists hold 32-bit offsets into rows of weights of up to 128 bytes."""

TRIALS = 2
"""Times that each path is run where they are compared."""

ENOUGH_PRODUCTS = 2**27
"""Work for a comparison: some milliseconds, on fewer rows the fixed cost of a dense call would count."""

WORTH_PRODUCTS = 2**22
"""Less work in a step stays dense: a call's fixed cost would decide."""

PATIENCE_PRODUCTS = 2**31
"""Work that a layer does densely before its other path is compiled, which takes two seconds, once on a machine."""

CLEARLY = 0.95
"""Share of the dense path's time that events may take: what is measured alone is not quite what a run takes."""

_compiled: set[tuple[np.dtype[Any], ...]] = set()
"""Formats of weights, sums and payloads whose loops have run in this process."""

Stored: TypeAlias = type[np.uint8] | type[np.int16]


@dataclass(frozen=True, eq=False)
class Sums:
    """How the convolution ``path`` is summed event by event: payloads (M, H, W, C) of ``source`` to float32 currents.

    Only ``bits`` of a payload count. Payloads of 8 bits are summed in 16; the parts (K_h, K_w), (1, K_w) or (1, 1) of a
    kernel taken ``at_once`` are so small that none overflows. Those of 16 bits are summed in 32, which hold whatever the
    certificate lets float32 hold.
    """

    path: Events
    bits: int
    payload: Stored
    at_once: Pair

    @property
    def source(self) -> str:
        """The population whose payloads are read."""
        return self.path.source

    def add(self, total: Maps | None, maps: Maps, first: int, last: int) -> Maps:
        """The currents (M, last - first, W', C') of rows of the target, in ``total`` where there is one."""
        out = self._room(maps.shape[0], last - first) if total is None else total
        self._convolve(maps, first, total is None, out, nobody())
        return out

    def fire(self, total: Maps | None, maps: Maps, first: int, last: int, neurons: tuple[object, ...]) -> int:
        """The same, and every row of ``neurons`` (:func:`snn_deploy_cpu.firing.ready`) advances when its currents are complete.

        Returns how many membranes were limited. Currents are not kept.
        """
        out = self._room(1, last - first) if total is None else total
        return self._convolve(maps, first, total is None, out, neurons)

    def _room(self, maps: int, lines: int) -> Maps:
        """Currents of so many rows of so many maps, not set."""
        form = self.path.form
        return np.empty((maps, lines, self.path.size[1], form.weight.shape[0] // math.prod(form.up)), np.float32)

    def _convolve(self, maps: Maps, first: int, new: bool, out: Maps, neurons: tuple[object, ...]) -> int:
        from snn_deploy_cpu import events_numba

        form, rows = self.path.form, self.path.rows(self.payload)
        tiles = rows.size // math.prod(form.weight.shape[1:])
        slots = form.reach(0) if tiles == 1 else maps.shape[1]
        limited = events_numba.convolve(
            maps,
            _kept(maps, self.bits),
            _orders(),
            rows,
            form.weight.shape[2:],
            self.at_once,
            form.strides,
            form.dilations,
            form.before,
            form.up,
            form.cut,
            first,
            self.path.scale,
            new,
            slots,
            np.empty(slots * _listed(*maps.shape[2:]), self.payload),
            out,
            neurons,
        )
        return int(limited)

    def win(self, maps: Maps, dense: Callable[[slice, int, int], object]) -> bool:
        """Whether events cost less than ``dense``, called with maps and rows, at the activity of these payloads.

        Measured on the last maps, once for each half octave of activity.
        """
        path, active = self.path, activity(maps, self.bits)
        path.work += maps.shape[0] * path.products
        if active >= QUIET:
            return False
        key = (self.bits, self.payload, round(2 * math.log2(active)) if active else None)
        if key not in path.known:
            kind = (path.rows(self.payload).dtype, np.dtype(self.payload), maps.dtype)
            if kind not in _compiled and path.work < PATIENCE_PRODUCTS:
                return False
            height, last = path.size[0], slice(-min(len(maps), 1 + ENOUGH_PRODUCTS // path.products), None)
            rows = min(height, max(4, ENOUGH_PRODUCTS * height // path.products))
            spent = _seconds(lambda: dense(last, 0, rows))
            path.known[key] = _seconds(lambda: self.add(None, maps[last], 0, rows)) < CLEARLY * spent
            _compiled.add(kind)
        return path.known[key]


class Events:
    """The event-driven path of a convolution that computes maps of ``size`` (H', W') from the payloads of ``source``."""

    def __init__(self, source: str, form: Convolution, exponent: int, size: Pair) -> None:
        self.source, self.form, self.scale, self.size = source, form, np.float32(2.0**exponent), size
        self.known: dict[tuple[int, Stored, int | None], bool] = {}
        self.products = size[0] * size[1] * form.weight.size // math.prod(form.up)
        self.work = 0
        self._rows: dict[Stored, npt.NDArray[Any]] = {}
        self._proved: dict[tuple[bool, int], tuple[npt.NDArray[np.int64], Sums | None]] = {}

    @property
    def worthwhile(self) -> bool:
        """Whether a step is so much work that the cheaper path should be looked for."""
        return self.products >= WORTH_PRODUCTS

    @staticmethod
    def covers(form: Convolution, real: Real) -> bool:
        """Whether the path exists for ``form`` here."""
        return form.groups == 1 and real is np.float32 and compiled_kernels() is not None

    def sums(self, maps: Maps, bits: int = ALL) -> Sums | None:
        """How to take sums over ``bits`` of ``maps``, in as few bits as their payloads allow; ``None``: they are too large.

        What holds for some payloads of each channel is kept, and holds for all smaller ones.
        """
        if math.prod(maps.shape[2:]) >= MOST_PLACES:
            return None
        signed, peaks = _peaks(maps, bits)
        known = self._proved.get((signed, bits))
        if known is None or np.any(peaks > known[0]):
            peaks = peaks if known is None else np.maximum(peaks, known[0])
            known = self._proved[signed, bits] = peaks, self._sums(signed, peaks, bits)
        return known[1]

    def _sums(self, signed: bool, peaks: npt.NDArray[np.int64], bits: int) -> Sums | None:
        from snn_deploy_cpu import lanes

        most, largest, (height, width) = np.iinfo(np.int16).max, peaks.max(), self.form.weight.shape[2:]
        if self.form.weight.dtype == np.int8 and not signed and largest < 128 and lanes.pairs_products():
            part = _part(self.form.weight, peaks, most)
            if part is not None:
                return Sums(self, bits, np.uint8, part)
        return Sums(self, bits, np.int16, (height, width)) if largest <= most else None

    def rows(self, payload: Stored) -> npt.NDArray[Any]:
        """The weights that payloads of this format are multiplied by, as rows of lanes."""
        found = self._rows.get(payload)
        if found is None:
            found = self._rows[payload] = _rows(self.form, payload)
        return found


def activity(maps: Maps, bits: int = ALL) -> float:
    """Share of payloads with any of ``bits``, from an evenly spaced sample."""
    flat = maps.reshape(-1)
    sample = flat[:: max(1, flat.size // SAMPLE) | 1]
    return float(np.count_nonzero(sample & _kept(maps, bits))) / sample.size


def _kept(maps: Maps, bits: int) -> Any:
    """``bits`` as a number of the format of ``maps``."""
    return np.array(bits).astype(maps.dtype)[()]


def _peaks(maps: Maps, bits: int) -> tuple[bool, npt.NDArray[np.int64]]:
    """Whether ``bits`` of some payloads are negative, and how large those of each channel (C,) are at most."""
    width, channels = maps.shape[2:]
    largest = maps.reshape(-1, width * channels).max(0).reshape(width, channels).max(0).astype(np.int64)
    smallest = int(maps.min()) if maps.dtype.kind == "i" else 0
    if smallest >= 0:
        return False, np.minimum(largest, bits) if bits >= 0 else largest
    if bits >= 0:  # the lower digits of a negative number are any digits, and count upwards
        return False, np.full(channels, bits)
    # what remains of it is a multiple of -bits, rounded down
    beyond = 2 ** max(int(largest.max()), -smallest).bit_length()
    return True, np.full(channels, max(beyond, -bits))


def _part(weight: npt.NDArray[Any], peaks: npt.NDArray[np.int64], most: int) -> Pair | None:
    """The largest part (K_h, K_w), (1, K_w) or (1, 1) of a kernel that moves no sum beyond ``most`` in any order of summation."""
    taps = weight.transpose(2, 3, 0, 1).astype(np.float64)
    above, below = np.maximum(taps, 0) @ peaks, np.maximum(-taps, 0) @ peaks
    height, width = above.shape[:2]
    for part, axes in (((height, width), (0, 1)), ((1, width), (1,)), ((1, 1), ())):
        if max(above.sum(axes).max(), below.sum(axes).max()) <= most:
            return part
    return None


def _listed(width: int, channels: int) -> int:
    """Numbers that the list of a row may have: an even number for each pixel, and what is written beyond the last."""
    from snn_deploy_cpu.lanes import TOGETHER

    return width * (channels + channels % 2) + TOGETHER


def _rows(form: Convolution, payload: Stored) -> npt.NDArray[Any]:
    """The weights of ``form`` as rows (tile, h, w, i) of lanes, outputs filled up with zeros to whole tiles."""
    from snn_deploy_cpu.lanes import WIDTH, rows_of

    outputs, inputs, height, width = form.weight.shape
    tiles = -(-outputs // LANES[payload])
    lanes = -(-outputs // (WIDTH * tiles)) * WIDTH
    filled = np.zeros((tiles * lanes, inputs, height, width), np.int8 if payload is np.uint8 else np.int16)
    filled[:outputs] = form.weight
    return rows_of(filled.reshape(tiles, lanes, inputs, height, width).transpose(0, 3, 4, 2, 1))


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
def _orders() -> npt.NDArray[np.uint8]:
    from snn_deploy_cpu.lanes import orders

    return orders()
