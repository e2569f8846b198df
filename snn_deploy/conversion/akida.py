"""Numbers that fit the layers of BrainChip's Akida 2: what the option ``device="akida"`` changes of an ``exact`` conversion.

Counts are 0..127, and signed ones -128..127, at both ends of which the engine clips; average pools fire, because their sums of
four counts exceed 8 bits; a bias has a mantissa of 8 bits. Whether shapes fit is the model's matter:
:func:`snn_deploy.mapping.akida.plan_layers` names what does not.
"""

from __future__ import annotations

import numpy as np

from snn_deploy.arrays import Int64
from snn_deploy.errors import ConversionError
from snn_deploy.mapping.akida import Misfit, name_misfits, plan_layers
from snn_deploy.mapping.akida_layers import MANTISSA_MAX
from snn_deploy.network.network import Network

LARGEST = MANTISSA_MAX << 16
"""Largest bias with such a mantissa that 24 bits hold."""

NAMED = 5
"""Misfits that an error names."""


def round_bias(bias: Int64) -> Int64:
    """``bias`` (C, ...) int64 to mantissas of at most :data:`MANTISSA_MAX` times powers of two, ties away from zero.

    The largest of 24 bits are limited to :data:`LARGEST`.
    """
    magnitude = np.abs(bias)
    shift = np.zeros_like(bias)
    while np.any(long := _halve(magnitude, shift) > MANTISSA_MAX):
        shift += long
    rounded: Int64 = np.sign(bias) * np.minimum(_halve(magnitude, shift) << shift, LARGEST)
    return rounded


def _halve(magnitude: Int64, shift: Int64) -> Int64:
    """``magnitude / 2**shift``, rounded to the nearest, halves up."""
    return (magnitude + ((1 << shift) >> 1)) >> shift


def check_akida(network: Network) -> None:
    """:class:`~snn_deploy.errors.ConversionError` names every population of ``network`` that no layer of the engine can compute."""
    misfits = plan_layers(network).misfits
    if misfits:
        raise ConversionError(describe_misfits(network.name, misfits))


def describe_misfits(name: str, misfits: tuple[Misfit, ...]) -> str:
    """One line that names the first of ``misfits`` of the network ``name``."""
    return f"{name} does not fit Akida 2: {name_misfits(misfits, NAMED)}; snn-deploy inspect --target akida2 lists all"
