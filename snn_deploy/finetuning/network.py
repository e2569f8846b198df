"""A float graph as a torch module, with the weights and biases of its convolutions as parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from snn_deploy.errors import ConversionError
from snn_deploy.graph.graph import Graph, Node
from snn_deploy.graph.ops import (
    Add,
    Affine,
    AveragePool,
    Clip,
    Concat,
    Conv,
    ConvTranspose,
    Host,
    LeakyRelu,
    MaxPool,
    Nearest,
    Op,
    Relu,
    Resample,
)

Activate: TypeAlias = Callable[[Node, Tensor], Tensor]
"""Maps a node and its value (B, C, H, W) to the value that its users read."""


class GraphNetwork(nn.Module):
    """``graph`` in single precision; maps are (B, C, H, W)."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        self._index: dict[str, int] = {}
        for node in graph.nodes:
            if isinstance(node.op, Conv | ConvTranspose):
                if node.op.bias.ndim != 1:
                    raise ConversionError(
                        f"{node.name}: a bias per pixel cannot be fine-tuned; only biases per channel can"
                    )
                self._index[node.name] = len(self.weights)
                self.weights.append(nn.Parameter(torch.tensor(node.op.weight, dtype=torch.float32)))
                self.biases.append(nn.Parameter(torch.tensor(node.op.bias, dtype=torch.float32)))

    def forward(self, image: Tensor, activate: Activate | None = None) -> Tensor:
        """The first output's value before the host's functions; ``activate`` is applied to every node's value."""
        values = {self.graph.input: image}
        for node in self.graph.nodes:
            if isinstance(node.op, Host):
                values[node.name] = values[node.inputs[0]]
                continue
            value = self.compute(node, [values[name] for name in node.inputs])
            values[node.name] = value if activate is None else activate(node, value)
        return values[self.graph.outputs[0][1]]

    def compute(self, node: Node, inputs: list[Tensor]) -> Tensor:
        """The value of one node."""
        op = node.op
        if isinstance(op, Conv):
            index = self._index[node.name]
            padded = _padded(inputs[0], op.pads)
            return functional.conv2d(
                padded, self.weights[index], self.biases[index], op.strides, 0, op.dilations, op.groups
            )
        if isinstance(op, ConvTranspose):
            index = self._index[node.name]
            top, left, bottom, right = op.pads
            full = functional.conv_transpose2d(
                inputs[0], self.weights[index], None, op.strides, 0, 0, op.groups, op.dilations
            )
            shifted: Tensor = _padded(full, (-top, -left, -bottom, -right)) + self.biases[index][:, None, None]
            return shifted
        return _fixed(op, node.name, inputs)

    def trained(self) -> Graph:
        """The graph with the parameters' values."""
        nodes = []
        for node in self.graph.nodes:
            op: Op = node.op
            if isinstance(op, Conv | ConvTranspose):
                index = self._index[node.name]
                weight, bias = (
                    part[index].detach().cpu().numpy().astype(np.float64) for part in (self.weights, self.biases)
                )
                op = replace(op, weight=weight, bias=bias)
            nodes.append(replace(node, op=op))
        return replace(self.graph, nodes=tuple(nodes))


def _padded(maps: Tensor, pads: tuple[int, int, int, int]) -> Tensor:
    """Zeros around the last two axes (top, left, bottom, right); negative numbers crop."""
    top, left, bottom, right = pads
    return functional.pad(maps, (left, right, top, bottom)) if any(pads) else maps


def _fixed(op: Op, name: str, inputs: list[Tensor]) -> Tensor:
    """Operators without parameters."""
    first = inputs[0]
    if isinstance(op, Relu):
        return functional.relu(first)
    if isinstance(op, Add):
        total = first
        for term in inputs[1:]:
            total = total + term
        return total
    if isinstance(op, Concat):
        return torch.cat(inputs, dim=1)
    if isinstance(op, AveragePool):
        return functional.avg_pool2d(_padded(first, op.pads), op.kernel, op.strides)
    if isinstance(op, MaxPool):
        top, left, bottom, right = op.pads
        padded = functional.pad(first, (left, right, top, bottom), value=-float("inf")) if any(op.pads) else first
        return functional.max_pool2d(padded, op.kernel, op.strides)
    if isinstance(op, Nearest):
        return first.repeat_interleave(op.scale[0], 2).repeat_interleave(op.scale[1], 3)
    if isinstance(op, Affine):
        scale, shift = (torch.tensor(part, dtype=first.dtype, device=first.device) for part in (op.scale, op.shift))
        return first * scale[:, None, None] + shift[:, None, None]
    if isinstance(op, Resample):
        rows, columns = (torch.tensor(part, dtype=first.dtype, device=first.device) for part in (op.rows, op.columns))
        resampled: Tensor = rows @ first @ columns.T
        return resampled
    if isinstance(op, LeakyRelu):
        return functional.prelu(first, torch.tensor(op.slope, dtype=first.dtype, device=first.device))
    if isinstance(op, Clip):
        return torch.clamp(first, op.low, op.high)
    raise ConversionError(f"{name}: {type(op).__name__} cannot be fine-tuned")
