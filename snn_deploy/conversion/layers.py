"""The normal-form graph as layers: an activation and the linear operators it reads, each from one source.

Every linear operator becomes a ``Conv``, a ``ConvTranspose`` or a ``Resample`` here. Average
pooling is a depthwise convolution with weight 1 / area, nearest up-sampling a depthwise transposed convolution of
ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from snn_deploy.arrays import Float64
from snn_deploy.errors import ConversionError
from snn_deploy.graph.graph import Graph, Node
from snn_deploy.graph.ops import (
    Add,
    AveragePool,
    Conv,
    ConvTranspose,
    LeakyRelu,
    Linear,
    Nearest,
    Op,
    Relay,
    Relu,
    Resample,
)
from snn_deploy.shapes import Shape

Kind = Literal["relu", "leaky relu", "linear", "relay", "rectified relay", "output"]
RELAYS: tuple[Kind, ...] = ("relay", "rectified relay")
"""Kinds of layers that pass integer sums on."""

LEVELLED: tuple[Kind, ...] = ("relu", "leaky relu", "linear")
"""Kinds of layers that round to levels of their own, of a unit that is free; all others pass sums on."""

LinearOp: TypeAlias = Conv | ConvTranspose | Resample


@dataclass(frozen=True, eq=False)
class LayerInput:
    """One linear operator from ``source`` (the input's or a layer's name); ``name`` is its node's."""

    name: str
    source: str
    op: LinearOp
    origin: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Layer:
    """``activation(sum of inputs + bias)``; ``bias`` (C, 1, 1) or (C, H, W) is the sum of the operators' biases.

    ``limit`` (C,) is the largest value that a ReLU passes on, ``None`` where there is none; ``slope`` (C,) that of a LeakyReLU
    below 0.
    """

    name: str
    kind: Kind
    shape: Shape
    inputs: tuple[LayerInput, ...]
    bias: Float64
    origin: tuple[str, ...]
    limit: Float64 | None = None
    slope: Float64 | None = None

    def activation(self, unit: Float64 | float = 1.0) -> Relu | LeakyRelu | Linear:
        """The activation of this layer between values that count ``unit``, (C,) or one number."""
        if self.kind not in ("relu", "leaky relu", "rectified relay"):
            return Linear()
        if self.slope is not None:
            return LeakyRelu(self.slope)
        return Relu() if self.limit is None else Relu(self.limit / unit)


@dataclass(frozen=True, eq=False)
class Layers:
    """All layers in topological order; ``outputs`` are (name in the ONNX file, layer or input name, host functions)."""

    name: str
    input: str
    input_shape: Shape
    layers: tuple[Layer, ...]
    outputs: tuple[tuple[str, str, tuple[str, ...]], ...]

    def layer(self, name: str) -> Layer:
        """The layer called ``name``."""
        return next(layer for layer in self.layers if layer.name == name)

    def readers(self, name: str) -> Iterator[LinearOp]:
        """Operators that read ``name``, also through relays, whose own weights are integers."""
        for layer in self.layers:
            for layer_input in layer.inputs:
                if layer_input.source == name:
                    if layer.kind in RELAYS:
                        yield from self.readers(layer.name)
                    else:
                        yield layer_input.op


def group_layers(graph: Graph) -> Layers:
    """Group ``graph``; :class:`ConversionError` names the node that is not in normal form."""
    outputs = [(name, *graph.split_host(value)) for name, value in graph.outputs]
    kinds: dict[str, Kind] = {}
    for node in graph.nodes:
        if isinstance(node.op, Relu):
            kinds[node.name] = "relu"
        elif isinstance(node.op, LeakyRelu):
            kinds[node.name] = "leaky relu"
        elif isinstance(node.op, Linear):
            kinds[node.name] = "linear"
        elif isinstance(node.op, Relay):
            kinds[node.name] = "rectified relay" if node.op.rectify else "relay"
    for _, value, _ in outputs:
        if value not in kinds and value != graph.input:
            kinds[value] = "output"
    layers = tuple(_layer(graph, node, kinds) for node in graph.nodes if node.name in kinds)
    return Layers(graph.name, graph.input, graph.input_shape, layers, tuple(outputs))


def _layer(graph: Graph, node: Node, kinds: dict[str, Kind]) -> Layer:
    kind = kinds[node.name]
    root = node if kind == "output" else graph.node_of.get(node.source)
    if root is None:
        raise ConversionError(f"{node.name}: an activation directly on the input; it needs a linear operator before it")
    terms = (
        [graph.node_of[name] for name in root.inputs if name in graph.node_of] if isinstance(root.op, Add) else [root]
    )
    if isinstance(root.op, Add) and len(terms) != len(root.inputs):
        raise ConversionError(f"{root.name}: adds the input itself; it needs an identity convolution before it")
    inputs, bias = [], np.zeros((graph.shapes[node.name][0], 1, 1))
    origin = [*node.origin, *root.origin] if root is not node else list(node.origin)
    for term in terms:
        op = _canonical(graph, term)
        if term.source != graph.input and term.source not in kinds:
            raise ConversionError(
                f"{term.name}: reads {term.source}, which is not an activation; the graph is not in normal form"
            )
        inputs.append(LayerInput(term.name, term.source, op, term.origin))
        if not isinstance(op, Resample):
            bias = bias + op.bias.reshape(op.bias.shape[0], *(op.bias.shape[1:] or (1, 1)))
        origin.extend(term.origin)
    limit = node.op.limit if isinstance(node.op, Relu) else None
    slope = node.op.slope if isinstance(node.op, LeakyRelu) else None
    shape, origins = graph.shapes[node.name], tuple(dict.fromkeys(origin))
    return Layer(node.name, kind, shape, tuple(inputs), bias, origins, limit, slope)


def _canonical(graph: Graph, node: Node) -> LinearOp:
    op: Op = node.op
    channels = graph.shapes[node.name][0]
    if isinstance(op, Conv | ConvTranspose | Resample):
        return op
    if isinstance(op, AveragePool):
        weight = np.full((channels, 1, *op.kernel), 1 / (op.kernel[0] * op.kernel[1]))
        return Conv(weight, np.zeros(channels), op.strides, op.pads, groups=channels)
    if isinstance(op, Nearest):
        return ConvTranspose(np.ones((channels, 1, *op.scale)), np.zeros(channels), op.scale, groups=channels)
    raise ConversionError(f"{node.name}: {type(op).__name__} is not a linear operator in normal form")
