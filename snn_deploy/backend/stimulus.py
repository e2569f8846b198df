"""From real images to input payloads, and the digest that names them."""

from __future__ import annotations

import hashlib

import numpy as np

from snn_deploy.arrays import Float32, Float64, Int64
from snn_deploy.errors import StimulusError
from snn_deploy.network.network import Network


def quantize_images(network: Network, image: Float32 | Float64) -> Int64:
    """Input payloads (B, C, H, W) int64 of real images (B, C, H, W): ``clip(rint(x / unit))``, ties to even."""
    if image.ndim != 4 or image.shape[1:] != network.input.shape:
        raise StimulusError(
            f"image {image.shape}: network {network.name} reads (batch, {', '.join(map(str, network.input.shape))}); "
            "crop or pad the image, or convert for its size"
        )
    if not np.all(np.isfinite(image)):
        raise StimulusError("the image holds values that are not finite")
    counts = np.rint(image.astype(np.float64) / network.input.unit[:, None, None])
    return np.clip(counts, network.input.input_min, network.input.input_max).astype(np.int64)


def check_stimulus(network: Network, stimulus: Int64) -> None:
    """:class:`StimulusError` unless ``stimulus`` is (B, C, H, W) int64 within the input's payload limits."""
    if stimulus.dtype != np.int64 or stimulus.ndim != 4 or stimulus.shape[1:] != network.input.shape:
        raise StimulusError(
            f"stimulus {stimulus.dtype} {stimulus.shape}: network {network.name} reads int64 (batch, "
            f"{', '.join(map(str, network.input.shape))})"
        )
    if stimulus.shape[0] < 1:
        raise StimulusError("the stimulus contains no images")
    low, high = network.input.input_min, network.input.input_max
    if stimulus.min() < low or stimulus.max() > high:
        raise StimulusError(f"stimulus spans {stimulus.min()}..{stimulus.max()}; the input carries {low}..{high}")


def digest_stimulus(stimulus: Int64) -> str:
    """SHA-256 of shape and values, so that runs of different images are never compared."""
    data = np.ascontiguousarray(stimulus, dtype="<i8")
    return hashlib.sha256(repr(data.shape).encode() + data.tobytes()).hexdigest()
