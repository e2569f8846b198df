"""How a network is laid out for the chip, decided when the bundle is written (``chip.json``)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

INPUT_BITS, OUTPUT_BITS = 16, 24
"""Bits of an event into ``Conv`` (as in all public programs) and out of the chip (unsigned words of 24)."""


@dataclass(frozen=True)
class ChipPlan:
    """``scales``: populations whose membrane, threshold and bias are multiplied by 2 to that power, so that odd weights are even.

    ``message_bits``: bits of an event of each population (0: single spikes, 16 or 24). ``sparse``: connections that ``Conv`` could
    have, but for the size of their weights. ``outputs``: populations that are read out unless others are asked for. ``one_image``:
    nothing on the chip clears the state of some neurons, so each image is a program of its own.
    """

    scales: dict[str, int]
    message_bits: dict[str, int]
    sparse: tuple[str, ...]
    outputs: tuple[str, ...]
    one_image: bool

    def encode(self) -> bytes:
        """As JSON."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False).encode()

    @classmethod
    def read(cls, path: Path) -> ChipPlan:
        """From the file that :meth:`encode` filled."""
        fields = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{**fields, "sparse": tuple(fields["sparse"]), "outputs": tuple(fields["outputs"])})
