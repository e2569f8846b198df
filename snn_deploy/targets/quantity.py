"""A number with its error band, in which every coefficient, time and energy is given."""

from __future__ import annotations

import math
from dataclasses import dataclass

_PREFIXES = {12: "T", 9: "G", 6: "M", 3: "k", 0: "", -3: "m", -6: "µ", -9: "n", -12: "p", -15: "f"}


@dataclass(frozen=True)
class Quantity:
    """``value`` in the interval ``[low, high]``, all in one SI unit.

    Sums and products combine the ends, as if all errors had the same direction: the widest band, since the correlation of
    the errors of published figures is unknown.
    """

    value: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.high) and 0 <= self.low <= self.value <= self.high):
            raise ValueError(f"{self.value} does not lie in its band [{self.low}, {self.high}], or a bound is negative")

    @classmethod
    def exact(cls, value: float) -> Quantity:
        """A number known without error, such as a count."""
        return cls(value, value, value)

    @property
    def ends(self) -> tuple[float, float, float]:
        """``value``, ``low``, ``high``."""
        return self.value, self.low, self.high

    def __add__(self, other: Quantity) -> Quantity:
        return Quantity(self.value + other.value, self.low + other.low, self.high + other.high)

    def __mul__(self, other: Quantity | float) -> Quantity:
        factor = other if isinstance(other, Quantity) else Quantity.exact(other)
        return Quantity(self.value * factor.value, self.low * factor.low, self.high * factor.high)

    def inverse(self) -> Quantity:
        """``1 / self``; the ends change places."""
        return Quantity(1 / self.value, 1 / self.high, 1 / self.low)

    def text(self, unit: str) -> str:
        """Two significant digits and the band: ``15 mJ (7.3 mJ to 23 mJ)``."""
        return f"{rounded(self.value, unit)} ({rounded(self.low, unit)} to {rounded(self.high, unit)})"

    def record(self) -> dict[str, float]:
        """For JSON."""
        return {"value": self.value, "low": self.low, "high": self.high}


ZERO = Quantity.exact(0.0)


def largest(*quantities: Quantity) -> Quantity:
    """The largest of several, each end for itself."""
    return Quantity(
        max(quantity.value for quantity in quantities),
        max(quantity.low for quantity in quantities),
        max(quantity.high for quantity in quantities),
    )


def total(quantities: list[Quantity]) -> Quantity:
    """Their sum, 0 for none."""
    return sum(quantities, ZERO)


def rounded(value: float, unit: str) -> str:
    """``value`` to two significant digits with a prefix: ``rounded(0.01536, "J") == "15 mJ"``; below 1, a number has none."""
    if value == 0:
        return f"0 {unit}".rstrip()
    value = float(f"{value:.1e}")
    if not unit and abs(value) < 1:
        return f"{value:g}"
    exponent = max(-15, min(12, 3 * math.floor(math.log10(abs(value)) / 3 + 1e-12)))
    digits = value / 10.0**exponent
    text = f"{digits:.0f}" if abs(digits) >= 9.95 else f"{digits:.1f}"
    return f"{text} {_PREFIXES[exponent]}{unit}".rstrip()
