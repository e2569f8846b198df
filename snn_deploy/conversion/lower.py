"""Lowering layers to a network: neurons, limits, schedule, and the proof that no accumulator overflows."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count

import numpy as np

from snn_deploy.arrays import Float32
from snn_deploy.backend.protocol import Progress
from snn_deploy.conversion.calibrate import ActivationProbe, Statistics, calibrate
from snn_deploy.conversion.double_precision import evaluate
from snn_deploy.conversion.layers import Layers, group_layers
from snn_deploy.conversion.lower_layer import lower_layer
from snn_deploy.conversion.normalize import Scales, choose_scales, scale_op
from snn_deploy.conversion.options import Options
from snn_deploy.conversion.quantize import Rounding, round_to_nearest
from snn_deploy.conversion.second_order import SecondOrder, observe_counts
from snn_deploy.data.images import Images
from snn_deploy.errors import ConversionError, UnitError
from snn_deploy.graph.graph import Graph, Node
from snn_deploy.graph.names import Names
from snn_deploy.graph.ops import Add
from snn_deploy.network import bounds, schedule
from snn_deploy.network.network import Connection, Network, Output, Population

FUNCTION_TOLERANCE = 1e-5
"""Largest error of the normalized float network, relative to the largest output; float32 has steps of 6e-8."""

WIDEST = 2.0**64
"""A unit that has been widened by more than this factor is not widened again."""


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
    progress: Progress | None = None,
) -> Conversion:
    """The integer network of a normal-form ``graph``.

    ``calibration_graph`` is the same network at the size of ``images`` (each (B, C, H, W) float32), on which its
    activations are measured; it may be ``graph`` itself. ``scales``, where given, are used as they are: those that a
    network was trained for; otherwise the unit of a layer that leaves 24 bits is doubled until it fits. ``statistics`` of an
    earlier conversion of the same graph and images are reused, since measuring them takes longer than everything else here.
    ``progress`` counts images, which are measured twice, and layers.
    """
    measured = group_layers(calibration_graph)
    done = _count(progress, 2 * len(images) * (statistics is None) + len(measured.layers))
    statistics = statistics or calibrate(calibration_graph, measured, images, done)
    free, scales = scales is None, scales or choose_scales(measured, statistics, options)
    error = check_function(calibration_graph, measured, scales, images[0], options)
    layers = group_layers(graph)
    while True:
        roundings = _choose_roundings(calibration_graph, measured, images, scales, options)
        try:
            network = _network(layers, scales, statistics, options, roundings, done)
        except UnitError as too_fine:
            if not free or scales.widened.get(too_fine.layer, 1.0) > WIDEST:
                raise
            factor = 2.0 ** max(1, int(np.ceil(np.log2(too_fine.excess))))
            scales = scales.widen(layers, too_fine.layer, factor)
        else:
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
    counts = evaluate(normalized, x / scales.unit[layers.input][:, None, None])
    expected = evaluate(graph, x)
    worst = 0.0
    for _, value, _ in layers.outputs:
        summands = [expected[layer_input.name] for layer_input in layers.layer(value).inputs]
        largest = max([float(np.abs(part).max()) for part in (*summands, expected[value])])
        error = np.abs(counts[value] * scales.unit[value][:, None, None] - expected[value]).max()
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
        total = names.fresh(f"{layer.name}.sum")
        nodes.append(Node(total, Add(), tuple(terms)))
        nodes.append(Node(layer.name, layer.activation(scales.unit[layer.name]), (total,)))
    return Graph(
        layers.name,
        layers.input,
        layers.input_shape,
        tuple(nodes),
        tuple((name, value) for name, value, _ in layers.outputs),
    )


def _count(progress: Progress | None, total: int) -> Callable[[], None]:
    """A function that reports one more of ``total`` parts each time it is called."""
    numbers = count(1)

    def done() -> None:
        number = next(numbers)
        if progress is not None:
            progress(min(number, total), total)

    return done


def _choose_roundings(
    graph: Graph, layers: Layers, images: Images, scales: Scales, options: Options
) -> Callable[[str], Rounding]:
    """The rounding of each layer's weights, by its name; ``graph`` and ``layers`` at the size of ``images``."""
    if options.rounding == "nearest":
        return lambda _: round_to_nearest
    counts = observe_counts(graph, layers, images, scales, options)
    return lambda name: SecondOrder.of(layers.layer(name), counts, centered=options.bias_correction)


def _network(
    layers: Layers,
    scales: Scales,
    statistics: Mapping[str, Statistics],
    options: Options,
    roundings: Callable[[str], Rounding],
    done: Callable[[], None],
) -> Network:
    populations = [_input(layers, scales, statistics, options)]
    by_name = {layers.input: populations[0]}
    connections: list[Connection] = []
    for layer in layers.layers:
        population, added = lower_layer(
            layer, by_name, scales, statistics, options.at(layer.name), roundings(layer.name)
        )
        populations.append(population)
        by_name[layer.name] = population
        connections.extend(added)
        done()
    network = Network(
        layers.name,
        options.mode,
        options.run_steps,
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
