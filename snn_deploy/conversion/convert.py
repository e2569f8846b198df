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
from snn_deploy.conversion.akida import check_akida
from snn_deploy.conversion.calibrate import ActivationProbe, Statistics
from snn_deploy.conversion.lower import Conversion, lower
from snn_deploy.conversion.options import Options
from snn_deploy.data.calibration import PATCH
from snn_deploy.data.images import Images
from snn_deploy.errors import ConversionError, ModelError, NetworkError, UnsupportedModelError
from snn_deploy.frontend.onnx import Imported, inspect, own_channels, own_range, own_sides, own_size, read
from snn_deploy.frontend.onnx.sizes import list_near_sizes
from snn_deploy.graph.graph import Graph
from snn_deploy.network.picture_scale import PictureScale
from snn_deploy.passes import normal_form
from snn_deploy.shapes import Size

Model = Path | bytes

LINE = 1024
"""Length of calibration lines where neither model nor user says any."""

LARGEST = 256
"""Side in pixels up to which calibration images are as large as those of the network."""

OF_A_SIZE = ("do not fit", "does not fit", "must have one shape", "cuts axes apart", "do not divide")
"""Words of refusals that another size may mend."""


@dataclass(frozen=True, eq=False)
class Converted:
    """A conversion and the model it came from."""

    model: Imported
    conversion: Conversion


def input_size(model: Model) -> Size:
    """Height and width that are fixed in the model, else ``PATCH`` squared, or for lines, which are 1 high, ``LINE`` long."""
    height, width = own_sides(model)
    if height == 1:
        return 1, width or LINE
    return (height, width) if height and width else (PATCH, PATCH)


def calibration_size(model: Model, size: Size | None) -> Size | None:
    """Height and width of calibration images for a network of ``size``; ``None`` where neither it nor the model says any.

    That of the network up to :data:`LARGEST` pixels a side. Larger ones are measured on parts of that size, at a fraction of
    the time, unless the model fixes its size, does not support the part, or averages over the whole image.
    """
    fixed = own_size(model)
    wanted = size or fixed or (input_size(model) if own_sides(model)[0] == 1 else None)
    if wanted is None or fixed is not None or max(wanted) <= LARGEST:
        return wanted
    part = min(wanted[0], LARGEST), min(wanted[1], LARGEST)
    ledger = inspect(model, part)
    whole = any(row.operator in ("GlobalAveragePool", "ReduceMean") and row.fate == "mapped" for row in ledger.rows)
    return wanted if whole or ledger.refused else part


def input_channels(model: Model, size: Size) -> int:
    """Channels of the model's input."""
    return _read(model, size).graph.input_shape[0]


def _read(model: Model, size: Size) -> Imported:
    """The model at ``size``; where only the size is wrong, the error names sizes that fit."""
    try:
        return read(model, size)
    except UnsupportedModelError as error:
        if not any(words in reason for reason in error.reasons for words in OF_A_SIZE):
            raise
        fitting = [other for other in list_near_sizes(size) if min(other) > 0 and not inspect(model, other).refused]
        smaller = [other for other in fitting if other < size][:1]
        larger = [other for other in fitting if other > size][:1]
        found = " or ".join(f"{height}x{width}" for height, width in smaller + larger)
        if not found and "does not fit into" in error.reasons[0]:
            found = f"a larger size than {size[0]}x{size[1]}"
        own = own_size(model)
        if not found and own is not None and not inspect(model, own).refused:
            found = f"{own[0]}x{own[1]}, the model's own size"
        if not found:
            raise
        raise ModelError(
            f"{error.where}: does not support images of {size[0]}x{size[1]}; use {found} (--size)"
        ) from error


def input_scale(
    model: Model,
    span: tuple[float, float] | None = None,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
) -> PictureScale:
    """How pictures become inputs of ``model``: as given, else as its file tells, else from 0 to 1 without mean and deviation.

    :class:`ConversionError` for numbers that fit neither each other nor the model's channels.
    """
    low, high = span or own_range(model) or (0.0, 1.0)
    try:
        scale = PictureScale(float(low), float(high), mean or (0.0,), std or (1.0,))
        return scale.check(own_channels(model))
    except NetworkError as error:
        raise ConversionError(str(error)) from error


def convert(
    model: Model,
    images: Images,
    options: Options | None = None,
    size: Size | None = None,
    statistics: Mapping[str, Statistics] | None = None,
    progress: Progress | None = None,
    *,
    picture: PictureScale | None = None,
) -> Converted:
    """Convert ``model`` for images of ``size`` (H, W), by default the model's own, else that of the calibration images.

    ``images`` are float32 (B, C, H, W), all of one size, which may differ from ``size``. The network's ``config`` records
    the options and the digests of the model and the images. ``statistics`` of an earlier conversion of the same model
    with the same images (``Conversion.statistics``) are reused instead of measured again. ``progress`` is told how far it is.
    ``picture`` says how pictures become the numbers of ``images``; by default what the model's file tells.
    """
    sizes = {image.shape[2:] for image in images}
    if len(sizes) != 1:
        raise ConversionError(f"calibration images must have one size; found {sorted(sizes)}")
    height, width = sizes.pop()
    target_size = size or own_size(model) or (height, width)
    options = options or Options()
    calibration_graph = normal_form(_read(model, (height, width)).graph, options.form)
    imported = _read(model, target_size)
    same = target_size == (height, width)
    graph = calibration_graph if same else normal_form(imported.graph, options.form)
    name, file = (_utf8(model.stem), _utf8(model.name)) if isinstance(model, Path) else ("model", "model")
    named = replace(graph, name=name)
    conversion = lower(named, calibration_graph, images, options, None, statistics, progress)
    config = {
        **conversion.network.config,
        "model": file,
        "model_sha256": imported.sha256,
        "calibration_images": sum(image.shape[0] for image in images),
        "calibration_sha256": _digest(images),
    }
    network = replace(conversion.network, config=config, picture=picture or input_scale(model))
    if options.device == "akida":
        check_akida(network)
    return Converted(imported, replace(conversion, network=network))


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
