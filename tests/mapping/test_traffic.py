"""Cores, their loads and their messages against a walk over every synapse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from snn_deploy.activity.counting import assume_activity, count_activity
from snn_deploy.backend.registry import load_backend
from snn_deploy.errors import TargetError
from snn_deploy.mapping.fit import map_layers, map_network
from snn_deploy.mapping.layout import Layer, SynapseGroup, describe_layers
from snn_deploy.mapping.operations import measure_operations
from snn_deploy.mapping.tiling import Tile, measure_uses
from snn_deploy.mapping.traffic import (
    Messages,
    count_messages,
    locate_cores,
    measure_traffic,
    place_layers,
)
from snn_deploy.network import dynamics
from snn_deploy.network.kernels import ConvKernel, Kernel, SpatialKernel, TransposedKernel
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Connection, Network, Output, Population
from snn_deploy.shapes import Shape
from snn_deploy.targets.load import Target, load_target
from snn_deploy.testing import random_stimulus, random_unet

Int64 = npt.NDArray[np.int64]


def reached(kernel: Kernel, shape: Shape) -> Int64:
    """Non-zero weights (source neurons, C, H, W) from each source neuron to each target."""
    if isinstance(kernel, SpatialKernel):
        ones: Kernel = SpatialKernel(
            kernel.input_size, kernel.output_size, kernel.indptr, kernel.indices, (kernel.data != 0).astype(np.int8)
        )
    else:
        ones = type(kernel)(
            (kernel.weight != 0).astype(np.int8), kernel.strides, kernel.pads, kernel.dilations, kernel.groups
        )
    size = int(np.prod(shape))
    weights: Int64 = dynamics.apply(ones, np.eye(size, dtype=np.int64).reshape(size, *shape))
    return weights


def tile_numbers(shape: Shape, tile: Tile) -> Int64:
    """Number of the tile (C, H, W) that each neuron stands in."""
    grid = [-(-length // part) for length, part in zip(shape, (tile.channels, tile.rows, tile.columns), strict=True)]
    c, y, x = np.indices(shape)
    return np.asarray((c // tile.channels * grid[1] + y // tile.rows) * grid[2] + x // tile.columns, np.int64)


def small(folder: Path, name: str, neurons: int, cores: int) -> Target:
    """A chip with few neurons per core and few cores, so that small networks take several chips."""
    path = folder / "small.toml"
    path.write_text(
        f'name = "small"\ntitle = "small"\ninherit = "{name}"\n[sources.test]\ntitle = "small"\ndate = "2026-01"\n'
        f'[limits]\nneurons_per_core = {{value = {neurons}, source = "test", basis = "specified"}}\n'
        f'cores_per_chip = {{value = {cores}, source = "test", basis = "specified"}}\n'
    )
    return load_target(path)


KERNELS: list[tuple[Kernel, Shape]] = [
    (ConvKernel(np.ones((6, 2, 3, 3), np.int8), pads=(1, 1, 1, 1)), (2, 7, 9)),
    (ConvKernel(np.ones((6, 2, 3, 3), np.int8), (2, 2), (1, 0, 0, 1)), (2, 8, 9)),
    (ConvKernel(np.ones((4, 1, 2, 2), np.int8), (2, 2), groups=4), (4, 8, 6)),
    (ConvKernel(np.ones((6, 2, 3, 1), np.int8), (1, 2), (2, 0, 2, 0), (2, 1), 3), (6, 7, 5)),
    (TransposedKernel(np.ones((2, 6, 3, 3), np.int8), (2, 2), (1, 1, 0, 0)), (2, 4, 5)),
    (TransposedKernel(np.ones((4, 3, 2, 2), np.int8), (2, 2), groups=2), (4, 3, 3)),
    (
        SpatialKernel(
            (3, 4), (5, 6), np.arange(31), np.random.default_rng(0).integers(0, 12, 30), np.arange(30).astype(np.int8)
        ),
        (2, 3, 4),
    ),
]


@pytest.mark.parametrize(("kernel", "shape"), KERNELS)
@pytest.mark.parametrize("tile", [Tile(1, 1, 1), Tile(2, 3, 2), Tile(4, 2, 3), Tile(9, 9, 9)])
def test_one_message_per_core_reached(kernel: Kernel, shape: Shape, tile: Tile) -> None:
    end = kernel.output_shape(shape)
    numbers = tile_numbers(end, tile)
    expected = [np.unique(numbers[met > 0]).size for met in reached(kernel, shape)]
    assert np.array_equal(count_messages(kernel, shape, end, tile).reshape(-1), expected)


@pytest.mark.parametrize(("kernel", "shape"), KERNELS)
@pytest.mark.parametrize("tile", [Tile(2, 3, 2), Tile(9, 9, 9)])
def test_operations_of_every_step(kernel: Kernel, shape: Shape, tile: Tile) -> None:
    """Each step for itself: every event reaches its synapses, on the core that holds the target."""
    end = kernel.output_shape(shape)
    numbers = tile_numbers(end, tile)
    events = np.random.default_rng(3).integers(0, 3, (4, *shape)).astype(np.int32)
    met = reached(kernel, shape)
    expected = [
        np.bincount(numbers.reshape(-1), np.tensordot(maps.reshape(-1), met, 1).reshape(-1), numbers.max() + 1)
        for maps in events
    ]
    assert np.array_equal(measure_operations(kernel, events, end, tile), expected)


@pytest.mark.parametrize("name", ["loihi1", "loihi2"])
def test_loads_of_every_core(name: str, tmp_path: Path) -> None:
    """Each operation is done on the core that holds its target; each event is sent at least once and at most to all."""
    target = small(tmp_path, name, neurons=200, cores=10)
    network = random_unet("exact", 4)
    activity = count_activity(network, load_backend("reference").run(network, random_stimulus(network, 4)))
    mapping = map_network(network, target)
    assert mapping.chips > 2
    measured = measure_traffic(network, activity, mapping, target)
    expected, neurons = np.zeros(mapping.cores), np.zeros(mapping.cores, np.int64)
    for population in network.populations[1:]:
        block = measured.blocks[population.name]
        numbers = block.first + tile_numbers(population.shape, block.tile)
        np.add.at(neurons, numbers, 1)
        for connection in network.incoming(population.name):
            shape = network.population(connection.source).shape
            mean = activity.population(connection.source).mean.reshape(-1)
            met = reached(connection.kernel, shape)
            np.add.at(expected, numbers, np.tensordot(mean, met.astype(np.float64), 1))
            sent = measured.sent(connection.name)
            least = mean @ [np.unique(numbers[targets > 0]).size for targets in met]
            assert least <= sent.sent * (1 + 1e-12)
            assert sent.sent <= 1.1 * least
            assert 0 <= sent.between_chips <= sent.sent * (1 + 1e-12)
    assert np.allclose(measured.operations, expected, rtol=1e-12, atol=1e-9)
    assert measured.operations.sum() == pytest.approx(activity.synaptic_operations / activity.images, rel=1e-12)
    assert np.array_equal(measured.neurons, neurons)


@pytest.mark.parametrize(("neurons", "cores"), [(32, 60), (24, 70)])
def test_hops_are_the_distances_between_mesh_tiles(tmp_path: Path, neurons: int, cores: int) -> None:
    """Two layers of ones, each neuron equally busy: a walk over all (neuron, core reached) pairs."""
    theta = np.ones(4, np.int64)
    neuron = MultiThreshold(theta, 0 * theta, 0, 15)
    none = np.zeros((4, 1, 1), np.int64)
    network = Network(
        "two",
        "rate",
        4,
        (
            Population("input", (1, 20, 16), None, none[:1], np.ones(1), input_max=1),
            Population("a", (4, 20, 16), neuron, none, np.ones(4)),
            Population("b", (4, 10, 8), neuron, none, np.ones(4)),
        ),
        (
            Connection("input->a", "input", "a", ConvKernel(np.ones((4, 1, 1, 1), np.int8))),
            Connection("a->b", "a", "b", ConvKernel(np.ones((4, 4, 3, 3), np.int8), (2, 2), (1, 1, 1, 1))),
        ),
        (Output("out", "b"),),
    )
    target = small(tmp_path, "loihi1", neurons=neurons, cores=cores)
    mapping = map_network(network, target)
    measured = measure_traffic(network, assume_activity(network, 0.5), mapping, target)
    here, there = measured.blocks["a"], measured.blocks["b"]
    begin = locate_cores(target, here.first + tile_numbers(network.population("a").shape, here.tile).reshape(-1))
    numbers = there.first + tile_numbers(network.population("b").shape, there.tile)
    sent = east = north = between = 0.0
    for index, met in enumerate(reached(network.connections[1].kernel, network.population("a").shape)):
        chip, column, row = locate_cores(target, np.unique(numbers[met > 0]))
        same = chip == begin[0][index]
        sent += 2.0 * chip.size
        between += 2.0 * np.count_nonzero(~same)
        east += 2.0 * np.abs(column - begin[1][index])[same].sum()
        north += 2.0 * np.abs(row - begin[2][index])[same].sum()
    moved = measured.sent("a->b")
    assert (moved.sent, moved.hops_ew, moved.hops_ns, moved.between_chips) == pytest.approx(
        (sent, east, north, between)
    )
    assert moved.within_chips == pytest.approx(sent - between)
    assert measured.within_chips == moved.within_chips
    assert measured.between_chips == moved.between_chips
    assert north > 0
    assert between > 0
    # the host's messages reach one core of each block of channels; where they enter the mesh is not known
    cores = -(-4 // here.tile.channels)
    assert measured.sent("input->a") == Messages("input->a", 0.5 * 4 * 20 * 16 * cores, 0.0, 0.0, 0.0, 0.0)
    silent = measure_traffic(network, assume_activity(network, 0.0), mapping, target)
    assert [silent.sent(name) for name in ("input->a", "a->b")] == [
        Messages(name, 0.0, 0.0, 0.0, 0.0, 0.0) for name in ("input->a", "a->b")
    ]
    assert not silent.operations.any()


def bilinear(size: tuple[int, int]) -> SpatialKernel:
    """Every pixel of a map of twice ``size`` from the (at most four) around it, weights 1, 3, 9 of 16."""
    axes = []
    for length in size:
        matrix = np.zeros((2 * length, length), np.int64)
        for line in range(2 * length):
            near = line // 2
            matrix[line, near] += 3
            matrix[line, min(max(near + 2 * (line % 2) - 1, 0), length - 1)] += 1
        axes.append(matrix)
    full = np.kron(*axes)
    rows, columns = np.nonzero(full)
    indptr = np.concatenate([[0], np.cumsum(np.count_nonzero(full, axis=1))])
    return SpatialKernel(size, (2 * size[0], 2 * size[1]), indptr, columns, full[rows, columns].astype(np.int8))


def resampled(kernel: SpatialKernel, channels: int) -> Network:
    """An input, a population ``a`` and what ``kernel`` makes of it, ``b``."""
    theta = np.full(channels, 20)
    neuron = MultiThreshold(theta, 0 * theta, 0, 15)
    none = np.zeros((channels, 1, 1), np.int64)
    small, large = (channels, *kernel.input_size), (channels, *kernel.output_size)
    return Network(
        "resampled",
        "rate",
        4,
        (
            Population("input", (1, *kernel.input_size), None, none[:1], np.ones(1), input_max=15),
            Population("a", small, neuron, none, np.ones(channels)),
            Population("b", large, neuron, none, np.ones(channels)),
        ),
        (
            Connection("input->a", "input", "a", ConvKernel(np.arange(1, channels + 1).reshape(-1, 1, 1, 1))),
            Connection("a->b", "a", "b", kernel),
        ),
        (Output("out", "b"),),
    )


PIXEL_MAPS = (
    bilinear((10, 8)),
    SpatialKernel(
        (9, 7), (6, 11), np.arange(0, 133, 2), np.random.default_rng(1).integers(0, 63, 132), np.arange(132) % 3 - 1
    ),
)


@pytest.mark.parametrize("kernel", PIXEL_MAPS)
@pytest.mark.parametrize("neurons", [20, 32, 200])
def test_hops_of_pixel_maps_are_those_of_each_pixel(kernel: SpatialKernel, neurons: int, tmp_path: Path) -> None:
    """Neurons of unequal activity: a walk over all (source neuron, core reached) pairs."""
    network = resampled(kernel, 5)
    target = small(tmp_path, "loihi1", neurons=neurons, cores=60)
    stimulus = random_stimulus(network, 2)
    activity = count_activity(network, load_backend("reference").run(network, stimulus))
    measured = measure_traffic(network, activity, map_network(network, target), target)
    here, there = measured.blocks["a"], measured.blocks["b"]
    mean = activity.population("a").mean.reshape(-1)
    assert np.unique(mean).size > 2
    begin = locate_cores(target, here.first + tile_numbers(network.population("a").shape, here.tile).reshape(-1))
    numbers = there.first + tile_numbers(network.population("b").shape, there.tile)
    expected = np.zeros(4)
    for index, met in enumerate(reached(kernel, network.population("a").shape)):
        chip, column, row = locate_cores(target, np.unique(numbers[met > 0]))
        same = chip == begin[0][index]
        east, north = np.abs(column - begin[1][index])[same].sum(), np.abs(row - begin[2][index])[same].sum()
        expected += mean[index] * np.array([chip.size, east, north, np.count_nonzero(~same)])
    moved = measured.sent("a->b")
    assert [moved.sent, moved.hops_ew, moved.hops_ns, moved.between_chips] == pytest.approx(expected.tolist())
    assert expected[1] > 0


@pytest.mark.parametrize("kernel", PIXEL_MAPS)
@pytest.mark.parametrize("tile", [Tile(1, 1, 1), Tile(3, 4, 2), Tile(5, 5, 8), Tile(8, 32, 32)])
def test_input_axons_of_pixel_maps(kernel: SpatialKernel, tile: Tile) -> None:
    """One for each source neuron that reaches the tile: exact for an interpolation, never fewer for any map."""
    network = resampled(kernel, 5)
    layer = describe_layers(network)[1]
    shape = network.population("a").shape
    sources = (reached(kernel, shape) > 0).reshape(int(np.prod(shape)), -1)
    numbers = tile_numbers(layer.shape, tile).reshape(-1)
    most = max(int(np.count_nonzero(sources[:, numbers == number].any(1))) for number in np.unique(numbers))
    uses = {use.resource: use.used for use in measure_uses(load_target("loihi2"), layer, tile)}
    if kernel is PIXEL_MAPS[0]:
        assert uses["input axons"] == most
    else:
        assert most <= uses["input axons"] <= int(np.prod(shape))


@pytest.mark.extended
def test_bilinear_upsampling_fits_a_core_at_any_size() -> None:
    """A neuron reads four pixels, not the whole map: 64 channels of 64x64 have 16 times the axons of a core."""
    mapping = map_network(resampled(bilinear((64, 64)), 64), load_target("loihi2"))
    upsampled = mapping.layers[1]
    assert mapping.is_placed
    assert upsampled.tile is not None
    assert upsampled.cores <= 2 * upsampled.neuron_bound


def test_cores_fill_chips_and_mesh_tiles_in_order() -> None:
    target = load_target("loihi2")
    chip, column, row = locate_cores(target, np.array([0, 3, 4, 31, 32, 119, 120, 124]))
    assert chip.tolist() == [0, 0, 0, 0, 0, 0, 1, 1]
    assert column.tolist() == [0, 0, 1, 7, 0, 5, 0, 1]
    assert row.tolist() == [0, 0, 0, 0, 1, 3, 0, 0]


def test_nothing_is_placed_where_a_population_fits_nowhere() -> None:
    wide = Layer("conv10", (1024, 16, 16), (SynapseGroup("concat", (2048, 16, 16), taps=(3, 3)),))
    with pytest.raises(TargetError, match=r"^conv10: not even one neuron fits a core of loihi2, .* and add these$"):
        place_layers(map_layers("wide", [wide], load_target("loihi2")), load_target("loihi2"))


@pytest.mark.parametrize(
    "kernel",
    [
        ConvKernel(np.arange(-3, 2 * 2 * 9 - 3).reshape(2, 2, 3, 3).astype(np.int8), (2, 2), (1, 0, 1, 0)),
        TransposedKernel(np.arange(-3, 2 * 2 * 9 - 3).reshape(2, 2, 3, 3).astype(np.int8), (2, 2), (1, 0, 0, 1)),
    ],
)
def test_padding_neurons_receive_what_reaches_them(kernel: ConvKernel | TransposedKernel, tmp_path: Path) -> None:
    """Tiles of 4 columns over a map whose width is not a multiple of 4: the rest of the last ones is updated, and receives events.

    By hand: the same kernel with more padding at the right, a larger map of which every neuron exists.
    """
    shape = (2, 5, 7)
    end = kernel.output_shape(shape)
    tile = Tile(2, end[1], 4)
    wide = -(-end[2] // 4) * 4
    more = (wide - end[2]) * (kernel.strides[1] if isinstance(kernel, ConvKernel) else -1)
    top, left, bottom, right = kernel.pads
    padded = type(kernel)(kernel.weight, kernel.strides, (top, left, bottom, right + more))
    assert padded.output_shape(shape) == (2, end[1], wide)
    events = np.random.default_rng(3).integers(0, 3, (2, *shape)).astype(np.int32)
    met = reached(padded, shape)
    numbers = tile_numbers((2, end[1], wide), tile)
    expected = [np.bincount(numbers.reshape(-1), np.tensordot(maps.reshape(-1), met, 1).reshape(-1)) for maps in events]
    assert np.array_equal(measure_operations(kernel, events, (2, end[1], wide), tile), expected)
    alone = [
        np.bincount(
            tile_numbers(end, tile).reshape(-1), np.tensordot(maps.reshape(-1), reached(kernel, shape), 1).reshape(-1)
        )
        for maps in events
    ]
    assert np.sum(expected) > np.sum(alone)


def test_loihi2_holds_whole_tiles_and_loihi1_the_map(tmp_path: Path) -> None:
    network = random_unet("exact", 4, size=12)
    activity = assume_activity(network, 1.0)
    counted = {}
    for name in ("loihi1", "loihi2"):
        target = small(tmp_path, name, neurons=80, cores=40)
        mapping = map_network(network, target)
        traffic = measure_traffic(network, activity, mapping, target)
        counted[name] = sum(traffic.count_neurons(population.name) for population in network.populations[1:])
        tiles = sum(layer.tile.size * layer.cores for layer in mapping.layers if layer.tile is not None)
        assert counted[name] == (tiles if name == "loihi2" else sum(p.size for p in network.populations[1:]))
    assert counted["loihi2"] > counted["loihi1"]
