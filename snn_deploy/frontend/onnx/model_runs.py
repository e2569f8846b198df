"""A model run by onnxruntime, image by image, with values inside it as further outputs."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper

from snn_deploy.arrays import Float32
from snn_deploy.errors import BackendUnavailableError, ModelError
from snn_deploy.frontend.onnx.file import list_inputs
from snn_deploy.frontend.onnx.runtime import reason, session
from snn_deploy.frontend.onnx.sizes import list_near_sizes
from snn_deploy.shapes import Size


def run_model(model: ModelProto, extra: tuple[str, ...], images: Float32, where: str) -> dict[str, Float32]:
    """Outputs of ``model`` and the values ``extra``, by name, for ``images`` (N, ...) one by one, joined along the batch."""
    wanted = ModelProto()
    wanted.CopyFrom(model)
    present = {output.name for output in wanted.graph.output}
    added = [name for name in extra if name not in present]
    wanted.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in added)
    names = [output.name for output in wanted.graph.output]
    image_input = list_inputs(wanted.graph)[0].name
    opened = None
    try:
        opened = session(wanted.SerializeToString())
        answers = [opened.run(names, {image_input: image[None]}) for image in images]
    except BackendUnavailableError:
        raise
    except Exception as error:  # onnxruntime raises bare exceptions of many kinds
        sizes = "" if opened is None or images.ndim != 4 else _suggest_size(opened, image_input, images)
        raise ModelError(f"{where}: onnxruntime cannot run it ({reason(error)}){sizes}") from error
    return {name: np.concatenate(parts) for name, parts in zip(names, zip(*answers, strict=True), strict=True)}


def _suggest_size(opened: Any, image_input: str, images: Float32) -> str:
    """The two nearest sizes at which the model runs, where it has any for ``images`` (N, C, H, W) at all."""
    height, width = images.shape[2:]
    near = (size for size in list_near_sizes((height, width)) if min(size) > 0)
    fitting = [
        f"{rows}x{columns}" for rows, columns in islice(filter(partial(_runs, opened, image_input, images), near), 2)
    ]
    return f" for images of {height}x{width}; use {' or '.join(fitting)} (--size)" if fitting else ""


def _runs(opened: Any, image_input: str, images: Float32, size: Size) -> bool:
    try:
        opened.run(None, {image_input: np.zeros((1, images.shape[1], *size), np.float32)})
    except Exception:  # what fails does not fit
        return False
    return True


def relate_error(one: Float32, two: Float32) -> float:
    """``|one - two| / |two|``, Euclidean norms."""
    difference = np.linalg.norm((one.astype(np.float64) - two.astype(np.float64)).ravel())
    return float(difference) / max(float(np.linalg.norm(two.astype(np.float64).ravel())), 1e-300)


def describe_change(loss: Iterable[tuple[str, float]]) -> str:
    """In words, by how much (:func:`relate_error`) each output of a changed model differs on the calibration images."""
    return ", ".join(f"{name} changes by {share:.2%}" for name, share in loss) + " (2-norm, calibration images)"
