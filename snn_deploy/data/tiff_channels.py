"""TIFF files of 2, 4, 5, ... channels, as satellites and microscopes write them, read by tifffile."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from snn_deploy.arrays import Float32
from snn_deploy.data.array_file import arrange
from snn_deploy.data.picture_file import MAX_PIXELS, telling_damage
from snn_deploy.errors import StimulusError
from snn_deploy.files import check_regular
from snn_deploy.network.picture_scale import PictureScale


def read(path: Path, channels: int, scale: PictureScale) -> Float32:
    """All images of the file as float32 (B, C, H, W), channels first or last in it; integers and floats as in arrays."""
    import tifffile

    check_regular(path, StimulusError)
    with telling_damage(path), tifffile.TiffFile(path) as opened:
        shape = opened.series[0].shape
        if math.prod(shape) > MAX_PIXELS * channels:
            raise StimulusError(f"{path}: {shape} values; at most {MAX_PIXELS} pixels are read; split it into tiles")
        values = np.asarray(opened.series[0].asarray())
    return arrange(values, channels, scale, str(path))
