"""Float convolutions whose every partial sum is an integer that the format holds: any order of summation is exact.

Two libraries, in this order: onnxruntime, and NumPy's matrix product, also in float64.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

import numpy as np

from snn_deploy.arrays import Array
from snn_deploy.shapes import Pair
from snn_deploy_cpu.conv.geometry import Convolution, Maps

Real: TypeAlias = type[np.float32] | type[np.float64]


class Primitive(Protocol):
    """A convolution of ``x`` (N, H, W, C), zero-padded by ``pads`` (rows, columns) on both sides: (N, h, w, O) floats."""

    @property
    def weights(self) -> Array:
        """What it multiplies with, (O, I, K_h, K_w), read back from where it keeps them."""
        ...

    def __call__(self, x: Maps, pads: Pair) -> Maps:
        """The sums."""
        ...


class OnnxRuntimeConvolution:
    """float32 through onnxruntime's ``Conv``, one session for each pair of pads."""

    def __init__(self, conv: Convolution) -> None:
        self._conv = conv
        self._sessions: dict[Pair, Any] = {}

    @property
    def weights(self) -> Array:
        """Those that every session is made of."""
        return self._conv.weight.astype(np.float32)

    def __call__(self, x: Maps, pads: Pair) -> Maps:
        """The sums, float32."""
        if pads not in self._sessions:
            self._sessions[pads] = _session(self._conv, pads)
        planar = np.ascontiguousarray(x.transpose(0, 3, 1, 2), np.float32)
        return np.ascontiguousarray(self._sessions[pads].run(None, {"x": planar})[0].transpose(0, 2, 3, 1))


def _session(conv: Convolution, pads: Pair) -> Any:
    import onnx
    import onnxruntime

    node = onnx.helper.make_node(
        "Conv",
        ["x", "w"],
        ["y"],
        strides=conv.strides,
        dilations=conv.dilations,
        group=conv.groups,
        pads=(*pads, *pads),
    )
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [node],
        "convolution",
        [value("x", onnx.TensorProto.FLOAT, [None, None, None, None])],
        [value("y", onnx.TensorProto.FLOAT, [None, None, None, None])],
        [onnx.numpy_helper.from_array(conv.weight.astype(np.float32), "w")],
    )
    model = onnx.helper.make_model(graph, ir_version=8, opset_imports=[onnx.helper.make_opsetid("", 13)])
    options = onnxruntime.SessionOptions()
    # the backend's own threads share out the work
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


class NumpyConvolution:
    """A matrix product for each tap, in float32 or float64."""

    def __init__(self, conv: Convolution, real: Real) -> None:
        self._conv, self._real = conv, real
        weight = conv.weight.reshape(conv.groups, -1, *conv.weight.shape[1:]).astype(real)
        self._taps: Array = np.ascontiguousarray(weight.transpose(3, 4, 0, 2, 1))

    @property
    def weights(self) -> Array:
        """The taps (K_h, K_w, groups, I, O / groups) in the common order of axes."""
        rows, columns, groups, inputs, outputs = self._taps.shape
        return self._taps.transpose(2, 4, 3, 0, 1).reshape(groups * outputs, inputs, rows, columns)

    def __call__(self, x: Maps, pads: Pair) -> Maps:
        """The sums."""
        conv = self._conv
        padded = np.pad(x.astype(self._real), ((0, 0), (pads[0],) * 2, (pads[1],) * 2, (0, 0)))
        kernel_rows, kernel_columns, groups, inputs, outputs = self._taps.shape
        count, height, width, _ = padded.shape
        rows = (height - conv.kernel_extent(0)) // conv.strides[0] + 1
        columns = (width - conv.kernel_extent(1)) // conv.strides[1] + 1
        padded = padded.reshape(count, height, width, groups, inputs)
        out: Maps = np.zeros((count, rows, columns, groups, outputs), self._real)
        for h, w in np.ndindex(kernel_rows, kernel_columns):
            window = conv.tap_view(padded, (h, w), (rows, columns))
            for group in range(groups):
                out[..., group, :] += window[..., group, :] @ self._taps[h, w, group]
        return out.reshape(count, rows, columns, groups * outputs)
