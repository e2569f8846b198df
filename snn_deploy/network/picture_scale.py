r"""How the values of a picture become the numbers that a network reads.

A picture is 0 (black) to 1 (white); a network may have been trained on 0..255, on -1..1, or on values from which a mean was
subtracted and which were divided by a standard deviation:

.. math:: x_c = (low + (high - low)\, p_c - mean_c) / std_c

with ``mean`` and ``std`` in the units of the range, as in ``torchvision.transforms.Normalize``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import numpy as np

from snn_deploy.arrays import Float32, Float64
from snn_deploy.errors import NetworkError
from snn_deploy.graph.host import is_probability

Values = TypeVar("Values", Float32, Float64)


@dataclass(frozen=True)
class PictureScale:
    """``low`` and ``high``: what black and white stand for. ``mean`` and ``std``: one for all channels, or one for each."""

    low: float = 0.0
    high: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        for end in ("low", "high"):
            object.__setattr__(self, end, float(getattr(self, end)))
        for name in ("mean", "std"):
            object.__setattr__(self, name, tuple(float(value) for value in getattr(self, name)))
        numbers = (self.low, self.high, *self.mean, *self.std)
        if not all(math.isfinite(number) for number in numbers) or not self.low < self.high:
            raise NetworkError(
                f"range {self.low:g}..{self.high:g}: two finite numbers, the smaller one first, are needed"
            )
        if not self.mean or not self.std or min(self.std) <= 0:
            raise NetworkError(f"std {self.std}: one positive number for all channels, or one for each, is needed")

    @property
    def is_plain(self) -> bool:
        """Whether the network reads pictures as they are, from 0 to 1."""
        return self == PictureScale()

    def check(self, channels: int) -> PictureScale:
        """Itself; :class:`~snn_deploy.errors.NetworkError` unless mean and std fit ``channels``."""
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, channels):
                raise NetworkError(
                    f"{name} lists {len(values)} numbers, the network reads {channels} channels; give one number or {channels}"
                )
        return self

    def apply(self, picture: Float32) -> Float32:
        """A picture (B, C, H, W), 0 to 1, as the network reads it."""
        if self.is_plain:
            return picture
        ranged = self.low + (self.high - self.low) * picture.astype(np.float64)
        return np.asarray((ranged - _column(self.mean)) / _column(self.std), np.float32)

    def gain(self) -> Float32:
        """How far an input moves, (C, 1, 1) or (1, 1, 1), when its picture goes from black to white."""
        return np.asarray((self.high - self.low) / _column(self.std), np.float32)

    def as_picture(self, values: Values, host: Sequence[str] = ()) -> Values:
        """An output (B, C, H, W) as a picture, 0 to 1: it is taken to be in the range of the input.

        What ends in functions ``host`` that give probabilities is 0 to 1 already, and classes are classes.
        """
        if (self.low, self.high) == (0.0, 1.0) or "argmax" in host or is_probability(host):
            return values
        return np.asarray((values - self.low) / (self.high - self.low), values.dtype)

    def of_input(self, values: Float32) -> Float32:
        """The picture of an input (B, C, H, W)."""
        if self.is_plain:
            return values
        ranged = values.astype(np.float64) * _column(self.std) + _column(self.mean)
        return np.asarray((ranged - self.low) / (self.high - self.low), np.float32)

    def to_record(self) -> dict[str, Any]:
        """For the artifact."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def _column(values: tuple[float, ...]) -> Float64:
    return np.array(values, np.float64)[:, None, None]
