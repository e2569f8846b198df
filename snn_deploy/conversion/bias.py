"""What a bias leaves of 24 bits: the largest threshold beside it, and the neurons that it keeps silent on any image.

Thresholds scale weights and bias alike. Where weights are small beside their bias, weights alone would ask for a
threshold at which the bias no longer fits.
"""

from __future__ import annotations

import numpy as np

from snn_deploy.arrays import Float64
from snn_deploy.conversion.layers import Layer
from snn_deploy.conversion.options import LEAKY, Options
from snn_deploy.conversion.stock import LIF_BIAS_MAX, LIF_THETA_MAX, MANTISSA_MAX, NETX_SUM_MAX
from snn_deploy.graph.ops import Resample
from snn_deploy.network.limits import STATE_MAX

_SILENT = 3
"""How many times the greatest sum of inputs lies below the bias of a neuron that counts as silent.

Rounding can at most double a weight, and bias correction adds at most the sum once more.
"""


def bias_in_counts(layer: Layer, unit: Float64, greatest: Float64) -> Float64:
    """Bias (C, 1, 1) or (C, H, W) in counts of ``unit`` (C,); ``greatest`` (C,) is the largest sum of inputs in counts.

    A neuron of a ReLU that no input can make fire needs no more than keeps it silent: a bias far below that, which
    would take more than half of the membrane's range, is raised to it, and no spike changes.
    """
    counts: Float64 = layer.bias / unit[:, None, None]
    if layer.kind != "relu":
        return counts
    silent = -_silencing(greatest)
    return np.where((counts < silent) & (counts < -STATE_MAX / 2), silent, counts)


def largest_threshold(layer: Layer, counts: Float64, greatest: Float64, options: Options) -> Float64:
    """Largest threshold (C,) for which the bias ``counts`` takes at most half of the membrane's range.

    A power of two for neurons that fire; any positive number, or infinity, for a read-out.
    """
    magnitude = np.abs(counts).max((1, 2))
    if layer.kind == "output" and options.neuron == "netx":
        # the read-out is a membrane that must not reach its threshold in any step, nor its bias the largest mantissa
        sums = options.steps * (np.abs(greatest) + magnitude)
        fits: Float64 = np.minimum(MANTISSA_MAX / np.maximum(magnitude, 1e-9), NETX_SUM_MAX / np.maximum(sums, 1e-9))
        return fits
    if layer.kind == "output":
        repeats = options.run_steps if options.neuron != "multi-threshold" else 1
        with np.errstate(divide="ignore"):
            cap: Float64 = STATE_MAX / 2 / (magnitude * repeats)
        return np.full_like(cap, cap.min()) if _shares_weights(layer) else cap
    if options.neuron in LEAKY:
        largest = MANTISSA_MAX if options.neuron == "netx" else LIF_BIAS_MAX
        needed = np.maximum(counts, np.minimum(-counts, _silencing(greatest))).max()
        return np.full(magnitude.shape, _power_of_two(largest / max(float(needed), largest / LIF_THETA_MAX)))
    cap = _power_of_two(STATE_MAX / 2 / np.maximum(magnitude, 1.0))
    return np.full_like(cap, cap.min()) if has_shared_threshold(layer, options) else cap


def has_shared_threshold(layer: Layer, options: Options) -> bool:
    """Whether all channels share one threshold: a resampling shares weights over channels, Lava's neurons have one."""
    return options.neuron != "multi-threshold" or _shares_weights(layer)


def _shares_weights(layer: Layer) -> bool:
    return any(isinstance(layer_input.op, Resample) for layer_input in layer.inputs)


def _silencing(greatest: Float64) -> Float64:
    silencing: Float64 = (_SILENT * greatest + 1)[:, None, None]
    return silencing


def _power_of_two(limit: Float64 | float) -> Float64:
    """Largest power of two, at least 1, that is not above ``limit``."""
    power: Float64 = 2.0 ** np.maximum(np.floor(np.log2(limit)), 0)
    return power
