"""How large payloads are, and how many of them are not 0: what decides how they are summed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from snn_deploy.arrays import Array, Int64
from snn_deploy_cpu.conv.geometry import Maps

SAMPLE = 2**12
"""Payloads looked at to estimate density."""


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
        sample = _sample(x)
        # unsigned formats need no look
        minimum = min(int(x.min()), 0) if x.dtype.kind == "i" else 0
        return cls(np.maximum(largest, -minimum), minimum, int(np.count_nonzero(sample)), sample.size)

    @classmethod
    def within(cls, x: Maps, least: int, greatest: int) -> PayloadStats:
        """Statistics of ``x`` that are proved to lie in ``least..greatest``; only density is measured, from a sample."""
        sample = _sample(x)
        largest = _alike(x.shape[3], max(greatest, -least))
        return cls(largest, least, int(np.count_nonzero(sample)), sample.size)

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


@cache
def _alike(channels: int, value: int) -> Int64:
    """``value`` for every channel, the same array every time: what is known of it needs no comparison."""
    values = np.full(channels, value, np.int64)
    values.flags.writeable = False
    return values


def _sample(x: Maps) -> Array:
    """Evenly spaced payloads; an odd step, so that an even number of channels does not hide some of them."""
    flat = x.reshape(-1)
    return flat[:: max(1, flat.size // SAMPLE) | 1]
