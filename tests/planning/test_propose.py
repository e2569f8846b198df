"""What is proposed: sizes and places by hand, times by the formula, sequences of groups against all that there are."""

from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from snn_deploy.activity.activity import Activity
from snn_deploy.activity.counting import count_activity
from snn_deploy.backend.registry import load_backend
from snn_deploy.errors import PlanError
from snn_deploy.mapping.fit import map_network
from snn_deploy.mapping.layout import describe_layers
from snn_deploy.network.network import Network
from snn_deploy.planning.groups import cut_stage
from snn_deploy.planning.halo import Cut, Halo, find_cut
from snn_deploy.planning.plan import Group, Hardware
from snn_deploy.planning.propose import (
    PLACES,
    Site,
    _best_groups,
    _best_tile,
    _fitting,
    _halos,
    _places,
    _sizes,
    propose,
)
from snn_deploy.planning.windows import Tiling
from snn_deploy.targets.load import load_target
from snn_deploy.testing.networks import random_stimulus
from tests.planning.test_halo import STRIDED, conv, network, one_pixel, unet
from tests.planning.test_plan import NAMES, NET

LOIHI2 = load_target("loihi2")
WHOLE = NET.at_size(64, 48)


def activity_of(whole: Network, batch: int = 1) -> Activity:
    return count_activity(whole, load_backend("cpu").run(whole, random_stimulus(whole, batch=batch)))


ACTIVITY = activity_of(WHOLE)


def site_of(cores: int, net: Network = WHOLE) -> Site:
    return Site.of(net, LOIHI2, Hardware("loihi2", 1, cores), ACTIVITY if net is WHOLE else activity_of(net))


def cut_of(exact: tuple[int, int], least: tuple[int, int] = (0, 0), grid: tuple[int, int] = (1, 1)) -> Cut:
    return Cut({"x": (Fraction(1), Fraction(1))}, grid, Halo(*exact), Halo(*least))


@pytest.mark.parametrize(
    ("side", "extent", "grid", "expected"),
    [
        (20, 20, 4, 20),
        (21, 20, 4, 20),
        (19, 20, 4, 16),
        (16, 20, 4, 16),
        (15, 20, 4, 12),
        (19, 22, 4, 18),
        (2, 22, 4, 2),
        (1, 22, 4, -2),
        (7, 9, 1, 7),
        (8, 9, 2, 7),
    ],
)
def test_the_largest_side_that_ends_with_the_image(side: int, extent: int, grid: int, expected: int) -> None:
    assert _fitting(side, extent, grid) == expected


@pytest.mark.parametrize(
    ("exact", "least", "expected"),
    [
        ((16, 8), (0, 0), [(16, 8), (4, 2), (2, 1), (0, 0)]),
        ((9, 5), (0, 0), [(9, 5), (3, 2), (2, 1), (0, 0)]),  # rounded up
        ((16, 8), (3, 1), [(16, 8), (4, 2), (3, 1)]),  # never below the least
        ((1, 1), (0, 0), [(1, 1), (0, 0)]),
        ((0, 0), (0, 0), [(0, 0)]),
    ],
)
def test_smaller_halos_are_a_quarter_an_eighth_and_none(
    exact: tuple[int, int], least: tuple[int, int], expected: list[tuple[int, int]]
) -> None:
    assert _halos(cut_of(exact, least)) == [Halo(*pair) for pair in expected]


def test_a_site_knows_the_operations_per_image() -> None:
    two = activity_of(WHOLE, batch=2)
    site = Site.of(WHOLE, LOIHI2, Hardware("loihi2", 1, 5), two)
    assert set(site.operations) == {population.name for population in WHOLE.populations}
    for name in NAMES:
        assert site.operations[name] == float(two.arriving(name).sum()) / 2 > 0, name


def test_tiles_are_placed_up_to_the_last_core() -> None:
    tile = NET.at_size(32, 32)
    mapping = map_network(tile, LOIHI2)
    assert mapping.cores > 4
    placed = site_of(mapping.cores).place(tile)
    assert placed is not None
    layers = {layer.name: layer for layer in describe_layers(tile)}
    assert set(placed) == set(layers)
    assert sum(placed[name].cores(layer) for name, layer in layers.items()) == mapping.cores
    assert site_of(mapping.cores - 1).place(tile) is None


@pytest.mark.parametrize(("copies", "spare"), [(1, 0), (2, 0), (2, 1), (3, 0)])
def test_seconds_of_all_tiles_by_the_formula(copies: int, spare: int) -> None:
    """Rounds of as many tiles at once as there are copies; each takes its share of the operations and of all steps."""
    tile = NET.at_size(32, 24)
    cores = map_network(tile, LOIHI2).cores
    site = site_of(copies * cores + spare)
    placed = site.place(tile)
    assert placed is not None
    tiling = Tiling((64, 48), (32, 24), Halo(6, 6), (2, 2))
    layers = {layer.name: layer for layer in describe_layers(tile)}
    synapse, neuron, barrier = (
        LOIHI2.quantity(name).value for name in ("time.synapse_ns", "time.neuron_ns", "time.barrier_chip_ns")
    )
    share = 32 * 24 / (64 * 48)
    busy = sum(site.operations[name] * share / placed[name].cores(layer) * synapse for name, layer in layers.items())
    largest = max(placed[name].channels * placed[name].rows * placed[name].columns for name in layers)
    rounds = {1: tiling.tiles, 2: (tiling.tiles + 1) // 2, 3: (tiling.tiles + 2) // 3}[copies]
    expected = rounds * (busy + tile.duration * (largest * neuron + barrier))
    assert site.seconds(tile, tiling, placed) == pytest.approx(expected, rel=1e-12)


def test_sizes_go_from_what_the_neurons_allow_to_what_the_halo_needs() -> None:
    """Two channels of neurons per pixel, on cores of 8,192: 8 cores allow 65,536 / 3 pixels, 147 a side."""
    net = network(("input", "a", conv(2, 1)), ("a", "y", conv(1, 2))).at_size(400, 300)
    per_core = LOIHI2.integer("limits.neurons_per_core") // LOIHI2.integer("limits.compartments_per_neuron")
    side = int((8 * per_core / 3) ** 0.5)
    site = Site(net, LOIHI2, Hardware("loihi2", 1, 8), {})
    stage = cut_stage(net, ["a", "y"])
    least = 2 + 2 + 1  # the halo and one pixel
    expected = [side - round((side - least) * part / 8) for part in range(9)]
    found = list(_sizes(site, stage, find_cut(net), Halo(2, 2)))
    assert found == [(each, each) for each in expected]
    assert (found[0], found[-1]) == ((side, side), (least, least))
    small = net.at_size(100, 40)
    sizes = list(_sizes(replace(site, network=small), cut_stage(small, ["a", "y"]), find_cut(net), Halo(2, 2)))
    assert sizes[0] == (100, 40)  # never larger than the image
    assert sizes[-1] == (5, 5)
    assert len(sizes) == 9
    assert all(columns == min(rows, 40) for rows, columns in sizes)
    tight = list(
        _sizes(replace(site, network=small), cut_stage(small, ["a", "y"]), cut_of((2, 2), grid=(30, 7)), Halo(2, 2))
    )
    assert all((100 - rows) % 30 == 0 and (40 - columns) % 7 == 0 for rows, columns in tight)
    assert tight[-1] == (10, 33)  # 34 pixels: the halo and one step of the coarser axis
    assert len(tight) == len(set(tight))


def test_sizes_are_at_least_a_pixel() -> None:
    """One core for more neurons than a halo leaves room for: the sides fall below one and are left out."""
    net = network(("input", "y", conv(1, 1))).at_size(8, 8)
    site = Site(net, LOIHI2, Hardware("loihi2", 1, 1), {})
    stage = cut_stage(net, ["y"])
    assert list(_sizes(site, stage, cut_of((1, 1)), Halo(1, 1)))[-1] == (3, 3)
    coarse = list(_sizes(site, stage, cut_of((1, 1), grid=(16, 16)), Halo(1, 1)))
    assert coarse == [(8, 8)]


def test_the_best_tile_is_the_quickest_of_those_that_fit() -> None:
    site = site_of(5)
    stage, cut = cut_stage(WHOLE, NAMES), find_cut(NET)
    costs = {}
    for size in _sizes(site, stage, cut, cut.exact):
        tile = WHOLE.at_size(*size)
        placed = site.place(tile)
        if placed is None:
            continue
        try:
            tiling = Tiling((64, 48), size, cut.exact, cut.grid)
        except PlanError:
            continue
        costs[size] = site.seconds(tile, tiling, placed)
    assert len(costs) > 1
    best = _best_tile(site, stage, cut, cut.exact)
    quickest = min(costs, key=lambda size: costs[size])
    assert best == (costs[quickest], Group(NAMES, quickest, cut.exact))
    assert _best_tile(site_of(1), stage, cut, cut.exact) is None


def chain(lengths: int) -> Network:
    """Layers one after the other of one to three channels each."""
    channels = [1, *(1 + (index * 2) % 3 for index in range(lengths))]
    names = ["input", *(f"p{index}" for index in range(1, lengths + 1))]
    edges = [(names[index], names[index + 1], conv(channels[index + 1], channels[index])) for index in range(lengths)]
    return network(*edges)


def test_the_places_past_which_least_is_passed_on() -> None:
    """Between layers of a chain the neurons of the layer before are passed on; a skip passes the input, too."""
    net = chain(PLACES + 4)
    names = [population.name for population in net.populations[1:]]
    sizes = {place: net.population(names[place - 1]).size for place in range(1, len(names))}
    expected = sorted(sorted(sizes, key=lambda place: (sizes[place], place))[:PLACES])
    assert _places(net, names) == expected
    assert len(expected) == PLACES == 12
    assert expected != sorted(sizes)[:PLACES]
    skips = unet(STRIDED)
    assert _places(skips, NAMES) == [1, 2, 3, 4]


def test_places_are_ranked_by_what_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand, in neurons of 16x16: past a 768; past p 768 + 192, past b the same; past u 768 + 768."""
    net = unet(STRIDED)
    for most, expected in ((1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (4, [1, 2, 3, 4])):
        monkeypatch.setattr("snn_deploy.planning.propose.PLACES", most)
        assert _places(net, NAMES) == expected
    late = network(
        ("input", "a", conv(3, 1)),
        ("a", "b", conv(1, 3)),
        ("b", "c", conv(2, 1)),
        ("input", "c", conv(2, 1)),
        ("c", "y", conv(1, 2)),
    )
    # past a: a 768 + input 256; past b: b 256 + input 256; past c: 512
    for most, expected in ((1, [2]), (2, [2, 3]), (3, [1, 2, 3])):
        monkeypatch.setattr("snn_deploy.planning.propose.PLACES", most)
        assert _places(late, ["a", "b", "c", "y"]) == expected


def every_sequence(site: Site, names: tuple[str, ...]) -> dict[int, float]:
    """Least time by number of groups, of all ways to cut ``names``."""
    found: dict[int, float] = {}
    for number in range(1, len(names) + 1):
        for inner in itertools.combinations(range(1, len(names)), number - 1):
            ends = (0, *inner, len(names))
            times = []
            for first, last in itertools.pairwise(ends):
                stage = cut_stage(site.network, names[first:last])
                best = _best_tile(site, stage, find_cut(stage.network), find_cut(stage.network).exact)
                times.append(None if best is None else best[0])
            if None not in times:
                total = sum(time for time in times if time is not None)
                found[number] = min(found.get(number, np.inf), total)
    return found


@pytest.mark.parametrize("cores", [1, 2, 3, 5])
def test_sequences_of_groups_are_the_best_of_all(cores: int) -> None:
    """The least number of groups that fits and the next two, each the quickest of that many."""
    net = chain(4).at_size(150, 150)
    site = Site.of(net, LOIHI2, Hardware("loihi2", 1, cores), activity_of(net))
    names = tuple(population.name for population in net.populations[1:])
    expected = every_sequence(site, names)
    found = list(_best_groups(site, names))
    assert [len(groups) for groups in found] == sorted(expected)[:3]
    for groups in found:
        assert [name for group in groups for name in group.populations] == list(names)
        seconds = 0.0
        for group in groups:
            stage = cut_stage(net, group.populations)
            tiling = Tiling(
                (stage.network.input.shape[1], stage.network.input.shape[2]), group.tile, group.halo, (1, 1)
            )
            tile = stage.network.at_size(*group.tile)
            placed = site.place(tile)
            assert placed is not None
            seconds += site.seconds(tile, tiling, placed)
        assert seconds == pytest.approx(expected[len(groups)], rel=1e-12)


def test_what_is_proposed_for_one_chip_of_five_cores() -> None:
    """Every halo once, exact where it is the cut's or where the tile is the image; then sequences, which are exact."""
    plans = list(propose(site_of(5), NET))
    assert all(plan.image == (64, 48) for plan in plans)
    assert len({plan.groups for plan in plans}) == len(plans)
    cut = find_cut(NET)
    single = [plan for plan in plans if len(plan.groups) == 1]
    assert [(plan.groups[0].halo, plan.exact) for plan in single] == [(halo, halo == cut.exact) for halo in _halos(cut)]
    assert all(plan.exact for plan in plans if len(plan.groups) > 1)
    assert [len(plan.groups) for plan in plans if len(plan.groups) > 1] == [2, 3]
    small = NET.at_size(16, 16)
    whole = [plan for plan in propose(site_of(5, small), NET) if len(plan.groups) == 1]
    assert [(plan.groups[0].tile, plan.groups[0].halo, plan.exact) for plan in whole] == [((16, 16), cut.exact, True)]


def test_networks_that_send_in_several_steps_get_no_groups() -> None:
    net = replace(NET, mode="rate", steps=3)
    whole = net.at_size(64, 48)
    plans = list(propose(Site.of(whole, LOIHI2, Hardware("loihi2", 1, 5), activity_of(whole)), net))
    assert {len(plan.groups) for plan in plans} == {1}


def test_what_stands_in_the_way_is_said_of_the_smallest_tile() -> None:
    """One pixel, with maps that padding keeps as large as the image; exact tiles have the halo of 3 at both ends."""
    edges = ("input", "a", conv(2, 1)), ("a", "b", conv(2, 2)), ("b", "y", conv(1, 2))
    net = replace(network(*edges), mode="rate", steps=3)
    with pytest.raises(
        PlanError,
        match=r"^net: no tile fits: tiles of 1x1 take 3 cores of loihi2, and 1 are there; exact tiles have at least 7 pixels$",
    ):
        list(propose(site_of(1, net), net))
    strided = network(("input", "a", conv(2, 1, strides=(2, 2))), ("a", "y", conv(1, 2, pads=(0, 0, 0, 0))))
    with pytest.raises(PlanError, match=r"tiles of 6x6 take 2 cores .* have at least (\d+) pixels$"):
        list(propose(site_of(1, replace(strided, mode="rate", steps=3)), strided))


def test_a_max_pool_of_one_pixel_is_a_place() -> None:
    net = network(("input", "a", conv(3, 1)), ("a", "y", one_pixel(0, 1)))
    assert _places(net, ["a", "y"]) == [1]
