"""From real images to input payloads, and the digest that names them."""

from __future__ import annotations

import hashlib
import warnings

import numpy as np

from snn_deploy.arrays import Float32, Float64, Int64
from snn_deploy.errors import BackendUnavailableError, ClippedInputWarning, StimulusError
from snn_deploy.network.network import Network

CLIPPED = 0.05
"""Share of clipped values above which an image is suspect; noise takes a few values of any image out of the range."""

WRONG = 0.9
"""Share of clipped values above which it is an image of another scale, and an error."""

FAR = 2.0
"""A single value that is as many times beyond the range is suspect, too; where more than :data:`CLIPPED` are clipped, an error."""


def quantize_images(network: Network, image: Float32 | Float64, *, judged: bool = True) -> Int64:
    """Input payloads (B, C, H, W) int64 of real images (B, C, H, W): ``clip(rint(x / unit))``, ties to even.

    Images of every step of a window, (B, T, C, H, W), alike.

    :class:`~snn_deploy.errors.ClippedInputWarning` where more than :data:`CLIPPED` of the values are clipped by a level or
    more, or any value is :data:`FAR` times beyond the range. :class:`StimulusError` where both hold, or above a share of
    :data:`WRONG`, as of values from 0 to 255 where the network was calibrated from 0 to 1: little of such an image is left.
    Not ``judged``: values are clipped without a word.
    """
    if image.ndim == 5:
        flat = quantize_images(network, image.reshape(-1, *image.shape[2:]), judged=judged)
        return flat.reshape(*image.shape[:2], *flat.shape[1:])
    if image.ndim != 4 or image.shape[1:] != network.input.shape:
        raise StimulusError(
            f"image {image.shape}: network {network.name} reads (batch, {', '.join(map(str, network.input.shape))}); "
            "crop or pad the image, or convert for its size"
        )
    if not np.all(np.isfinite(image)):
        raise StimulusError("the image holds values that are not finite")
    counts = np.rint(image.astype(np.float64) / network.input.unit[:, None, None])
    if judged:
        _judge_clipping(network, image, counts)
    return np.clip(counts, network.input.input_min, network.input.input_max).astype(np.int64)


def _judge_clipping(network: Network, image: Float32 | Float64, counts: Float64) -> None:
    low, high, unit = network.input.input_min, network.input.input_max, network.input.unit
    if not counts.size or (counts.min() >= low - 1 and counts.max() <= high + 1):
        return
    outside = (counts < low - 1) | (counts > high + 1)
    share = float(np.mean(outside))
    far = counts.max() > FAR * max(high, 1) or counts.min() < FAR * min(low, -high)
    if share > CLIPPED or far:
        extreme = float(image.reshape(-1)[np.where(outside, np.abs(image), 0).argmax()])
        clipped = ClippedInputWarning(share, extreme, float(low * unit.max()), float(high * unit.max()))
        if share > WRONG or (share > CLIPPED and far):
            raise StimulusError(str(clipped))
        warnings.warn(clipped, stacklevel=3)


def check_stimulus(network: Network, stimulus: Int64, *, varying: bool = False) -> None:
    """:class:`StimulusError` unless ``stimulus`` is (B, C, H, W) int64 within the input's payload limits.

    ``varying``: the backend takes (B, T, C, H, W), too, in ``rate`` mode: what the host sends in each of the window's T steps.
    """
    if stimulus.ndim == 5:
        _check_varying(network, stimulus, varying)
        stimulus = stimulus.reshape(-1, *stimulus.shape[2:])
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


def _check_varying(network: Network, stimulus: Int64, allowed: bool) -> None:
    if not allowed:
        raise BackendUnavailableError(
            f"network {network.name}: this backend sends one image in every step, none that changes from step to step; use "
            "reference, cpu or lava"
        )
    if network.mode != "rate":
        raise StimulusError(
            f"network {network.name} is in exact mode, which takes one image, or the frames of a stream; only rate mode takes "
            "an input for every step"
        )
    if stimulus.shape[1] != network.steps:
        raise StimulusError(
            f"stimulus of {stimulus.shape[1]} steps; network {network.name} has windows of {network.steps}"
        )


def digest_stimulus(stimulus: Int64) -> str:
    """SHA-256 of shape and values, so that runs of different images are never compared."""
    data = np.ascontiguousarray(stimulus, dtype="<i8")
    return hashlib.sha256(repr(data.shape).encode() + data.tobytes()).hexdigest()
