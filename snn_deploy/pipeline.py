"""The main job as functions: read a model, convert it, run it. The command line and notebooks call these."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from snn_deploy.conversion.calibrate import Images, Probe
from snn_deploy.conversion.lower import Conversion, lower
from snn_deploy.conversion.options import Options
from snn_deploy.errors import ConversionError
from snn_deploy.frontend.onnx import Imported, read
from snn_deploy.graph import Graph
from snn_deploy.passes import normal_form


@dataclass(frozen=True, eq=False)
class Converted:
    """A conversion and the model it came from."""

    model: Imported
    conversion: Conversion


def convert(
    model: Path, images: Images, options: Options | None = None, size: tuple[int, int] | None = None
) -> Converted:
    """Convert ``model`` for images of ``size`` (H, W), by default that of the calibration ``images``.

    ``images`` are float32 (B, C, H, W), all of one size; they need not have ``size``.
    """
    sizes = {image.shape[2:] for image in images}
    if len(sizes) != 1:
        raise ConversionError(f"calibration images must share one size; there are {sorted(sizes)}")
    height, width = sizes.pop()
    calibration_graph = normal_form(read(model, (height, width)).graph)
    imported = read(model, size or (height, width))
    graph = calibration_graph if size in (None, (height, width)) else normal_form(imported.graph)
    named = replace(graph, name=model.stem)
    return Converted(imported, lower(named, calibration_graph, images, options or Options()))


def float_probe(model: Path, size: tuple[int, int]) -> Probe:
    """The float network at ``size`` (H, W), as onnxruntime computes it before any pass."""
    graph: Graph = read(model, size).graph
    return Probe(graph, ())
