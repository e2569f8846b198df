"""A float graph as standard ONNX, float32, batch left open: what calibration and tests run with onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from snn_deploy.arrays import Float64
from snn_deploy.errors import GraphError
from snn_deploy.graph.graph import Graph, Node
from snn_deploy.graph.host import COMPARISONS, HostFunction
from snn_deploy.graph.names import Names
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
    Linear,
    MaxPool,
    Nearest,
    Op,
    Relay,
    Relu,
    Resample,
)

OPSET = 17
IR_VERSION = 8

HOST_OPERATORS: dict[str, tuple[str, dict[str, Any]]] = {
    "sigmoid": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
    "exp": ("Exp", {}),
    "softplus": ("Softplus", {}),
    "round": ("Round", {}),
    "softmax": ("Softmax", {"axis": 1}),
    "log_softmax": ("LogSoftmax", {"axis": 1}),
    "argmax": ("ArgMax", {"axis": 1, "keepdims": 1}),
    "to_channels_last": ("Transpose", {"perm": [0, 2, 3, 1]}),
    "take": ("Gather", {"axis": 1}),
    "times": ("Mul", {}),
    "plus": ("Add", {}),
    "clip": ("Clip", {}),
    "greater": ("Greater", {}),
    "less": ("Less", {}),
    "at_least": ("GreaterOrEqual", {}),
    "at_most": ("LessOrEqual", {}),
}
"""ONNX operator and attributes of functions of the host; ``truncate`` is two casts."""


def to_onnx(graph: Graph, values: Sequence[str] = ()) -> ModelProto:
    """``graph`` as a model whose outputs are the graph's output *values*, then ``values``; each once, by name."""
    writer = _Writer(graph)
    for node in graph.nodes:
        writer.write(node)
    names = tuple(dict.fromkeys([value for _, value in graph.outputs] + list(values)))
    unknown = [name for name in names if name not in graph.shapes]
    if unknown:
        raise GraphError(f"{graph.name}: unknown value {unknown[0]!r}")
    outputs = [
        name if name != graph.input else writer.add("Identity", [name], writer.names.fresh(f"{name}/copy"))
        for name in names
    ]
    shapes: list[list[str | int | None]] = [["N", *graph.shapes[name]] for name in names]
    return helper.make_model(
        helper.make_graph(
            writer.nodes,
            graph.name or "graph",
            [helper.make_tensor_value_info(graph.input, TensorProto.FLOAT, ["N", *graph.input_shape])],
            [
                helper.make_tensor_value_info(output, writer.types.get(output, TensorProto.FLOAT), shape)
                for output, shape in zip(outputs, shapes, strict=True)
            ],
            writer.tensors,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="snn-deploy",
    )


class _Writer:
    def __init__(self, graph: Graph) -> None:
        self.names = Names(graph.shapes)
        self.nodes: list[NodeProto] = []
        self.tensors: list[TensorProto] = []
        self.types: dict[str, int] = {}

    def add(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Write one ONNX node; returns its output."""
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def tensor(self, name: str, values: npt.NDArray[np.generic]) -> str:
        """Write one constant; returns its name, which is ``name`` unless a value is called so."""
        self.tensors.append(numpy_helper.from_array(np.ascontiguousarray(values), self.names.fresh(name)))
        return str(self.tensors[-1].name)

    def write(self, node: Node) -> None:
        """Write one node of the graph as one or a few ONNX nodes."""
        op, name = node.op, node.name
        if isinstance(op, Conv | ConvTranspose):
            self._weighted(name, op, node.source)
        elif isinstance(op, Affine):
            scale = self._per_channel(f"{name}/scale", op.scale)
            scaled = self.add("Mul", [node.source, scale], self.names.fresh(f"{name}/scaled"))
            self.add("Add", [scaled, self._per_channel(f"{name}/shift", op.shift)], name)
        elif isinstance(op, Resample):
            rows = self.tensor(f"{name}/rows", op.rows.astype(np.float32))
            columns = self.tensor(f"{name}/columns", op.columns.T.astype(np.float32))
            by_rows = self.add("MatMul", [rows, node.source], self.names.fresh(f"{name}/by-rows"))
            self.add("MatMul", [by_rows, columns], name)
        elif isinstance(op, LeakyRelu):
            self.add("PRelu", [node.source, self._per_channel(f"{name}/slope", op.slope)], name)
        elif isinstance(op, Clip):
            limits = [self.tensor(f"{name}/{end}", np.array(getattr(op, end), np.float32)) for end in ("low", "high")]
            self.add("Clip", [node.source, *limits], name)
        elif isinstance(op, Nearest):
            scales = self.tensor(f"{name}/scales", np.array([1, 1, *op.scale], np.float32))
            self.add(
                "Resize",
                [node.source, "", scales],
                name,
                mode="nearest",
                coordinate_transformation_mode="asymmetric",
                nearest_mode="floor",
            )
        elif isinstance(op, Host):
            self._host(name, HostFunction.of(op.function), node.source)
        else:
            self._plain(name, op, list(node.inputs))

    def _plain(self, name: str, op: Op, inputs: list[str]) -> None:
        """Operators that ONNX has as one node with the same attributes."""
        if isinstance(op, AveragePool):
            window: dict[str, Any] = {"kernel_shape": op.kernel, "strides": op.strides, "pads": op.pads}
            self.add("AveragePool", inputs, name, count_include_pad=1, **window)
        elif isinstance(op, MaxPool):
            self.add("MaxPool", inputs, name, kernel_shape=op.kernel, strides=op.strides, pads=op.pads)
        elif isinstance(op, Concat):
            self.add("Concat", inputs, name, axis=1)
        elif isinstance(op, Add):
            self.add("Sum", inputs, name)
        elif isinstance(op, Relu) and op.limit is not None:
            rectified = self.add("Relu", inputs, self.names.fresh(f"{name}/rectified"))
            self.add("Min", [rectified, self._per_channel(f"{name}/limit", op.limit)], name)
        elif isinstance(op, Relu) or (isinstance(op, Relay) and op.rectify):
            self.add("Relu", inputs, name)
        elif isinstance(op, Linear | Relay):
            self.add("Identity", inputs, name)
        else:
            raise GraphError(f"{name}: {type(op).__name__} has no ONNX form")

    def _host(self, name: str, function: HostFunction, source: str) -> None:
        """A function of the host; classes are int64, all other values float."""
        kind = self.types.get(source, TensorProto.FLOAT)
        if kind != TensorProto.FLOAT and function.name not in ("to_channels_last", "take"):
            source, kind = self._cast(source, TensorProto.FLOAT, f"{name}/float"), TensorProto.FLOAT
        if function.name == "truncate":
            whole = self._cast(source, TensorProto.INT64, self.names.fresh(f"{name}/whole"))
            self._cast(whole, TensorProto.FLOAT, name)
            return
        operator, attributes = HOST_OPERATORS[function.name]
        constants = [np.array(value, np.float32) for value in function.arguments]
        if function.name in ("times", "plus"):
            constants = [np.array(function.arguments, np.float32)[:, None, None]]
        elif function.name == "take":
            constants = [np.array(function.arguments, np.int64)]
        inputs = [source, *(self.tensor(f"{name}/{place}", value) for place, value in enumerate(constants))]
        if function.name in COMPARISONS:
            truth = self.add(operator, inputs, self.names.fresh(f"{name}/truth"))
            self._cast(truth, TensorProto.FLOAT, name)
            return
        self.types[name] = TensorProto.INT64 if function.name == "argmax" else kind
        self.add(operator, inputs, name, **attributes)

    def _cast(self, source: str, kind: int, name: str) -> str:
        return self.add("Cast", [source], name, to=kind)

    def _weighted(self, name: str, op: Conv | ConvTranspose, source: str) -> None:
        """A (transposed) convolution; ONNX takes no negative pads, so what they cut or append stands beside it."""
        transposed = isinstance(op, ConvTranspose)
        inside = tuple(max(pad, 0) for pad in op.pads)
        outside = tuple(min(pad, 0) for pad in op.pads)
        mapped = op.bias.ndim == 3 or (transposed and any(outside))
        if any(outside) and not transposed:
            source = self._pad(f"{name}/padded", source, outside)
        inputs = [source, self.tensor(f"{name}/weight", op.weight.astype(np.float32))]
        if not mapped:
            inputs.append(self.tensor(f"{name}/bias", op.bias.astype(np.float32)))
        last = self.add(
            type(op).__name__,
            inputs,
            self.names.fresh(f"{name}/convolved") if mapped else name,
            kernel_shape=op.weight.shape[2:],
            strides=op.strides,
            pads=inside,
            dilations=op.dilations,
            group=op.groups,
        )
        if mapped:
            if transposed and any(outside):
                last = self._pad(f"{name}/grown", last, tuple(-pad for pad in outside))
            bias = op.bias if op.bias.ndim == 3 else op.bias[:, None, None]
            self.add("Add", [last, self.tensor(f"{name}/bias", bias.astype(np.float32)[None])], name)

    def _pad(self, name: str, source: str, pads: tuple[int, ...]) -> str:
        top, left, bottom, right = pads
        name = self.names.fresh(name)
        return self.add(
            "Pad", [source, self.tensor(f"{name}/pads", np.array([0, 0, top, left, 0, 0, bottom, right]))], name
        )

    def _per_channel(self, name: str, values: Float64) -> str:
        return self.tensor(name, values.astype(np.float32)[:, None, None])
