"""How large payloads are, and how many of them are not 0: what decides how they are summed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from snn_deploy.arrays import Int64
from snn_deploy_cpu.conv.exactness import INT8_MAX
from snn_deploy_cpu.conv.geometry import Maps

SAMPLE, RUN = 2**13, 2**6
"""Payloads looked at to estimate density, in runs of neighbours."""


@dataclass(frozen=True, eq=False)
class PayloadStats:
    """Payloads are at most ``magnitudes`` (C,) int64 in each channel, at least ``minimum``; ``nonzero`` of ``size`` are not 0."""

    magnitudes: Int64
    minimum: int
    nonzero: int
    size: int

    @classmethod
    def of(cls, x: Maps) -> PayloadStats:
        """The statistics of ``x`` (N, H, W, C) integers; density from a sample, the rest from all."""
        width, channels = x.shape[2:]
        largest = x.reshape(-1, width * channels).max(0).reshape(width, channels).max(0).astype(np.int64)
        # unsigned formats need no look
        minimum = min(int(x.min()), 0) if x.dtype.kind == "i" else 0
        return cls(np.maximum(largest, -minimum), minimum, *_count_sample(x))

    @classmethod
    def within(cls, x: Maps, least: int, greatest: int) -> PayloadStats:
        """Statistics of ``x`` that are proved to lie in ``least..greatest``; only density is measured, from a sample."""
        return cls(_alike(x.shape[3], max(greatest, -least)), least, *_count_sample(x))

    @classmethod
    def merged(cls, parts: Sequence[PayloadStats]) -> PayloadStats:
        """The statistics of all ``parts`` together."""
        return cls(
            np.maximum.reduce([part.magnitudes for part in parts]),
            min(part.minimum for part in parts),
            sum(part.nonzero for part in parts),
            sum(part.size for part in parts),
        )

    @property
    def density(self) -> float:
        """Share of payloads that are not 0."""
        return self.nonzero / self.size

    @property
    def signed(self) -> bool:
        """Whether any payload is negative."""
        return self.minimum < 0


class LazyStats:
    """The statistics of payloads ``x`` (N, H, W, C), measured when they are asked for; density alone costs only a sample.

    ``proved``: (least, greatest) that say enough, so that only density needs to be measured.
    """

    def __init__(self, x: Maps, proved: tuple[int, int] | None = None, measured: PayloadStats | None = None) -> None:
        self._x, self._proved = x, proved
        self.measured = measured
        """What was measured, or is known."""
        self._density: float | None = None

    @property
    def stats(self) -> PayloadStats:
        """All of them."""
        if self.measured is None:
            self.measured = self._measure()
        return self.measured

    @property
    def density(self) -> float:
        """Share of payloads that are not 0."""
        if self.measured is not None:
            return self.measured.density
        if self._density is None:
            nonzero, size = _count_sample(self._x)
            self._density = nonzero / size
        return self._density

    def _measure(self) -> PayloadStats:
        x, proved = self._x, self._proved
        if proved is None:
            return PayloadStats.of(x)
        # one look at all of them is cheap beside a convolution of 16 bits, and most fit a byte
        wide = max(proved[1], -proved[0]) > INT8_MAX
        return PayloadStats.within(x, *((min(int(x.min()), 0), int(x.max())) if wide else proved))


@cache
def _alike(channels: int, value: int) -> Int64:
    """``value`` for every channel, the same array every time: what is known of it needs no comparison."""
    values = np.full(channels, value, np.int64)
    values.flags.writeable = False
    return values


def _count_sample(x: Maps) -> tuple[int, int]:
    """How many of some evenly spaced runs of payloads are not 0, and how many payloads these are.

    Runs, because every one costs a line of the cache; a step that has no divisor in common with the size of a row hides no
    channel and no column.
    """
    flat, row = x.reshape(-1), x.shape[2] * x.shape[3]
    if flat.size <= SAMPLE:
        return int(np.count_nonzero(flat)), flat.size
    runs = flat[: flat.size // RUN * RUN].reshape(-1, RUN)
    step = len(runs) * RUN // SAMPLE
    while math.gcd(step, row) > 1:
        step += 1
    sample = runs[::step]
    return int(np.count_nonzero(sample)), sample.size
