"""Nodes whose inputs are known are evaluated by ONNX's own reference evaluator, one by one, so that each keeps its row.

That folds weights and the chains of Shape, Gather, Cast, Concat, ... that exporters write for computed pads and sizes,
once the image's size is known. Only small, harmless operators are evaluated; results are bounded before memory is
taken.
"""

from __future__ import annotations

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from snn_deploy.frontend.onnx.call import Constant, RefusedError
from snn_deploy.graph.limits import MAX_CONSTANT_WORK, MAX_CONSTANTS, MIN_CONSTANT_WORK, Budget

NUMERIC = frozenset((1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13))
"""Element types (``TensorProto.DataType``) that constants are cast to; others are texts, or slow in the evaluator."""

QUANTIZERS = 19
"""First operator set in which the evaluator knows the linear quantizers; those of older sets are their special cases."""

SLOW = {"ScatterND": 64}
"""Operators that the evaluator computes number by number, and how many numbers of others one of theirs counts."""

# fmt: off
FOLDABLE = frozenset((
    "Abs", "Add", "And", "Cast", "CastLike", "Ceil", "Concat", "ConstantOfShape", "DequantizeLinear", "Div",
    "Equal", "Exp", "Expand", "Flatten", "Floor", "Gather", "Greater", "GreaterOrEqual", "Identity", "Less",
    "LessOrEqual", "Max", "Min", "Mod", "Mul", "Neg", "Not", "Or", "Pow", "Range", "Reciprocal", "ReduceMax",
    "QuantizeLinear", "ReduceMin", "ReduceProd", "ReduceSum", "Reshape", "Round", "ScatterND", "Shape", "Sign", "Size", "Slice",
    "Split", "Sqrt", "Squeeze", "Sub", "Sum", "Tile", "Transpose", "Unsqueeze", "Where",
))
# fmt: on


def foldable(node: NodeProto) -> bool:
    """Whether a node with known inputs is evaluated at import."""
    return node.domain in ("", "ai.onnx") and node.op_type in FOLDABLE


class Constants:
    """Evaluates nodes of one model; what they make, and the work for it, is bounded over all of them."""

    def __init__(self) -> None:
        self._numbers = Budget(MAX_CONSTANTS, "numbers of computed constants", RefusedError)
        self._work = Budget(MAX_CONSTANT_WORK, "numbers read and written for constants", RefusedError)

    def evaluate(self, node: NodeProto, inputs: tuple[Constant | None, ...], opset: int) -> tuple[Constant, ...]:
        """The outputs of ``node`` for known ``inputs``."""
        size = _size(node, inputs)
        self._numbers.spend(size)
        read = sum(value.size for value in inputs if value is not None)
        self._work.spend(max((read + size) * SLOW.get(node.op_type, 1), MIN_CONSTANT_WORK))
        return _evaluate(node, inputs, opset)


def _evaluate(node: NodeProto, inputs: tuple[Constant | None, ...], opset: int) -> tuple[Constant, ...]:
    from onnx.reference import ReferenceEvaluator

    names = [name for name in node.input if name]
    given = {name: value for name, value in zip(node.input, inputs, strict=True) if name and value is not None}
    graph = helper.make_graph(
        [node],
        "constant",
        [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in dict.fromkeys(names)],
        [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in node.output if name],
    )
    try:
        with np.errstate(all="ignore"):
            version = max(opset, QUANTIZERS) if node.op_type in ("DequantizeLinear", "QuantizeLinear") else opset
            values = ReferenceEvaluator(graph, opsets={"": version}).run(None, given)
    except Exception as error:  # the evaluator runs arbitrary operators and raises whatever they raise
        raise RefusedError(
            f"its constant value cannot be computed ({type(error).__name__}: {str(error)[:120]})"
        ) from error
    return tuple(np.asarray(value) for value in values)


def constant_of(node: NodeProto) -> Constant:
    """The value of a ``Constant`` node."""
    for attribute in node.attribute:
        value = helper.get_attribute_value(attribute)
        if attribute.name == "value":
            return tensor(value)
        if attribute.name in ("value_float", "value_floats"):
            return np.asarray(value, np.float32)
        if attribute.name in ("value_int", "value_ints"):
            return np.asarray(value, np.int64)
    raise RefusedError("holds neither a tensor nor numbers")


def tensor(proto: TensorProto) -> Constant:
    """A stored tensor as an array of numbers."""
    try:
        values = numpy_helper.to_array(proto)
    except (TypeError, ValueError, KeyError, NotImplementedError, OverflowError, MemoryError) as error:
        raise RefusedError(f"tensor {proto.name!r} cannot be decoded ({str(error)[:120]})") from error
    if values.dtype.kind in "OSU":
        raise RefusedError(f"tensor {proto.name!r} holds texts; only numbers are supported")
    return values


def _size(node: NodeProto, inputs: tuple[Constant | None, ...]) -> int:
    """How many numbers the outputs of ``node`` will have, or a few more; :class:`RefusedError` where that has no bound."""
    arrays = [np.asarray(value) for value in inputs if value is not None]
    if node.op_type == "Cast" and not any(
        attribute.name == "to" and attribute.i in NUMERIC for attribute in node.attribute
    ):
        raise RefusedError("turns a constant into another type than numbers of 8 to 64 bits")
    if node.op_type in ("ConstantOfShape", "Expand") and arrays:
        extents = arrays[-1].ravel()
        size = float(np.prod(np.maximum(np.abs(extents.astype(np.float64)), 1)))
        size *= max(arrays[0].size, 1) if node.op_type == "Expand" else 1
    elif node.op_type == "Tile" and len(arrays) == 2:
        size = arrays[0].size * float(np.prod(np.maximum(np.abs(arrays[1].astype(np.float64)), 1)))
    elif node.op_type == "Range" and len(arrays) == 3 and all(array.size for array in arrays):
        start, limit, delta = (float(array.ravel()[0]) for array in arrays)
        size = abs((limit - start) / delta) if delta else np.inf
    elif node.op_type == "Gather" and len(arrays) == 2:
        axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
        extent = arrays[0].shape[axis] if -arrays[0].ndim <= axis < arrays[0].ndim else 1
        size = float(arrays[1].size) * arrays[0].size / max(extent, 1)
    elif node.op_type == "ScatterND" and len(arrays) == 3:
        size = float(max(array.size for array in arrays))
    else:
        size = float(max(sum(array.size for array in arrays), _broadcast(arrays)))
    if not size <= MAX_CONSTANTS:
        raise RefusedError(f"its constant value may have {size:.3g} elements, more than {MAX_CONSTANTS}")
    return int(size)


def _broadcast(arrays: list[Constant]) -> float:
    try:
        return float(np.prod(np.broadcast_shapes(*(array.shape for array in arrays)), dtype=np.float64))
    except ValueError:
        return 0.0  # not an elementwise operator
