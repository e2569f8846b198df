"""Functions of the host after read-out, as texts: a name, and arguments behind a colon, as in ``greater:0.5``.

======================  =============================================================================================
``sigmoid``, ``tanh``,  of every value
``exp``, ``softplus``
``softmax``,            over channels
``log_softmax``
``argmax``              the first channel with the largest value; one channel remains
``take:c,...``          channels, in this order
``times:a``, ``plus:a`` a factor or an addend, one for all channels or one for each
``clip:low,high``       values limited
``round``, ``truncate`` to the nearest integer, ties to even; towards zero
``greater:a``, ...      1 where the value is greater (less, at least, at most) than ``a``, else 0
``to_channels_last``    (C, H, W) becomes (H, W, C)
======================  =============================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from snn_deploy.errors import GraphError
from snn_deploy.graph.limits import MAX_CHANNELS
from snn_deploy.shapes import Shape

ARGUMENTS: dict[str, tuple[int, int]] = {
    "sigmoid": (0, 0),
    "tanh": (0, 0),
    "exp": (0, 0),
    "softplus": (0, 0),
    "softmax": (0, 0),
    "log_softmax": (0, 0),
    "argmax": (0, 0),
    "take": (1, MAX_CHANNELS),
    "times": (1, MAX_CHANNELS),
    "plus": (1, MAX_CHANNELS),
    "clip": (2, 2),
    "round": (0, 0),
    "truncate": (0, 0),
    "greater": (1, 1),
    "less": (1, 1),
    "at_least": (1, 1),
    "at_most": (1, 1),
    "to_channels_last": (0, 0),
}
"""Every function, and how few and how many arguments it takes."""

COMPARISONS = ("greater", "less", "at_least", "at_most")

INTEGERS = ("argmax", "round", "truncate", *COMPARISONS)
"""Functions whose results are whole numbers."""


@dataclass(frozen=True)
class HostFunction:
    """One function and its arguments."""

    name: str
    arguments: tuple[float, ...] = ()

    @classmethod
    def of(cls, text: str) -> HostFunction:
        """Read ``name`` or ``name:a,b``; :class:`GraphError` for anything else."""
        name, colon, listed = text.partition(":")
        try:
            arguments = tuple(float(word) for word in listed.split(",")) if colon else ()
        except ValueError:
            arguments = (math.nan,)
        fewest, most = ARGUMENTS.get(name, (0, -1))
        if not fewest <= len(arguments) <= most or any(math.isnan(value) for value in arguments):
            raise GraphError(f"unknown host function {text!r}; available: {', '.join(ARGUMENTS)}")
        if name == "take" and any(value < 0 or value != int(value) for value in arguments):
            raise GraphError(f"host function {text!r}: channels are whole numbers from 0 on")
        return cls(name, arguments)

    def __str__(self) -> str:
        return self.name + (
            ":" + ",".join(f"{value!r}".removesuffix(".0") for value in self.arguments) if self.arguments else ""
        )

    def infer(self, shape: Shape) -> Shape:
        """Output shape for values (C, H, W)."""
        channels, height, width = shape
        if self.name == "argmax":
            return 1, height, width
        if self.name == "take":
            if max(self.arguments) >= channels:
                raise GraphError(f"host function {self}: there are {channels} channels")
            return len(self.arguments), height, width
        if self.name in ("times", "plus") and len(self.arguments) not in (1, channels):
            raise GraphError(f"host function {self}: there are {channels} channels")
        return (height, width, channels) if self.name == "to_channels_last" else shape


def is_probability(functions: Sequence[str]) -> bool:
    """Whether results lie in 0..1, so that one channel of them means class 1 above 1/2; logits mean it above 0."""
    names = [HostFunction.of(text).name for text in functions]
    kept = [name for name in names if name not in ("to_channels_last", "take", "round", "truncate", "clip")]
    return bool(kept) and kept[-1] in ("sigmoid", "softmax", "exp", *COMPARISONS)
