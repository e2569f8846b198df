"""Models in memory as the bytes of an ONNX file: ``onnx.ModelProto``, and modules of PyTorch."""

from __future__ import annotations

import io
import sys
import warnings
from typing import Any

import numpy as np

from snn_deploy.arrays import Float32
from snn_deploy.errors import ModelError

OPSET = 17
"""Operator set of exported modules."""


def serialize_model(model: Any, example: Float32 | None) -> bytes:
    """The ONNX file of ``model``; a module is traced on ``example`` (B, C, H, W), with free height and width.

    :class:`~snn_deploy.errors.ModelError` for anything else, and for a module that is not traced.
    """
    if hasattr(model, "SerializeToString"):
        data: bytes = model.SerializeToString()
        return data
    torch = sys.modules.get("torch")  # a module of PyTorch cannot be there without it
    if torch is None or not isinstance(model, torch.nn.Module):
        raise ModelError(f"{type(model).__name__}: not a model; give a path, an onnx.ModelProto or a torch.nn.Module")
    if example is None:
        raise ModelError(
            "a torch.nn.Module is traced on an image; give example=, an array (1, channels, height, width)"
        )
    return _trace(torch, model, np.asarray(example, np.float32))


def _trace(torch: Any, module: Any, example: Float32) -> bytes:
    buffer, free, training = io.BytesIO(), {2: "height", 3: "width"}, module.training
    module.eval()
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # the exporter warns about itself
            torch.onnx.export(
                module,
                (torch.from_numpy(example[:1]),),
                buffer,
                dynamo=False,
                opset_version=OPSET,
                input_names=["input"],
                output_names=["output"],
                dynamic_axes={"input": free, "output": free},
            )
    except Exception as error:  # the exporter raises whatever the module does
        raise ModelError(
            f"{type(module).__name__}: cannot be exported to ONNX: {' '.join(str(error).split())[:200]}"
        ) from error
    finally:
        module.train(training)
    return buffer.getvalue()
