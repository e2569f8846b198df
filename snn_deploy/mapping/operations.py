"""Synaptic operations where they are done: at every neuron, on every core, in every step.

Per axis everything follows from where taps land: under one tap, source rows and the rows that they reach are evenly spaced.
"""

from __future__ import annotations

import numpy as np

from snn_deploy.activity.activity import Activity
from snn_deploy.activity.synapses import locate_targets
from snn_deploy.arrays import Float64, Int32, Int64
from snn_deploy.mapping.tiling import ONE_NEURON, Tile
from snn_deploy.network.kernels import ConvKernel, Kernel, SpatialKernel, TransposedKernel
from snn_deploy.network.network import Network
from snn_deploy.shapes import Shape


def map_operations(network: Network, activity: Activity, population: str) -> Float64:
    """Operations (C, H, W) float64 at each neuron of ``population`` for the mean image of ``activity``."""
    shape = network.population(population).shape
    found = np.zeros(shape)
    for connection in network.incoming(population):
        found += count_operations(connection.kernel, activity.population(connection.source).mean, shape, ONE_NEURON)
    return found


def measure_operations(kernel: Kernel, events: Int32, shape: Shape, tile: Tile) -> Float64:
    """Operations (steps, cores of the target) float64 of ``events`` (steps, C, H, W) in the tiles of a target of ``shape``.

    The same numbers as in :class:`~snn_deploy.mapping.traffic.Traffic`, step by step: sums over the columns, then the rows, that
    reach a tile.
    """
    if isinstance(kernel, SpatialKernel):
        return np.stack([count_operations(kernel, maps.astype(np.float64), shape, tile).ravel() for maps in events])
    taps = count_taps(kernel, tile.channels)
    landed = locate_targets(kernel, (events.shape[1], events.shape[2], events.shape[3]), (shape[1], shape[2]))
    rows = _landings(landed[0], tile.rows, -(-shape[1] // tile.rows))
    columns = _landings(landed[1], tile.columns, -(-shape[2] // tile.columns))
    weights = taps.transpose(0, 2, 3, 1).reshape(taps.shape[0], -1).astype(np.float64)
    found = []
    for maps in events:
        narrow = np.matmul(maps.astype(np.float64), columns.reshape(columns.shape[0], -1))  # (C, H, K_w tiles)
        small = np.matmul(rows.reshape(rows.shape[0], -1).T, narrow)  # (C, K_h tiles, K_w tiles)
        parts = small.reshape(-1, *rows.shape[1:], *columns.shape[1:]).transpose(1, 3, 0, 2, 4)
        found.append((weights @ parts.reshape(weights.shape[1], -1)).ravel())
    return np.stack(found)


def _landings(landed: Int64, part: int, tiles: int) -> Float64:
    """1 where a source row (or column) reaches a tile under a tap: (H, K, tiles) float64 from its targets (K, H)."""
    met = np.zeros((landed.shape[1], landed.shape[0], tiles))
    taps, places = np.nonzero(landed >= 0)
    met[places, taps, landed[taps, places] // part] = 1
    return met


def count_operations(kernel: Kernel, mean: Float64, shape: Shape, tile: Tile) -> Float64:
    """Operations (blocks, row tiles, column tiles) float64 of ``mean`` events (C, H, W) in the tiles that cover ``shape``."""
    if isinstance(kernel, SpatialKernel):
        places = np.zeros((mean.shape[0], kernel.indptr.size - 1))
        connected = kernel.data != 0
        np.add.at(places.T, kernel.rows[connected], mean.reshape(mean.shape[0], -1).T[kernel.indices[connected]])
        per_block = sum_parts(places, tile.channels, 0)
        shape = mean.shape[0], *kernel.output_size
    else:
        taps = count_taps(kernel, tile.channels).astype(np.float64)
        rows, columns = locate_targets(kernel, (mean.shape[0], mean.shape[1], mean.shape[2]), (shape[1], shape[2]))
        if not any(mean.strides):  # one value everywhere: the channels can be summed first
            taps, mean = taps.sum(1, keepdims=True), mean[:1]
        per_block = np.zeros((taps.shape[0], *shape[1:]))
        for h, target_rows in enumerate(rows):
            for w, target_columns in enumerate(columns):
                (y, to_y), (x, to_x) = _progressions(target_rows), _progressions(target_columns)
                per_block[:, to_y, to_x] += np.tensordot(taps[:, :, h, w], mean[:, y, x], 1)
    maps = per_block.reshape(-1, *shape[1:])
    return sum_parts(sum_parts(maps, tile.rows, 1), tile.columns, 2)


def count_taps(kernel: ConvKernel | TransposedKernel, part: int) -> Int64:
    """Non-zero weights (blocks, C_in, K_h, K_w) int64 from channels into blocks of ``part`` channels."""
    used = kernel.weight != 0
    if isinstance(kernel, TransposedKernel):
        by_group = used.reshape(kernel.groups, len(used) // kernel.groups, *used.shape[1:])
        used = np.concatenate(by_group.swapaxes(1, 2))
    outputs, inputs = used.shape[:2]
    counts = np.zeros((-(-outputs // part), inputs * kernel.groups, *used.shape[2:]), np.int64)
    for output in range(outputs):
        group = output // (outputs // kernel.groups)
        counts[output // part, group * inputs : (group + 1) * inputs] += used[output]
    return counts


def _progressions(landed: Int64) -> tuple[slice, slice]:
    """Places of an axis that reach the target under one tap, and where they land: both are evenly spaced."""
    places = np.flatnonzero(landed >= 0)
    return _slice(places), _slice(landed[places])


def _slice(values: Int64) -> slice:
    """Evenly spaced ``values`` as a slice."""
    if values.size == 0:
        return slice(0, 0)
    step = int(values[1] - values[0]) if values.size > 1 else 1
    return slice(int(values[0]), int(values[-1]) + 1, step)


def sum_parts(values: Float64, part: int, axis: int) -> Float64:
    """Sums over runs of ``part`` along ``axis``."""
    return np.add.reduceat(values, np.arange(0, values.shape[axis], part), axis=axis)
