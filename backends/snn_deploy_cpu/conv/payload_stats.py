"""How large payloads are, and how many of them are not 0: what decides how they are summed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from snn_deploy_cpu.conv.geometry import Maps

ALL = -1
"""Every bit of a payload."""

SAMPLE = 2**12
"""Payloads looked at to estimate activity."""


@dataclass(frozen=True, eq=False)
class Extent:
    """Payloads are ``largest`` at most in each channel (C,), and ``smallest`` at least; ``events`` of ``size`` are not 0."""

    largest: npt.NDArray[np.int64]
    smallest: int
    events: int
    size: int

    @classmethod
    def of(cls, maps: Maps) -> Extent:
        """The extent of ``maps`` (M, H, W, C), events in a sample."""
        width, channels = maps.shape[2:]
        largest = maps.reshape(-1, width * channels).max(0).reshape(width, channels).max(0).astype(np.int64)
        sample = _sample(maps)
        smallest = int(maps.min()) if maps.dtype.kind == "i" else 0
        return cls(largest, smallest, int(np.count_nonzero(sample)), sample.size)

    @classmethod
    def joined(cls, parts: Sequence[Extent]) -> Extent:
        """The extent of all ``parts`` together."""
        return cls(
            np.maximum.reduce([part.largest for part in parts]),
            min(part.smallest for part in parts),
            sum(part.events for part in parts),
            sum(part.size for part in parts),
        )

    @property
    def active(self) -> float:
        """Share of payloads that are not 0."""
        return self.events / self.size

    def of_bits(self, bits: int) -> tuple[bool, npt.NDArray[np.int64]]:
        """Whether ``bits`` of some payloads are negative, and how large those of each channel (C,) are at most."""
        if self.smallest >= 0:
            return False, np.minimum(self.largest, bits) if bits >= 0 else self.largest
        if bits >= 0:  # the lower digits of a negative number are any digits, and count upwards
            return False, np.full_like(self.largest, bits)
        # what remains of it is a multiple of -bits, rounded down
        beyond = 2 ** max(int(self.largest.max()), -self.smallest).bit_length()
        return True, np.full_like(self.largest, max(beyond, -bits))


def active_bits(maps: Maps, bits: int) -> float:
    """Share of payloads with any of ``bits``, from a sample."""
    sample = _sample(maps)
    return float(np.count_nonzero(sample & kept(maps, bits))) / sample.size


def kept(maps: Maps, bits: int) -> Any:
    """``bits`` as a number of the format of ``maps``."""
    return np.array(bits).astype(maps.dtype)[()]


def _sample(maps: Maps) -> npt.NDArray[Any]:
    """Evenly spaced payloads."""
    flat = maps.reshape(-1)
    return flat[:: max(1, flat.size // SAMPLE) | 1]
