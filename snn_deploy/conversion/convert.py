"""Conversion of a model from file to network; the API and the command line call these.

A model is an ONNX file, or its bytes where it was sent from another machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from snn_deploy.backend.protocol import Progress
from snn_deploy.conversion.calibrate import ActivationProbe, Statistics
from snn_deploy.conversion.lower import Conversion, lower
from snn_deploy.conversion.options import Options
from snn_deploy.data.calibration import PATCH
from snn_deploy.data.images import Images
from snn_deploy.errors import ConversionError
from snn_deploy.frontend.onnx import Imported, own_size, read
from snn_deploy.graph.graph import Graph
from snn_deploy.passes import normal_form
from snn_deploy.shapes import Size

Model = Path | bytes


@dataclass(frozen=True, eq=False)
class Converted:
    """A conversion and the model it came from."""

    model: Imported
    conversion: Conversion


def input_size(model: Model) -> Size:
    """Height and width that are fixed in the model, else ``PATCH`` squared."""
    return own_size(model) or (PATCH, PATCH)


def input_channels(model: Model, size: Size) -> int:
    """Channels of the model's input."""
    return read(model, size).graph.input_shape[0]


def convert(
    model: Model,
    images: Images,
    options: Options | None = None,
    size: Size | None = None,
    statistics: Mapping[str, Statistics] | None = None,
    progress: Progress | None = None,
) -> Converted:
    """Convert ``model`` for images of ``size`` (H, W), by default the model's own, else that of the calibration images.

    ``images`` are float32 (B, C, H, W), all of one size, which may differ from ``size``. The network's ``config`` records
    the options and the digests of the model and the images. ``statistics`` of an earlier conversion of the same model
    with the same images (``Conversion.statistics``) are reused instead of measured again. ``progress`` is told how far it is.
    """
    sizes = {image.shape[2:] for image in images}
    if len(sizes) != 1:
        raise ConversionError(f"calibration images must have one size; found {sorted(sizes)}")
    height, width = sizes.pop()
    target_size = size or own_size(model) or (height, width)
    calibration_graph = normal_form(read(model, (height, width)).graph)
    imported = read(model, target_size)
    graph = calibration_graph if target_size == (height, width) else normal_form(imported.graph)
    name, file = (_utf8(model.stem), _utf8(model.name)) if isinstance(model, Path) else ("model", "model")
    named = replace(graph, name=name)
    conversion = lower(named, calibration_graph, images, options or Options(), None, statistics, progress)
    config = {
        **conversion.network.config,
        "model": file,
        "model_sha256": imported.sha256,
        "calibration_images": sum(image.shape[0] for image in images),
        "calibration_sha256": _digest(images),
    }
    return Converted(imported, replace(conversion, network=replace(conversion.network, config=config)))


def _utf8(name: str) -> str:
    """A file name as text that an artifact can hold: bytes that are not UTF-8, surrogates to Python, are escaped."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _digest(images: Images) -> str:
    digest = hashlib.sha256()
    for image in images:
        digest.update(repr(image.shape).encode() + np.ascontiguousarray(image, "<f4").tobytes())
    return digest.hexdigest()


def open_float_probe(model: Model, size: Size) -> ActivationProbe:
    """The float network at ``size`` (H, W), computed by onnxruntime before any pass."""
    graph: Graph = read(model, size).graph
    return ActivationProbe(graph, ())
