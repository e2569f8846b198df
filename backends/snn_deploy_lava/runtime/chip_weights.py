"""Weights as synapses of the chip hold them without an exponent: 0..255, -255..0, or even in -254..254 where signs are mixed.

Programs that run on a chip pass no ``weight_exp`` to ``Conv`` (lava-dl ``netx/blocks/process.py``), and Lava's own model of it
ignores one. A kernel that is too large or odd for one ``Conv`` is therefore several, side by side between the same ports, where
Lava adds them. No weight is in two of them unless it must, so that the synaptic operations stay those of the network.
"""

from __future__ import annotations

import numpy as np

from snn_deploy_lava.runtime.arithmetic import Array, Int64

MIXED_MAX, ONE_SIGN_MAX = 254, 255


def split_weights(weight: Array, exponent: int) -> tuple[Int64, ...]:
    """Kernels whose sum is ``weight * 2**exponent``, each as one ``Conv`` of the chip holds it; ``exponent`` is not negative."""
    rest = weight.astype(np.int64) << exponent
    if _mixed(rest) and np.any(rest % 2):
        return (*split_weights(np.maximum(rest, 0), 0), *split_weights(np.minimum(rest, 0), 0))
    limit = MIXED_MAX if _mixed(rest) else ONE_SIGN_MAX
    parts = [np.clip(rest, -limit, limit)]
    while np.any(rest := rest - parts[-1]):
        parts.append(np.clip(rest, -limit, limit))
    return tuple(parts)


def split_offset(offset: Int64) -> tuple[tuple[int, Int64], ...]:
    """(payload, weights) whose products add up to ``offset`` (C,): signed digits to the base 128, without those that are all 0."""
    digits, rest, payload = [], np.abs(offset), 1
    while np.any(rest):
        digit = np.sign(offset) * (rest % 128)
        if np.any(digit):
            digits.append((payload, digit))
        rest, payload = rest // 128, payload * 128
    return tuple(digits)


def _mixed(weight: Array) -> bool:
    return bool(weight.size and weight.min() < 0 < weight.max())
