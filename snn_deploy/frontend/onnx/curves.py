"""Activations that bend smoothly, whatever nodes an exporter wrote them as: functions of one value, pixel by pixel.

A *curve* is a part of the graph whose nodes compute number by number, with constants of one entry, from one *source*, and at
least one of which no sum of thresholds follows: SiLU as a Sigmoid and a Mul, GELU by Erf or Tanh, Mish, HardSwish, ELU, ...
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper

from snn_deploy.arrays import Float32
from snn_deploy.frontend.onnx.runtime import session

# fmt: off
BENT = frozenset((
    "Celu", "Elu", "Erf", "Exp", "Gelu", "HardSwish", "Log", "Mish", "Pow", "Reciprocal", "Selu", "Shrink",
    "Sigmoid", "Sign", "Softplus", "Softsign", "Sqrt", "Swish", "Tanh", "ThresholdedRelu", "Where",
))
"""Operators of which one makes a curve; so do products and quotients of two values."""

STRAIGHT = frozenset((
    "Abs", "Add", "And", "Cast", "Clip", "Div", "Equal", "Greater", "GreaterOrEqual", "HardSigmoid", "Identity",
    "LeakyRelu", "Less", "LessOrEqual", "Max", "Min", "Mul", "Neg", "Not", "Or", "Relu", "Sub", "Sum",
))
"""Operators that may be part of one."""
TAIL = frozenset((
    "ArgMax", "Constant", "Flatten", "Gather", "LogSoftmax", "Reshape", "Round", "Slice", "Softmax", "Split",
    "Squeeze", "Transpose", "Unsqueeze",
))
"""Operators between a last activation and the outputs."""
# fmt: on


@dataclass(frozen=True, eq=False)
class Curve:
    """The value ``result`` as a function of the value ``source``, computed by ``nodes``, in order."""

    source: str
    result: str
    nodes: tuple[NodeProto, ...]

    def evaluate(self, model: ModelProto, values: Float32) -> Float32:
        """The function at ``values`` (N,)."""
        read = {name for node in self.nodes for name in node.input}
        constants = [tensor for tensor in model.graph.initializer if tensor.name in read]
        graph = helper.make_graph(
            [
                *(node for node in model.graph.node if node.op_type == "Constant" and read & set(node.output)),
                *self.nodes,
            ],
            "curve",
            [helper.make_tensor_value_info(self.source, TensorProto.FLOAT, ["n"])],
            [helper.make_tensor_value_info(self.result, TensorProto.FLOAT, None)],
            constants,
        )
        made = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
        (found,) = session(made.SerializeToString()).run([self.result], {self.source: values})
        return np.asarray(found, np.float32)


def find_curves(model: ModelProto) -> tuple[Curve, ...]:
    """Curves whose results other nodes read; at the end of the model the host computes them exactly."""
    single, known = _constants(model)
    roots: dict[str, str] = {}
    bent: set[str] = set()
    makers: dict[str, NodeProto] = {}
    outer: set[str] = set()
    for node in model.graph.node:
        given = [name for name in node.input if name and name not in known]
        sources = {roots.get(name, name) for name in given}
        constants = all(name in single for name in node.input if name in known)
        if node.op_type not in BENT | STRAIGHT or len(sources) != 1 or not constants or len(node.output) != 1:
            outer.update(given)
            continue
        (result,) = node.output
        roots[result], makers[result] = sources.pop(), node
        if node.op_type in BENT or (node.op_type in ("Mul", "Div") and len(given) == 2) or bent & set(given):
            bent.add(result)
    inside = _inside(model)
    return tuple(
        Curve(roots[name], name, tuple(_path(name, makers)))
        for name in roots
        if name in bent and name in outer and name in inside
    )


def _constants(model: ModelProto) -> tuple[set[str], set[str]]:
    """Names of constants of one entry, and of all constants, as far as nothing is computed for them."""
    sizes = {tensor.name: int(np.prod(tensor.dims, dtype=np.int64)) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            value: Any = helper.get_attribute_value(node.attribute[0]) if node.attribute else None
            entries = value.dims if isinstance(value, TensorProto) else np.shape(value)
            sizes[node.output[0]] = int(np.prod(entries, dtype=np.int64))
    return {name for name, size in sizes.items() if size == 1}, set(sizes)


def _inside(model: ModelProto) -> set[str]:
    """Values that the network itself reads further; the host computes what only rearranges, or bends, up to the outputs."""
    inside: set[str] = set()
    for node in reversed(model.graph.node):
        if node.op_type not in BENT | STRAIGHT | TAIL or inside & set(node.output):
            inside.update(node.input)
    return inside


def _path(result: str, makers: Mapping[str, NodeProto]) -> Iterator[NodeProto]:
    """The nodes that make ``result`` of its source, each after what it reads."""
    needed = {result}
    path = []
    for name, node in reversed(list(makers.items())):
        if name in needed:
            needed.update(node.input)
            path.append(node)
    yield from reversed(path)
