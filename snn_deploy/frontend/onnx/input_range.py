"""What range of pictures a model reads, as far as its file tells: by the type of its input and by what it does with it first.

A model that begins with a division by 255, or subtracts means of a hundred, was made for values from 0 to 255; otherwise
nothing is known, and values from 0 to 1 are usual.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto

from snn_deploy.arrays import Array
from snn_deploy.frontend.onnx.call import RefusedError
from snn_deploy.frontend.onnx.constants import constant_of, tensor
from snn_deploy.frontend.onnx.file import load

Range = tuple[float, float]

BYTES, WORDS = (0.0, 255.0), (0.0, 65535.0)

OF_TYPE = {TensorProto.UINT8: BYTES, TensorProto.UINT16: WORDS}

TRANSPARENT = ("Cast", "Identity", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Pad", "Slice", "Split", "Gather")
"""Operators that keep the values of a picture."""

MEANS = (2.0, 255.0)
"""Means or half-ranges of bytes, where they are added or subtracted first; those of 0..1 stay below 1."""

BYTE_DIVISORS, WORD_DIVISORS = (100.0, 300.0), (30_000.0, 70_000.0)
"""What bytes and words are divided by first: 255 and 65,535, half of them, or deviations of their size."""


def own_range(given: str | Path | bytes) -> Range | None:
    """The smallest and largest value of a picture as the model reads it; ``None`` where the file says nothing of it."""
    graph = load(given).model.graph
    stored: dict[str, TensorProto | NodeProto] = {each.name: each for each in graph.initializer}
    value = next((each for each in graph.input if each.name not in stored), None)
    if value is None:
        return None
    of_type = OF_TYPE.get(value.type.tensor_type.elem_type)
    if of_type is not None:
        return of_type
    stored |= {node.output[0]: node for node in graph.node if node.op_type == "Constant" and node.output}
    return _first_arithmetic(graph, value.name, stored)


def _first_arithmetic(graph: GraphProto, name: str, stored: dict[str, TensorProto | NodeProto]) -> Range | None:
    for node in graph.node:
        if name not in node.input:
            continue
        if node.op_type in TRANSPARENT:
            name = node.output[0]
            continue
        constants = [_magnitude(stored[other]) for other in node.input if other in stored]
        if not constants or 0 in constants:
            return None
        if node.op_type in ("Mul", "Div"):
            divisor = 1 / constants[0] if node.op_type == "Mul" else constants[0]
            return (
                BYTES if _is_within(BYTE_DIVISORS, divisor) else WORDS if _is_within(WORD_DIVISORS, divisor) else None
            )
        if node.op_type in ("Add", "Sub"):
            return BYTES if _is_within(MEANS, constants[0]) else None
        if node.op_type == "BatchNormalization" and len(constants) == 4:
            return BYTES if _is_within(MEANS, constants[2]) else None
        return None
    return None


def _is_within(span: Range, value: float) -> bool:
    least, largest = span
    return least <= value <= largest


def _magnitude(given: TensorProto | NodeProto) -> float:
    """Mean magnitude of a constant; 0 where it is none of numbers."""
    try:
        values: Array = constant_of(given) if isinstance(given, NodeProto) else tensor(given)
        magnitude = float(np.abs(values.astype(np.float64)).mean()) if values.size else 0.0
    except (RefusedError, TypeError, ValueError):
        return 0.0
    return magnitude if np.isfinite(magnitude) else 0.0
