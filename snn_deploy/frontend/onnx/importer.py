"""The walk over an ONNX graph: every node becomes a constant, a wire, or a refusal, and a row of the ledger.

Sizes are known from the start (batch 1, the image's height and width pinned), so whatever depends on shapes alone is a
constant here and is evaluated, under the node's own name, by :mod:`~snn_deploy.frontend.onnx.constants`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, ValueInfoProto

from snn_deploy.errors import GraphError, ModelError, UnsupportedModelError
from snn_deploy.frontend.ledger import Ledger, Row
from snn_deploy.frontend.onnx import rearrange, registry
from snn_deploy.frontend.onnx.call import Call, Constant, HostedError, Outcome, RefusedError, Wire
from snn_deploy.frontend.onnx.constants import Constants, constant_of, foldable, tensor
from snn_deploy.frontend.onnx.factors import join, whole
from snn_deploy.frontend.onnx.file import Source, load
from snn_deploy.graph.graph import Graph, Node
from snn_deploy.graph.limits import (
    MAX_BATCH,
    MAX_CHANNELS,
    MAX_GROWTH,
    MAX_LINKS,
    MAX_MATRIX_WORK,
    MAX_NEURONS,
    MAX_SIDE,
    MAX_WEIGHTS,
    MIN_GROWTH,
    Budget,
)
from snn_deploy.graph.names import Names
from snn_deploy.graph.ops import AveragePool, Host, Nearest, Op, Resample
from snn_deploy.shapes import Pair, Shape


@dataclass(frozen=True, eq=False)
class Imported:
    """A model as a float graph: shapes (C, H, W) without batch, weights float64, what became of every node of the file.

    ``channels_last`` says that the file's own input is (N, H, W, C); ``graph`` reads (C, H, W) all the same.
    """

    graph: Graph
    ledger: Ledger
    sha256: str
    opset: int
    channels_last: bool = False


def read(given: str | Path | bytes, input_shape: Pair | None = None) -> Imported:
    """Import an ONNX file (or its bytes) whole.

    ``input_shape`` (H, W) pins an open height and width, or replaces the file's. :class:`ModelError` where the file is
    not sound ONNX, :class:`UnsupportedModelError` with every reason where nodes have no rule.
    """
    source = load(given)
    walk = _Walk(source, input_shape)
    ledger = walk.run()
    if ledger.refused:
        raise UnsupportedModelError(f"{source.where} (operator set {source.opset})", ledger.reasons)
    return Imported(walk.graph(), ledger, source.sha256, source.opset, walk.input_axes[-1] == "C")


def inspect(given: str | Path | bytes, input_shape: Pair | None = None) -> Ledger:
    """What would become of every node; raises :class:`ModelError` only where the file is not sound ONNX."""
    return _Walk(load(given), input_shape).run()


def own_size(given: str | Path | bytes) -> Pair | None:
    """Height and width that the file itself fixes; ``None`` where either is open."""
    height, width = own_sides(given)
    return (height, width) if height and width else None


def own_sides(given: str | Path | bytes) -> Pair:
    """Height and width of the file's input, 0 where one is open; that of a line is 1 high."""
    dims = _own_dims(given)
    return dims["H"], dims["W"]


def own_channels(given: str | Path | bytes) -> int:
    """Channels of the file's input, which every file fixes; nodes without a rule do not matter here."""
    return _own_dims(given)["C"]


def _own_dims(given: str | Path | bytes) -> dict[str, int]:
    return _Walk(load(given), (1, 1)).dims


class _Walk:
    def __init__(self, source: Source, input_shape: Pair | None) -> None:
        self.source, self.onnx_graph = source, source.model.graph
        self.nodes: list[Node] = []
        self.shapes: dict[str, Shape] = {}
        self.values: dict[str, Wire | Constant] = {}
        self.rows: dict[int, Row] = {}
        self.row_of: dict[str, int] = {}
        self.origin: tuple[str, ...] = ()
        self.stem = ""
        stored = {tensor.name: tensor for tensor in self.onnx_graph.initializer}
        for name, proto in stored.items():
            self.values[name] = self._stored(name, proto)
        self.input = self._only_input(set(stored))
        self.input_axes = "NHWC" if self._channels_last() else "NCHW"
        if len(self.input.type.tensor_type.shape.dim) == 3:
            self.input_axes = self.input_axes.replace("H", "")
        self.batch, shape = self._pinned(input_shape)
        self.constants = Constants()
        self.weights = Budget(MAX_WEIGHTS + source.size, "weights", RefusedError)
        self.matrices = Budget(MAX_MATRIX_WORK, "multiplications to read resizing and averaging off", RefusedError)
        self.maps = Budget(max(MAX_GROWTH * shape[1] * shape[2], MIN_GROWTH), "values of maps", RefusedError)
        self.names = Names((self.input.name,))
        self.shapes[self.input.name] = shape
        self.values[self.input.name] = Wire(self.input.name, shape, self.input_axes, self.input.name)

    # ------------------------------------------------------------------ the input
    @property
    def dims(self) -> dict[str, int]:
        """Extents of the input by axis, 0 where one is open; a line has height 1."""
        dims = self.input.type.tensor_type.shape.dim
        return {"H": 1} | {axis: dim.dim_value for axis, dim in zip(self.input_axes, dims, strict=True)}

    def _stored(self, name: str, proto: onnx.TensorProto) -> Constant:
        try:
            return tensor(proto)
        except RefusedError as error:
            raise ModelError(f"{self.source.where}: weight {name!r}: {error}") from error

    def _only_input(self, stored: set[str]) -> ValueInfoProto:
        inputs: list[ValueInfoProto] = [value for value in self.onnx_graph.input if value.name not in stored]
        if len(inputs) != 1:
            names = ", ".join(value.name for value in inputs) or "none"
            raise ModelError(
                f"{self.source.where}: one image input is expected, not {len(inputs)} ({names}); give the others a"
                " number (convert --constant NAME=NUMBER, a noise level say), or join them in the model as channels of one input"
            )
        (image,) = inputs
        rank = len(image.type.tensor_type.shape.dim)
        if rank not in (3, 4):
            raise ModelError(
                f"{self.source.where}: input {image.name!r} has {rank} axes;"
                " (batch, channels, height, width) or (batch, channels, length) expected"
            )
        return image

    def _channels_last(self) -> bool:
        """Whether the file transposes its input from NHWC before anything but arithmetic happens to it."""
        reached, transposed = {self.input.name}, False
        dims = [dim.dim_value for dim in self.input.type.tensor_type.shape.dim]
        for node in self.onnx_graph.node:
            if not reached.intersection(node.input):
                continue
            if node.op_type == "Transpose":
                perm = [list(attribute.ints) for attribute in node.attribute if attribute.name == "perm"]
                transposed |= perm in ([[0, 3, 1, 2]], [[0, 2, 1]])
            elif node.op_type == "Reshape":  # of one channel, tf2onnx writes it so
                transposed |= dims[-1] == 1 and dims[1] != 1
            elif node.op_type in ("Identity", "Cast", "Add", "Sub", "Mul", "Div"):
                reached.update(node.output)
            elif node.op_type in ("Conv", "ConvTranspose", "MaxPool", "AveragePool", "BatchNormalization"):
                return False
        return transposed

    def _pinned(self, input_shape: Pair | None) -> tuple[int, Shape]:
        where = f"{self.source.where}: input {self.input.name!r}"
        order = self.input_axes
        dims = self.dims
        channels = dims["C"]
        if channels < 1:
            raise ModelError(f"{where}: the number of channels is open; export the model with a fixed one")
        if input_shape is None and min(dims["H"], dims["W"]) < 1:
            raise ModelError(f"{where}: height and width are open; say which with --size HEIGHTxWIDTH")
        height, width = input_shape or (dims["H"], dims["W"])
        if "H" not in order and height != 1:
            raise ModelError(f"{where}: reads lines, not maps; give their length as --size 1x{width}")
        if min(height, width) < 1 or _is_too_large((channels, height, width)):
            raise ModelError(f"{where}: a map of {channels}x{height}x{width}; {_LARGEST}")
        if dims["N"] > MAX_BATCH:
            raise ModelError(
                f"{where}: a batch of {dims['N']} images; at most {MAX_BATCH} are read, leave the batch open"
            )
        return max(dims["N"], 1), (channels, height, width)

    # ------------------------------------------------------------------ the walk
    def run(self) -> Ledger:
        """Import all nodes; the ledger has one row for each."""
        live = self._live()
        for index, node in enumerate(self.onnx_graph.node):
            name = _name(node)
            if index not in live:
                self.rows[index] = Row(name, node.op_type, "folded", "nothing: no output needs it")
                continue
            try:
                outcome = self._import(node, name)
            except HostedError as error:
                self._refuse_host(error.wire, name, error.construct)
                outcome = self._refused(node, name, str(error))
            except RefusedError as error:
                outcome = self._refused(node, name, str(error))
            except (
                GraphError,
                ValueError,
                TypeError,
                LookupError,
                ArithmeticError,
                MemoryError,
                RecursionError,
            ) as error:
                outcome = self._refused(node, name, f"its attributes or shapes do not fit ({str(error)[:200]})")
            self.values.update(zip(node.output, outcome.values, strict=False))
            self.rows[index] = Row(name, node.op_type, outcome.fate, outcome.note)
            for value in outcome.values:
                if isinstance(value, Wire):
                    self.row_of.setdefault(value.value, index)
        self._check_outputs()
        remarks = () if self.source.is_sorted else (UNSORTED,)
        return Ledger(tuple(self.rows[index] for index in sorted(self.rows)), remarks)

    def _check_outputs(self) -> None:
        """A node whose result cannot be an output is refused."""
        makers = {output: index for index, node in enumerate(self.onnx_graph.node) for output in node.output}
        for output in self.onnx_graph.output:
            wire = self.values.get(output.name)
            if not isinstance(wire, Wire) or output.name not in makers:
                continue
            row = self.rows[makers[output.name]]
            if row.fate != "refused" and self._output_order(wire) is None:
                note = f"gives an output of shape {list(wire.extents(self.batch))}, whose values are not in the order NCHW or NHWC"
                self.rows[makers[output.name]] = replace(row, fate="refused", note=note)

    def _output_order(self, wire: Wire) -> str | None:
        """NCHW or NHWC, whichever is the order of the values of an output; ``None`` for any other order."""
        if wire.axes in ("NCHW", "NHWC"):
            return wire.axes
        made = join([factor for axis in wire.factored(self.batch) for factor in axis])
        for order in ("NCHW", "NHWC"):
            sizes = (self.batch, *(wire.shape["CHW".index(letter)] for letter in order[1:]))
            if made == join([factor for axis in whole(order, sizes) for factor in axis]):
                return order
        return None

    def graph(self) -> Graph:
        """The float graph; only meaningful where nothing was refused."""
        outputs: list[tuple[str, str]] = []
        for output in self.onnx_graph.output:
            wire = self.values[output.name]
            if not isinstance(wire, Wire):
                raise ModelError(f"{self.source.where}: output {output.name!r} does not depend on the image")
            if self._output_order(wire) == "NHWC":
                self.stem, self.origin = output.name, (wire.maker,)
                wire = self._emit(Host("to_channels_last"), (replace(wire, axes="NCHW", factors=()),), "channels-last")
            outputs.append((output.name, wire.value))
        name = self.onnx_graph.name or Path(self.source.where).stem
        return Graph(name, self.input.name, self.shapes[self.input.name], tuple(self.nodes), tuple(outputs))

    def _live(self) -> set[int]:
        """Indices of the nodes that some output needs."""
        needed, live = {output.name for output in self.onnx_graph.output}, set()
        for index in range(len(self.onnx_graph.node) - 1, -1, -1):
            node = self.onnx_graph.node[index]
            if needed.intersection(node.output):
                live.add(index)
                needed.update(node.input)
        return live

    def _import(self, node: NodeProto, name: str) -> Outcome:
        if node.domain not in ("", "ai.onnx"):
            raise RefusedError(f"belongs to {node.domain}, not to ONNX; export with standard operators")
        inputs = tuple(self._input(entry) for entry in node.input)
        if node.op_type == "Constant":
            return Outcome((constant_of(node),), "folded", "a constant")
        if foldable(node) and not any(isinstance(value, Wire) for value in inputs):
            constants = tuple(value for value in inputs if not isinstance(value, Wire))
            return Outcome(self.constants.evaluate(node, constants, self.source.opset), "folded", "a constant")
        if node.op_type == "InstanceNormalization" and any(
            isinstance(value, Wire) and value.factors for value in inputs
        ):
            raise RefusedError(GROUP_NORMALIZATION)
        try:
            since = int(onnx.defs.get_schema(node.op_type, self.source.opset).since_version)
        except onnx.defs.SchemaError as error:
            raise RefusedError(f"is not an operator of set {self.source.opset}") from error
        self.stem, self.origin = name, (name,)
        call = Call(node, name, since, self.source.opset, self.batch, inputs, self._emit, self.weights, self.matrices)
        before = len(self.nodes)
        try:
            with np.errstate(all="ignore"):  # _emit refuses what is not finite
                return registry.find(node.op_type, since)(rearrange.settle(call))
        except BaseException:
            del self.nodes[before:]  # half a node is none
            raise

    def _input(self, name: str) -> Wire | Constant | None:
        if not name:
            return None
        value = self.values.get(name)
        if value is None:
            raise RefusedError(f"reads {name!r}, which no node or initializer produces")
        if isinstance(value, Wire) and not value.known:
            raise RefusedError(f"reads {value.maker}, which is refused")
        return value

    def _emit(self, op: Op, wires: tuple[Wire, ...], part: str) -> Wire:
        shape = op.infer(tuple(wire.shape for wire in wires))
        if _is_too_large(shape):
            raise RefusedError(f"its map is {shape}; {_LARGEST}")
        arrays = [value for value in vars(op).values() if isinstance(value, np.ndarray)]
        if isinstance(op, Resample) and np.count_nonzero(op.rows) * np.count_nonzero(op.columns) > MAX_LINKS:
            raise RefusedError(f"joins more than {MAX_LINKS} pairs of pixels; resize or average in smaller steps")
        self.maps.spend(shape[0] * shape[1] * shape[2])
        self.weights.spend(sum(value.size for value in arrays) + _window(op) * shape[0])
        if not all(np.all(np.isfinite(value)) for value in arrays):
            raise RefusedError("its weights overflow to NaN or infinity")
        name = self.names.fresh(f"{self.stem}.{part}" if part else self.stem)
        self.shapes[name] = shape
        self.nodes.append(Node(name, op, tuple(wire.value for wire in wires), self.origin))
        function = op.function if isinstance(op, Host) else ""
        reads = wires[0].value if function else ""
        refused = next((wire.refused for wire in wires if wire.refused), "")
        made = replace(wires[0], value=name, shape=shape, maker=self.stem, picked=None)
        return replace(made, hosted=function, reads=reads, refused=refused)

    # ------------------------------------------------------------------ refusals
    def _refused(self, node: NodeProto, name: str, note: str) -> Outcome:
        """A refused node that keeps its inputs' shape still gets a wire, so that the nodes after it are judged too."""
        wires = [value for value in map(self.values.get, node.input) if isinstance(value, Wire) and value.known]
        shapes = [wire.shape for wire in wires]
        wire = Wire(node.output[0], (1, 1, 1), "NCHW", name, known=False)
        if wires and registry.keeps_shape(node.op_type):
            try:
                channels, height, width = np.broadcast_shapes(*shapes)
                shape = (channels, height, width)
                wire = replace(
                    wire, shape=shape, axes=wires[0].axes, factors=wires[0].factors, known=True, refused=name
                )
            except ValueError:  # then nothing is known about its result
                pass
        return Outcome(
            (wire, *(replace(wire, value=output, known=False) for output in node.output[1:])), "refused", note
        )

    def _refuse_host(self, wire: Wire, user: str, construct: str) -> None:
        """A host function whose result is used inside the network is refused beside its user."""
        index = self.row_of[wire.value]
        note = f"is part of {construct}, see {user}" if construct else f"{user} uses its result inside the network"
        self.rows[index] = replace(self.rows[index], fate="refused", note=note, part_of=user if construct else "")


UNSORTED = "its nodes are not in the order in which they are computed, as ONNX demands; they were sorted"

GROUP_NORMALIZATION = (
    "is a group normalization (a Reshape before it), which takes its statistics from each image at run time;"
    " train with batch normalization"
)

_LARGEST = f"at most {MAX_CHANNELS} channels, {MAX_SIDE} pixels a side and {MAX_NEURONS} values are allowed"


def _is_too_large(shape: Shape) -> bool:
    channels, height, width = shape
    return channels > MAX_CHANNELS or max(height, width) > MAX_SIDE or channels * height * width > MAX_NEURONS


def _window(op: Op) -> int:
    """Weights per channel of an operator that has none of its own but becomes a convolution."""
    if isinstance(op, AveragePool):
        return op.kernel[0] * op.kernel[1]
    return op.scale[0] * op.scale[1] if isinstance(op, Nearest) else 0


def _name(node: NodeProto) -> str:
    return node.name or next((output for output in node.output if output), node.op_type)
