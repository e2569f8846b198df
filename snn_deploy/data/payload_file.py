"""Files of input payloads: ``.npy`` of int64, as a bundle's ``input.npy``; no range or size has to be known to read them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from snn_deploy.arrays import Int64
from snn_deploy.data.array_file import map_array
from snn_deploy.errors import NetworkError, StimulusError
from snn_deploy.network.network import Network


def holds_payloads(path: Path) -> bool:
    """Whether ``path`` is a ``.npy`` file of int64, (B, C, H, W) or (B, T, C, H, W): payloads, not values of pixels."""
    array = map_array(path)
    return array is not None and bool(array.dtype == np.int64 and array.ndim in (4, 5) and array.size)


def read_payloads(network: Network, path: Path) -> tuple[Network, Int64]:
    """``network`` at the size of the payloads in the file at ``path``, and these, as :func:`holds_payloads` knows them.

    :class:`StimulusError` where ``network`` has no such size, other channels, or other limits.
    """
    return fit_payloads(network, [np.load(path, allow_pickle=False)], path)


def fit_payloads(network: Network, found: Sequence[Int64], path: Path) -> tuple[Network, Int64]:
    """``network`` at the size of the payloads ``found``, int64 in the file at ``path``, and these as one batch."""
    shapes = {part.shape[1:] for part in found}
    channels, *size = found[0].shape[-3:]
    if len(shapes) > 1 or channels != network.input.shape[0]:
        raise StimulusError(
            f"{path}: stimuli {sorted(shapes)}; {network.name} reads {network.input.shape[0]} channel(s)"
        )
    try:
        sized = network if network.input.shape[1:] == tuple(size) else network.at_size(*size)
    except NetworkError as error:
        raise StimulusError(f"{path}: its images have {size[0]}x{size[1]} pixels: {error}") from error
    low, high = network.input.payload_range
    payloads = np.concatenate(found)
    if payloads.min() < low or payloads.max() > high:
        raise StimulusError(
            f"{path}: payloads {payloads.min()}..{payloads.max()}; the input's limits are {low}..{high}"
        )
    return sized, payloads
