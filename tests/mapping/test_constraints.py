"""What does not fit says so: every reason at once, with the number, the limit and what to change."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from snn_deploy.display.tables import mapping_table
from snn_deploy.errors import NetworkError, TargetError
from snn_deploy.mapping.constraints import check_layer, check_resets
from snn_deploy.mapping.fit import map_layers, map_network, suggest_sizes
from snn_deploy.mapping.layout import (
    Layer,
    SynapseGroup,
    count_patterns,
    count_weight_bits,
    describe_layers,
    measure_receptive_field,
)
from snn_deploy.mapping.tiling import Tile, Use, choose_tile, count_synaptic_words, measure_uses
from snn_deploy.network.kernels import ConvKernel
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Connection, Network, Output, Population
from snn_deploy.targets.load import load_target
from snn_deploy.testing import random_unet


def chain(*kernels: ConvKernel, shape: tuple[int, int, int] = (1, 8, 8), payload: int = 1, delay: int = 1) -> Network:
    """A chain of populations without bias, threshold 64."""
    populations = [Population("p0", shape, None, np.zeros((shape[0], 1, 1), np.int64), np.ones(shape[0]), input_max=1)]
    connections = []
    for index, kernel in enumerate(kernels, start=1):
        end = kernel.output_shape(populations[-1].shape)
        theta = np.full(end[0], 64, np.int64)
        neuron = MultiThreshold(theta, 0 * theta, 0, payload)
        bias = np.zeros((end[0], 1, 1), np.int64)
        populations.append(Population(f"p{index}", end, neuron, bias, np.ones(end[0]), start=index))
        connections.append(Connection(f"c{index}", f"p{index - 1}", f"p{index}", kernel, delay=delay))
    return Network("chain", "rate", 8, tuple(populations), tuple(connections), (Output("out", populations[-1].name),))


def ones(*shape: int) -> ConvKernel:
    return ConvKernel(np.ones(shape, np.int8), pads=(shape[2] // 2,) * 4)


def test_binary_spikes_fit_loihi1() -> None:
    mapping = map_network(chain(ones(4, 1, 3, 3), ones(2, 4, 3, 3)), load_target("loihi1"))
    assert mapping.fits
    assert mapping.board is not None
    assert mapping.board.name == "Kapoho Bay"


def test_graded_events_do_not_fit_loihi1() -> None:
    mapping = map_network(chain(ones(4, 1, 3, 3), payload=15), load_target("loihi1"))
    assert [problem.text for problem in mapping.problems] == [
        "p1: events carry payloads 0..15; loihi1 sends binary spikes; convert in rate mode with one "
        "threshold and a spike-coded input, or choose a chip with graded spikes"
    ]
    assert mapping.exit_status == 1


def test_membranes_that_leave_the_states_of_a_chip() -> None:
    target = load_target("loihi2")
    narrow = replace(target.figure("limits.state_bits"), value=12.0)
    small = replace(target, figures={**target.figures, "limits.state_bits": narrow})
    network = random_unet("exact", 1)
    assert not any("states hold" in problem.text for problem in map_network(network, target).problems)
    texts = [problem.text for problem in map_network(network, small).problems]
    pattern = (
        r"enc1/a: a membrane can reach [\d,]+; loihi2's states hold 2,047; use fewer weight bits or smaller counts"
    )
    assert any(re.fullmatch(pattern, text) for text in texts)


def test_all_reasons_at_once() -> None:
    """Too many channels for a core, payloads too wide, a current that wraps and a delay too long, in one mapping."""
    wide = ConvKernel(np.full((8, 2048, 3, 3), 127, np.int8), pads=(1, 1, 1, 1))
    target = load_target("loihi2")
    network = chain(wide, ones(1, 8, 1, 1), shape=(2048, 4, 4), payload=2**22, delay=130)
    texts = [problem.text for problem in map_network(network, target).problems]
    assert texts == [
        "p1: one neuron alone needs 18,432 synaptic words, loihi2 has 16,000 per core; at most 1,777 input channels "
        "fit a 3x3 kernel: use fewer, or split them into 2 convolutions, each into a linear population of its own, "
        "and add these",
        "p2: the current of a step can reach 33,554,432; loihi2's accumulator wraps beyond 8,388,607; use fewer weight "
        "bits or smaller payloads",
        "c1: delay 130, loihi2 has at most 62; pass the spikes through 2 relay population(s)",
        "c2: delay 130, loihi2 has at most 62; pass the spikes through 2 relay population(s)",
    ]


def test_more_chips_than_any_board() -> None:
    layers = [Layer(f"l{index}", (64, 2048, 2048)) for index in range(3)]
    mapping = map_layers("huge", layers, load_target("loihi2"))
    assert mapping.board is None
    assert [problem.text for problem in mapping.problems] == [
        "huge: 393,216 cores on 3,277 chips; the largest board, Hala Point, has 1,152; use smaller images, fewer "
        "channels or tile-friendly sizes"
    ]


def test_warnings_do_not_keep_it_from_fitting() -> None:
    network = chain(ones(1, 1, 3, 3), shape=(1, 4, 300))
    mapping = map_network(network, load_target("loihi2"))
    assert mapping.fits
    assert len(mapping.warnings) == 2
    assert mapping.warnings[0].startswith("p1: maps wider than 255 pixels; Intel's compiler warns")
    assert mapping.warnings[1] == (
        "an image takes 9 steps, but Loihi 2 resets only every 2**n steps, here 16: throughput is 1.78x lower and static "
        "energy 1.78x higher than estimated"
    )


@pytest.mark.parametrize(
    ("name", "steps", "warned"), [("loihi2", 8, True), ("loihi2", 7, False), ("loihi1", 8, False), ("loihi1", 7, False)]
)
def test_resets_of_loihi2_come_at_powers_of_two(name: str, steps: int, warned: bool) -> None:
    """An image takes one step more than the window."""
    network = replace(chain(ones(1, 1, 3, 3)), steps=steps)
    assert network.duration == steps + 1
    assert bool(check_resets(network, load_target(name))) == warned


PIXELS = SynapseGroup("a", (1, 3, 2), "pixels", entries=6, lines_read=(((0, 0), (0, 1), (0, 2)), ((0, 0), (0, 1))))
"""A pixel that reads three rows and two columns."""


@pytest.mark.parametrize(
    ("groups", "remedy"),
    [
        ((PIXELS,), "it reads up to 6 pixels of its channel: resample in several steps, each of which reads fewer"),
        (
            (replace(PIXELS, lines_read=(((0, 0),), ((0, 0),))), PIXELS),
            "it reads up to 6 pixels of its channel: resample in several steps, each of which reads fewer",
        ),
        ((PIXELS, SynapseGroup("b", (90, 3, 2), taps=(2, 3))), "at most 682 input channels fit a 2x3 kernel: .*"),
        ((SynapseGroup("b", (3, 3, 2), "transposed", (2, 2)),), "at most 1,024 input channels fit a 2x2 kernel: .*"),
        # 5 * 12 taps are more than 20 * 1 and than 9 * 6
        (
            (
                SynapseGroup("b", (20, 3, 2)),
                SynapseGroup("c", (5, 9, 9), taps=(4, 3)),
                SynapseGroup("d", (9, 9, 9), taps=(2, 3)),
            ),
            "at most 341 input channels fit a 4x3 kernel: use fewer, or split them into 3 convolutions, .*",
        ),
    ],
)
def test_the_remedy_for_a_large_fan_in(groups: tuple[SynapseGroup, ...], remedy: str) -> None:
    """Loihi 1 has 4096 axons; nine are used here of four, so three parts would fit."""
    layer = Layer("l", (1, 1, 1), groups)
    within = Use("neurons", 4, 4)
    (problem,) = check_layer(layer, [within, Use("axons", 9, 4)], load_target("loihi1"))
    assert problem.violation == "one neuron alone needs 9 axons, loihi1 has 4 per core"
    assert re.fullmatch(remedy, problem.remedy)


def test_targets_without_cores_or_limits_are_refused() -> None:
    with pytest.raises(
        TargetError,
        match=r"^target cmos45-int8 has energy coefficients of operations but no cores; choose loihi1 or loihi2$",
    ):
        map_network(random_unet("rate"), load_target("cmos45-int8"))
    target = load_target("loihi2")
    without = {key: figure for key, figure in target.figures.items() if key != "limits.payload_bits"}
    with pytest.raises(TargetError, match=r"no limits.payload_bits; an estimate is refused"):
        map_network(random_unet("rate"), replace(target, figures=without))
    with pytest.raises(
        NetworkError, match=r"^empty: no population to map; the network needs at least one besides its input$"
    ):
        map_layers("empty", [], target)


def test_powers_of_two_waste_half_of_each_tile() -> None:
    """64x64x16: 4096 neurons miss the limit of 4095, so tiles hold 2048; at 56 or 72 pixels a core holds more."""
    pool = ConvKernel(np.ones((16, 1, 4, 4), np.int8), (4, 4), groups=16)
    network = chain(ones(16, 1, 3, 3), pool, shape=(1, 64, 64))
    options = suggest_sizes(network, load_target("loihi2"))
    here = next(option for option in options if option.height == 64)
    assert options[0].cores_per_megapixel < here.cores_per_megapixel
    assert options == tuple(sorted(options, key=lambda option: option.cores_per_megapixel))
    assert all(option.height % 4 == 0 for option in options)
    assert here.cores == map_network(network, load_target("loihi2")).cores


@pytest.mark.parametrize(
    ("weights", "bits"),
    [
        ([0, 0], 1),
        ([1], 1),
        ([3, 1], 2),
        ([-1], 1),
        ([-2, 2], 2),
        ([-128, 127], 8),
        ([-128], 1),
        ([64, -64], 2),
        ([6, -10], 4),
    ],
)
def test_weight_bits(weights: list[int], bits: int) -> None:
    """Signed width after the common power of two: 6 and -10 are 2 * 3 and 2 * -5, four bits."""
    assert count_weight_bits(np.array(weights, np.int8)) == bits


def test_patterns_are_those_of_a_walk() -> None:
    """A 3-tap kernel on a tile of 4 rows: rows meet 1, 2, 3, 2 and 1 taps; with stride 2 two phases and borders."""
    assert count_patterns("conv", 3, 1, 1, 4) == (1, 1, 2, 2, 3)
    assert count_patterns("conv", 3, 2, 1, 4) == (1, 1, 1, 2)
    assert count_patterns("conv", 3, 1, 1, 1) == (1, 1, 1)
    assert count_patterns("transposed", 2, 2, 1, 4) == (1, 1, 2)


def test_receptive_fields() -> None:
    group = SynapseGroup("x", (2, 20, 20), taps=(3, 3), strides=(2, 1), dilations=(1, 2))
    assert (measure_receptive_field(group, 0, 4), measure_receptive_field(group, 1, 4)) == (9, 8)
    assert measure_receptive_field(group, 0, 20) == 20
    up = SynapseGroup("x", (2, 20, 20), "transposed", (3, 3), (2, 2))
    assert measure_receptive_field(up, 0, 4) == 3


def test_a_skip_is_a_second_group_in_the_same_cores() -> None:
    target = load_target("loihi2")
    skip, up = (SynapseGroup(name, (32, 32, 32), taps=(3, 3)) for name in ("skip", "up"))
    single, both = Layer("dec", (16, 32, 32), (skip,)), Layer("dec", (16, 32, 32), (skip, up))
    assert count_synaptic_words(target, both, Tile(16, 8, 8)) == 2 * count_synaptic_words(
        target, single, Tile(16, 8, 8)
    )
    joined = Layer("dec", (16, 32, 32), (SynapseGroup("concat", (64, 32, 32), taps=(3, 3)),))
    assert choose_tile(target, both) == choose_tile(target, joined)


def test_depthwise_lists_hold_their_own_channel_only() -> None:
    target = load_target("loihi2")
    pool = Layer("pool", (16, 8, 8), (SynapseGroup("x", (16, 16, 16), taps=(2, 2), strides=(2, 2), groups=16),))
    assert count_synaptic_words(target, pool, Tile(16, 8, 8)) == 16 * 4
    assert count_synaptic_words(target, pool, Tile(4, 8, 8)) == 4 * 4


def test_layers_of_a_network() -> None:
    network = random_unet("exact", 0)
    layers = {layer.name: layer for layer in describe_layers(network)}
    assert list(layers) == [population.name for population in network.populations[1:]]
    for layer in layers.values():
        assert len(layer.groups) == len(network.incoming(layer.name))
    assert {group.kind for layer in layers.values() for group in layer.groups} == {"conv", "transposed", "pixels"}


def test_uses_grow_with_the_tile() -> None:
    """What the search for free tiles rests on."""
    for name in ("loihi1", "loihi2"):
        target = load_target(name)
        for layer in describe_layers(random_unet("exact", 1)):
            for smaller, larger in (
                (Tile(1, 2, 2), Tile(1, 3, 2)),
                (Tile(1, 2, 2), Tile(2, 2, 2)),
                (Tile(2, 2, 2), Tile(2, 2, 4)),
            ):
                pairs = zip(measure_uses(target, layer, smaller), measure_uses(target, layer, larger), strict=True)
                assert all(less.used <= more.used for less, more in pairs)


def test_the_table_shows_used_and_limit() -> None:
    console = Console(file=io.StringIO(), width=240)
    mapping = map_network(chain(ones(4, 1, 3, 3), payload=15), load_target("loihi1"))
    console.print(mapping_table(mapping))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "does not fit" in text
    assert "512 / 1,024" in text
    assert "problem: p1: events carry payloads 0..15" in text
    assert mapping.record()["fits"] is False


def test_axons_limit_the_channels_that_a_neuron_of_loihi1_reads() -> None:
    """Nine words and nine axons for each channel: 4096 axons are the narrower limit, 455 channels."""
    wide = Layer("conv", (8, 16, 16), (SynapseGroup("concat", (2048, 16, 16), taps=(3, 3)),))
    texts = [problem.text for problem in map_layers("wide", [wide], load_target("loihi1")).problems]
    remedy = (
        "at most 455 input channels fit a 3x3 kernel: use fewer, or split them into {} convolutions, each into a linear"
    )
    rest = " population of its own, and add these"
    assert texts == [
        "conv: one neuron alone needs 18,432 synaptic words, loihi1 has 16,384 per core; " + remedy.format(2) + rest,
        "conv: one neuron alone needs 18,432 input axons, loihi1 has 4,096 per core; " + remedy.format(5) + rest,
    ]


def test_wide_maps_are_named_with_the_columns_that_may_be_lost() -> None:
    target = load_target("loihi2")
    group = SynapseGroup("source", (1, 4, 256))
    layers = [Layer(f"l{index}", (1, 4, 256)) for index in range(5)] + [Layer("reads", (1, 4, 255), (group,))]
    assert map_layers("wide", layers, target).warnings == (
        "l0, l1, l2, l3 and 2 more: maps wider than 255 pixels; Intel's compiler warns that spikes from columns n*256-1 and "
        "their neighbours might get dropped: split the image into strips",
    )
    (warning,) = map_layers("wide", layers[:4], target).warnings
    assert warning.startswith("l0, l1, l2, l3: maps wider")
    assert map_layers("wide", [Layer("l", (1, 4, 255))], target).warnings == ()
    assert map_layers("wide", layers, load_target("loihi1")).warnings == ()


def test_sizes_are_suggested_in_steps_that_the_pools_divide() -> None:
    """Pools by 4 rows and 2 columns: steps of 4 both ways, within 30 % of the shorter side."""
    pool = ConvKernel(np.ones((2, 1, 4, 2), np.int8), (4, 2), groups=2)
    options = suggest_sizes(chain(ones(2, 1, 3, 3), pool, shape=(1, 32, 64)), load_target("loihi2"))
    assert sorted((option.height, option.width) for option in options) == [
        (24, 56),
        (28, 60),
        (32, 64),
        (36, 68),
        (40, 72),
    ]
    for option in options:
        assert option.cores_per_megapixel == option.cores / (option.height * option.width) * 1e6
