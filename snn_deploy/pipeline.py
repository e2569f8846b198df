"""The main job as functions: read a model, convert it, run it. The command line and notebooks call these.

A model is an ONNX file, or its bytes where it came from another machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from snn_deploy.backend import stimulus_of
from snn_deploy.conversion.calibrate import Images, Probe, Statistics
from snn_deploy.conversion.lower import Conversion, lower
from snn_deploy.conversion.options import Options
from snn_deploy.errors import ConversionError, NetworkError, StimulusError
from snn_deploy.frontend.onnx import Imported, own_size, read
from snn_deploy.graph import Graph
from snn_deploy.network import Network
from snn_deploy.passes import normal_form
from snn_deploy.tasks import images as pictures

PATCH = 128
"""Side of a calibration patch where the model leaves the size open."""

PATCHES = 32
"""Patches that activations are measured on."""

Size = tuple[int, int]
Model = Path | bytes


@dataclass(frozen=True, eq=False)
class Converted:
    """A conversion and the model it came from."""

    model: Imported
    conversion: Conversion


def input_size(model: Model) -> Size:
    """Height and width that the model itself fixes, else ``PATCH`` squared."""
    return own_size(model) or (PATCH, PATCH)


def input_channels(model: Model, size: Size) -> int:
    """Channels of the model's input."""
    return read(model, size).graph.input_shape[0]


def calibration_images(
    source: Path | Sequence[pictures.Image] | None,
    channels: int,
    noise: float = 0.0,
    seed: int = 0,
    patch: Size | None = None,
) -> Images:
    """``PATCHES`` random patches, with Gaussian noise, of the images of a folder, of arrays, or of scikit-image's photographs.

    Patches have size ``patch`` (H, W), by default ``PATCH`` squared, or less where an image is smaller.
    """
    if source is None:
        found: Sequence[pictures.Image] = pictures.bundled_images(channels)
    elif isinstance(source, Path):
        found = [pictures.read_image(path, channels) for path in pictures.image_paths(source)]
    else:
        found = [pictures.checked(image, channels) for image in source]
    cut = pictures.patches(found, patch or (PATCH, PATCH), PATCHES, seed)
    return [pictures.add_noise(item, noise, seed + 1 + index) for index, item in enumerate(cut)]


def convert(
    model: Model,
    images: Images,
    options: Options | None = None,
    size: Size | None = None,
    statistics: Mapping[str, Statistics] | None = None,
) -> Converted:
    """Convert ``model`` for images of ``size`` (H, W), by default the model's own, else that of the calibration images.

    ``images`` are float32 (B, C, H, W), all of one size; they need not have ``size``. The network's ``config`` records
    the options, and which model and which images they were used with. ``statistics`` of an earlier conversion of the
    same model with the same images (``Conversion.statistics``) save measuring them again.
    """
    sizes = {image.shape[2:] for image in images}
    if len(sizes) != 1:
        raise ConversionError(f"calibration images must share one size; there are {sorted(sizes)}")
    height, width = sizes.pop()
    wanted = size or own_size(model) or (height, width)
    calibration_graph = normal_form(read(model, (height, width)).graph)
    imported = read(model, wanted)
    graph = calibration_graph if wanted == (height, width) else normal_form(imported.graph)
    name = model.stem if isinstance(model, Path) else "model"
    conversion = lower(replace(graph, name=name), calibration_graph, images, options or Options(), None, statistics)
    config = {
        **conversion.network.config,
        "model": model.name if isinstance(model, Path) else name,
        "model_sha256": imported.sha256,
        "calibration_images": sum(image.shape[0] for image in images),
        "calibration_sha256": _digest(images),
    }
    return Converted(imported, replace(conversion, network=replace(conversion.network, config=config)))


def _digest(images: Images) -> str:
    found = hashlib.sha256()
    for image in images:
        found.update(repr(image.shape).encode() + np.ascontiguousarray(image, "<f4").tobytes())
    return found.hexdigest()


def float_probe(model: Model, size: Size) -> Probe:
    """The float network at ``size`` (H, W), as onnxruntime computes it before any pass."""
    graph: Graph = read(model, size).graph
    return Probe(graph, ())


def stimulus_at(
    network: Network, image: pictures.Image, what: str = "the image"
) -> tuple[Network, npt.NDArray[np.int64]]:
    """``network`` at the size of ``image`` (B, C, H, W), and the image's input payloads.

    :class:`StimulusError` names the nearest smaller size where the network cannot have this one.
    """
    image = pictures.checked(image, network.input.shape[0], what)
    height, width = image.shape[2:]
    sized = network if (height, width) == network.input.shape[1:] else _resized(network, height, width, what)
    return sized, stimulus_of(sized, image)


def _resized(network: Network, height: int, width: int, what: str) -> Network:
    try:
        return network.at_size(height, width)
    except NetworkError as error:
        fitting = _fitting(network, height, width)
        advice = "convert the model for this size" if fitting is None else f"use --crop {fitting[0]}x{fitting[1]}"
        raise StimulusError(f"{what}: {network.name} cannot take {height}x{width} pixels; {advice}") from error


def _fitting(network: Network, height: int, width: int) -> Size | None:
    """The largest size within ``height`` x ``width`` whose sides are multiples of one power of two, if any fits."""
    for step in (2, 4, 8, 16, 32, 64):
        size = height // step * step, width // step * step
        try:
            network.at_size(*size)
        except NetworkError:
            continue
        return size
    own = network.input.shape[1:]
    return (own[0], own[1]) if own[0] <= height and own[1] <= width else None
