"""Lowering layers to a network: neurons, limits, schedule, and the proof that no accumulator overflows."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from snn_deploy.arrays import Float32, Float64
from snn_deploy.conversion.calibrate import ActivationProbe, Statistics, calibrate
from snn_deploy.conversion.double_precision import evaluate
from snn_deploy.conversion.layers import Layer, Layers, group_layers
from snn_deploy.conversion.normalize import RELAYS, Scales, choose_scales, fires_at_pool, scale_op
from snn_deploy.conversion.options import Options
from snn_deploy.conversion.quantize import (
    NormalizedInput,
    Quantized,
    quantize,
    quantize_bias,
    quantize_output,
    quantize_relay,
)
from snn_deploy.conversion.stock import LIF_THETA_MAX, make_stock_neuron
from snn_deploy.data.images import Images
from snn_deploy.errors import ConversionError
from snn_deploy.graph.graph import Graph, Node
from snn_deploy.graph.names import Names
from snn_deploy.graph.ops import Add, Linear, Relu, Resample
from snn_deploy.network import bounds, schedule
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Connection, Network, Output, Population
from snn_deploy.network.neuron import Neuron

FUNCTION_TOLERANCE = 1e-5
"""Largest error of the normalized float network, relative to the largest output; float32 has steps of 6e-8."""


@dataclass(frozen=True, eq=False)
class Conversion:
    """A network with the measurements made during its conversion."""

    network: Network
    layers: Layers
    scales: Scales
    statistics: Mapping[str, Statistics]
    bounds: tuple[bounds.Bound, ...]
    function_error: float


def lower(
    graph: Graph,
    calibration_graph: Graph,
    images: Images,
    options: Options,
    scales: Scales | None = None,
    statistics: Mapping[str, Statistics] | None = None,
) -> Conversion:
    """The integer network of a normal-form ``graph``.

    ``calibration_graph`` is the same network at the size of ``images`` (each (B, C, H, W) float32), on which its
    activations are measured; it may be ``graph`` itself. ``scales``, where given, are used as they are: those that a
    network was trained for. ``statistics`` of an earlier conversion of the same graph and images are reused, since
    measuring them takes longer than everything else here.
    """
    measured = group_layers(calibration_graph)
    statistics = statistics or calibrate(calibration_graph, measured, images)
    scales = scales or choose_scales(measured, statistics, options)
    error = check_function(calibration_graph, measured, scales, images[0], options)
    layers = group_layers(graph)
    network = _network(layers, scales, statistics, options)
    return Conversion(network, layers, scales, statistics, bounds.prove(network), error)


def check_function(graph: Graph, layers: Layers, scales: Scales, image: Float32, options: Options) -> float:
    """Relative error of the normalized float network on ``image``; :class:`ConversionError` above the tolerance.

    Single precision is fast and usually enough; where its own rounding may be to blame, double precision decides.
    Layer-wise normalization changes the function by design, so there the error is returned and not refused.
    """
    normalized = normalize_graph(layers, scales)
    unit = scales.unit[layers.input][:, None, None]
    counts = ActivationProbe(normalized, ())((image / unit).astype(np.float32))
    expected = ActivationProbe(graph, tuple(value for _, value, _ in layers.outputs))(image)
    worst = 0.0
    for _, value, _ in layers.outputs:
        output = counts[value] * scales.unit[value][:, None, None]
        error = float(np.abs(output - expected[value]).max() / max(np.abs(expected[value]).max(), 1e-30))
        worst = max(worst, error if np.isfinite(error) else np.inf)
    if options.normalization == "layer-wise" or worst <= FUNCTION_TOLERANCE:
        return worst
    worst = _double_precision_error(graph, normalized, layers, scales, image)
    if worst > FUNCTION_TOLERANCE:
        raise ConversionError(
            f"normalization changes the function by {worst:.1e} of an output's largest summand; {FUNCTION_TOLERANCE:g} is"
            " allowed. This is an error of snn-deploy: report it with the model, and convert with another preset"
        )
    return worst


def _double_precision_error(graph: Graph, normalized: Graph, layers: Layers, scales: Scales, image: Float32) -> float:
    """Largest error of an output on the first image of a batch, relative to the largest summand of that output."""
    x = image[0].astype(np.float64)
    got = evaluate(normalized, x / scales.unit[layers.input][:, None, None])
    expected = evaluate(graph, x)
    worst = 0.0
    for _, value, _ in layers.outputs:
        summands = [expected[layer_input.name] for layer_input in layers.layer(value).inputs]
        largest = max([float(np.abs(part).max()) for part in (*summands, expected[value])])
        error = np.abs(got[value] * scales.unit[value][:, None, None] - expected[value]).max()
        worst = max(worst, float(error) / max(largest, sys.float_info.min))
    return worst


def normalize_graph(layers: Layers, scales: Scales) -> Graph:
    """The float graph between counts: every operator scaled by the unit of its source over that of its target."""
    nodes: list[Node] = []
    names = Names([layers.input, *(layer.name for layer in layers.layers)])
    for layer in layers.layers:
        terms = []
        for layer_input in layer.inputs:
            op = scale_op(layer_input.op, scales.assumed[layer_input.name], scales.unit[layer.name])
            nodes.append(Node(names.fresh(layer_input.name), op, (layer_input.source,)))
            terms.append(nodes[-1].name)
        activation = {"relu": Relu(), "rectified relay": Relu()}.get(layer.kind, Linear())
        total = names.fresh(f"{layer.name}.sum")
        nodes.append(Node(total, Add(), tuple(terms)))
        nodes.append(Node(layer.name, activation, (total,)))
    return Graph(
        layers.name,
        layers.input,
        layers.input_shape,
        tuple(nodes),
        tuple((name, value) for name, value, _ in layers.outputs),
    )


def _network(layers: Layers, scales: Scales, statistics: Mapping[str, Statistics], options: Options) -> Network:
    populations = [_input(layers, scales, statistics, options)]
    by_name = {layers.input: populations[0]}
    connections: list[Connection] = []
    for layer in layers.layers:
        population, added = _fitting_layer(layer, by_name, scales, statistics, options)
        populations.append(population)
        by_name[layer.name] = population
        connections.extend(added)
    network = Network(
        layers.name,
        options.mode,
        options.steps if options.mode == "rate" else 1,
        tuple(populations),
        tuple(connections),
        tuple(Output(name, value, host) for name, value, host in layers.outputs),
        options.record(),
    )
    return schedule.align(network)


def _input(layers: Layers, scales: Scales, statistics: Mapping[str, Statistics], options: Options) -> Population:
    signed = statistics[layers.input].edges[0] < 0
    return Population(
        layers.input,
        layers.input_shape,
        None,
        np.zeros((layers.input_shape[0], 1, 1), np.int64),
        scales.unit[layers.input],
        input_min=-options.input_levels if signed else 0,
        input_max=options.input_levels,
        origin=(layers.input,),
    )


def _fitting_layer(
    layer: Layer,
    sources: Mapping[str, Population],
    scales: Scales,
    statistics: Mapping[str, Statistics],
    options: Options,
) -> tuple[Population, tuple[Connection, ...]]:
    """One layer in integers; the threshold of channels whose worst case exceeds 24 bits is halved until all fit."""
    cap = _bias_cap(layer, scales, options)
    for _ in range(options.weight_bits):
        quantized = _quantize(layer, scales, statistics, options, cap)
        incoming = tuple(
            Connection(layer_input.name, layer_input.source, layer.name, kernel, exponent, 1, layer_input.origin)
            for layer_input, kernel, exponent in zip(layer.inputs, quantized.kernels, quantized.exponents, strict=True)
        )
        population = _population(layer, quantized, incoming, sources, scales, options)
        arrivals = [
            bounds.Arrival(connection, sources[connection.source].payload_range, sources[connection.source].count_range)
            if options.mode == "rate"
            else bounds.Arrival(
                connection, sources[connection.source].count_range or (0, 0), sources[connection.source].count_range
            )
            for connection in incoming
        ]
        current, membrane = bounds.worst_case(population, arrivals, mode=options.mode, one_shot=True)
        worst = current if membrane is None else np.maximum(current, membrane)
        if worst.max() <= STATE_MAX or layer.kind not in ("relu", "linear") or quantized.theta.min() < 2:
            break
        over = worst > STATE_MAX
        cap = np.where(over | _shared_threshold(layer, options), quantized.theta / 2, cap)
    return population, incoming


def _bias_cap(layer: Layer, scales: Scales, options: Options) -> Float64:
    """Largest threshold (C,), a power of two, for which the bias takes at most half of the membrane's range.

    Channels that never fire can have biases far below zero.
    """
    counts = np.abs(layer.bias).max((1, 2)) / scales.unit[layer.name]
    cap: Float64 = 2.0 ** np.maximum(np.floor(np.log2(STATE_MAX / 2 / np.maximum(counts, 1.0))), 0)
    if options.neuron == "lif":
        return np.full_like(cap, LIF_THETA_MAX)
    return np.full_like(cap, cap.min()) if _shared_threshold(layer, options) else cap


def _shared_threshold(layer: Layer, options: Options) -> bool:
    """Whether all channels share one threshold: a resampling shares weights over channels, Lava's neurons have one."""
    return options.neuron != "multi-threshold" or any(
        isinstance(layer_input.op, Resample) for layer_input in layer.inputs
    )


def _quantize(
    layer: Layer, scales: Scales, statistics: Mapping[str, Statistics], options: Options, cap: Float64
) -> Quantized:
    floats = []
    for layer_input in layer.inputs:
        assumed = scales.assumed[layer_input.name]
        op = scale_op(layer_input.op, assumed, scales.unit[layer.name])
        source_statistics = statistics[layer_input.source]
        mean = source_statistics.mean / assumed if options.bias_correction else np.zeros_like(assumed)
        floats.append(NormalizedInput(layer_input.name, op, mean, source_statistics.power / np.square(assumed)))
    if layer.kind == "output":
        return quantize_output(layer.name, floats, layer.shape[0], options.weight_bits)
    if layer.kind in RELAYS and not fires_at_pool(layer, options):
        return quantize_relay(layer.name, floats, layer.shape[0])
    uniform = _shared_threshold(layer, options)
    return quantize(layer.name, floats, layer.shape[0], options.weight_bits, cap, uniform=uniform)


def _population(
    layer: Layer,
    quantized: Quantized,
    incoming: tuple[Connection, ...],
    sources: Mapping[str, Population],
    scales: Scales,
    options: Options,
) -> Population:
    counts = layer.bias / scales.unit[layer.name][:, None, None] - quantized.offset[:, None, None]
    if options.neuron != "multi-threshold":
        return _stock_population(layer, quantized, counts, incoming, sources, scales, options)
    bias = quantize_bias(layer.name, counts, quantized.theta)
    unit = scales.unit[layer.name]
    if layer.kind == "output":
        neuron = _linear_neuron(layer, incoming, sources, options, int(np.abs(bias).max()))
        unit = unit / quantized.theta
    elif layer.kind in RELAYS and not fires_at_pool(layer, options):
        neuron = _linear_neuron(layer, incoming, sources, options, int(np.abs(bias).max()))
    else:
        neuron = _firing_neuron(layer, quantized, options)
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
    step = _worst_case(incoming, {name: population.payload_range for name, population in sources.items()}, 0)
    counts = _worst_case(incoming, {name: population.count_range or (0, 0) for name, population in sources.items()}, 0)
    neuron = make_stock_neuron(layer, quantized.theta, bias, step, counts, options)
    unit = scales.unit[layer.name] / (quantized.theta if layer.kind == "output" else 1)
    return Population(
        layer.name, layer.shape, neuron, np.zeros((layer.shape[0], 1, 1), np.int64), unit, origin=layer.origin
    )


def _firing_neuron(layer: Layer, quantized: Quantized, options: Options) -> Neuron:
    theta = quantized.theta.astype(np.int64)
    v0 = theta // 2 if options.half_start else np.zeros_like(theta)
    top = options.payload_max
    signed = layer.kind == "linear"
    if options.mode == "exact":
        return MultiThreshold(theta, theta // 2, -top, top, -options.levels if signed else 0, options.levels)
    if signed:
        return MultiThreshold(theta, v0, -top, top, strict=options.strict, reset=options.reset)
    if options.signed:
        return MultiThreshold(theta, v0, -top, top, 0, top * options.steps, strict=options.strict, reset=options.reset)
    return MultiThreshold(theta, v0, 0, top, strict=options.strict, reset=options.reset)


def _linear_neuron(
    layer: Layer, incoming: tuple[Connection, ...], sources: Mapping[str, Population], options: Options, bias: int
) -> Neuron:
    """Threshold 1: every step passes the whole sum on; the limits are the worst case, so they never bind."""
    step = _worst_case(incoming, {name: population.payload_range for name, population in sources.items()}, bias)
    theta = np.ones(layer.shape[0], np.int64)
    rectified = layer.kind == "rectified relay"
    if options.mode == "rate":
        if rectified:
            return MultiThreshold(theta, 0 * theta, -max(-step[0], step[1]), max(-step[0], step[1]), 0, STATE_MAX)
        return MultiThreshold(theta, 0 * theta, step[0], step[1])
    counts = {name: population.count_range or (0, 0) for name, population in sources.items()}
    low, high = _worst_case(incoming, counts, bias)
    payload = max(-step[0], step[1])
    return MultiThreshold(theta, 0 * theta, -payload, payload, 0 if rectified else low, high)


def _worst_case(incoming: tuple[Connection, ...], ranges: Mapping[str, tuple[int, int]], bias: int) -> tuple[int, int]:
    low, high = -bias, bias
    for connection in incoming:
        least, greatest = bounds.reach(connection, *ranges[connection.source])
        low, high = low + int(least.min()), high + int(greatest.max())
    return max(low, -STATE_MAX), min(max(high, 1), STATE_MAX)
