r"""The integer equations: THE specification. Every backend is proved equal to this module with ``==``.

One step of a population of multi-threshold neurons whose membrane is v, running count a, threshold theta and incoming
current I (int64 throughout):

.. math::

    v &\leftarrow \mathrm{sat}(v + I), \qquad \mathrm{sat}(v) = \min(\max(v, -M), M),\; M = 2^{23}-1 \\
    k &= \mathrm{clip}(\lfloor (v - \mathrm{strict}) / \theta \rfloor,\; k_{min},\; k_{max}) \\
    k &\leftarrow \mathrm{clip}(k,\; a_{min} - a,\; a_{max} - a)        \qquad \text{(where counts are bounded)} \\
    k &\leftarrow 0 \text{ where } |k| \le \mathrm{hold} \qquad \text{(in streams, see below)} \\
    v &\leftarrow v - k\theta, \qquad a \leftarrow a + k, \qquad \text{send } k \text{ if } k \ne 0
        \qquad \text{(reset to zero: } v \leftarrow 0 \text{ if } k \ne 0)

That is :meth:`snn_deploy.network.multi_threshold.MultiThreshold.step`. Two-sided neurons (LeakyReLU) replace these lines by those
of :mod:`snn_deploy.network.two_sided`, Lava's own by those of :mod:`snn_deploy.network.cuba_lif` and
:mod:`snn_deploy.network.sigma_delta`; all else is common.

The current is the sum over connections of ``kernel(payload) * 2**exponent``; it never saturates and never wraps:
:mod:`snn_deploy.network.bounds` proves that it stays within 24 bits. The bias joins the current at ``start`` (``exact``) or at
every step from ``start`` on (``rate``). Before ``start`` a population integrates and does not fire. An ``exact`` run is an error
unless every event leaves in the window of its population and arrives in that of its target.

A network of streams (:mod:`snn_deploy.network.streaming`) runs these steps again for each frame, from the states that the
frame before left: the input sends the difference of the frames (:func:`subtract_frames`), and biases join in the first only.
Neurons may hold back changes of a few counts; their membranes keep what was not sent.

Floor division is the firing of n binary thresholds ``theta * 2**(n-1), ..., theta``, each tested once in descending
order with subtraction (Spiking-UNet, arXiv 2307.10974, the multi-threshold neuron): :func:`fire_ladder` is that
hardware form, and a test proves both equal for every membrane.

Saturation follows Loihi's membrane (nengo-loihi issue 130: the voltage could not be made to overflow on chip).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from snn_deploy.arrays import Array, Int8, Int64
from snn_deploy.errors import NetworkError
from snn_deploy.network.kernels import ConvKernel, Kernel, SpatialKernel, TransposedKernel
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.network import Connection, Network, Population
from snn_deploy.network.neuron import Neuron


def saturate(v: Int64) -> Int64:
    """``v`` limited to +-(2**23 - 1)."""
    return np.clip(v, -STATE_MAX, STATE_MAX)


def fire(v: Int64, theta: Int64, payload_min: int, payload_max: int, *, strict: bool) -> Int64:
    """Payload ``clip(floor((v - strict) / theta), payload_min, payload_max)``; shapes broadcast, int64."""
    return np.clip((v - int(strict)) // theta, payload_min, payload_max)


def fire_ladder(v: Int64, theta: Int64, levels: int, *, strict: bool) -> Int64:
    """The same for payloads 0..2**levels - 1 by compares and subtractions only, as hardware does it."""
    rest = v.astype(np.int64, copy=True)
    payload = np.zeros_like(rest)
    for level in reversed(range(levels)):
        threshold = theta << level
        crossed = (rest > threshold) if strict else (rest >= threshold)
        rest -= np.where(crossed, threshold, 0)
        payload += np.where(crossed, 1 << level, 0)
    return payload


def advance(neuron: Neuron, v: Int64, second: Int64, current: Int64) -> tuple[Int64, Int64, Int64]:
    """One step of a firing population: ``(v, second, payload)`` after it, from arrays (..., C, H, W) int64.

    ``second`` is the running count a; for Lava's own neurons, whose counts nothing bounds, it is their second state.
    """
    return neuron.step(v, second, current)


def initialize_membrane(population: Population, batch: int) -> Int64:
    """Membranes (batch, C, H, W) int64 before the first step."""
    if population.neuron is None:
        raise NetworkError(f"{population.name}: the input has no membrane")
    v0 = population.neuron.v0[:, None, None]
    return np.broadcast_to(v0, (batch, *population.shape)).astype(np.int64, copy=True)


def select_bias(network: Network, population: Population, step: int, frame: int = 0) -> Int64 | None:
    """The bias (C, 1, 1) or (C, H, W) that enters at ``step`` of ``frame``; ``None`` where none does."""
    if step < population.start or (network.mode == "exact" and (step > population.start or frame > 0)):
        return None
    return population.bias


def subtract_frames(frame: Int64, before: Int64) -> Int64:
    """What the input of a stream sends in the first step of ``frame``, from input counts (B, C, H, W) int64."""
    return frame - before


def transmit(connection: Connection, payload: Int64) -> Int64:
    """Current (B, C, H, W) int64 that payloads (B, C, H, W) int64 of one step send through ``connection``."""
    return np.left_shift(apply(connection.kernel, payload), connection.exponent)


def apply(kernel: Kernel, payload: Int64) -> Int64:
    """``kernel`` applied to integer maps (B, C, H, W); the equations stand beside each kernel's class."""
    if isinstance(kernel, ConvKernel):
        return _convolve(kernel, payload)
    if isinstance(kernel, TransposedKernel):
        return _convolve_transposed(kernel, payload)
    return _resample(kernel, payload)


def pad(maps: Array, pads: tuple[int, int, int, int]) -> Array:
    """Zeros added around the last two axes (top, left, bottom, right); a negative number cuts."""
    top, left, bottom, right = pads
    rows, columns = maps.shape[-2:]
    cut = maps[..., max(-top, 0) : rows - max(-bottom, 0), max(-left, 0) : columns - max(-right, 0)]
    widths = [(0, 0)] * (maps.ndim - 2) + [(max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0))]
    return np.pad(cut, widths)


def _choose_number(weight: Int8, payload: Int64) -> npt.DTypeLike:
    """What sums of ``weight`` times ``payload`` are computed in: float64, for which BLAS is made, as long as it is exact.

    Every partial sum is an integer of at most sum(abs(weight)) * max(abs(payload)), and float64 holds each one up to 2**53.
    """
    largest = max(-int(payload.min(initial=0)), int(payload.max(initial=0)))
    return np.float64 if int(np.abs(weight.astype(np.int64)).sum()) * largest <= 2**53 else np.int64


def _multiply(weight: Array, maps: Array) -> Array:
    """``weight`` (G, O, I) times every pixel of ``maps`` (B, G, I, H, W), group by group: (B, G, O, H, W)."""
    pixels = np.ascontiguousarray(maps).reshape(*maps.shape[:3], -1)
    product: Array = np.matmul(np.ascontiguousarray(weight), pixels)
    return product.reshape(*maps.shape[:2], weight.shape[1], *maps.shape[3:])


def _convolve(kernel: ConvKernel, payload: Int64) -> Int64:
    batch, channels, height, width = payload.shape
    _, rows, columns = kernel.output_shape((channels, height, width))
    number = _choose_number(kernel.weight, payload)
    outputs, inputs, kernel_rows, kernel_columns = kernel.weight.shape
    padded = pad(payload.astype(number), kernel.pads)
    padded = padded.reshape(batch, kernel.groups, inputs, *padded.shape[2:])
    weight = kernel.weight.astype(number)
    weight = weight.reshape(kernel.groups, outputs // kernel.groups, inputs, kernel_rows, kernel_columns)
    out = np.zeros((batch, kernel.groups, outputs // kernel.groups, rows, columns), number)
    (step_y, step_x), (gap_y, gap_x) = kernel.strides, kernel.dilations
    for h in range(kernel_rows):
        for w in range(kernel_columns):
            window = padded[..., h * gap_y :: step_y, w * gap_x :: step_x][..., :rows, :columns]
            out += _multiply(weight[..., h, w], window)
    return out.reshape(batch, outputs, rows, columns).astype(np.int64)


def _convolve_transposed(kernel: TransposedKernel, payload: Int64) -> Int64:
    batch, channels, height, width = payload.shape
    outputs, _, _ = kernel.output_shape((channels, height, width))
    number = _choose_number(kernel.weight, payload)
    inputs, per_group, kernel_rows, kernel_columns = kernel.weight.shape
    weight = kernel.weight.astype(number)
    weight = weight.reshape(kernel.groups, inputs // kernel.groups, per_group, kernel_rows, kernel_columns)
    maps = payload.astype(number).reshape(batch, kernel.groups, inputs // kernel.groups, height, width)
    full = np.zeros((batch, kernel.groups, per_group, *kernel.full_size(height, width)), number)
    (step_y, step_x), (gap_y, gap_x) = kernel.strides, kernel.dilations
    for h in range(kernel_rows):
        for w in range(kernel_columns):
            met = full[..., h * gap_y :: step_y, w * gap_x :: step_x][..., :height, :width]
            met += _multiply(weight[..., h, w].swapaxes(1, 2), maps)
    top, left, bottom, right = kernel.pads
    return pad(full.reshape(batch, outputs, *full.shape[3:]), (-top, -left, -bottom, -right)).astype(np.int64)


def _resample(kernel: SpatialKernel, payload: Int64) -> Int64:
    batch, channels, _, _ = payload.shape
    pixels = payload.reshape(batch * channels, -1)
    out = np.zeros((kernel.indptr.size - 1, batch * channels), np.int64)
    np.add.at(out, kernel.rows, kernel.data.astype(np.int64)[:, None] * pixels.T[kernel.indices])
    return out.T.reshape(batch, channels, *kernel.output_size)
