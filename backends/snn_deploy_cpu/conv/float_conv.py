"""Float convolutions whose every partial sum is an integer that the format holds: any order of summation is exact.

Three libraries, in this order: oneDNN through PyTorch, onnxruntime, and NumPy's matrix product, also in float64.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from snn_deploy.shapes import Pair
from snn_deploy_cpu.conv.geometry import Convolution, Maps

Real: TypeAlias = type[np.float32] | type[np.float64]


class Primitive(Protocol):
    """A convolution of maps (M, H, W, C) zero-padded by ``pads`` on both sides: (M, h, w, O) floats."""

    def __call__(self, maps: Maps, pads: Pair) -> Maps:
        """The sums."""
        ...


class TorchConvolution:
    """float32 by oneDNN through PyTorch, named outright: the general call may turn to NNPACK's Winograd transform."""

    def __init__(self, form: Convolution) -> None:
        import torch

        self._torch, self._form = torch, form
        weight = torch.from_numpy(form.weight.astype(np.float32))
        self._weight = weight.contiguous(memory_format=torch.channels_last)

    def __call__(self, maps: Maps, pads: Pair) -> Maps:
        """The sums, float32."""
        torch, form = self._torch, self._form
        x = torch.from_numpy(np.ascontiguousarray(maps, np.float32)).permute(0, 3, 1, 2)
        y = torch.mkldnn_convolution(x, self._weight, None, pads, form.strides, form.dilations, form.groups)
        return np.ascontiguousarray(y.permute(0, 2, 3, 1).numpy())


class OnnxRuntimeConvolution:
    """float32 through onnxruntime's ``Conv``, one session for each pair of pads."""

    def __init__(self, form: Convolution) -> None:
        self._form = form
        self._sessions: dict[Pair, Any] = {}

    def __call__(self, maps: Maps, pads: Pair) -> Maps:
        """The sums, float32."""
        if pads not in self._sessions:
            self._sessions[pads] = _session(self._form, pads)
        x = np.ascontiguousarray(maps.transpose(0, 3, 1, 2), np.float32)
        return np.ascontiguousarray(self._sessions[pads].run(None, {"x": x})[0].transpose(0, 2, 3, 1))


def _session(form: Convolution, pads: Pair) -> Any:
    import onnx
    import onnxruntime

    node = onnx.helper.make_node(
        "Conv",
        ["x", "w"],
        ["y"],
        strides=form.strides,
        dilations=form.dilations,
        group=form.groups,
        pads=(*pads, *pads),
    )
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [node],
        "convolution",
        [value("x", onnx.TensorProto.FLOAT, [None, None, None, None])],
        [value("y", onnx.TensorProto.FLOAT, [None, None, None, None])],
        [onnx.numpy_helper.from_array(form.weight.astype(np.float32), "w")],
    )
    model = onnx.helper.make_model(graph, ir_version=8, opset_imports=[onnx.helper.make_opsetid("", 13)])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


class NumpyConvolution:
    """A matrix product for each tap, in float32 or float64."""

    def __init__(self, form: Convolution, real: Real) -> None:
        self._form, self._real = form, real
        weight = form.weight.reshape(form.groups, -1, *form.weight.shape[1:]).astype(real)
        self._taps: npt.NDArray[Any] = np.ascontiguousarray(weight.transpose(3, 4, 0, 2, 1))

    def __call__(self, maps: Maps, pads: Pair) -> Maps:
        """The sums."""
        form = self._form
        (step_y, step_x), (gap_y, gap_x) = form.strides, form.dilations
        padded = np.pad(maps.astype(self._real), ((0, 0), (pads[0],) * 2, (pads[1],) * 2, (0, 0)))
        kernel_rows, kernel_columns, groups, inputs, outputs = self._taps.shape
        count, height, width, _ = padded.shape
        rows = (height - gap_y * (kernel_rows - 1) - 1) // step_y + 1
        columns = (width - gap_x * (kernel_columns - 1) - 1) // step_x + 1
        padded = padded.reshape(count, height, width, groups, inputs)
        out: Maps = np.zeros((count, rows, columns, groups, outputs), self._real)
        for h in range(kernel_rows):
            for w in range(kernel_columns):
                window = padded[
                    :,
                    h * gap_y : h * gap_y + (rows - 1) * step_y + 1 : step_y,
                    w * gap_x : w * gap_x + (columns - 1) * step_x + 1 : step_x,
                ]
                for group in range(groups):
                    out[..., group, :] += window[..., group, :] @ self._taps[h, w, group]
        return out.reshape(count, rows, columns, groups * outputs)
