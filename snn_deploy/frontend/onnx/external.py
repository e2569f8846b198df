"""Weights in other files: every tensor of a model, initializer or attribute, read from beside it and from nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto
from onnx.external_data_helper import uses_external_data

from snn_deploy.errors import ModelError
from snn_deploy.files import MAX_READ, check_regular


def external_tensors(model: ModelProto) -> list[TensorProto]:
    """Tensors of ``model`` whose numbers lie in another file, those in attributes and functions included."""
    stored = chain(*(graph.initializer for graph in graphs(model)))
    attributes = (attribute for node in nodes(model) for attribute in node.attribute)
    held = chain(*((attribute.t, *attribute.tensors) for attribute in attributes))
    return [tensor for tensor in chain(stored, held) if uses_external_data(tensor)]


def graphs(model: ModelProto) -> Iterator[GraphProto]:
    """The graph of ``model`` and all graphs in its attributes."""
    waiting = [model.graph]
    for function in model.functions:
        waiting += chain(*map(_subgraphs, function.node))
    while waiting:
        graph = waiting.pop()
        yield graph
        waiting += chain(*map(_subgraphs, graph.node))


def nodes(model: ModelProto) -> Iterator[NodeProto]:
    """All nodes of ``model``: of its graphs and of its functions."""
    for graph in graphs(model):
        yield from graph.node
    for function in model.functions:
        yield from function.node


def _subgraphs(node: NodeProto) -> list[GraphProto]:
    graph_types = (AttributeProto.GRAPH, AttributeProto.GRAPHS)
    return [
        graph
        for attribute in node.attribute
        if attribute.type in graph_types
        for graph in ([attribute.g] if attribute.type == AttributeProto.GRAPH else attribute.graphs)
    ]


def load_external(model: ModelProto, where: str, folder: Path | None) -> int:
    """Read all external tensors of ``model`` from ``folder`` into it; returns their bytes.

    No byte of a file is read twice, so a small file cannot become a large model. :class:`ModelError` names the tensor
    that cannot be read.
    """
    outside = external_tensors(model)
    if outside and folder is None:
        raise ModelError(f"{where}: weight {outside[0].name!r} lies in another file; give a path, not bytes")
    sizes: dict[Path, int] = {}
    parts = []
    for tensor in outside:
        path, offset, length = _place(tensor, where, folder or Path(), sizes)
        parts.append((tensor, path, offset, length))
    total, available = sum(length for *_, length in parts), min(sum(sizes.values()), MAX_READ)
    if total > available:
        raise ModelError(f"{where}: its tensors need {total} bytes of external files, which hold {available}")
    for tensor, path, offset, length in parts:
        try:
            with path.open("rb") as stream:
                stream.seek(offset)
                tensor.raw_data = stream.read(length)
        except OSError as error:
            raise ModelError(f"{where}: weight {tensor.name!r}: {path} cannot be read: {error.strerror}") from error
        del tensor.external_data[:]
        tensor.data_location = TensorProto.DEFAULT
    return total


def _place(tensor: TensorProto, where: str, folder: Path, sizes: dict[Path, int]) -> tuple[Path, int, int]:
    """File, offset and length of ``tensor``; sizes of files are added to ``sizes``."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = Path(entries.get("location", ""))
    path = folder / location
    if location.is_absolute() or ".." in location.parts or path.is_symlink() or not path.exists():
        raise ModelError(
            f"{where}: weight {tensor.name!r} should be in {str(location)!r}, a regular file beside the model; it is not"
        )
    if path not in sizes:
        sizes[path] = check_regular(path, ModelError)
    digits = [entries.get("offset", "0"), entries.get("length", "")]
    if not all(text.isdecimal() and len(text) < 16 for text in digits if text):
        raise ModelError(
            f"{where}: weight {tensor.name!r}: offset {digits[0]!r} and length {digits[1]!r} are not numbers"
        )
    offset = int(digits[0] or 0)
    length = int(digits[1]) if digits[1] else sizes[path] - offset
    if offset + length > sizes[path] or length < 0:
        raise ModelError(
            f"{where}: weight {tensor.name!r} needs bytes {offset} to {offset + length} of {str(location)!r}, which has"
            f" {sizes[path]}"
        )
    return path, offset, length
