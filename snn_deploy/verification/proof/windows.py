"""The kernels of a network as linear maps of the neutral form, and a complete division of several maps into blocks.

The weight from input pixel (y', x') to output pixel (y, x) of a window map depends on the tap that joins y' to y and on the
tap that joins x' to x, and on nothing else. For several maps side by side, all pairs (y, y') fall into few classes: those
for which the same taps meet; and so do the pairs (x, x'). A *block* is one class of rows and one of columns: within it, every map
has one matrix of weights (O, C) for all its pixels. Two sums of maps are equal for all inputs if and only if their matrices are
equal in every block, borders, strides and dilations included.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from snn_deploy.arrays import Int64
from snn_deploy.backend.compiled_form import NOWHERE, LinearMap, Pixels, Synapses, Windows
from snn_deploy.errors import CompiledFormError
from snn_deploy.network.kernels import ConvKernel, Kernel, SpatialKernel, TransposedKernel
from snn_deploy.network.network import Network
from snn_deploy.shapes import Pair, Shape

MOST_SYNAPSES = 2**25
"""Synapses that are listed one by one where maps of several kinds are compared; 600 MiB."""


@dataclass(frozen=True, eq=False)
class Block:
    """The weights of every map for one class of pairs of rows and of columns, of which (y, x) and (y', x') are one.

    ``weights`` (maps, O, C) int64.
    """

    weights: Int64
    output: Pair
    input: Pair


def describe_kernel(kernel: Kernel, exponent: int, source: Shape) -> LinearMap:
    """``kernel * 2**exponent`` on maps of shape ``source``, by the equations beside each kernel's class."""
    if isinstance(kernel, SpatialKernel):
        return Pixels(kernel.rows, kernel.indices, kernel.data.astype(np.int64) << exponent)
    weight = kernel.weight.astype(np.int64) << exponent
    _, *sizes = kernel.output_shape(source)
    if isinstance(kernel, ConvKernel):
        rows, columns = (
            _read(sizes[axis], source[1 + axis], weight.shape[2 + axis], _axis(kernel, axis)) for axis in (0, 1)
        )
        return Windows(weight, rows, columns, kernel.groups)
    rows, columns = (
        _written(sizes[axis], source[1 + axis], weight.shape[2 + axis], _axis(kernel, axis)) for axis in (0, 1)
    )
    inputs, per_group, *taps = weight.shape
    grouped = weight.reshape(kernel.groups, inputs // kernel.groups, per_group, *taps).swapaxes(1, 2)
    return Windows(grouped.reshape(-1, inputs // kernel.groups, *taps), rows, columns, kernel.groups)


def describe_connections(
    network: Network, source: str, target: str, delay: int | None = None, *, local: bool = False
) -> tuple[LinearMap, ...]:
    """The maps of all connections between two populations, or of those of one ``delay`` (a lag, where steps are ``local``)."""
    shape = network.population(source).shape
    return tuple(
        describe_kernel(connection.kernel, connection.exponent, shape)
        for connection in network.incoming(target)
        if connection.source == source and delay in (None, network.lag(connection) if local else connection.delay)
    )


def _axis(kernel: ConvKernel | TransposedKernel, axis: int) -> tuple[int, int, int]:
    return kernel.strides[axis], kernel.dilations[axis], kernel.pads[axis]


def _read(outputs: int, inputs: int, taps: int, geometry: tuple[int, int, int]) -> Int64:
    """Place that each tap of a convolution reads: (outputs, taps)."""
    stride, dilation, before = geometry
    place = np.arange(outputs)[:, None] * stride + np.arange(taps) * dilation - before
    return np.where((place >= 0) & (place < inputs), place, NOWHERE)


def _written(outputs: int, inputs: int, taps: int, geometry: tuple[int, int, int]) -> Int64:
    """Place from which each tap of a transposed convolution writes: (outputs, taps)."""
    stride, dilation, before = geometry
    steps = np.arange(outputs)[:, None] + before - np.arange(taps) * dilation
    place = steps // stride
    return np.where((steps % stride == 0) & (place >= 0) & (place < inputs), place, NOWHERE)


def divide(maps: Sequence[Windows], source: Shape) -> Iterator[Block]:
    """The blocks of ``maps``, which read a source of shape (C, H, W)."""
    channels, height, width = source
    rows, columns = _classes([each.rows for each in maps], height), _classes([each.columns for each in maps], width)
    dense = [_dense(each, channels) for each in maps]
    for row_taps, y, below in rows:
        for column_taps, x, beside in columns:
            taps = list(zip(dense, row_taps, column_taps, strict=True))
            if any(h != NOWHERE and w != NOWHERE for _, h, w in taps):
                matrices = [
                    weight[..., h, w] if h != NOWHERE and w != NOWHERE else np.zeros(weight.shape[:2], np.int64)
                    for weight, h, w in taps
                ]
                yield Block(np.stack(matrices), (y, x), (below, beside))


def _classes(axes: Sequence[Int64], inputs: int) -> list[tuple[list[int], int, int]]:
    """Combinations of taps, one of each map or ``NOWHERE``, that join an input to an output along one axis; each with a pair."""
    outputs = axes[0].shape[0]
    tables = np.full((len(axes), outputs, inputs), NOWHERE, np.int64)
    for table, axis in zip(tables, axes, strict=True):
        if axis.shape[0] != outputs or axis.max(initial=NOWHERE) >= inputs:
            raise CompiledFormError(f"a map has {axis.shape[0]} outputs or leaves its {inputs} inputs")
        for tap, places in enumerate(axis.T):
            seen = np.flatnonzero(places != NOWHERE)
            if np.any(table[seen, places[seen]] != NOWHERE):
                raise CompiledFormError("two taps read the same pixel")
            table[seen, places[seen]] = tap
    taps, first = np.unique(tables.reshape(len(axes), -1), axis=1, return_index=True)
    return [
        (column, int(place) // inputs, int(place) % inputs)
        for column, place in zip(taps.T.tolist(), first, strict=True)
        if max(column) != NOWHERE
    ]


def _dense(windows: Windows, channels: int) -> Int64:
    """Weights (O, C, K_h, K_w) over all channels, zeros between groups."""
    outputs, inputs, *taps = windows.weight.shape
    if inputs * windows.groups != channels:
        raise CompiledFormError(f"a map reads {inputs * windows.groups} channels, not {channels}")
    if windows.groups == 1:
        return windows.weight
    dense = np.zeros((outputs, channels, *taps), np.int64)
    per_group = outputs // windows.groups
    for group in range(windows.groups):
        rows, columns = slice(group * per_group, (group + 1) * per_group), slice(group * inputs, (group + 1) * inputs)
        dense[rows, columns] = windows.weight[rows]
    return dense


def list_synapses(linear: LinearMap, source: Shape, target: Shape) -> Synapses:
    """Every synapse of ``linear`` by itself, between flat maps of shapes ``source`` and ``target``; zeros are left out."""
    if isinstance(linear, Synapses):
        return linear
    if isinstance(linear, Pixels):
        _refuse_many(linear.weights.size * source[0])
        channel = np.arange(source[0])[:, None]
        return Synapses(
            (channel * (target[1] * target[2]) + linear.targets).reshape(-1),
            (channel * (source[1] * source[2]) + linear.sources).reshape(-1),
            np.tile(linear.weights, source[0]),
        )
    _refuse_many(np.count_nonzero(linear.weight) * target[1] * target[2])
    outputs, inputs, tap_rows, tap_columns = np.nonzero(linear.weight)
    group = outputs // (linear.weight.shape[0] // linear.groups)
    channel = group * linear.weight.shape[1] + inputs
    rows, columns = linear.rows[:, tap_rows], linear.columns[:, tap_columns]  # (H_out, taps), (W_out, taps)
    y, x, tap = np.nonzero((rows != NOWHERE)[:, None] & (columns != NOWHERE)[None])
    return Synapses(
        (outputs[tap] * target[1] + y) * target[2] + x,
        (channel[tap] * source[1] + rows[y, tap]) * source[2] + columns[x, tap],
        linear.weight[outputs[tap], inputs[tap], tap_rows[tap], tap_columns[tap]],
    )


def bound_sums(linear: LinearMap, payloads: Pair) -> Pair:
    """Least and greatest sum of any of the synapses of one neuron, for payloads within limits that hold 0."""
    low, high = min(payloads[0], 0), max(payloads[1], 0)
    if isinstance(linear, Windows):
        reached = [(axis != NOWHERE).astype(np.int64) for axis in (linear.rows, linear.columns)]
        weights = (np.maximum(linear.weight, 0).sum(1), np.minimum(linear.weight, 0).sum(1))
        positive, negative = (np.einsum("ohw,yh,xw->oyx", each, *reached, optimize=True) for each in weights)
    else:
        weights = (np.maximum(linear.weights, 0), np.minimum(linear.weights, 0))
        sums = np.zeros((2, int(linear.targets.max(initial=0)) + 1), np.int64)
        for total, each in zip(sums, weights, strict=True):
            np.add.at(total, linear.targets, each)
        positive, negative = sums
    return int((positive * low + negative * high).min()), int((positive * high + negative * low).max())


def _refuse_many(synapses: int) -> None:
    if synapses > MOST_SYNAPSES:
        raise CompiledFormError(f"{synapses:,} synapses are too many to list; at most {MOST_SYNAPSES:,}")


def list_afferents(linear: LinearMap, source: Shape, neuron: Shape, target: Shape) -> tuple[Int64, Int64]:
    """Places in the flattened source, and weights, of the synapses that end at ``neuron`` (c, y, x) of a map ``target``."""
    channel, y, x = neuron
    if isinstance(linear, Windows):
        h, w = np.nonzero((linear.rows[y] != NOWHERE)[:, None] & (linear.columns[x] != NOWHERE))
        first = channel // (linear.weight.shape[0] // linear.groups) * linear.weight.shape[1]
        channels = first + np.arange(linear.weight.shape[1])[:, None]
        places = (channels * source[1] + linear.rows[y, h]) * source[2] + linear.columns[x, w]
        return places.reshape(-1), linear.weight[channel][:, h, w].reshape(-1)
    if isinstance(linear, Pixels):
        here = linear.targets == y * target[2] + x
        return channel * source[1] * source[2] + linear.sources[here], linear.weights[here]
    here = linear.targets == (channel * target[1] + y) * target[2] + x
    return linear.sources[here], linear.weights[here]
