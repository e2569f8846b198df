"""The estimator against the tables that Intel's compiler printed, and against networks worked by hand."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _pytest.mark import ParameterSet

from snn_deploy.activity.counting import assume_activity
from snn_deploy.cost.energy import estimate
from snn_deploy.mapping.fit import map_layers, map_network
from snn_deploy.mapping.layout import GroupKind, Layer, SynapseGroup
from snn_deploy.mapping.tiling import bound_cores, choose_free_tile, choose_tile, measure_uses
from snn_deploy.network.kernels import ConvKernel, Kernel, TransposedKernel
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Connection, Network, Output, Population
from snn_deploy.network.schedule import align
from snn_deploy.targets.load import Target, load_target

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Row = dict[str, Any]

NETWORKS = tomllib.loads((Path(__file__).parent / "published.toml").read_text())["networks"]


def rows(*, dense: bool) -> list[ParameterSet]:
    return [
        pytest.param(network, row, id=f"{network['name']}/{row['name']}")
        for network in NETWORKS
        for row in network["layers"]
        if row.get("dense", False) == dense
    ]


def layer(row: Row) -> Layer:
    if "source" not in row:
        return Layer(row["name"], tuple(row["shape"]))
    kind: GroupKind = "dense" if row.get("dense") else "conv"
    group = SynapseGroup(
        "before",
        tuple(row["source"]),
        kind,
        tuple(row.get("taps", (1, 1))),
        tuple(row.get("strides", (1, 1))),
        weight_bits=row["bits"],
    )
    return Layer(row["name"], tuple(row["shape"]), (group,), by_neuron=row.get("by_neuron", False))


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Target]:
    """Loihi 2 with the synaptic memory that the compiler of the day allowed."""
    path = tmp_path_factory.mktemp("targets") / "compiler2022.toml"
    path.write_text(
        'name = "compiler2022"\ntitle = "compiler of 2022"\ninherit = "loihi2"\n'
        '[sources.log]\ntitle = "registers[SynMem]=12000"\ndate = "2022-10"\n'
        '[limits]\nsynaptic_memory_words = {value = 12000, source = "log", basis = "specified"}\n'
    )
    return {12000: load_target(path), 16000: load_target("loihi2")}


@pytest.mark.parametrize(("network", "row"), rows(dense=False))
def test_convolution_rows(network: Row, row: Row, targets: dict[int, Target]) -> None:
    """Cores, neurons per core and words of all 21 rows; our total lacks part of the routing words only."""
    target = targets[network["synaptic_memory_words"]]
    tile = choose_tile(target, layer(row))
    assert tile is not None
    used = {use.resource: use.used for use in measure_uses(target, layer(row), tile)}
    assert tile.cores(layer(row)) == row["cores"]
    assert tile.size == row["neurons"]
    assert used["synaptic words"] == row["words"]
    if "total_percent" in row:
        rest = row["total_percent"] * 200 - used["core memory words"]
        assert 0 <= rest <= 0.031 * row["total_percent"] * 200
        assert rest < 5 or not row.get("by_neuron")
    if "mean_words" in row:  # the second of two cores holds four of twenty columns
        axons = used["output axons"] - layer(row).size / row["cores"]
        assert used["core memory words"] - axons == pytest.approx(row["mean_words"], rel=1e-3)


@pytest.mark.parametrize(("network", "row"), rows(dense=True))
def test_dense_rows(network: Row, row: Row, targets: dict[int, Target]) -> None:
    """Memory words are the printed ones where a layer takes one core; the old compiler split the widest further."""
    target = targets[network["synaptic_memory_words"]]
    tile = choose_tile(target, layer(row))
    assert tile is not None
    if row["cores"] == 1:
        assert tile.cores(layer(row)) == 1
        assert measure_uses(target, layer(row), tile)[1].used == row["words"]
    else:
        assert bound_cores(target, layer(row)) <= tile.cores(layer(row)) <= row["cores"]


def test_whole_networks(targets: dict[int, Target]) -> None:
    """Without the dense layers: 59, 46 and all 574 cores; YOLO-KP was made for Kapoho Point."""
    mappings = {
        network["name"]: map_layers(
            network["name"],
            [layer(row) for row in network["layers"] if not row.get("dense")],
            targets[network["synaptic_memory_words"]],
        )
        for network in NETWORKS
    }
    assert {name: mapping.cores for name, mapping in mappings.items()} == {
        "PilotNet LIF": 59,
        "PilotNet SDNN": 46,
        "YOLO-KP": 574,
    }
    board = mappings["YOLO-KP"].board
    assert board is not None
    assert (mappings["YOLO-KP"].chips, board.name) == (5, "Kapoho Point")


def unet(base: int, levels: int, size: int) -> list[Layer]:
    """3x3 convolutions, explicit average pools, transposed 3x3 stride 2, concat as a second group, one channel out."""
    layers: list[Layer] = []

    def add(name: str, channels: int, side: int, *sources: Layer, **options: Any) -> Layer:
        groups = tuple(SynapseGroup(source.name, source.shape, **{"taps": (3, 3)} | options) for source in sources)
        layers.append(Layer(name, (channels, side, side), groups))
        return layers[-1]

    last, skips = Layer("image", (1, size, size)), []
    for level in range(levels):
        channels, side = base << level, size >> level
        last = add(f"enc{level}b", channels, side, add(f"enc{level}a", channels, side, last))
        skips.append(last)
        last = add(f"pool{level}", channels, side // 2, last, taps=(2, 2), strides=(2, 2), groups=channels)
    channels, side = base << levels, size >> levels
    last = add("midb", channels, side, add("mida", channels, side, last))
    for level in reversed(range(levels)):
        channels, side = base << level, size >> level
        up = add(f"up{level}", channels, side, last, kind="transposed", strides=(2, 2))
        last = add(f"dec{level}b", channels, side, add(f"dec{level}a", channels, side, skips[level], up))
    add("out", 1, size, last)
    return layers


@pytest.mark.parametrize(
    ("base", "levels", "size", "neurons", "cores", "free", "bound", "chips", "board"),
    [
        (16, 3, 128, 2_490_368, 1216, 675, 629, 11, "VPX system"),
        (64, 4, 256, 41_877_504, 20_576, 11_043, 10_251, 172, "Hala Point"),
    ],
)
def test_worked_unets(
    base: int, levels: int, size: int, neurons: int, cores: int, free: int, bound: int, chips: int, board: str
) -> None:
    """Two U-Nets that an independent prototype had mapped (2026-11)."""
    layers = unet(base, levels, size)
    mapping = map_layers("unet", layers, load_target("loihi2"))
    assert sum(layer.size for layer in layers) == neurons
    assert (mapping.cores, mapping.free_bound, mapping.neuron_bound, mapping.chips) == (cores, free, bound, chips)
    assert mapping.fits
    assert mapping.exit_status == 0
    assert mapping.board is not None
    assert mapping.board.name == board
    assert mapping.layers[0].limit.resource == "neurons"


def network_of(layers: list[Layer], size: int) -> Network:
    """The same U-Net with weights of 1, in rate mode over 10 steps."""
    populations = [Population("image", (1, size, size), None, np.zeros((1, 1, 1), np.int64), np.ones(1), input_max=1)]
    connections = []
    for layer in layers:
        channels, theta = layer.shape[0], np.ones(layer.shape[0], np.int64)
        neuron = MultiThreshold(theta, 0 * theta, 0, 15)
        populations.append(
            Population(layer.name, layer.shape, neuron, np.zeros((channels, 1, 1), np.int64), np.ones(channels))
        )
        for group in layer.groups:
            kernel: Kernel
            if group.kind == "transposed":
                weight = np.full((group.shape[0], channels, 3, 3), 127, np.int8)
                kernel = TransposedKernel(weight, (2, 2), (1, 1, 0, 0))
            else:
                pads = (1, 1, 1, 1) if group.taps == (3, 3) else (0, 0, 0, 0)
                weight = np.full((channels, group.shape[0] // group.groups, *group.taps), -127, np.int8)
                kernel = ConvKernel(weight, group.strides, pads, groups=group.groups)
            connections.append(Connection(f"{group.source}->{layer.name}", group.source, layer.name, kernel))
    return align(Network("unet", "rate", 10, tuple(populations), tuple(connections), (Output("out", "out"),)))


def test_the_worked_estimate() -> None:
    """Base 16 at 128x128, 0.1 events per neuron and step: 591 M MACs, 59.1 M operations and 1.54 mJ per step."""
    network = network_of(unet(16, 3, 128), 128)
    activity = assume_activity(network, 0.1)
    assert activity.macs == 591_028_864
    energy = estimate(network, activity, load_target("loihi2"), streamed=True)
    counts = {part.name: part.count for part in energy.parts if part.count is not None}
    joules = {part.name: part.energy.value for part in energy.parts if part.energy is not None}
    assert counts["synaptic operations"] / 10 == pytest.approx(59.1e6, rel=1e-3)
    assert joules["synaptic operations"] / 10 == pytest.approx(1.40e-3, rel=5e-3)
    neurons = joules["active neuron updates"] + joules["inactive neuron updates"]
    assert neurons / 10 == pytest.approx(0.14e-3, rel=0.03)
    assert energy.timing is not None
    assert (energy.timing.cores, energy.timing.chips) == (1216, 11)
    assert energy.timing.step_s.low < 0.23e-3 < energy.timing.step_s.high
    assert energy.timing.longest_step.busiest == "dec2a"


@pytest.mark.extended
def test_a_large_unet_is_estimated_without_a_run() -> None:
    """Spiking-UNet at base 64, 256x256: 41.9 M neurons, 49.6 G synapses."""
    network = network_of(unet(64, 4, 256), 256)
    target = load_target("loihi2")
    mapping = map_network(network, target)
    activity = assume_activity(network, 0.1)
    energy = estimate(network, activity, target, mapping=mapping)
    assert activity.macs == 49_591_099_904
    assert mapping.cores == 20_576
    assert energy.timing is not None
    assert energy.timing.chips == 172


def test_too_many_input_channels() -> None:
    """Spiking-UNet's conv10 reads 2048 channels with 3x3 taps: 18432 lists of one word; 1777 channels would fit."""
    wide = Layer("conv10", (1024, 16, 16), (SynapseGroup("concat", (2048, 16, 16), taps=(3, 3)),))
    mapping = map_layers("wide", [wide], load_target("loihi2"))
    assert mapping.exit_status == 1
    assert [problem.text for problem in mapping.problems] == [
        "conv10: one neuron alone needs 18,432 synaptic words, loihi2 has 16,000 per core; at most 1,777 input "
        "channels fit a 3x3 kernel: use fewer, or split them into 2 convolutions, each into a linear population of its "
        "own, and add these"
    ]
    allowed = Layer("conv10", (1024, 16, 16), (SynapseGroup("concat", (1777, 16, 16), taps=(3, 3)),))
    assert map_layers("allowed", [allowed], load_target("loihi2")).fits


def test_free_tiles_never_need_more_cores() -> None:
    for item in unet(8, 2, 48):
        for name in ("loihi1", "loihi2"):
            target = load_target(name)
            free, chosen = choose_free_tile(target, item), choose_tile(target, item)
            assert free is not None
            assert chosen is not None
            assert bound_cores(target, item) <= free.cores(item) <= chosen.cores(item)
            assert all(use.used <= use.limit for use in measure_uses(target, item, free))
