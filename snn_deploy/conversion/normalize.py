r"""How the activation range of each source is chosen: connection-wise normalization and its alternatives.

A layer's *unit* u (C,) is the real value of one count. Weights and biases of a layer t become

.. math:: W'[:, c_i] = W[:, c_i] \, u_i / u_t , \qquad b' = b / u_t

with the unit of each *source* i over its own block of channels c_i: one scale per connection (Spiking-UNet, arXiv
2307.10974, connection-wise normalization). ReLU networks are positively homogeneous, so the function stays the
same; a test and :func:`snn_deploy.conversion.lower.check_function` check this. ``layer-wise`` uses one scale,
the percentile of the convolution's whole input, for all its sources: where that differs from the sources' own units,
the function changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from snn_deploy.arrays import Float64
from snn_deploy.conversion.calibrate import Statistics, percentile
from snn_deploy.conversion.equalize import choose_channel_factors
from snn_deploy.conversion.layers import RELAYS, Layer, LayerInput, Layers, LinearOp
from snn_deploy.conversion.options import Options
from snn_deploy.errors import ConversionError
from snn_deploy.graph.ops import Conv, ConvTranspose, Resample

GRID = np.geomspace(0.02, 1.0, 120)
"""Fractions of the full range tried as clipping points by the MMSE search."""


@dataclass(frozen=True, eq=False)
class Scales:
    """``unit`` (C,) by layer; unit of its source ``assumed`` by each connection; ``dead`` channels by layer.

    ``widened`` says by how much units are larger than the activations ask for, where 24 bits ask for that.
    """

    unit: Mapping[str, Float64]
    assumed: Mapping[str, Float64]
    dead: Mapping[str, int]
    widened: Mapping[str, float] = field(default_factory=dict)

    def widen(self, layers: Layers, name: str, factor: float) -> Scales:
        """The unit of the layer ``name`` ``factor`` times as large, and so that of every relay that passes its counts on."""
        passing = {name}
        for layer in layers.layers:
            sources = {layer_input.source for layer_input in layer.inputs}
            if layer.kind in RELAYS and sources & passing:
                if not sources <= passing:
                    raise ConversionError(f"{layer.name}: a relay's sources must share one unit")
                passing.add(layer.name)
        read = {each.name for layer in layers.layers for each in layer.inputs if each.source in passing}
        return Scales(
            {key: unit * factor if key in passing else unit for key, unit in self.unit.items()},
            {key: unit * factor if key in read else unit for key, unit in self.assumed.items()},
            self.dead,
            {**self.widened, name: self.widened.get(name, 1.0) * factor},
        )


def choose_scales(layers: Layers, statistics: Mapping[str, Statistics], options: Options) -> Scales:
    """Units of all layers under ``options``; outputs get 1 here, since quantization chooses their unit by the weights."""
    unit: dict[str, Float64] = {layers.input: _input_unit(layers, statistics[layers.input], options)}
    dead: dict[str, int] = {}
    for layer in layers.layers:
        channels = layer.shape[0]
        if layer.kind in RELAYS:
            unit[layer.name] = _relay_unit(layers, layer, statistics, unit, options)
        elif layer.kind == "output":
            unit[layer.name] = np.ones(channels)
        else:
            unit[layer.name] = _own_unit(layers, layer, statistics, options) * options.slack
            if options.equalization:
                unit[layer.name] = unit[layer.name] * choose_channel_factors(layers, layer, statistics[layer.name])
            if layer.limit is not None:
                # the largest count is never beyond the limit, so that counts are clipped where values are, or before
                limit = layer.limit / options.at(layer.name).payload_max
                unit[layer.name] = np.minimum(unit[layer.name], limit)
            dead[layer.name] = int(np.count_nonzero(statistics[layer.name].power == 0))
    assumed = {
        layer_input.name: _assumed_unit(layers, layer, layer_input, statistics, unit, options)
        for layer in layers.layers
        for layer_input in layer.inputs
    }
    return Scales(unit, assumed, dead)


def _input_unit(layers: Layers, statistics: Statistics, options: Options) -> Float64:
    extent = statistics.extent or 1.0
    return np.full(layers.input_shape[0], extent / options.input_levels)


def _shares_unit(layers: Layers, layer: Layer) -> bool:
    """Whether all channels need one unit: a resampling, before ``layer`` or after it, shares its weights over channels."""
    ops = [layer_input.op for layer_input in layer.inputs] + list(layers.readers(layer.name))
    return any(isinstance(op, Resample) for op in ops)


def _relay_unit(
    layers: Layers, layer: Layer, statistics: Mapping[str, Statistics], unit: Mapping[str, Float64], options: Options
) -> Float64:
    """That of what it passes on; a pool that fires has its source's as published, and in ``exact`` mode that of its own range."""
    if not fires_at_pool(layer, options):
        return derive_relay_unit(layer, unit)
    if options.is_rate:
        return unit[layer.inputs[0].source]
    return _own_unit(layers, layer, statistics, options)


def _own_unit(layers: Layers, layer: Layer, statistics: Mapping[str, Statistics], options: Options) -> Float64:
    by_channel = options.normalization == "channel-wise" and not _shares_unit(layers, layer)
    return _layer_unit(statistics[layer.name], layer.shape[0], options.at(layer.name), by_channel)


def _layer_unit(statistics: Statistics, channels: int, options: Options, by_channel: bool) -> Float64:
    if by_channel:
        whole = choose_unit([statistics], options)
        units = [choose_unit([statistics.channel(index)], options) for index in range(channels)]
        floor = whole / 64
        return np.array(
            [max(unit, floor) if power else whole for unit, power in zip(units, statistics.power, strict=True)]
        )
    return np.full(channels, choose_unit([statistics], options))


def choose_unit(statistics: Sequence[Statistics], options: Options) -> float:
    """Real value of one count for the values in ``statistics``; 1 / budget where they are all zero."""
    extent = max((part.extent if part.power.any() else 0.0) for part in statistics)
    if extent == 0:
        return 1.0 / options.level_budget
    if options.scale == "mmse":
        return _least_square_unit(statistics, extent, options.level_budget) * options.run_steps
    if options.scale == "max":
        top = extent
    else:
        top = percentile(statistics, options.percentile, zeros=options.percentile_of_zeros) or extent
    if options.is_rate and options.span == "paper":
        return float(top) / float(2 ** max(options.thresholds - 2, 0))
    return float(top / options.payload_max)


def _least_square_unit(statistics: Sequence[Statistics], extent: float, budget: int) -> float:
    r"""The quantum q that minimizes ``E[(x - q clip(round(x / q), -budget, budget))^2]`` over histogram bins."""
    centers = np.concatenate([np.abs(part.centers) for part in statistics])
    counts = np.concatenate([part.histogram.sum(0) for part in statistics]).astype(np.float64)
    occupied = counts > 0
    centers, counts = centers[occupied], counts[occupied]
    quanta = extent * GRID / budget
    errors = [
        np.dot(counts, np.square(centers - quantum * np.minimum(np.rint(centers / quantum), budget)))
        for quantum in quanta
    ]
    return float(quanta[int(np.argmin(errors))])


def fires_at_pool(layer: Layer, options: Options) -> bool:
    """Whether ``layer`` is an average pool with firing neurons, as in the published method."""
    averages = [
        isinstance(layer_input.op, Conv) and bool(np.any(np.abs(layer_input.op.weight) % 1))
        for layer_input in layer.inputs
    ]
    return options.pool == "neuron" and layer.kind == "relay" and all(averages)


def derive_relay_unit(layer: Layer, unit: Mapping[str, Float64]) -> Float64:
    """Unit of a relay: that of its sources times the real value of an integer weight of 1."""
    units = []
    for layer_input in layer.inputs:
        weights = weight_magnitudes(layer_input.op)
        quantum = float(weights.min())
        if np.any(weights / quantum != np.rint(weights / quantum)):
            raise ConversionError(
                f"{layer.name}: a relay needs integer multiples of one weight; {layer_input.name} has others"
            )
        source = unit[layer_input.source]
        if source.size != layer.shape[0]:
            raise ConversionError(f"{layer.name}: a relay must not mix channels; {layer_input.name} does")
        units.append(source * quantum)
    if any(not np.allclose(other, units[0], rtol=1e-12, atol=0) for other in units):
        raise ConversionError(f"{layer.name}: a relay's sources must share one unit")
    return units[0]


def _assumed_unit(
    layers: Layers,
    layer: Layer,
    layer_input: LayerInput,
    statistics: Mapping[str, Statistics],
    unit: Mapping[str, Float64],
    options: Options,
) -> Float64:
    own = unit[layer_input.source]
    if options.normalization != "layer-wise" or layer.kind in RELAYS or layer_input.source == layers.input:
        return own
    sources = [statistics[other.source] for other in layer.inputs if other.source != layers.input]
    sender = _sender(layers, layer_input.source, options)
    assumed: Float64 = choose_unit(sources, options) * (own / unit[sender])
    return assumed


def _sender(layers: Layers, name: str, options: Options) -> str:
    """The layer whose events arrive from ``name``: itself, or the source of a relay."""
    while name != layers.input:
        layer = layers.layer(name)
        if layer.kind not in RELAYS or fires_at_pool(layer, options):
            break
        name = layer.inputs[0].source
    return name


def weight_magnitudes(op: LinearOp) -> Float64:
    """Magnitudes of the non-zero weights of ``op``, each once."""
    if isinstance(op, Resample):
        rows, columns = (np.unique(np.abs(part[part != 0])) for part in (op.rows, op.columns))
        products: Float64 = np.unique(np.outer(rows, columns))
        return products
    magnitudes: Float64 = np.unique(np.abs(op.weight[op.weight != 0]))
    return magnitudes


def scale_op(op: LinearOp, source_unit: Float64, target_unit: Float64) -> LinearOp:
    """``op`` between counts: weights * u_i / u_t, biases / u_t, for units (C_in,) and (C_out,) of its two ends."""
    if isinstance(op, Resample):
        ratio = source_unit / target_unit
        if not np.allclose(ratio, ratio[0], rtol=1e-12, atol=0):
            raise ConversionError(
                "a resampling shares its weights over channels, so their units must be equal; use connection-wise normalization"
            )
        return Resample(op.rows * ratio[0], op.columns)
    groups = op.groups
    if isinstance(op, Conv):
        outputs, inputs, *window = op.weight.shape
        grouped = op.weight.reshape(groups, outputs // groups, inputs, *window)
        scaled = (
            grouped
            * source_unit.reshape(groups, 1, inputs, 1, 1)
            / target_unit.reshape(groups, outputs // groups, 1, 1, 1)
        )
    else:
        inputs, outputs, *window = op.weight.shape
        grouped = op.weight.reshape(groups, inputs // groups, outputs, *window)
        scaled = (
            grouped
            * source_unit.reshape(groups, inputs // groups, 1, 1, 1)
            / target_unit.reshape(groups, 1, outputs, 1, 1)
        )
    bias = (op.bias.T / target_unit).T  # the channels stand first, whether or not pixels follow
    kind = Conv if isinstance(op, Conv) else ConvTranspose
    return kind(scaled.reshape(op.weight.shape), bias, op.strides, op.pads, op.dilations, groups)
