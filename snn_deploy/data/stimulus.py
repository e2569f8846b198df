"""Adapts a network to the size of an image, and the image to input payloads."""

from __future__ import annotations

from snn_deploy.arrays import Int64
from snn_deploy.backend.stimulus import quantize_images
from snn_deploy.data import images as pictures
from snn_deploy.errors import NetworkError, StimulusError
from snn_deploy.network.network import Network
from snn_deploy.shapes import Size


def prepare_stimulus(network: Network, image: pictures.Image, where: str = "the image") -> tuple[Network, Int64]:
    """``network`` at the size of ``image`` (B, C, H, W), and the image's input payloads.

    :class:`StimulusError` names the nearest smaller size if the network does not support this one.
    """
    image = pictures.check_image(image, network.input.shape[0], where)
    height, width = image.shape[2:]
    sized = network if (height, width) == network.input.shape[1:] else _resized(network, height, width, where)
    return sized, quantize_images(sized, image)


def _resized(network: Network, height: int, width: int, where: str) -> Network:
    try:
        return network.at_size(height, width)
    except NetworkError as error:
        fitting = _fitting(network, height, width)
        advice = "convert the model for this size" if fitting is None else f"use --crop {fitting[0]}x{fitting[1]}"
        raise StimulusError(f"{where}: {network.name} does not support {height}x{width} pixels; {advice}") from error


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
