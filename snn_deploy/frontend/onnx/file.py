"""From bytes to a checked ``ModelProto``: sizes, names, external data, ``onnx.checker``, local functions.

What the file would become is counted before it is made: nodes behind function calls, bytes in other files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import onnx
import onnx.inliner
from google.protobuf.message import DecodeError, EncodeError
from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, ValueInfoProto

from snn_deploy.errors import ModelError
from snn_deploy.files import MAX_READ, read_limited
from snn_deploy.frontend.onnx.external import external_tensors, graphs, load_external, nodes
from snn_deploy.frontend.onnx.sorting import sort_nodes
from snn_deploy.graph.limits import MAX_ENTRIES, MAX_FUNCTION_BYTES, MAX_NODES, MAX_OUTPUTS

MIN_OPSET = 9
"""Operators of older sets have other attributes; ``onnx.version_converter`` upgrades such files."""

ONNX_DOMAINS = ("", "ai.onnx")

Key: TypeAlias = tuple[str, str, str]
"""Domain, name and overload of a function."""


@dataclass(frozen=True, eq=False)
class Source:
    """A checked model, what to call it in messages, the SHA-256 of the file, and its bytes, external data included.

    ``is_sorted`` is false where its nodes had to be put in order.
    """

    model: ModelProto
    where: str
    sha256: str
    size: int
    is_sorted: bool = True

    @property
    def opset(self) -> int:
        """Version of the default operator set."""
        return int(next(entry.version for entry in self.model.opset_import if entry.domain in ONNX_DOMAINS))


def load(given: str | Path | bytes) -> Source:
    """Read and check a model; :class:`ModelError` says in one line what is wrong with it."""
    if isinstance(given, bytes):
        return _checked(given, "model", None)
    path = Path(given)
    return _checked(read_limited(path, ModelError), path.name, path.parent)


def list_inputs(graph: GraphProto) -> list[ValueInfoProto]:
    """Inputs of ``graph`` that are not the names of stored weights, which older files list, too."""
    stored = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in stored]


def portable(given: str | Path | bytes) -> bytes:
    """The file's bytes for another machine, weights that lie in other files included."""
    if isinstance(given, bytes):
        return given
    whole, content = load(given).model, read_limited(Path(given), ModelError)
    return whole.SerializeToString() if external_tensors(ModelProto.FromString(content)) else content


def _checked(content: bytes, where: str, folder: Path | None) -> Source:
    model = ModelProto()
    try:
        model.ParseFromString(content)
    except (DecodeError, RuntimeError) as error:
        if content.startswith(b"PK"):
            raise ModelError(f"{where}: a ZIP archive, as .snn files are; name the ONNX model") from error
        raise ModelError(f"{where}: not an ONNX file, or a truncated one ({_line(error)})") from error
    if not model.ir_version or not model.graph.node:
        raise ModelError(f"{where}: not an ONNX file, or one without nodes")
    _check_sizes(model, where)
    _check_names(model, where)
    if not any(entry.domain in ONNX_DOMAINS for entry in model.opset_import):
        raise ModelError(f"{where}: does not import an ONNX operator set")
    outside = load_external(model, where, folder)
    moved = sort_nodes(model.graph)
    try:
        onnx.checker.check_model(model)
        if model.functions:
            model = onnx.inliner.inline_local_functions(model)
    except (onnx.checker.ValidationError, DecodeError, EncodeError, ValueError, RuntimeError, TypeError) as error:
        raise ModelError(f"{where}: breaks the ONNX specification ({_line(error)})") from error
    source = Source(model, where, hashlib.sha256(content).hexdigest(), len(content) + outside, not moved)
    if source.opset < MIN_OPSET:
        raise ModelError(
            f"{where}: operator set {source.opset} is older than {MIN_OPSET};"
            " export it again, or upgrade it with onnx.version_converter"
        )
    return source


# ---------------------------------------------------------------------- how much it would become


def _check_sizes(model: ModelProto, where: str) -> None:
    """Nodes and bytes with every function counted as often as it is called, before any is inlined."""
    _check_entries(model, where)
    if len(model.graph.output) > MAX_OUTPUTS:
        raise ModelError(f"{where}: {len(model.graph.output)} outputs; at most {MAX_OUTPUTS} are read, remove some")
    count = sum(len(graph.node) for graph in graphs(model))
    if count > MAX_NODES:
        raise ModelError(f"{where}: {count} nodes; at most {MAX_NODES} are read, simplify the model before export")
    bodies = {(function.domain, function.name, function.overload): function.node for function in model.functions}
    sizes: dict[Key, tuple[int, int]] = {}
    for key in bodies:
        _size_function(key, bodies, sizes, where)
    count, size = _size((node for graph in graphs(model) for node in graph.node), sizes)
    if count > MAX_NODES or size > max(MAX_FUNCTION_BYTES, model.ByteSize()) or size > MAX_READ:
        raise ModelError(
            f"{where}: calls of its functions stand for {count} nodes of {size} bytes; at most {MAX_NODES} nodes of"
            f" {MAX_FUNCTION_BYTES} bytes are read"
        )


def _check_entries(model: ModelProto, where: str) -> None:
    """Everything that the file lists, by lengths of lists alone: protobuf makes an object of each entry that is looked at."""
    waiting: list[GraphProto | FunctionProto] = [model.graph, *list(model.functions)[:MAX_ENTRIES]]
    total = len(model.functions) + len(model.opset_import)
    while waiting:
        body = waiting.pop()
        total += len(body.node) + len(body.input) + len(body.output) + len(body.value_info)
        if isinstance(body, GraphProto):
            total += len(body.initializer) + len(body.sparse_initializer)
        _check_total(total, where)
        for node in body.node:
            total += len(node.input) + len(node.output) + len(node.attribute)
            _check_total(total, where)
            for attribute in node.attribute:
                total += len(attribute.strings) + len(attribute.tensors) + len(attribute.graphs)
                _check_total(total, where)
                waiting += attribute.graphs
                if attribute.HasField("g"):
                    waiting.append(attribute.g)


def _check_total(total: int, where: str) -> None:
    if total > MAX_ENTRIES:
        raise ModelError(
            f"{where}: more than {MAX_ENTRIES} nodes, inputs, outputs, attributes and weights; simplify the model before export"
        )


def _size(body: Iterable[NodeProto], sizes: dict[Key, tuple[int, int]]) -> tuple[int, int]:
    """Nodes and bytes of ``body`` with its calls of functions of known ``sizes``."""
    count = size = 0
    for node in body:
        inner = sizes.get((node.domain, node.op_type, node.overload), (0, 0))
        count, size = count + 1 + inner[0], size + node.ByteSize() + inner[1]
    return count, size


def _size_function(
    key: Key,
    bodies: dict[Key, Iterable[NodeProto]],
    sizes: dict[Key, tuple[int, int]],
    where: str,
) -> None:
    """Add the size of function ``key`` and of all that it calls to ``sizes``; :class:`ModelError` for a circle."""
    path: list[tuple[Key, Iterator[Key]]] = [(key, _calls(bodies[key], bodies))]
    open_keys = {key}
    while path:
        current, calls = path[-1]
        if current in sizes:
            called = None
        else:
            called = next((call for call in calls if call not in sizes), None)
        if called is None:
            sizes.setdefault(current, _size(bodies[current], sizes))
            path.pop()
            open_keys.discard(current)
        elif called in open_keys:
            raise ModelError(f"{where}: function {called[1]!r} calls itself; functions cannot")
        else:
            open_keys.add(called)
            path.append((called, _calls(bodies[called], bodies)))


def _calls(body: Iterable[NodeProto], bodies: dict[Key, Iterable[NodeProto]]) -> Iterator[Key]:
    return (
        (node.domain, node.op_type, node.overload)
        for node in body
        if (node.domain, node.op_type, node.overload) in bodies
    )


# ---------------------------------------------------------------------- names


def _check_names(model: ModelProto, where: str) -> None:
    """Protobuf leaves texts that are not UTF-8 as bytes; they would fail wherever names are written."""
    for what, name in _names(model):
        if not isinstance(name, str):
            raise ModelError(f"{where}: {what} is called {bytes(name)[:60]!r}, which is not UTF-8; rename it")


def _names(model: ModelProto) -> Iterator[tuple[str, str | bytes]]:
    for graph in graphs(model):
        yield "a graph", graph.name
        for value in (*graph.input, *graph.output, *graph.value_info):
            yield "a value", value.name
            yield from (("an axis", axis.dim_param) for axis in value.type.tensor_type.shape.dim)
        yield from (("a weight", tensor.name) for tensor in graph.initializer)
        yield from (("a weight", tensor.values.name) for tensor in graph.sparse_initializer)
    for node in nodes(model):
        yield from (("a node", node.name), ("an operator", node.op_type), ("an operator set", node.domain))
        yield from (("a value", name) for name in (*node.input, *node.output))
        for attribute in node.attribute:
            yield from (("an attribute", attribute.name), ("an attribute", attribute.ref_attr_name))
            yield "a tensor", attribute.t.name
    for function in model.functions:
        yield from (("a function", function.name), ("an operator set", function.domain))
        yield from (("a value", name) for name in (*function.input, *function.output))
    yield from (("an operator set", entry.domain) for entry in model.opset_import)
    for tensor in external_tensors(model):
        yield from (("an external file", text) for entry in tensor.external_data for text in (entry.key, entry.value))


def _line(error: Exception) -> str:
    """The first line of a library's message, cut to a readable length."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200]
