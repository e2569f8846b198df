"""A connection as a list of its synapses between flat (X, Y, C) maps, the entries of a sparse matrix."""

from __future__ import annotations

import numpy as np

from snn_deploy_lava.runtime import axes
from snn_deploy_lava.runtime.arithmetic import Array, Int64
from snn_deploy_lava.runtime.description import Description, Record

Size = tuple[int, int, int]


def list_synapses(connection: Record, network: Description, source: Size, target: Size) -> tuple[Int64, Int64, Array]:
    """(rows, columns, weights) of ``connection`` between maps of shapes ``source`` and ``target``, without zeros."""
    kernel = connection["kernel"]
    if kernel["kind"] == "spatial":
        rows, columns, weights = _pixel_map(kernel, network, source[2])
    else:
        rows, columns, weights = _taps(kernel, axes.kernel_to_lava(network.tensors[kernel["weight"]]), source, target)
    nonzero = weights != 0
    return rows[nonzero], columns[nonzero], weights[nonzero].astype(np.int32)


def _pixel_map(kernel: Record, network: Description, channels: int) -> tuple[Int64, Int64, Array]:
    indptr, indices, data = (network.tensors[kernel[part]] for part in ("indptr", "indices", "data"))
    rows = np.repeat(np.arange(indptr.size - 1, dtype=np.int64), np.diff(indptr))
    channel = np.arange(channels)
    to_pixel = axes.pixels_to_lava(rows, kernel["output_size"])[:, None] * channels + channel
    from_pixel = axes.pixels_to_lava(indices, kernel["input_size"])[:, None] * channels + channel
    return to_pixel.reshape(-1), from_pixel.reshape(-1), np.repeat(data, channels)


def _taps(kernel: Record, weight: Array, source: Size, target: Size) -> tuple[Int64, Int64, Array]:
    """Every tap's pairs of pixels times its pairs of channels; ``weight`` (C_out, K_x, K_y, C_in), or (C_in, ..., C_out).

    A convolution reads pixel ``s * out + d * tap - pad``, a transposed one writes pixel ``s * in + d * tap - pad``.
    """
    transposed = kernel["kind"] == "transposed"
    coarse, fine = (source, target) if transposed else (target, source)
    steps, gaps = axes.pair_to_lava(kernel["strides"]), axes.pair_to_lava(kernel["dilations"])
    pads = axes.pads_to_lava(kernel["pads"])[:2]
    first, second, values = _channels(weight, kernel["groups"])
    triples: list[tuple[Array, Array, Array]] = []
    for tap in np.ndindex(weight.shape[1:3]):
        near_x, far_x = _pairs(coarse[0], fine[0], steps[0], gaps[0] * tap[0] - pads[0])
        near_y, far_y = _pairs(coarse[1], fine[1], steps[1], gaps[1] * tap[1] - pads[1])
        near = (near_x[:, None] * coarse[1] + near_y).reshape(-1, 1) * coarse[2] + first
        far = (far_x[:, None] * fine[1] + far_y).reshape(-1, 1) * fine[2] + second
        weights = np.broadcast_to(values[:, tap[0], tap[1]], near.shape)
        triples.append((far, near, weights) if transposed else (near, far, weights))
    rows, columns, weights = (np.concatenate([part[index].reshape(-1) for part in triples]) for index in range(3))
    return rows, columns, weights


def _channels(weight: Array, groups: int) -> tuple[Int64, Int64, Array]:
    """Channel at the coarse end, channel at the fine end, and taps (pairs, K_x, K_y) of every pair in one group."""
    leading, _, _, trailing = weight.shape
    lead, trail = (index.reshape(-1) for index in np.meshgrid(np.arange(leading), np.arange(trailing), indexing="ij"))
    group = lead // (leading // groups)
    return lead, group * trailing + trail, weight[lead, :, :, trail]


def _pairs(coarse: int, fine: int, step: int, shift: int) -> tuple[Int64, Int64]:
    """Coarse indices n and fine indices ``step * n + shift``, both inside their maps."""
    near = np.arange(coarse, dtype=np.int64)
    far = step * near + shift
    inside = (far >= 0) & (far < fine)
    return near[inside], far[inside]
