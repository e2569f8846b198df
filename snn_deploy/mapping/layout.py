"""A network as the mapper sees it: shapes, geometry and weight bits, without weights.

A layer is a population with one *synapse group* per connection that ends at it. The skip of a U-Net is a second group
of the same cores, so a concatenation copies nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

import numpy as np

from snn_deploy.arrays import Int8, Int64
from snn_deploy.errors import NetworkError
from snn_deploy.network.kernels import ConvKernel, SpatialKernel
from snn_deploy.network.network import Network
from snn_deploy.shapes import Pair, Shape

GroupKind = Literal["conv", "transposed", "dense", "pixels"]

LinesRead: TypeAlias = tuple[Pair, ...]
"""Along one axis, each row (or column) of the layer with each one of the source that it reads, (layer, source)."""


@dataclass(frozen=True)
class SynapseGroup:
    """Synapses from one source.

    ``shape`` (C, H, W) of the source; ``taps``, ``strides``, ``dilations`` along (H, W); ``groups`` as in grouped
    convolutions; ``weight_bits`` a stored weight needs. A ``dense`` group has a weight of its own for each pair of
    neurons; a ``pixels`` group keeps ``entries`` of a sparse map of pixels, the same for all channels, and the rows
    and columns that each one of the layer reads (``lines_read``).
    """

    source: str
    shape: Shape
    kind: GroupKind = "conv"
    taps: Pair = (1, 1)
    strides: Pair = (1, 1)
    dilations: Pair = (1, 1)
    groups: int = 1
    weight_bits: int = 8
    entries: int = 0
    lines_read: tuple[LinesRead, LinesRead] = ((), ())

    def __post_init__(self) -> None:
        if min(*self.shape, *self.taps, *self.strides, *self.dilations, self.groups, self.weight_bits) < 1:
            raise NetworkError(f"synapses from {self.source}: sizes must be at least 1")
        if self.shape[0] % self.groups:
            raise NetworkError(f"synapses from {self.source}: {self.shape[0]} channels in {self.groups} groups")


@dataclass(frozen=True)
class Layer:
    """A population of ``shape`` (C, H, W) and the groups of synapses that end at it, the longest ``delay`` of which counts.

    ``readers``: connections that start at it, the host's among them. ``by_neuron``: one of them needs an axon for each neuron
    (dense layers, pixel maps, the host), not for each pixel.
    """

    name: str
    shape: Shape
    groups: tuple[SynapseGroup, ...] = ()
    delay: int = 1
    readers: int = 1
    by_neuron: bool = False

    def __post_init__(self) -> None:
        if min(self.shape) < 1:
            raise NetworkError(f"{self.name}: shape {self.shape} has an empty axis")

    @property
    def size(self) -> int:
        """Number of neurons."""
        return self.shape[0] * self.shape[1] * self.shape[2]

    @property
    def dense(self) -> bool:
        """Whether every group is dense, so that a core may hold any number of the neurons."""
        return bool(self.groups) and all(group.kind == "dense" for group in self.groups)


def describe_layers(network: Network) -> tuple[Layer, ...]:
    """Every population that fires, sources first; the input is sent by the host and takes no core."""
    groups = {
        population.name: tuple(_group(network, connection.name) for connection in connections)
        for population, connections in network.layers()
    }
    read = {group.source for of_layer in groups.values() for group in of_layer if group.kind in ("dense", "pixels")}
    hosted = Counter(output.population for output in network.outputs)
    return tuple(
        Layer(
            population.name,
            population.shape,
            groups[population.name],
            max(connection.delay for connection in connections),
            len(network.outgoing(population.name)) + hosted[population.name],
            population.name in read or hosted[population.name] > 0,
        )
        for population, connections in network.layers()
    )


def _group(network: Network, name: str) -> SynapseGroup:
    connection = next(candidate for candidate in network.connections if candidate.name == name)
    kernel, shape = connection.kernel, network.population(connection.source).shape
    if isinstance(kernel, SpatialKernel):
        return SynapseGroup(
            connection.source,
            shape,
            "pixels",
            weight_bits=count_weight_bits(kernel.data),
            entries=int(np.count_nonzero(kernel.data)),
            lines_read=_lines_read(kernel),
        )
    kind: GroupKind = "conv" if isinstance(kernel, ConvKernel) else "transposed"
    if kind == "conv" and kernel.groups == 1 and kernel.output_shape(shape)[1:] == (1, 1):
        kind = "dense"
    rows, columns = kernel.weight.shape[2:]
    return SynapseGroup(
        connection.source,
        shape,
        kind,
        (rows, columns),
        kernel.strides,
        kernel.dilations,
        kernel.groups,
        count_weight_bits(kernel.weight),
    )


def _lines_read(kernel: SpatialKernel) -> tuple[LinesRead, LinesRead]:
    connected = kernel.data != 0
    ends, starts = kernel.rows[connected], kernel.indices[connected]
    width, source_width = kernel.output_size[1], kernel.input_size[1]
    return (
        _pairs(ends // width, starts // source_width, kernel.output_size[0], kernel.input_size[0]),
        _pairs(ends % width, starts % source_width, width, source_width),
    )


def _pairs(ends: Int64, starts: Int64, lines: int, source_lines: int) -> LinesRead:
    """Distinct pairs of ``ends`` (0 to ``lines`` - 1) and ``starts`` (0 to ``source_lines`` - 1), in order."""
    met = np.zeros((lines, source_lines), bool)
    met[ends, starts] = True
    return tuple((int(end), int(start)) for end, start in np.argwhere(met))


def count_weight_bits(weight: Int8) -> int:
    """Signed bits that hold every weight once the power of two common to all is left to the exponent.

    Reproduces the widths in which lava-dl's ``optimize_weight_bits`` stores the published networks.
    """
    if not np.any(weight):
        return 1
    low, high = int(weight.min()), int(weight.max())
    union = int(np.bitwise_or.reduce(weight, axis=None)) & 0xFF
    zeros = (union & -union).bit_length() - 1
    low, high = low >> zeros, high >> zeros
    return max(max(high, 0).bit_length(), max(-low - 1, 0).bit_length()) + int(low < 0)


def measure_receptive_field(group: SynapseGroup, axis: int, length: int) -> int:
    """Source rows (axis 0) or columns (axis 1) that reach a tile of ``length`` rows or columns of the layer, at most."""
    if group.kind == "dense":
        return group.shape[1 + axis]
    if group.kind == "pixels":
        return _count_lines_read(group.lines_read[axis], length)
    reach = (group.taps[axis] - 1) * group.dilations[axis]
    if group.kind == "conv":
        return min(group.shape[1 + axis], (length - 1) * group.strides[axis] + reach + 1)
    return min(group.shape[1 + axis], (length + reach - 1) // group.strides[axis] + 1)


@lru_cache(maxsize=4096)
def _count_lines_read(lines: LinesRead, length: int) -> int:
    """The most distinct source lines that one of the tiles of ``length`` lines of the layer reads."""
    per_tile = Counter(tile for tile, _ in {(line // length, source) for line, source in lines})
    return max(per_tile.values(), default=0)


@lru_cache(maxsize=4096)
def count_patterns(kind: GroupKind, taps: int, stride: int, dilation: int, length: int) -> tuple[int, ...]:
    """Sizes of the distinct sets of taps by which a source row meets a tile of ``length`` rows, along one axis.

    Rows in the middle of a tile share one set per phase of the stride; those near its border lack taps.
    """
    met: dict[int, tuple[int, ...]] = defaultdict(tuple)
    for tap in range(taps):
        for row in range(length):
            source = row * stride + tap * dilation if kind == "conv" else row - tap * dilation
            met[source] += (tap,)
    return tuple(sorted(len(pattern) for pattern in set(met.values())))
