"""A normal-form graph in float64: slower than onnxruntime's float32, for the few decisions that its rounding would blur."""

from __future__ import annotations

import numpy as np

from snn_deploy.arrays import Float64
from snn_deploy.errors import GraphError
from snn_deploy.graph.graph import Graph, Node
from snn_deploy.graph.ops import Add, Conv, ConvTranspose, Host, LeakyRelu, Linear, Relay, Relu
from snn_deploy.passes.constant_map import apply_linear


def evaluate(graph: Graph, x: Float64) -> dict[str, Float64]:
    """Every value (C, H, W) of ``graph`` for one input ``x`` (C, H, W), by name; host functions are left out."""
    values = {graph.input: x}
    for node in graph.nodes:
        if not isinstance(node.op, Host):
            values[node.name] = _apply(node, [values[name] for name in node.inputs])
    return values


def _apply(node: Node, inputs: list[Float64]) -> Float64:
    op, x = node.op, inputs[0]
    if isinstance(op, Add):
        return np.asarray(np.sum(inputs, axis=0), np.float64)
    if isinstance(op, Relu) or (isinstance(op, Relay) and op.rectify):
        above = np.maximum(x, 0)
        return above if isinstance(op, Relay) or op.limit is None else np.minimum(above, op.limit[:, None, None])
    if isinstance(op, LeakyRelu):
        return np.where(x < 0, op.slope[:, None, None] * x, x)
    if isinstance(op, Linear | Relay):
        return x
    try:
        y = apply_linear(op, x)
    except TypeError as error:
        raise GraphError(f"{node.name}: {type(op).__name__} is not in normal form") from error
    if isinstance(op, Conv | ConvTranspose):
        y = y + (op.bias if op.bias.ndim == 3 else op.bias[:, None, None])
    return y
