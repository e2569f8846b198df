r"""The integer network that an ``exact``-mode spiking network must equal, computed without spikes or time.

.. math::

    a = \mathrm{clip}\Big(\Big\lfloor \frac{\sum W a + b + v_0 - \mathrm{strict}}{\theta} \Big\rfloor,\; a_{min},\; a_{max}\Big)

layer by layer (a quantized ANN with integer activations; with another threshold below zero for two-sided neurons). The
arithmetic is written independently of :mod:`snn_deploy.network.dynamics`: windows gathered once, one float64 matrix product
per group, exact because :mod:`snn_deploy.network.bounds` keeps every sum below 2**53.
"""

from __future__ import annotations

import numpy as np

from snn_deploy.arrays import Float64, Int64
from snn_deploy.backend.stimulus import check_stimulus
from snn_deploy.errors import NetworkError
from snn_deploy.network.kernels import ConvKernel, Kernel, SpatialKernel, TransposedKernel
from snn_deploy.network.network import Network
from snn_deploy.network.sigma_delta import SigmaDelta
from snn_deploy.network.two_sided import TwoSided


def compute_integer_counts(network: Network, stimulus: Int64) -> dict[str, Int64]:
    """Counts (B, C, H, W) int64 of every population for input counts ``stimulus``; ``exact`` mode only."""
    if network.mode != "exact":
        raise NetworkError("a rate-mode network has no equal integer network; convert in exact mode")
    check_stimulus(network, stimulus)
    counts = {network.input.name: stimulus}
    for population, connections in network.layers():
        neuron, limits = population.neuron, population.count_range
        if neuron is None or limits is None:
            raise NetworkError(f"{population.name}: exact mode needs count limits")
        total = np.zeros((stimulus.shape[0], *population.shape), np.float64)
        for connection in connections:
            total += _linear(connection.kernel, counts[connection.source].astype(np.float64)) * 2.0**connection.exponent
        total += population.bias + neuron.v0[:, None, None]
        if isinstance(neuron, SigmaDelta):
            levels = _changes(neuron, total)
        elif isinstance(neuron, TwoSided) and not neuron.hold:
            levels = _both_signs(neuron, total)
        elif not neuron.quantizes:
            raise NetworkError(
                f"{population.name}: counts of {neuron.kind} neurons are not those of an integer network"
            )
        else:
            levels = (total - neuron.strict) / neuron.theta[:, None, None]
        counts[population.name] = np.clip(np.floor(levels), *limits).astype(np.int64)
    return counts


def _both_signs(neuron: TwoSided, total: Float64) -> Float64:
    """Levels of a two-sided neuron: those above a threshold by one slope, those below the other one by another, else 0."""
    theta, below = neuron.theta[:, None, None], neuron.theta_below[:, None, None]
    shifted = total + neuron.offset_below[:, None, None]
    levels: Float64 = np.where(total >= theta, total / theta, np.where(shifted < 0, shifted / below, 0.0))
    return levels


def _changes(neuron: SigmaDelta, total: Float64) -> Float64:
    """What a sigma-delta neuron at rest sends once, before the shift drops bits: changes below its threshold wait."""
    activation = total + neuron.offset[:, None, None]
    if neuron.rectify:
        activation = np.maximum(activation, 0)
    levels: Float64 = np.where(np.abs(activation) < neuron.theta[:, None, None], 0, activation / 2**neuron.shift)
    return levels


def _linear(kernel: Kernel, maps: Float64) -> Float64:
    if isinstance(kernel, ConvKernel):
        return _gathered(kernel, maps)
    if isinstance(kernel, TransposedKernel):
        return _scattered(kernel, maps)
    return _pixels(kernel, maps)


def _gathered(kernel: ConvKernel, maps: Float64) -> Float64:
    """Convolution as windows times a matrix."""
    top, left, bottom, right = (max(pad, 0) for pad in kernel.pads)
    padded = np.pad(maps, ((0, 0), (0, 0), (top, bottom), (left, right)))
    cut = [max(-pad, 0) for pad in kernel.pads]
    padded = padded[:, :, cut[0] : padded.shape[2] - cut[2], cut[1] : padded.shape[3] - cut[3]]
    span = tuple((size - 1) * gap + 1 for size, gap in zip(kernel.weight.shape[2:], kernel.dilations, strict=True))
    windows: Float64 = np.lib.stride_tricks.sliding_window_view(padded, span, axis=(2, 3))  # type: ignore[call-overload]
    windows = windows[:, :, :: kernel.strides[0], :: kernel.strides[1], :: kernel.dilations[0], :: kernel.dilations[1]]
    per_group = windows.shape[1] // kernel.groups
    outputs = kernel.weight.shape[0] // kernel.groups
    parts = []
    for group in range(kernel.groups):
        weight = kernel.weight[group * outputs : (group + 1) * outputs].astype(np.float64)
        part = windows[:, group * per_group : (group + 1) * per_group]
        parts.append(np.tensordot(part, weight, axes=((1, 4, 5), (1, 2, 3))).transpose(0, 3, 1, 2))
    return np.concatenate(parts, axis=1)


def _scattered(kernel: TransposedKernel, maps: Float64) -> Float64:
    """Transposed convolution as the convolution of the zero-stuffed input with the flipped kernel."""
    batch, channels, height, width = maps.shape
    (step_y, step_x), (gap_y, gap_x) = kernel.strides, kernel.dilations
    stuffed = np.zeros((batch, channels, (height - 1) * step_y + 1, (width - 1) * step_x + 1))
    stuffed[:, :, ::step_y, ::step_x] = maps
    inputs, outputs, rows, columns = kernel.weight.shape
    grouped = kernel.weight.reshape(kernel.groups, inputs // kernel.groups, outputs, rows, columns)
    turned = grouped.swapaxes(1, 2)[..., ::-1, ::-1]
    flipped = turned.reshape(kernel.groups * outputs, inputs // kernel.groups, rows, columns)
    border_y, border_x = (rows - 1) * gap_y, (columns - 1) * gap_x
    top, left, bottom, right = kernel.pads
    pads = (border_y - top, border_x - left, border_y - bottom, border_x - right)
    return _gathered(ConvKernel(flipped, (1, 1), pads, kernel.dilations, kernel.groups), stuffed)


def _pixels(kernel: SpatialKernel, maps: Float64) -> Float64:
    """A pixel map, one output row after the other."""
    batch, channels, _, _ = maps.shape
    weighted = maps.reshape(batch * channels, -1)[:, kernel.indices] * kernel.data.astype(np.float64)
    sums = np.concatenate([np.zeros((batch * channels, 1)), np.cumsum(weighted, axis=1)], axis=1)
    out: Float64 = sums[:, kernel.indptr[1:]] - sums[:, kernel.indptr[:-1]]
    return out.reshape(batch, channels, *kernel.output_size)
