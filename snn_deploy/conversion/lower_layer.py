"""One layer in integers: weights, threshold and bias that fit 24 bits together, and the neuron that counts with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from snn_deploy.arrays import Float64, Int64
from snn_deploy.conversion.akida import round_bias
from snn_deploy.conversion.bias import bias_in_counts, has_shared_threshold, largest_threshold
from snn_deploy.conversion.calibrate import Statistics
from snn_deploy.conversion.layers import LEVELLED, RELAYS, Layer
from snn_deploy.conversion.normalize import Scales, fires_at_pool, scale_op, weight_magnitudes
from snn_deploy.conversion.options import Options
from snn_deploy.conversion.quantize import (
    MAX_THETA_BITS,
    NormalizedInput,
    Quantized,
    Rounding,
    greatest_sum,
    quantize,
    quantize_bias,
    quantize_output,
    quantize_relay,
    round_to_nearest,
)
from snn_deploy.conversion.stock import make_stock_neuron
from snn_deploy.errors import ConversionError, UnitError
from snn_deploy.mapping.akida_layers import COUNT_MAX, COUNT_MIN
from snn_deploy.network import bounds
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Connection, Mode, Population
from snn_deploy.network.neuron import Neuron
from snn_deploy.network.two_sided import TwoSided

HALVED = (*LEVELLED, "output")
"""Kinds of layers whose thresholds are halved until they fit; those of relays are 1."""

COARSEST = 8
"""Least value, in steps, that the largest weight of a layer keeps where its unit is widened."""


def lower_layer(
    layer: Layer,
    sources: Mapping[str, Population],
    scales: Scales,
    statistics: Mapping[str, Statistics],
    options: Options,
    rounding: Rounding = round_to_nearest,
) -> tuple[Population, tuple[Connection, ...]]:
    """One layer in integers; the threshold of channels whose worst case exceeds 24 bits is halved until all fit."""
    inputs = _normalize_inputs(layer, scales, statistics, options)
    greatest = greatest_sum(
        inputs, layer.shape[0], [_range(sources[layer_input.source], options) for layer_input in layer.inputs]
    )
    counts = bias_in_counts(layer, scales.unit[layer.name], greatest)
    cap = largest_threshold(layer, counts, greatest, options)
    lowered: tuple[Population, tuple[Connection, ...]] | None = None
    if np.any(counts != layer.bias / scales.unit[layer.name][:, None, None]):
        rounding = round_to_nearest  # the bias that silences a neuron relies on weights that at most double
    for _ in range(MAX_THETA_BITS + 1):
        quantized = _quantize(layer, inputs, options, cap, rounding)
        bias, lowered = counts - quantized.offset[:, None, None], None
        worst = np.abs(bias * quantized.theta[:, None, None]).max((1, 2))
        if worst.max() <= STATE_MAX:
            incoming = _connections(layer, quantized)
            lowered = _population(layer, quantized, bias, incoming, sources, scales, statistics, options), incoming
            worst = _worst_case_of(*lowered, sources, options)
        over = worst > STATE_MAX
        if not over.any() or layer.kind not in HALVED:
            break
        if layer.kind != "output" and quantized.theta[over].min() < 2:
            break
        halves = 2.0 ** np.ceil(np.log2(worst[over].max() / STATE_MAX)) if layer.kind == "output" else 2.0
        cap = np.where(over | has_shared_threshold(layer, options), quantized.theta / halves, cap)
    excess = float(worst.max()) / STATE_MAX * (2.0 if lowered is None else 1.0)  # a bias takes half of the range
    if excess > 1 and layer.kind in LEVELLED and _has_weight_of(inputs, excess * COARSEST):
        message = f"{layer.name}: its integers exceed 24 bits {excess:.3g} times; use fewer levels or weight bits"
        raise UnitError(message, layer.name, excess)
    if lowered is None:
        raise ConversionError(_describe_bias(layer, counts, options))
    return lowered  # bounds.prove names what still does not fit


def _has_weight_of(inputs: Sequence[NormalizedInput], least: float) -> bool:
    """Whether some weight has ``least`` counts: what is left of it at a threshold of 1."""
    return any(bool((weight_magnitudes(each.op) >= least).any()) for each in inputs)


def _describe_bias(layer: Layer, counts: Float64, options: Options) -> str:
    largest = float(np.abs(counts).max())
    levels = int(options.levels * (STATE_MAX / 4) / max(largest, 1.0))
    remedy = (
        f"use at most {levels} levels"
        if not options.is_rate and levels >= 1
        else "train the layer with biases of the size of its activations"
    )
    return (
        f"{layer.name}: its bias is {largest:.3g} times the value of one spike, more than 24 bits hold beside its"
        f" weights; {remedy}"
    )


def _connections(layer: Layer, quantized: Quantized) -> tuple[Connection, ...]:
    return tuple(
        Connection(layer_input.name, layer_input.source, layer.name, kernel, exponent, 1, layer_input.origin)
        for layer_input, kernel, exponent in zip(layer.inputs, quantized.kernels, quantized.exponents, strict=True)
    )


def _range(source: Population, options: Options) -> tuple[int, int]:
    """What of ``source`` can arrive at once: the payload of a step in ``rate`` mode, the count in ``exact`` mode."""
    if options.is_rate:
        return source.payload_range
    if source.count_range is None:
        raise ConversionError(f"{source.name}: nothing bounds its counts, which exact mode needs")
    return source.count_range


def _event_range(source: Population, options: Options) -> tuple[int, int]:
    """What one event of ``source`` may carry: :func:`_range`, in streams every change of it."""
    low, high = _range(source, options)
    return (low - high, high - low) if options.stream else (low, high)


def _worst_case_of(
    population: Population, incoming: tuple[Connection, ...], sources: Mapping[str, Population], options: Options
) -> Int64:
    """Largest magnitude (C,) of current and membrane, in streams where they are asked for."""
    arrivals = [
        bounds.Arrival(
            connection, _event_range(sources[connection.source], options), sources[connection.source].count_range
        )
        for connection in incoming
    ]
    current, membrane = bounds.bound_states(population, arrivals, mode=options.mode, one_shot=not options.stream)
    return current if membrane is None else np.maximum(current, membrane)


def _normalize_inputs(
    layer: Layer, scales: Scales, statistics: Mapping[str, Statistics], options: Options
) -> list[NormalizedInput]:
    inputs = []
    for layer_input in layer.inputs:
        assumed = scales.assumed[layer_input.name]
        op = scale_op(layer_input.op, assumed, scales.unit[layer.name])
        source_statistics = statistics[layer_input.source]
        mean = source_statistics.mean / assumed if options.bias_correction else np.zeros_like(assumed)
        inputs.append(NormalizedInput(layer_input.name, op, mean, source_statistics.power / np.square(assumed)))
    return inputs


def _quantize(
    layer: Layer, inputs: list[NormalizedInput], options: Options, cap: Float64, rounding: Rounding
) -> Quantized:
    if layer.kind == "output":
        return quantize_output(layer.name, inputs, layer.shape[0], options.weight_bits, cap, rounding=rounding)
    if layer.kind in RELAYS and not fires_at_pool(layer, options):
        return quantize_relay(layer.name, inputs, layer.shape[0])
    uniform = has_shared_threshold(layer, options)
    return quantize(
        layer.name,
        inputs,
        layer.shape[0],
        options.weight_bits,
        cap,
        uniform=uniform,
        integer=options.theta == "integer",
        rounding=rounding,
    )


def _population(
    layer: Layer,
    quantized: Quantized,
    counts: Float64,
    incoming: tuple[Connection, ...],
    sources: Mapping[str, Population],
    scales: Scales,
    statistics: Mapping[str, Statistics],
    options: Options,
) -> Population:
    """The population of ``layer``, whose bias is ``counts`` in counts."""
    if options.neuron != "multi-threshold" and not (options.neuron == "netx" and layer.kind == "output"):
        return _stock_population(layer, quantized, counts, incoming, sources, scales, options)
    bias = quantize_bias(layer.name, counts, quantized.theta)
    if options.device == "akida":
        bias = round_bias(bias)
    unit = scales.unit[layer.name]
    if layer.kind == "output" or (layer.kind in RELAYS and not fires_at_pool(layer, options)):
        behind = [sources[connection.source] for connection in incoming]
        rectified, largest = layer.kind == "rectified relay", int(np.abs(bias).max())
        neuron = make_passing_neuron(layer.shape[0], incoming, behind, options.mode, largest, rectified=rectified)
        unit = unit / (quantized.theta if layer.kind == "output" else 1)
    else:
        averages = layer.kind == "relay" and any(_range(sources[each.source], options)[0] < 0 for each in layer.inputs)
        top = _largest_payload(layer, unit, options)
        if layer.slope is not None:
            fewest = _fewest_counts(statistics[layer.name], unit, top)
            neuron = make_two_sided(quantized.theta.astype(np.int64), layer.slope, -fewest, top)
            return Population(layer.name, layer.shape, neuron, bias, unit, origin=layer.origin)
        neuron = _firing_neuron(quantized, options, top, signed=layer.kind == "linear" or averages)
    return Population(layer.name, layer.shape, neuron, bias, unit, origin=layer.origin)


def _stock_population(
    layer: Layer,
    quantized: Quantized,
    bias: Float64,
    incoming: tuple[Connection, ...],
    sources: Mapping[str, Population],
    scales: Scales,
    options: Options,
) -> Population:
    """A population of Lava's own neurons, ``bias`` in counts; their bias is their own and joins no current."""
    step = _worst_case(incoming, [sources[connection.source].payload_range for connection in incoming], 0)
    counts = _worst_case(incoming, [_range(sources[connection.source], options) for connection in incoming], 0)
    neuron = make_stock_neuron(layer, quantized.theta, bias, step, counts, options)
    unit = scales.unit[layer.name] / (quantized.theta if layer.kind == "output" else 1)
    return Population(
        layer.name, layer.shape, neuron, np.zeros((layer.shape[0], 1, 1), np.int64), unit, origin=layer.origin
    )


def _largest_payload(layer: Layer, unit: Float64, options: Options) -> int:
    """The largest payload, in ``exact`` mode count, of ``layer``; fewer where ``unit`` had to grow beyond what its limit allows."""
    if layer.limit is None:
        return options.payload_max
    return min(options.payload_max, max(1, int(np.rint((layer.limit / unit).min()))))


def _firing_neuron(quantized: Quantized, options: Options, top: int, *, signed: bool) -> Neuron:
    """``top`` is the largest payload; ``signed``: it is not rectified, or averages counts that may be negative."""
    theta = quantized.theta.astype(np.int64)
    v0 = theta // 2 if options.half_start else np.zeros_like(theta)
    if not options.is_rate:
        if signed and options.device == "akida":  # which clips signed counts at both ends of 8 bits
            return MultiThreshold(theta, theta // 2, COUNT_MIN, -COUNT_MIN, COUNT_MIN, COUNT_MAX)
        return MultiThreshold(theta, theta // 2, -top, top, -top if signed else 0, top)
    if signed:
        return MultiThreshold(theta, v0, -top, top, strict=options.strict, reset=options.reset)
    if options.signed:
        return MultiThreshold(theta, v0, -top, top, 0, top * options.steps, strict=options.strict, reset=options.reset)
    return MultiThreshold(theta, v0, 0, top, strict=options.strict, reset=options.reset)


def _fewest_counts(statistics: Statistics, unit: Float64, top: int) -> int:
    """The magnitude of the least count that calibration activations below zero reach, from 1 to ``top``."""
    occupied = statistics.histogram > 0
    lowest = statistics.edges[np.argmax(occupied, axis=1)]
    return min(top, max(1, int(np.ceil((-lowest / unit).max() - 0.5))))


def make_two_sided(theta: Int64, slope: Float64, fewest: int, top: int) -> TwoSided:
    """Neurons of a LeakyReLU that count from ``fewest`` to ``top``, and round to the nearest on both sides.

    ``slope`` (C,), none negative. The charge of a negative count, theta / slope, is rounded to an integer; where that is more than
    24 bits hold, the channel counts nothing below zero: a sum of 2**22 would not be half a count.
    """
    with np.errstate(divide="ignore"):
        below = np.maximum(np.rint(theta / slope), 1)
    never = below > STATE_MAX
    theta_below = np.where(never, STATE_MAX, below).astype(np.int64)
    offset = np.where(never, STATE_MAX, theta_below // 2 - theta // 2)
    swing = max(top, -fewest)
    return TwoSided(theta, theta // 2, -swing, swing, fewest, top, theta_below=theta_below, offset_below=offset)


def make_passing_neuron(
    channels: int,
    incoming: Sequence[Connection],
    sources: Sequence[Population],
    mode: Mode,
    bias: int,
    *,
    rectified: bool = False,
) -> Neuron:
    """Threshold 1: every step passes the whole sum on; the limits are the worst case, so they never bind.

    ``sources`` of the connections ``incoming``; ``bias`` is the largest magnitude that joins them. ``rectified``: never below 0.
    """
    step = _worst_case(incoming, [source.payload_range for source in sources], bias)
    theta, rest = np.ones(channels, np.int64), np.zeros(channels, np.int64)
    payload = max(-step[0], step[1])
    if mode == "rate":
        if rectified:
            return MultiThreshold(theta, rest, -payload, payload, 0, STATE_MAX)
        return MultiThreshold(theta, rest, *step)
    low, high = _worst_case(incoming, [source.count_range or (0, 0) for source in sources], bias)
    return MultiThreshold(theta, rest, -payload, payload, 0 if rectified else low, high)


def _worst_case(incoming: Sequence[Connection], ranges: Sequence[tuple[int, int]], bias: int) -> tuple[int, int]:
    low, high = -bias, bias
    for connection, reach in zip(incoming, ranges, strict=True):
        least, greatest = bounds.bound_current(connection, *reach)
        low, high = low + int(least.min()), high + int(greatest.max())
    return max(low, -STATE_MAX), min(max(high, 1), STATE_MAX)
