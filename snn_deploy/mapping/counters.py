"""What a chip's activity counters must show: operations and updates of every core, messages of every population.

A tile at the border of a map is as large as all others (its width is a power of two), so it may hold neurons that the map does not
have. The chip stores and updates such padding neurons, and counts the operations of events that reach them (inferred from the
counters of PilotNet on Loihi 2, which follow to 1 % only with them). A map of pixels or a dense layer has explicit lists, without.
"""

from __future__ import annotations

from collections.abc import Mapping as MappingType
from dataclasses import dataclass, replace

import numpy as np

from snn_deploy.activity.activity import Activity
from snn_deploy.activity.synapses import is_dense
from snn_deploy.arrays import Float64, Int64
from snn_deploy.mapping.fit import Mapping
from snn_deploy.mapping.traffic import Block, count_messages, load_of, place_layers
from snn_deploy.network.kernels import ConvKernel, Kernel, TransposedKernel
from snn_deploy.network.network import Connection, Network
from snn_deploy.shapes import Shape


@dataclass(frozen=True, eq=False)
class PopulationCounters:
    """Of the mean image: ``syn_ops`` (cores,) float64 and ``neurons`` (cores,) int64, padding included; messages in and out."""

    syn_ops: Float64
    neurons: Int64
    spikes_in: float
    spikes_out: float


def predict_counters(network: Network, activity: Activity, mapping: Mapping) -> dict[str, PopulationCounters]:
    """The counters of every population that fires, by name; images enter from the host and take no core."""
    blocks = place_layers(mapping)
    return {
        population.name: _predict(network, activity, population.name, blocks) for population in network.populations[1:]
    }


def _predict(network: Network, activity: Activity, name: str, blocks: MappingType[str, Block]) -> PopulationCounters:
    population, block = network.population(name), blocks[name]
    operations = np.zeros(int(np.prod(block.grid)))
    messages = 0.0
    padded = False
    for connection in network.incoming(name):
        mean = activity.population(connection.source).mean
        kernel, shape = _pad(network, connection, block)
        padded |= shape != population.shape
        operations += load_of(kernel, mean, shape, block.tile).ravel()
        fan = count_messages(
            connection.kernel, network.population(connection.source).shape, population.shape, block.tile
        )
        messages += float(np.einsum("cyx,cyx->", mean, fan))
    extent = _grid_shape(population.shape, block) if padded else population.shape
    parts = [
        np.diff(np.append(np.arange(0, size, step), size)) for size, step in zip(extent, _sides(block), strict=True)
    ]
    neurons: Int64 = np.einsum("c,y,x->cyx", *parts).ravel().astype(np.int64)
    events = activity.population(name).events
    return PopulationCounters(operations, neurons, messages, float(events.mean()))


def _pad(network: Network, connection: Connection, block: Block) -> tuple[Kernel, Shape]:
    """The kernel whose output fills the tiles of its target, and the shape of that."""
    kernel, shape = connection.kernel, network.population(connection.target).shape
    source = network.population(connection.source).shape
    if not isinstance(kernel, (ConvKernel, TransposedKernel)) or is_dense(kernel, source):
        return kernel, shape
    _, rows, columns = _grid_shape(shape, block)
    below, right = rows - shape[1], columns - shape[2]
    top, left, bottom, end = kernel.pads
    if isinstance(kernel, ConvKernel):
        wider = (top, left, bottom + below * kernel.strides[0], end + right * kernel.strides[1])
    else:
        wider = (top, left, bottom - below, end - right)
    return replace(kernel, pads=wider), (shape[0], rows, columns)


def _sides(block: Block) -> Shape:
    return block.tile.channels, block.tile.rows, block.tile.columns


def _grid_shape(shape: Shape, block: Block) -> Shape:
    """The map that whole tiles cover; channels are not padded."""
    return shape[0], block.grid[1] * block.tile.rows, block.grid[2] * block.tile.columns
