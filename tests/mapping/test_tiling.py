"""The search for tiles against trying every tile, and words of memory against a walk over every list of synapses."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from math import ceil

import pytest

from snn_deploy.mapping.layout import Layer, SynapseGroup
from snn_deploy.mapping.tiling import Tile, Use, choose_free_tile, choose_tile, count_synaptic_words, fits, measure_uses
from snn_deploy.targets.load import Target, load_target

DOUBLED = tuple((line, line // 2) for line in range(6))
"""Each line twice."""

LAYERS = (
    Layer("conv", (5, 7, 6), (SynapseGroup("a", (3, 7, 6), taps=(3, 3)),)),
    Layer("strided", (6, 3, 9), (SynapseGroup("a", (4, 6, 18), taps=(3, 2), strides=(2, 2)),)),
    Layer("grouped", (6, 4, 4), (SynapseGroup("a", (4, 4, 4), taps=(3, 3), groups=2), SynapseGroup("b", (2, 4, 4)))),
    Layer("up", (3, 8, 10), (SynapseGroup("a", (2, 4, 5), "transposed", (2, 2), (2, 2)),)),
    Layer("dense", (23, 1, 1), (SynapseGroup("a", (5, 2, 2), "dense"),)),
    Layer("pixels", (2, 6, 6), (SynapseGroup("a", (2, 3, 3), "pixels", entries=36, lines_read=(DOUBLED, DOUBLED)),)),
)


def limited(name: str, **limits: int) -> Target:
    target = load_target(name)
    changed = {
        f"limits.{key}": replace(target.figure(f"limits.{key}"), value=float(value)) for key, value in limits.items()
    }
    return replace(target, figures={**target.figures, **changed})


STRIDED = [
    Layer("tall", (6, 3, 9), (SynapseGroup("a", (4, 6, 9), taps=(3, 2), strides=(2, 1)),)),
    Layer("broad", (6, 3, 9), (SynapseGroup("a", (4, 3, 18), taps=(2, 3), strides=(1, 2)),)),
]
"""Only a stride along x takes one bit more per weight on Loihi 2."""

WIDE = Layer("wide", (45, 7, 6), (SynapseGroup("a", (3, 7, 6), taps=(3, 2)),))
"""Lists of up to 270 synapses on Loihi 1, whose headers come every 60."""

TARGETS = {
    "loihi1, few neurons": limited("loihi1", neurons_per_core=36),
    "loihi1, few words": limited("loihi1", synaptic_memory_words=90),
    "loihi1, few axons": limited("loihi1", input_axons_per_core=40),
    "loihi2, few neurons": limited("loihi2", neurons_per_core=20),
    "loihi2, few words": limited("loihi2", synaptic_memory_words=40),
    "loihi2, one neuron": limited("loihi2", neurons_per_core=1),
    "loihi2, little memory": limited("loihi2", core_memory_words=70),
    "loihi2": load_target("loihi2"),
}


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
@pytest.mark.parametrize("name", TARGETS)
def test_free_tiles_need_the_fewest_cores_of_all(name: str, layer: Layer) -> None:
    target = TARGETS[name]
    tiles = [Tile(*sides) for sides in product(*(range(1, length + 1) for length in layer.shape))]
    cores = [tile.cores(layer) for tile in tiles if fits(target, layer, tile)]
    chosen = choose_free_tile(target, layer)
    assert (chosen is None) == (not cores)
    if chosen is not None:
        assert fits(target, layer, chosen)
        fewest = [tile for tile in tiles if fits(target, layer, tile) and tile.cores(layer) == min(cores)]
        channels, _, width = layer.shape

        def order(tile: Tile) -> tuple[int, ...]:
            """The shortest border, then the fewest parts of the channels, then of the columns, all parts as even as can be."""
            parts = ceil(channels / tile.channels), ceil(width / tile.columns)
            return tile.rows + tile.columns, *parts, tile.channels, tile.columns

        assert chosen == min(fewest, key=order)


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
@pytest.mark.parametrize("name", TARGETS)
def test_tiles_are_those_of_the_compilers_rule(name: str, layer: Layer) -> None:
    """The most channels that fit anywhere, then the fewest cores, then the shortest border, then the smallest tile."""
    target = TARGETS[name]
    chosen = choose_tile(target, layer)
    if name.startswith("loihi1"):
        assert chosen == choose_free_tile(target, layer)
        return
    channels, height, width = layer.shape
    blocks = {ceil(channels / 2**j) for j in range(8)}
    if layer.dense:
        blocks = {ceil(channels / parts) for parts in range(1, channels + 1)}
    columns = {2**j for j in range(8) if 2**j < 2 * width}
    tiles = [Tile(*sides) for sides in product(blocks, {ceil(height / 2**j) for j in range(8)}, columns)]
    tiles = [tile for tile in tiles if fits(target, layer, tile)]
    order = [(-tile.channels, tile.cores(layer), tile.rows + tile.columns, tile.size) for tile in tiles]
    if chosen is None:
        assert not tiles
    else:
        assert (-chosen.channels, chosen.cores(layer), chosen.rows + chosen.columns, chosen.size) == min(order)


def lists_of_loihi1(group: SynapseGroup, tile: Tile) -> set[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Distinct sets of taps by which a source pixel meets the tile, far from the borders of the map."""
    along = []
    for axis, length in enumerate((tile.rows, tile.columns)):
        taps, stride, dilation = group.taps[axis], group.strides[axis], group.dilations[axis]
        sets = set()
        for pixel, phase in product(range(200), range(stride)):
            if group.kind == "conv":
                at = [divmod(pixel - 50 - tap * dilation, stride) for tap in range(taps)]
            else:
                at = [((pixel - 50) * stride + phase + tap * dilation, 0) for tap in range(taps)]
            sets.add(tuple(tap for tap, (row, rest) in enumerate(at) if rest == 0 and 0 <= row < length))
        along.append(sets - {()})
    return {(rows, columns) for rows in along[0] for columns in along[1]}


@pytest.mark.parametrize(
    "tile", [Tile(1, 1, 1), Tile(2, 3, 2), Tile(3, 2, 4), Tile(5, 4, 4), Tile(17, 4, 3), Tile(31, 4, 4), Tile(40, 5, 3)]
)
@pytest.mark.parametrize("layer", [*LAYERS[:4], *STRIDED, WIDE], ids=lambda layer: layer.name)
def test_words_are_those_of_all_lists(layer: Layer, tile: Tile) -> None:
    """Loihi 1: words of 64 bits, headers of 10 for each 60 synapses, 10 bits of index. Loihi 2: headers of 20."""
    one = two = 0
    for group in layer.groups:
        per_group = layer.shape[0] // group.groups
        sources = min(group.groups, ceil(tile.channels / per_group)) * (group.shape[0] // group.groups)
        synapses = min(tile.channels, per_group)
        for rows, columns in lists_of_loihi1(group, tile):
            length = len(rows) * len(columns) * synapses
            one += sources * ceil((length * (8 + 10) + 10 * ceil(length / 60)) / 64)
        bits = 9 if group.strides[1] > 1 else 8
        two += sources * group.taps[0] * group.taps[1] * ceil((synapses * bits + 20) / 64)
    assert count_synaptic_words(load_target("loihi1"), layer, tile) == one
    assert count_synaptic_words(load_target("loihi2"), layer, tile) == two


@pytest.mark.parametrize(("name", "bits"), [("loihi1", 8 + 10), ("loihi2", 8 + 12)])
def test_words_of_explicit_synapses(name: str, bits: int) -> None:
    """A list per source neuron that reaches the tile: all where dense, the pixels that it reads for a map of pixels."""
    target, dense, pixels = load_target(name), LAYERS[4], LAYERS[5]
    for neurons in (1, 6, 7, 23):
        words = 5 * 2 * 2 * ceil((neurons * bits + 10) / 64)
        assert count_synaptic_words(target, dense, Tile(neurons, 1, 1)) == words
    for tile in (Tile(1, 1, 1), Tile(2, 1, 1), Tile(2, 3, 4), Tile(2, 6, 6)):
        synapses = ceil(36 * tile.rows * tile.columns / 36) * tile.channels
        lists = tile.channels * ceil(tile.rows / 2) * ceil(tile.columns / 2)
        words = lists * ceil((ceil(synapses / lists) * bits + 10) / 64)
        assert count_synaptic_words(target, pixels, tile) == words


@pytest.mark.parametrize(("entries", "words"), [(0, 1), (1, 1), (3, 3), (9, 9), (18, 9), (27, 9), (28, 18)])
def test_maps_of_few_pixels_have_few_lists(entries: int, words: int) -> None:
    """At most one list per source pixel, of which nine reach the tile; three synapses and a header take 64 bits."""
    group = replace(LAYERS[5].groups[0], entries=entries)
    assert count_synaptic_words(load_target("loihi1"), replace(LAYERS[5], groups=(group,)), Tile(1, 6, 6)) == words
    oblong = Layer("oblong", (2, 6, 2), (replace(group, shape=(2, 3, 3), entries=13),))
    assert count_synaptic_words(load_target("loihi1"), oblong, Tile(1, 3, 2)) == 2 * 2  # four of seven for each of two
    none = Layer("none", (1, 1, 1), (SynapseGroup("a", (1, 1, 1), "pixels"),))
    assert count_synaptic_words(load_target("loihi1"), none, Tile(1, 1, 1)) == 1


def test_lists_of_pixels_are_those_of_the_channels_that_exist() -> None:
    one, more = (count_synaptic_words(load_target("loihi1"), LAYERS[5], Tile(count, 6, 6)) for count in (1, 2))
    assert (one, more) == (9 * 2, 18 * 2)


def test_uses_of_a_core_by_hand() -> None:
    tile = Tile(2, 3, 4)
    words = {name: count_synaptic_words(load_target(name), LAYERS[2], tile) for name in ("loihi1", "loihi2")}
    assert measure_uses(load_target("loihi1"), LAYERS[2], tile) == (
        Use("neurons", 48, 1024),
        Use("synaptic words", words["loihi1"], 16384),
        Use("input axons", 2 * 4 * 4 + 2 * 3 * 4, 4096),
        Use("output axons", 24, 4096),
        Use("delay slots", 48 * 4, 8192),
    )
    assert measure_uses(load_target("loihi2"), LAYERS[2], tile) == (
        Use("neurons", 24, 4095),
        Use("synaptic words", words["loihi2"], 16000),
        Use("input axons", 2, 16000),
        Use("output axons", 12, 16000),
        Use("core memory words", 24 + words["loihi2"] + 12, 20000),
    )
    hosted = replace(LAYERS[2], readers=2, by_neuron=True)
    assert measure_uses(load_target("loihi2"), hosted, tile)[-1].used == 24 + words["loihi2"] + 2 * 24
    assert Use("neurons", 3, 4).fraction == 0.75
    assert (tile.size, tile.cores(LAYERS[2])) == (24, 3 * 2 * 1)


@pytest.mark.parametrize(("delay", "slots"), [(1, 4), (2, 4), (3, 8), (6, 8), (7, 16), (14, 16), (15, 32), (62, 64)])
def test_long_delays_leave_fewer_compartments_on_loihi1(delay: int, slots: int) -> None:
    """8 slots for each of 1024 compartments, so that a delay of 15 steps leaves a quarter of them."""
    uses = {
        use.resource: use for use in measure_uses(load_target("loihi1"), replace(LAYERS[0], delay=delay), Tile(1, 2, 3))
    }
    assert uses["delay slots"] == Use("delay slots", 2 * 6 * slots, 8192)
    alone = Layer("l", (1, 64, 64), (SynapseGroup("a", (1, 64, 64)),), delay)
    tile = choose_free_tile(load_target("loihi1"), alone)
    assert tile is not None
    assert tile.size <= min(1024, 8192 // slots) // 2
    assert "delay slots" not in [use.resource for use in measure_uses(load_target("loihi2"), alone, tile)]
