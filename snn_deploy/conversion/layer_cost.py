r"""Which layers of a conversion cost most at its output, and whether clipping, rounding or weights do it.

A layer that alone is converted errs by its own clipping, rounding and weights:

.. math:: \epsilon_l = Q(\mathrm{act}(\hat W a)) - a_l

with exact inputs :math:`a`, the real values :math:`\hat W` of its integer weights and the levels :math:`Q` of its counts. The
*cost* of the layer is what :math:`\epsilon_l`, added to its value in the float network, changes of the outputs, relative to
their variation. Costs of layers add up like independent errors: the square root of the sum of their squares is about the
error of the whole network.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
from onnx import ModelProto, TensorProto, helper

from snn_deploy.arrays import Float32, Float64
from snn_deploy.backend.protocol import Progress
from snn_deploy.conversion.calibrate import ActivationProbe
from snn_deploy.conversion.layers import RELAYS, LayerInput, LinearOp
from snn_deploy.conversion.loss import limit_counts
from snn_deploy.conversion.lower import Conversion
from snn_deploy.conversion.normalize import scale_op
from snn_deploy.data.images import Images
from snn_deploy.frontend.onnx import session, to_onnx
from snn_deploy.graph.graph import Graph, Node
from snn_deploy.graph.names import Names
from snn_deploy.graph.ops import Add, Conv, ConvTranspose, Resample
from snn_deploy.network.kernels import SpatialKernel
from snn_deploy.network.network import Connection, Population

Cause = Literal["clipping", "rounding", "weights"]


@dataclass(frozen=True)
class LayerCost:
    """``cost`` of a layer at the outputs, relative to their variation, and the largest part of its own error."""

    name: str
    cost: float
    cause: Cause

    def __str__(self) -> str:
        return f"{self.name} ({self.cause}, {self.cost:.2%})"


def measure_costs(
    conversion: Conversion, graph: Graph, images: Images, progress: Progress | None = None
) -> tuple[LayerCost, ...]:
    """The cost of the input and of every layer of ``conversion`` on ``images``, each (1, C, H, W), the largest first.

    ``graph`` is the float network in normal form; ``conversion`` and it are of the images' size. Relays, whose sums are exact,
    cost nothing and are left out.
    """
    layers = conversion.layers
    converted, sums = _add_converted(conversion, graph)
    names = [layers.input, *sums]
    probe = ActivationProbe(converted, [*(layer.name for layer in layers.layers), *sums.values()])
    outputs = _Outputs(graph, names)
    moved, power = dict.fromkeys(names, 0.0), 0.0
    sizes: dict[str, dict[Cause, float]] = {name: {} for name in names}
    for number, image in enumerate(images):
        values = probe(image) | {layers.input: image}
        exact = outputs(image)
        power += sum(float(np.square(each - each.mean((0, 2, 3), keepdims=True)).sum()) for each in exact)
        for place, name in enumerate(names, start=1):
            parts = _split_error(conversion, name, values[name], values[sums.get(name, name)])
            for cause, part in parts.items():
                sizes[name][cause] = sizes[name].get(cause, 0.0) + float(np.square(part).sum())
            found = outputs(image, {name: np.sum(list(parts.values()), axis=0)})
            moved[name] += sum(float(np.square(a - b).sum()) for a, b in zip(found, exact, strict=True))
            if progress is not None:
                progress(number * len(names) + place, len(images) * len(names))
    costs = [
        LayerCost(
            name, math.sqrt(moved[name] / power) if power else 0.0, max(sizes[name], key=lambda c: sizes[name][c])
        )
        for name in names
    ]
    return tuple(sorted(costs, key=lambda each: -each.cost))


def _add_converted(conversion: Conversion, graph: Graph) -> tuple[Graph, dict[str, str]]:
    """``graph`` with every layer once more, its weights and bias those of the integers, reading the float network's values.

    And the name of that value by the name of the layer.
    """
    names, nodes, sums = Names(graph.shapes), list(graph.nodes), {}
    connections = {connection.name: connection for connection in conversion.network.connections}
    for layer in conversion.layers.layers:
        if layer.kind in RELAYS:
            continue
        population = conversion.network.population(layer.name)
        terms = []
        for place, layer_input in enumerate(layer.inputs):
            op = _real_op(conversion, layer_input, connections[layer_input.name], population, biased=not place)
            nodes.append(Node(names.fresh(f"{layer_input.name}.converted"), op, (layer_input.source,)))
            terms.append(nodes[-1].name)
        nodes.append(Node(names.fresh(f"{layer.name}.sum"), Add(), tuple(terms)))
        activation = layer.activation()
        nodes.append(Node(names.fresh(f"{layer.name}.converted"), activation, (nodes[-1].name,)))
        sums[layer.name] = nodes[-1].name
    return Graph(graph.name, graph.input, graph.input_shape, tuple(nodes), graph.outputs), sums


def _real_op(
    conversion: Conversion, layer_input: LayerInput, connection: Connection, population: Population, *, biased: bool
) -> LinearOp:
    """What a connection computes of real values, with the bias of its target where it is to bring it."""
    op, kernel, neuron = layer_input.op, connection.kernel, population.neuron
    if isinstance(op, Resample) or isinstance(kernel, SpatialKernel) or neuron is None:
        return op  # a pixel map has no channels, and no bias
    kind = Conv if isinstance(op, Conv) else ConvTranspose
    halves = bool(conversion.network.config.get("half_start", True))
    bias = _bias_of(population, halves=halves) if biased else np.zeros((population.shape[0], 1, 1))
    summed = kind(
        kernel.weight.astype(np.float64) * 2.0**connection.exponent,
        bias[:, 0, 0] if bias.shape[1:] == (1, 1) else bias,
        op.strides,
        op.pads,
        op.dilations,
        op.groups,
    )
    return scale_op(summed, 1 / conversion.scales.assumed[layer_input.name], neuron.quantum / population.unit)


def _bias_of(population: Population, *, halves: bool) -> Float64:
    """The bias of a population, (C, 1, 1) or (C, H, W). Lava's own neurons have it, and half a count, in an offset of theirs."""
    bias: Float64 = population.bias.astype(np.float64)
    neuron = population.neuron
    if neuron is None:
        return bias
    own = neuron.membrane_bias - (neuron.quantum // 2 if neuron.is_stock and halves else 0)
    return bias + own.astype(np.float64)[:, None, None]


def _split_error(conversion: Conversion, name: str, true: Float32, summed: Float32) -> dict[Cause, Float64]:
    """What clipping, rounding and weights add to a layer's ``true`` value, of which its integer weights make ``summed``."""
    network, population = conversion.network, conversion.network.population(name)
    weights = summed.astype(np.float64) - true
    if population.neuron is not None and conversion.layers.layer(name).kind == "output":
        return {"weights": weights}
    repeats = network.input_steps if population.neuron is not None else 1
    low, high = limit_counts(population, repeats)
    quantum = (population.unit / repeats)[:, None, None]
    inside = np.clip(summed, low * quantum, high * quantum)
    return {"clipping": inside - summed, "rounding": np.rint(inside / quantum) * quantum - inside, "weights": weights}


class _Outputs:
    """The float network's outputs (B, C, H, W) on an image, to any of whose values an error may be added."""

    def __init__(self, graph: Graph, names: Sequence[str]) -> None:
        model = to_onnx(graph)
        known = [graph.input, *(output for node in model.graph.node for output in node.output)]
        taken = Names([*known, *(tensor.name for tensor in model.graph.initializer)])
        self._input, self._errors = graph.input, {name: taken.fresh(f"{name}.error") for name in names}
        self._names = [output.name for output in model.graph.output]
        _add_errors(model, graph.input, self._errors, taken)
        self._session = session(model.SerializeToString())

    def __call__(self, image: Float32, errors: Mapping[str, Float64] = MappingProxyType({})) -> list[Float64]:
        fed = {self._input: image} | {name: np.zeros((1, 1, 1, 1), np.float32) for name in self._errors.values()}
        fed |= {self._errors[name]: np.asarray(error, np.float32) for name, error in errors.items()}
        return [np.asarray(each, np.float64) for each in self._session.run(self._names, fed)]


def _add_errors(model: ModelProto, source: str, errors: dict[str, str], taken: Names) -> None:
    """Give ``model`` an input for every value of ``errors``, which is added to the value before anything reads it."""
    nodes = []
    first = taken.fresh(f"{source}.disturbed")
    if source in errors:
        nodes.append(helper.make_node("Add", [source, errors[source]], [first]))
    for node in model.graph.node:
        if source in errors:
            node.input[:] = [first if name == source else name for name in node.input]
        nodes.append(node)
        for place, name in enumerate(node.output):
            if name in errors:
                node.output[place] = taken.fresh(f"{name}.exact")
                nodes.append(helper.make_node("Add", [node.output[place], errors[name]], [name]))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.input.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in errors.values())
