"""A model run by onnxruntime, image by image, with values inside it as further outputs."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, TensorProto, helper

from snn_deploy.arrays import Float32
from snn_deploy.errors import BackendUnavailableError, ModelError
from snn_deploy.frontend.onnx.runtime import reason, session
from snn_deploy.frontend.onnx.sizes import list_near_sizes


def run_model(model: ModelProto, extra: tuple[str, ...], images: Float32, where: str) -> dict[str, Float32]:
    """Outputs of ``model`` and the values ``extra``, by name, for ``images`` (N, ...) one by one, joined along the batch."""
    wanted = ModelProto()
    wanted.CopyFrom(model)
    present = {output.name for output in wanted.graph.output}
    added = [name for name in extra if name not in present]
    wanted.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in added)
    names = [output.name for output in wanted.graph.output]
    stored = {tensor.name for tensor in wanted.graph.initializer}
    image_input = next(value.name for value in wanted.graph.input if value.name not in stored)
    try:
        opened = session(wanted.SerializeToString())
        answers = [opened.run(names, {image_input: image[None]}) for image in images]
    except BackendUnavailableError:
        raise
    except Exception as error:  # onnxruntime raises bare exceptions of many kinds
        raise ModelError(
            f"{where}: onnxruntime cannot run it ({reason(error)}){_suggest_size(model, images)}"
        ) from error
    return {name: np.concatenate(parts) for name, parts in zip(names, zip(*answers, strict=True), strict=True)}


def _suggest_size(model: ModelProto, images: Float32) -> str:
    """The nearest sizes at which ``model`` runs, where it has one for ``images`` (N, C, H, W) at all."""
    if images.ndim != 4:
        return ""
    stored = {tensor.name for tensor in model.graph.initializer}
    source = next(value.name for value in model.graph.input if value.name not in stored)
    height, width = images.shape[2:]
    fitting: list[str] = []
    for rows, columns in list_near_sizes((height, width)):
        try:
            if min(rows, columns) > 0:
                image = np.zeros((1, images.shape[1], rows, columns), np.float32)
                session(model.SerializeToString()).run(None, {source: image})
                fitting.append(f"{rows}x{columns}")
        except Exception:
            continue
    return f" for images of {height}x{width}; use {' or '.join(fitting[:2])} (--size)" if fitting else ""


def relate_error(one: Float32, two: Float32) -> float:
    """``|one - two| / |two|``, Euclidean norms."""
    difference = np.linalg.norm((one.astype(np.float64) - two.astype(np.float64)).ravel())
    return float(difference) / max(float(np.linalg.norm(two.astype(np.float64).ravel())), 1e-300)
