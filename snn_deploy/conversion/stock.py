r"""Layers of Lava's own neurons, for chips without a model of the multi-threshold neuron: ``lif`` and ``sigma-delta``.

* ``lif`` (:class:`snn_deploy.network.cuba_lif.CubaLif` without decays: plain integrate-and-fire, reset to zero).
  Membranes are 64 times the
  current, so thresholds and biases are too; a bias is 13 bits times one power of two up to 2**7 for the whole layer,
  and a more negative one, which only silent channels have, is clipped. A spike is 1: a layer must be a ReLU or an
  average pool. ``netx``: the same with biases that are integers of the current, as lava-dl's ``.net`` files hold them, and a
  read-out that passes the sum of every step on.
* ``sigma-delta`` (:class:`snn_deploy.network.sigma_delta.SigmaDelta`): a count is ``2**shift`` of activation, half of it
  is added to the bias so that counts are rounded to the nearest. Activations are not clipped: the proof of 24 bits
  assumes that none exceeds :data:`HEADROOM` times the levels, and every run checks this. Maxima, pools and read-outs
  forward their whole sum (shift 0).

Both have one threshold per layer, as Lava's processes do. The read-out is a linear sigma-delta
neuron in both: it sends the sum of every step to the host.
"""

from __future__ import annotations

import numpy as np

from snn_deploy.arrays import Float64, Int64, round_to_int64
from snn_deploy.conversion.layers import RELAYS, Layer
from snn_deploy.conversion.normalize import fires_at_pool
from snn_deploy.conversion.options import LEAKY, Options
from snn_deploy.errors import ConversionError, UnitError
from snn_deploy.network.cuba_lif import CURRENT_SHIFT, DECAY_ONE, CubaLif
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.neuron import StockNeuron
from snn_deploy.network.sigma_delta import SigmaDelta

HEADROOM = 4
"""Largest activation in any image, in multiples of the levels; calibration images stay below 1."""

MANTISSA_MAX = 4095
"""Largest magnitude of a bias mantissa of Lava's LIF (lava-nc ``proc/lif/models.py``: 13 bits)."""

BIAS_EXPONENT_MAX = 7
"""Largest bias exponent of Lava's LIF (same source: 3 bits)."""

LIF_BIAS_MAX = MANTISSA_MAX << (BIAS_EXPONENT_MAX - CURRENT_SHIFT)
"""Largest magnitude of a bias, in units of the current, that mantissa and exponent hold."""

NETX_SUM_MAX = 2**17 - 1
"""Largest sum, in units of the current, below the largest threshold (lava-dl: a read-out is a membrane that never fires)."""

LIF_THETA_MAX = 2**16
"""Largest threshold, in units of the current, that a 24-bit membrane can cross."""


def make_stock_neuron(
    layer: Layer, theta: Float64, bias: Float64, step: tuple[int, int], counts: tuple[int, int], options: Options
) -> StockNeuron:
    """The neurons of ``layer``: ``theta`` (C,) in units of the current, ``bias`` (C, 1, 1) or (C, H, W) in counts.

    ``theta`` is an integer except for a read-out. ``step`` and ``counts`` are the least and greatest sums of one step and
    of a whole run, which bound the payloads of a layer that forwards its sums.
    """
    if bias.shape[1:] != (1, 1):
        raise ConversionError(
            f"{layer.name}: a bias for each pixel; Lava's own neurons have one for each channel; use the preset exact"
        )
    values = bias[:, 0, 0] * theta
    passes = layer.kind == "output" or (layer.kind in RELAYS and not fires_at_pool(layer, options))
    if options.neuron in LEAKY and layer.kind != "output":
        return _lif(layer, theta, values, options)
    if passes:
        return _relay(layer, values, step, counts, options)
    top = HEADROOM * options.levels
    shift = int(theta.max()).bit_length() - 1
    half = 1 << shift - 1 if options.half_start and shift else 0
    signed = layer.kind == "linear"
    return SigmaDelta.of(
        _whole(layer, values) + half,
        shift=shift,
        payloads=(-top, top),
        counts=(-top if signed else 0, top),
        rectify=not signed,
    )


def _lif(layer: Layer, theta: Float64, values: Float64, options: Options) -> CubaLif:
    if layer.kind != "relu" and not fires_at_pool(layer, options):
        reason = (
            "the maximum of a pool"
            if layer.kind == "rectified relay"
            else "a sum that may be negative or above one spike"
        )
        raise ConversionError(
            f"{layer.name}: {reason} cannot be sent in single spikes of Lava's LIF; use the neuron sigma-delta, or average pooling"
        )
    whole = options.neuron == "netx"
    largest = MANTISSA_MAX if whole else LIF_BIAS_MAX
    if np.any(values > largest):
        raise UnitError(
            f"{layer.name}: a bias of {values.max():.3g} units of the current; Lava's LIF holds {largest:g}, use the"
            " neuron sigma-delta",
            layer.name,
            float(values.max() / largest),
        )
    mantissas = np.clip(np.rint(values), -MANTISSA_MAX, MANTISSA_MAX).astype(np.int64)
    return CubaLif.of(
        theta.astype(np.int64) << CURRENT_SHIFT,
        mantissas << CURRENT_SHIFT if whole else round_to_mantissas(values * 2**CURRENT_SHIFT),
        current_decay=DECAY_ONE,
        voltage_decay=0,
    )


def _whole(layer: Layer, values: Float64) -> Int64:
    try:
        return round_to_int64(values)
    except ValueError as error:
        raise ConversionError(f"{layer.name}: biases in units of the state: {error}") from error


def round_to_mantissas(values: Float64) -> Int64:
    """``values`` (C,) rounded to 13-bit mantissas times one power of two up to 2**7, clipped to that range."""
    least = int(np.ceil(np.log2(max(float(np.abs(values).max()), 1.0) / MANTISSA_MAX)))
    exponent = min(max(least, 0), BIAS_EXPONENT_MAX)
    mantissa = np.clip(np.rint(values / 2**exponent), -MANTISSA_MAX, MANTISSA_MAX)
    rounded: Int64 = mantissa.astype(np.int64) << exponent
    return rounded


def _relay(
    layer: Layer, values: Float64, step: tuple[int, int], counts: tuple[int, int], options: Options
) -> SigmaDelta:
    """Threshold 1, no shift. In ``rate`` mode the biases of all steps are added once."""
    offset = _whole(layer, values * options.run_steps)
    rectified = layer.kind == "rectified relay"
    extra = int(np.abs(offset).max())
    payload = min(max(-step[0], step[1]) + extra, STATE_MAX)
    limits = (0 if rectified else max(counts[0] - extra, -STATE_MAX), min(counts[1] + extra, STATE_MAX))
    return SigmaDelta.of(
        offset,
        shift=0,
        payloads=(-payload, payload),
        counts=limits if not options.is_rate else None,
        rectify=rectified,
    )
