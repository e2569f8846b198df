r"""Weights to int8, thresholds to powers of two, biases to integers.

Between normalized values a layer computes ``sum W' n + b'`` in units of one count. With an integer threshold
theta_o per output channel and an exponent e per connection the chip adds

.. math::

    W^{int} = \mathrm{rint}(W' \theta_o / 2^e) \in \pm (2^{bits-1}-1), \qquad b^{int} = \mathrm{rint}(b' \theta_o)

so one threshold's worth of current is one count. theta_o is the largest power of two for which the weights fit:
firing is then a shift. *Integer* thresholds, where they are asked for, fill the weights' bits in every channel, or clip the
largest weights where that costs less: worth a fraction of a dB at 4 bits. Exponents exist
because the weights of connections into one population may differ in size: the thresholds at which one of the connections
fills its 8 bits are tried, and the one with the least expected square error of the current,
``sum (W^int 2^e / theta - W')^2 E[n_i^2]``, is chosen. A read-out has threshold 1 and a free unit, so its theta need not
be a power of two: it is the scale of its unit.

The mean error of the current is known, ``sum (W^int 2^e / theta - W') E[n_i]``, and *bias correction* subtracts it
from the bias (Nagel et al., ICCV 2019, arXiv 1906.04721, section 4.2); the square error then counts ``Var[n_i]`` only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from snn_deploy.arrays import Float64, Int8, Int64, round_to_int64
from snn_deploy.conversion.layers import LinearOp
from snn_deploy.errors import ConversionError, UnitError
from snn_deploy.graph.ops import Conv, ConvTranspose, Resample
from snn_deploy.network.kernels import ConvKernel, Kernel, SpatialKernel, TransposedKernel
from snn_deploy.network.limits import MAX_EXPONENT

MAX_THETA_BITS = 22
"""Largest threshold is 2**22: a membrane of 23 bits can still cross it."""

OCTAVE = 2.0 ** (np.arange(24) / 24)
"""Fractions of an octave tried for the free unit of a read-out."""


FINE = (0, 2, 4)
"""Exponents tried with integer thresholds: ``2**e`` times the threshold resolves it more finely, and takes e of 24 bits."""

FILL = np.geomspace(0.8, 2.0, 19)
"""Multiples of the threshold at which the largest weight just fits; above 1 it is clipped."""

Rounding: TypeAlias = Callable[[Sequence[Float64], Sequence[int], int], list[Float64]]
"""Integers of at most a limit for the weights of a layer's connections, (C_out, inputs, taps) in steps of their grids.

A connection's step stands for ``2**exponent`` of the layer's current, so that errors of several can be weighed.
"""


@dataclass(frozen=True, eq=False)
class NormalizedInput:
    """A normalized linear operator; ``mean``, ``power`` (C_in,): mean and mean square count of its source's channels.

    With a ``mean`` of 0 there is no bias correction.
    """

    name: str
    op: LinearOp
    mean: Float64
    power: Float64


@dataclass(frozen=True, eq=False)
class Quantized:
    """Integers of one layer: ``theta`` (C,), integers except for a read-out; a kernel and exponent each.

    ``offset`` (C,) is the mean current that rounding added, in counts; ``noise`` the square error that remains after rounding
    to the nearest.
    """

    theta: Float64
    kernels: tuple[Kernel, ...]
    exponents: tuple[int, ...]
    offset: Float64
    noise: float


@dataclass(frozen=True, eq=False)
class _Block:
    """Weights of one connection as (C_out, inputs, taps); mean and power (C_out, inputs) of the channel behind each.

    ``places`` output pixels share the taps: a transposed convolution's by its strides, a pixel map's all.
    """

    weight: Float64
    mean: Float64
    power: Float64
    places: int

    @property
    def largest(self) -> Float64:
        """Largest magnitude (C_out,)."""
        largest: Float64 = np.abs(self.weight).max((1, 2))
        return largest

    def scaled(self, theta: Float64, exponent: int) -> Float64:
        """Weights in steps of ``2**exponent / theta``."""
        return self.weight * _steps(theta, exponent)

    def error(self, rounded: Float64, theta: Float64, exponent: int) -> Float64:
        """Error of each weight, in counts."""
        error: Float64 = rounded / _steps(theta, exponent) - self.weight
        return error

    def noise(self, theta: Float64, exponent: int, limit: int) -> Float64:
        """Expected square error (C_out,) of the current around its mean, in counts, of weights rounded to the nearest."""
        (rounded,) = round_to_nearest([self.scaled(theta, exponent)], [exponent], limit)
        variance = self.power - np.square(self.mean)
        error = self.error(rounded, theta, exponent)
        total: Float64 = (np.square(error).sum(2) * variance).sum(1) / self.places
        return total

    def offset(self, error: Float64) -> Float64:
        """Expected error (C_out,) of the current, in counts, for the ``error`` of each weight."""
        total: Float64 = (error.sum(2) * self.mean).sum(1) / self.places
        return total


@dataclass(frozen=True, eq=False)
class _Grid:
    """What integers of a layer stand for: its thresholds ``theta`` (C,) and the exponent of each connection."""

    theta: Float64
    exponents: tuple[int, ...]

    @classmethod
    def fitting(cls, blocks: Sequence[_Block], theta: Float64, limit: int) -> _Grid:
        """The least exponents for which all weights of ``blocks`` fit ``limit`` at ``theta``."""
        return cls(theta, tuple(_exponent(block, theta, limit) for block in blocks))

    def noise(self, blocks: Sequence[_Block], limit: int) -> Float64:
        """Expected square error (C,) of the current around its mean, in counts."""
        parts = [
            block.noise(self.theta, exponent, limit) for block, exponent in zip(blocks, self.exponents, strict=True)
        ]
        total: Float64 = np.sum(parts, axis=0)
        return total


def round_to_nearest(weights: Sequence[Float64], _exponents: Sequence[int], limit: int) -> list[Float64]:
    """The :data:`Rounding` of each weight by itself, ties to even."""
    return [np.clip(np.rint(weight), -limit, limit) for weight in weights]


def quantize(
    layer: str,
    inputs: Sequence[NormalizedInput],
    channels: int,
    bits: int,
    cap: Float64 | float = np.inf,
    *,
    uniform: bool = False,
    integer: bool = False,
    rounding: Rounding = round_to_nearest,
) -> Quantized:
    """Integer kernels of one firing layer's connections; thresholds are powers of two, at most ``cap`` per channel.

    All channels get one threshold where it must be ``uniform``, or where a resampling shares its weights. Otherwise
    thresholds may be any ``integer`` where that is asked for.
    """
    limit = 2 ** (bits - 1) - 1
    blocks = [_block(layer_input, channels) for layer_input in inputs]
    uniform = uniform or any(isinstance(layer_input.op, Resample) for layer_input in inputs)
    candidates = []
    for block in blocks:
        largest = _where_dead(block.largest)
        if uniform:
            largest = np.full_like(largest, largest.max())
        theta = np.minimum(2.0 ** np.clip(np.floor(np.log2(limit / largest)), 0, MAX_THETA_BITS), np.floor(cap))
        candidates += [_Grid.fitting(blocks, theta, limit), _Grid.fitting(blocks, np.maximum(theta / 2, 1.0), limit)]
        if integer and not uniform:
            candidates += [_fill(blocks, limit * 2.0**exponent / largest, cap, limit) for exponent in FINE]
    return _least_noise(layer, inputs, blocks, candidates, limit, rounding)


def _fill(blocks: Sequence[_Block], theta: Float64, cap: Float64 | float, limit: int) -> _Grid:
    """Integer thresholds near ``theta`` (C,), those of least noise in each channel, with the exponents that fit ``theta``."""
    most = np.minimum(np.floor(cap), 2.0**MAX_THETA_BITS)
    best = _Grid.fitting(blocks, np.clip(np.floor(theta), 1, most), limit)
    least = best.noise(blocks, limit)
    for fill in FILL:
        grid = _Grid(np.clip(np.rint(theta * fill), 1, most), best.exponents)
        noise = grid.noise(blocks, limit)
        best = _Grid(np.where(noise < least, grid.theta, best.theta), best.exponents)
        least = np.minimum(noise, least)
    return best


def quantize_output(
    layer: str,
    inputs: Sequence[NormalizedInput],
    channels: int,
    bits: int,
    cap: Float64 | float = np.inf,
    *,
    rounding: Rounding = round_to_nearest,
) -> Quantized:
    """The same for a read-out, whose unit is free: ``theta`` is any positive number and ``1 / theta`` becomes the unit.

    Connections of one magnitude (an identity, say) are rounded without error where ``theta`` makes it a power of two.
    A channel without weights is its bias alone, so its ``theta`` is ``cap``, where there is one.
    """
    limit = 2 ** (bits - 1) - 1
    blocks = [_block(layer_input, channels) for layer_input in inputs]
    scales = []
    for block in blocks:
        largest = float(block.largest.max())
        if largest > 0:
            scales += list(limit / largest / OCTAVE)
            if np.all(np.isin(np.abs(block.weight), (0.0, largest))):
                scales += list(2.0 ** np.arange(bits - 1 + MAX_EXPONENT) / largest)
    reached = np.max([np.broadcast_to(block.largest, channels) for block in blocks], axis=0) > 0
    most = np.broadcast_to(cap, channels)
    allowed = [scale for scale in scales if scale <= most.min(initial=np.inf, where=reached)]
    candidates = [
        _Grid.fitting(
            blocks, np.where(reached, np.minimum(scale, most), np.where(np.isfinite(most), most, scale)), limit
        )
        for scale in allowed or scales or [1.0]
    ]
    return _least_noise(layer, inputs, blocks, candidates, limit, rounding)


def greatest_sum(inputs: Sequence[NormalizedInput], channels: int, payloads: Sequence[tuple[int, int]]) -> Float64:
    """Greatest current (C,), in counts and without bias, that sources with these ``payloads`` can bring.

    Transposed convolutions and pixel maps are counted as if all their taps met in one pixel.
    """
    total = np.zeros(channels)
    for layer_input, (low, high) in zip(inputs, payloads, strict=True):
        weight = _block(layer_input, channels).weight
        total += np.maximum(weight * high, weight * low).sum((1, 2))
    return total


def quantize_relay(layer: str, inputs: Sequence[NormalizedInput], channels: int) -> Quantized:
    """Kernels of a relay: its normalized weights are integers, its threshold is 1."""
    blocks = [_block(layer_input, channels) for layer_input in inputs]
    for layer_input, block in zip(inputs, blocks, strict=True):
        if np.abs(block.weight - np.rint(block.weight)).max() > 1e-9 or block.largest.max() > 127:
            raise ConversionError(
                f"{layer}: a relay's weights must be integers of at most 127; {layer_input.name} has others"
            )
    return _least_noise(layer, inputs, blocks, [_Grid.fitting(blocks, np.ones(channels), 127)], 127, round_to_nearest)


def _where_dead(largest: Float64) -> Float64:
    """``largest`` with the zeros of channels without weights replaced by the largest value, so that all are positive."""
    top = float(largest.max())
    return np.where(largest > 0, largest, top if top > 0 else 1.0)


def _least_noise(
    layer: str,
    inputs: Sequence[NormalizedInput],
    blocks: Sequence[_Block],
    candidates: Sequence[_Grid],
    limit: int,
    rounding: Rounding,
) -> Quantized:
    best: tuple[float, _Grid] | None = None
    for grid in candidates:
        if max(grid.exponents) <= MAX_EXPONENT:
            noise = float(grid.noise(blocks, limit).sum())
            if best is None or noise < best[0]:
                best = noise, grid
    if best is None:
        beyond = min(max(grid.exponents) for grid in candidates) - MAX_EXPONENT
        raise UnitError(
            f"{layer}: weights of {2.0**beyond * limit * 2**MAX_EXPONENT:.3g} in counts, more than {limit} * 2**{MAX_EXPONENT};"
            " use fewer levels",
            layer,
            2.0**beyond,
        )
    noise, (theta, exponents) = best[0], (best[1].theta, best[1].exponents)
    scaled = [block.scaled(theta, exponent) for block, exponent in zip(blocks, exponents, strict=True)]
    weights = rounding(scaled, exponents, limit)
    kernels = tuple(
        _kernel(layer_input, weight.astype(np.int8)) for layer_input, weight in zip(inputs, weights, strict=True)
    )
    offsets = [
        block.offset(block.error(weight, theta, exponent))
        for block, weight, exponent in zip(blocks, weights, exponents, strict=True)
    ]
    return Quantized(theta, kernels, exponents, np.sum(offsets, axis=0), noise)


def _steps(theta: Float64, exponent: int) -> Float64:
    """Steps of a weight's grid that one count of current takes, (C, 1, 1)."""
    steps: Float64 = theta[:, None, None] / 2.0**exponent
    return steps


def _exponent(block: _Block, theta: Float64, limit: int) -> int:
    """Smallest exponent for which all weights of ``block`` fit ``limit``."""
    excess = float((block.largest * theta).max()) / (limit + 0.499)
    return max(0, int(np.ceil(np.log2(excess)))) if excess > 0 else 0


def quantize_bias(name: str, bias: Float64, theta: Float64) -> Int64:
    """``rint(b' theta)`` as int64 for layer ``name``, ties to even; bias (C, 1, 1) or (C, H, W) in counts."""
    with np.errstate(over="ignore"):
        scaled = bias * theta[:, None, None]
    try:
        return round_to_int64(scaled)
    except ValueError as error:
        raise ConversionError(f"{name}: biases in counts: {error}") from error


def _block(normalized: NormalizedInput, channels: int) -> _Block:
    op = normalized.op
    if isinstance(op, Resample):
        taps = _pixel_map(op)[2]
        weight = np.broadcast_to(taps, (channels, 1, taps.size))
        return _Block(
            weight, normalized.mean[:, None], normalized.power[:, None], op.rows.shape[0] * op.columns.shape[0]
        )
    groups, places = op.groups, 1
    if isinstance(op, Conv):
        outputs, inputs, rows, columns = op.weight.shape
        weight = op.weight.reshape(outputs, inputs, rows * columns)
    else:
        first, per_group, rows, columns = op.weight.shape
        outputs, inputs, places = per_group * groups, first // groups, op.strides[0] * op.strides[1]
        grouped = op.weight.reshape(groups, inputs, per_group, rows * columns).swapaxes(1, 2)
        weight = grouped.reshape(outputs, inputs, rows * columns)
    mean, power = (
        np.repeat(part.reshape(groups, inputs), outputs // groups, axis=0)
        for part in (normalized.mean, normalized.power)
    )
    return _Block(weight, mean, power, places)


def _kernel(normalized: NormalizedInput, weight: Int8) -> Kernel:
    op = normalized.op
    if isinstance(op, Conv):
        return ConvKernel(weight.reshape(op.weight.shape), op.strides, op.pads, op.dilations, op.groups)
    if isinstance(op, ConvTranspose):
        inputs, per_group, rows, columns = op.weight.shape
        grouped = weight.reshape(op.groups, per_group, inputs // op.groups, rows * columns).swapaxes(1, 2)
        return TransposedKernel(grouped.reshape(op.weight.shape), op.strides, op.pads, op.dilations, op.groups)
    indptr, indices, _ = _pixel_map(op)
    sizes = (op.rows.shape[1], op.columns.shape[1]), (op.rows.shape[0], op.columns.shape[0])
    return SpatialKernel(*sizes, indptr, indices, weight[0, 0])


def _pixel_map(op: Resample) -> tuple[Int64, Int64, Float64]:
    """Row pointers, input pixels and weights of a separable map, sorted by output pixel."""
    (y, i), (x, j) = np.nonzero(op.rows), np.nonzero(op.columns)
    target = (y[:, None] * op.columns.shape[0] + x).ravel()
    source = (i[:, None] * op.columns.shape[1] + j).ravel()
    weight = np.outer(op.rows[y, i], op.columns[x, j]).ravel()
    order = np.lexsort((source, target))
    counts = np.bincount(target, minlength=op.rows.shape[0] * op.columns.shape[0])
    return np.concatenate([[0], np.cumsum(counts)]), source[order], weight[order]
