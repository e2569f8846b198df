"""InstanceNormalization with its statistics fixed from calibration images, and what that costs.

Instance normalization divides each image's maps by their own spread, which synapses cannot. With statistics fixed at
their mean over calibration images it becomes a batch normalization, which folds into weights; the network then differs
wherever an image's own statistics differ from that mean, and the difference is measured, not assumed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from onnx import ModelProto, NodeProto, numpy_helper

from snn_deploy.arrays import Float32, Float64
from snn_deploy.errors import ModelError
from snn_deploy.frontend.onnx.file import load
from snn_deploy.frontend.onnx.model_runs import relate_error, run_model

Images = Float32


@dataclass(frozen=True, eq=False)
class Frozen:
    """The changed ``model``, the names of the changed ``nodes``, and the ``loss``.

    ``loss`` pairs each output with ``|frozen - original| / |original|`` (Euclidean norms over all calibration images).
    """

    model: bytes
    nodes: tuple[str, ...]
    loss: tuple[tuple[str, float], ...]


def freeze_norm(given: str | Path | bytes, images: Images) -> Frozen:
    """Fix the statistics of every ``InstanceNormalization`` at their mean over ``images``.

    ``images`` (N, C, H, W) float32 are laid out as the file's input is.
    """
    source = load(given)
    model = ModelProto()
    model.CopyFrom(source.model)
    norms = [node for node in model.graph.node if node.op_type == "InstanceNormalization"]
    if not norms:
        raise ModelError(f"{source.where}: contains no InstanceNormalization to freeze")
    if images.ndim != 4 or len(images) == 0:
        raise ModelError(
            f"{source.where}: calibration images of shape {images.shape}; (images, channels, height, width) expected"
        )
    maps = tuple(dict.fromkeys(node.input[0] for node in norms))
    statistics = _statistics(model, maps, images, source.where)
    original = run_model(model, (), images, source.where)
    for number, node in enumerate(norms):
        _freeze(model, node, f"frozen_{number}", *statistics[node.input[0]])
    names = tuple(output.name for output in model.graph.output)
    frozen = run_model(model, (), images, source.where)
    loss = tuple((name, relate_error(frozen[name], original[name])) for name in names)
    return Frozen(model.SerializeToString(), tuple(node.name or node.output[0] for node in norms), loss)


def _freeze(model: ModelProto, node: NodeProto, stem: str, mean: Images, variance: Images) -> None:
    """Make ``node`` a batch normalization with these statistics; epsilon, scale and shift stay."""
    names = (f"{stem}_mean", f"{stem}_variance")
    for name, values in zip(names, (mean, variance), strict=True):
        model.graph.initializer.append(numpy_helper.from_array(values, name))
    node.op_type = "BatchNormalization"
    node.input.extend(names)


def _statistics(
    model: ModelProto, maps: tuple[str, ...], images: Images, where: str
) -> dict[str, tuple[Images, Images]]:
    """Mean and variance (C,) of each of ``maps``, over pixels of each image, then averaged over images."""
    means: dict[str, list[Float64]] = {name: [] for name in maps}
    variances: dict[str, list[Float64]] = {name: [] for name in maps}
    for image in images:
        for name, values in run_model(model, maps, image[None], where).items():
            if name in means:
                pixels = values.astype(np.float64).reshape(values.shape[1], -1)
                means[name].append(pixels.mean(axis=1))
                variances[name].append(pixels.var(axis=1))
    return {
        name: (np.mean(means[name], axis=0).astype(np.float32), np.mean(variances[name], axis=0).astype(np.float32))
        for name in maps
    }
