"""Inputs of a model beside the image, such as a noise level or statistics of a normalization, made constants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from snn_deploy.arrays import Float64
from snn_deploy.errors import ModelError
from snn_deploy.frontend.onnx.file import list_inputs, load

LARGEST = 2**24
"""Numbers of a constant that replaces an input of fixed size."""


def fix_inputs(given: str | Path | bytes, constants: Mapping[str, float | Sequence[float]]) -> bytes:
    """The model with the inputs named in ``constants`` filled with one number each, or with as many as they have entries.

    Where height or width of such an input is open, they are those of the image: the input is a map, a noise map say.
    :class:`ModelError` for an unknown input, a wrong number of values, a type that does not hold floats, and where no image
    input is left.
    """
    source = load(given)
    model = ModelProto()
    model.CopyFrom(source.model)
    inputs = {value.name: value for value in list_inputs(model.graph)}
    unknown = [name for name in constants if name not in inputs]
    if unknown:
        raise ModelError(f"{source.where}: has no input {unknown[0]!r}; its inputs are {', '.join(inputs)}")
    left = [name for name in inputs if name not in constants]
    if len(left) != 1:
        raise ModelError(
            f"{source.where}: {len(left)} inputs are left; all but the image must be constants: name all but one"
        )
    nodes: list[NodeProto] = []
    for name, numbers in constants.items():
        nodes += _fill(model, inputs[name], left[0], np.ravel(numbers), source.where)
        model.graph.input.remove(inputs[name])
    kept = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *kept])
    data: bytes = model.SerializeToString()
    return data


def describe_constants(constants: Mapping[str, float | Sequence[float]]) -> str:
    """``name = number, number; name = number``."""
    return "; ".join(
        f"{name} = {', '.join(f'{n:g}' for n in np.ravel(numbers))}" for name, numbers in constants.items()
    )


def _fill(model: ModelProto, given: ValueInfoProto, image: str, numbers: Float64, where: str) -> list[NodeProto]:
    """Store ``numbers``, one or all, in the input ``given``; the nodes that expand it to the size of the image, if any."""
    kind = given.type.tensor_type
    if kind.elem_type not in (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16):
        raise ModelError(f"{where}: input {given.name!r} does not hold floats; only these can be made constants")
    dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type)
    dims = [dim.dim_value for dim in kind.shape.dim]
    shape = [max(dim, 1) for dim in dims]
    is_map = len(dims) == 4 and min(dims[2:]) < 1
    if np.prod(shape, dtype=np.float64) > LARGEST:
        raise ModelError(f"{where}: input {given.name!r} has the shape {shape}, more than {LARGEST} numbers")
    name, filled = (f"{given.name}/value", [*shape[:2], 1, 1]) if is_map else (given.name, shape)
    entries = int(np.prod(filled))
    if numbers.size not in (1, entries):
        wanted = "one" if entries == 1 else f"one or {entries}"
        raise ModelError(f"{where}: {numbers.size} numbers for input {given.name!r} of shape {filled}; give {wanted}")
    values = np.broadcast_to(numbers, entries).reshape(filled).astype(dtype)
    model.graph.initializer.append(numpy_helper.from_array(values, name))
    if not is_map:
        return []
    stem = given.name
    model.graph.initializer.extend(
        numpy_helper.from_array(np.array(extents, np.int64), f"{stem}/{part}")
        for part, extents in (("batch", shape[:1]), ("channels", shape[1:2]), ("begin", [2]), ("end", [4]))
    )
    return [
        helper.make_node("Shape", [image], [f"{stem}/image"]),
        helper.make_node("Slice", [f"{stem}/image", f"{stem}/begin", f"{stem}/end"], [f"{stem}/sides"]),
        helper.make_node("Concat", [f"{stem}/batch", f"{stem}/channels", f"{stem}/sides"], [f"{stem}/shape"], axis=0),
        helper.make_node("Expand", [name, f"{stem}/shape"], [stem]),
    ]
