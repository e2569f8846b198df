"""Adapts a network to the size of an image, and the image to input payloads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from snn_deploy.arrays import Int64
from snn_deploy.backend.stimulus import quantize_images
from snn_deploy.data import images as pictures
from snn_deploy.errors import NetworkError, StimulusError
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.network import Network
from snn_deploy.shapes import Size


def prepare_stimulus(network: Network, image: pictures.Image, where: str = "the image") -> tuple[Network, Int64]:
    """``network`` at the size of ``image`` (B, C, H, W), and the image's input payloads.

    Images of every step of a ``rate``-mode window, (B, T, C, H, W), give payloads of every step.

    :class:`StimulusError` names the nearest sizes if the network does not support this one, and where it supports no
    other than its own, the size to convert the model for.
    """
    steps = image.shape[:2] if isinstance(image, np.ndarray) and image.ndim == 5 else None
    flat = image if steps is None else image.reshape(-1, *image.shape[2:])
    flat = pictures.check_image(flat, network.input.shape[0], where)
    height, width = flat.shape[2:]
    sized = network if (height, width) == network.input.shape[1:] else _resized(network, height, width, where)
    payloads = quantize_images(sized, flat)
    return sized, payloads if steps is None else payloads.reshape(*steps, *payloads.shape[1:])


def quantize_dead_zone(network: Network, size: float) -> Int64:
    """A dead zone of ``size / 255`` of the way from black to white in input counts (C, 1, 1), rounded down.

    :class:`StimulusError` unless ``size`` is a number of at least 0.
    """
    if not (math.isfinite(size) and size >= 0):
        raise StimulusError(
            f"dead zone {size:g}: a number of at least 0, in 255ths of the way from black to white, is needed"
        )
    counts = size / 255 * network.picture.gain().astype(np.float64) / network.input.unit[:, None, None]
    whole: Int64 = np.floor(np.minimum(counts, STATE_MAX) + 1e-6).astype(np.int64)  # a whole number of counts stays one
    return whole


def find_largest_size(network: Network, height: int, width: int) -> Size | None:
    """The largest size within ``height`` x ``width`` that ``network`` supports; ``None`` where none is found.

    Its sides are multiples of one number. A network of fixed size (:func:`is_fixed`) has only its own.
    """
    if is_fixed(network):
        own = _own(network)
        return own if own[0] <= height and own[1] <= width else None
    return _first_supported(network, [(height // step * step, width // step * step) for step in _steps(network)])


def is_fixed(network: Network) -> bool:
    """Whether ``network`` supports its own size only, because something in it is made pixel by pixel.

    Means over a whole map, resizing that aligns the corners and learned biases by pixel are; what repeats itself away from
    the borders, such as bilinear resizing by a fixed factor, is not (:mod:`snn_deploy.network.pixel_maps`).
    """
    height, width = _own(network)
    try:
        network.at_size(2 * height, 2 * width)  # passes every pooling that the own size passes
    except NetworkError:
        return True
    return False


def _resized(network: Network, height: int, width: int, where: str) -> Network:
    try:
        return network.at_size(height, width)
    except NetworkError as error:
        advice = _advise_conversion(network, height, width) if is_fixed(network) else _advise(network, height, width)
        raise StimulusError(f"{where}: {network.name} does not support {height}x{width} pixels; {advice}") from error


def _advise_conversion(network: Network, height: int, width: int) -> str:
    """What to do with a network of fixed size: the model itself can be converted for another one."""
    own, step = _own(network), _reduction(network)
    smaller, larger = (
        (height // step * step, width // step * step),
        (-(-height // step) * step, -(-width // step) * step),
    )
    sizes = [size for size in dict.fromkeys((smaller, larger)) if min(size) > 0]
    crop = f", or crop the image to {_text(own)}" if own[0] <= height and own[1] <= width else ""
    return (
        f"resizing, reflection or biases by pixel fix it to {_text(own)}: convert the model again with size "
        f"{' or '.join(map(_text, sizes))}{crop}"
    )


def _advise(network: Network, height: int, width: int) -> str:
    smaller = find_largest_size(network, height, width)
    larger = _first_supported(
        network, [(-(-height // step) * step, -(-width // step) * step) for step in _steps(network)]
    )
    ways = (("crop the image to", smaller), ("pad it to", larger))
    advice = [f"{way} {_text(size)}" for way, size in ways if size is not None]
    return " or ".join(advice) if advice else f"it supports {_text(_own(network))}"


def _first_supported(network: Network, sizes: Sequence[Size]) -> Size | None:
    for size in sizes:
        with suppress(NetworkError):
            if min(size) > 0:
                network.at_size(*size)
                return size
    return None


def _own(network: Network) -> Size:
    return network.input.shape[1], network.input.shape[2]


def _reduction(network: Network) -> int:
    """By how much the smallest map is smaller than the image; multiples of it pass every pooling without a rest."""
    height = network.input.shape[1]
    return max(height // population.shape[1] for population in network.populations)


def _steps(network: Network) -> list[int]:
    """Numbers of which the sides of a supported size may be multiples, the smallest first."""
    return sorted({2, 4, 8, 16, 32, 64, _reduction(network)})


def _text(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
