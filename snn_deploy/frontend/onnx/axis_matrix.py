"""Separable operators as one matrix per axis, taken from onnxruntime itself.

Interpolation and averaging treat rows and columns alike and independently, so the whole operator is ``rows @ x @
columns.T``. Each matrix is read off by running the operator along one axis on all unit vectors: every rounding rule of
every mode and operator set is then the runtime's own.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from snn_deploy.arrays import Float64
from snn_deploy.errors import BackendUnavailableError
from snn_deploy.frontend.onnx.call import Call, RefusedError
from snn_deploy.frontend.onnx.export import IR_VERSION
from snn_deploy.frontend.onnx.runtime import reason, session
from snn_deploy.graph.limits import MAX_EXTENT, MIN_MATRIX_WORK
from snn_deploy.shapes import Pair

CACHED = 2**18
"""Largest matrix that is remembered, in numbers: a model is read several times for one conversion."""

Attributes: TypeAlias = tuple[tuple[str, Any], ...]


def axis_matrix(
    call: Call,
    operator: str,
    extents: Pair,
    attributes: Attributes,
    constants: tuple[tuple[float, ...] | None, ...] = (),
    window: int = 1,
) -> Float64:
    """Matrix of a one-node model along the height axis, for ``extents`` (pixels before and, at most, after it).

    ``constants`` are the operator's other inputs; each output reads a ``window`` of pixels.
    """
    extent, outputs = extents
    if extent > MAX_EXTENT:
        raise RefusedError(f"an axis of {extent} pixels is longer than {MAX_EXTENT}")
    call.matrices.spend(max(extent * outputs * window, MIN_MATRIX_WORK))
    call.weights.check(extent * outputs)
    read = _read_off if extent * outputs <= CACHED else _read_off.__wrapped__
    return read(operator, call.opset, extent, attributes, constants)


@lru_cache(maxsize=32)
def _read_off(
    operator: str, opset: int, extent: int, attributes: Attributes, constants: tuple[tuple[float, ...] | None, ...]
) -> Float64:
    names = ["x"] + ["" if values is None else f"c{index}" for index, values in enumerate(constants)]
    stored = [
        numpy_helper.from_array(
            np.array(values, np.int64 if all(isinstance(v, int) for v in values) and values else np.float32), name
        )
        for values, name in zip(constants, names[1:], strict=True)
        if values is not None
    ]
    node = helper.make_node(operator, names, ["y"], **dict(attributes))
    model = helper.make_model(
        helper.make_graph(
            [node],
            "axis",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, extent, extent, 1])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            stored,
        ),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=IR_VERSION,
    )
    try:
        units = np.eye(extent, dtype=np.float32)[None, :, :, None]
        (answer,) = session(model.SerializeToString()).run(None, {"x": units})
    except BackendUnavailableError:  # an extra is missing, not a rule for this node
        raise
    except Exception as error:  # onnxruntime raises bare exceptions of many kinds
        raise RefusedError(f"onnxruntime cannot run it ({reason(error)})") from error
    return np.asarray(answer, np.float64)[0, :, :, 0].T
