"""How large payloads are, and how many of them are not 0: what decides how they are summed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from snn_deploy.arrays import Array, Int64
from snn_deploy_cpu.conv.geometry import Maps

ALL_BITS = -1
"""Every bit of a payload, as a mask."""

SAMPLE = 2**12
"""Payloads looked at to estimate density."""


@dataclass(frozen=True, eq=False)
class PayloadStats:
    """Payloads are at most ``channel_max`` (C,) int64 in each channel, at least ``minimum``; ``nonzero`` of ``size`` are not 0."""

    channel_max: Int64
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
        minimum = int(x.min()) if x.dtype.kind == "i" else 0
        return cls(largest, minimum, int(np.count_nonzero(sample)), sample.size)

    @classmethod
    def merged(cls, parts: Sequence[PayloadStats]) -> PayloadStats:
        """The statistics of all ``parts`` together."""
        return cls(
            np.maximum.reduce([part.channel_max for part in parts]),
            min(part.minimum for part in parts),
            sum(part.nonzero for part in parts),
            sum(part.size for part in parts),
        )

    @property
    def density(self) -> float:
        """Share of payloads that are not 0."""
        return self.nonzero / self.size

    def limits_under(self, bits: int) -> tuple[bool, Int64]:
        """Whether payloads under the mask ``bits`` may be negative, and the largest magnitude (C,) in each channel."""
        if self.minimum >= 0:
            return False, np.minimum(self.channel_max, bits) if bits >= 0 else self.channel_max
        if bits >= 0:  # the lower digits of a negative number are any digits, and count upwards
            return False, np.full_like(self.channel_max, bits)
        # what is left of a negative number is a multiple of -bits, rounded down
        beyond = 2 ** max(int(self.channel_max.max()), -self.minimum).bit_length()
        return True, np.full_like(self.channel_max, max(beyond, -bits))


def density_under(x: Maps, bits: int) -> float:
    """Share of payloads with any of ``bits``, from a sample."""
    sample = _sample(x)
    return float(np.count_nonzero(sample & mask_like(x, bits))) / sample.size


def mask_like(x: Maps, bits: int) -> Any:
    """``bits`` as a number of the format of ``x``; the sign bit of -1 and the like wraps to all ones in unsigned formats."""
    return np.array(bits).astype(x.dtype)[()]


def _sample(x: Maps) -> Array:
    """Evenly spaced payloads; an odd step, so that an even number of channels does not hide some of them."""
    flat = x.reshape(-1)
    return flat[:: max(1, flat.size // SAMPLE) | 1]
