"""Tiles of any size: the fewest cores, then more where they save most."""

from __future__ import annotations

import math
from itertools import pairwise, product

import numpy as np
import pytest

from snn_deploy.activity.counting import count_activity
from snn_deploy.backend.registry import load_backend
from snn_deploy.cost.balancing import map_balanced
from snn_deploy.cost.energy import estimate
from snn_deploy.errors import TargetError
from snn_deploy.mapping.balance import (
    NOTE,
    SLACK,
    Cut,
    _spend_on_best,
    _spend_on_slowest,
    balance,
    list_cuts,
    select_front,
)
from snn_deploy.mapping.fit import Mapping, map_network
from snn_deploy.mapping.layout import Layer, SynapseGroup
from snn_deploy.mapping.operations import map_operations, sum_parts
from snn_deploy.mapping.tiling import Tile, choose_free_tile, fits
from snn_deploy.mapping.traffic import count_messages
from snn_deploy.targets.load import load_target
from snn_deploy.testing import random_stimulus, random_unet

LOIHI2 = load_target("loihi2")
NETWORK = random_unet("exact", 1, size=76)
ACTIVITY = count_activity(NETWORK, load_backend("cpu").run(NETWORK, random_stimulus(NETWORK, batch=1)))
LAYER = Layer("conv", (6, 9, 10), (SynapseGroup("a", (3, 9, 10), taps=(3, 3)),))


def test_the_fewest_cores_are_those_of_free_tiles() -> None:
    mapping = balance(NETWORK, map_network(NETWORK, LOIHI2), LOIHI2, ACTIVITY, 0.0)
    for mapped in mapping.layers:
        free = choose_free_tile(LOIHI2, mapped.layer)
        assert free is not None
        assert mapped.tile == free
    assert mapping.cores == mapping.free_bound
    assert mapping.warnings[-1] == NOTE
    assert mapping.cores < map_network(NETWORK, LOIHI2).cores


def test_cuts_are_all_even_ones_with_the_time_of_their_busiest_tile() -> None:
    """By trying all tiles, and summing neuron by neuron."""
    operations = np.random.default_rng(0).integers(0, 1000, LAYER.shape).astype(np.float64)
    found = list_cuts(LAYER, operations, LOIHI2, 7, 3)
    synapse, neuron = (LOIHI2.quantity(f"time.{key}").value for key in ("synapse_ns", "neuron_ns"))
    expected = {}
    for sides in product(*(range(1, length + 1) for length in LAYER.shape)):
        tile = Tile(*sides)
        even = all(side == -(-length // -(-length // side)) for side, length in zip(sides, LAYER.shape, strict=True))
        if even and tile.cores(LAYER) <= 8 and fits(LOIHI2, LAYER, tile):
            busiest = max(
                operations[c : c + sides[0], y : y + sides[1], x : x + sides[2]].sum()
                for c, y, x in product(
                    *(range(0, length, side) for side, length in zip(sides, LAYER.shape, strict=True))
                )
            )
            expected[sides] = busiest * synapse + tile.size * 3 * neuron
    assert {(cut.tile.channels, cut.tile.rows, cut.tile.columns): cut.time_ns for cut in found} == pytest.approx(
        expected
    )
    assert all(cut.cores == cut.tile.cores(LAYER) for cut in found)
    front = select_front(found)
    assert front[0].cores == 1
    assert len(front) > 2
    for cut in found:
        assert any(other.cores <= cut.cores and other.time_ns <= cut.time_ns for other in front)
    for fewer, more in pairwise(front):
        assert fewer.cores < more.cores
        assert fewer.time_ns > more.time_ns


def times(mapping: Mapping) -> list[float]:
    """Of each layer's busiest core, from the operations of every neuron."""
    synapse, neuron = (LOIHI2.quantity(f"time.{key}").value for key in ("synapse_ns", "neuron_ns"))
    found = []
    for layer in mapping.layers:
        assert layer.tile is not None
        sums = map_operations(NETWORK, ACTIVITY, layer.layer.name)
        for axis, part in enumerate((layer.tile.channels, layer.tile.rows, layer.tile.columns)):
            sums = sum_parts(sums, part, axis)
        found.append(float(sums.max()) * synapse + layer.tile.size * NETWORK.steps * neuron)
    return found


@pytest.mark.parametrize(
    ("left", "one_at_a_time", "streamed"),
    [
        (1, (1, 3), (1, 2)),
        (2, (3, 2), (3, 2)),
        (3, (3, 3), (3, 3)),
        (4, (4, 3), (4, 3)),
        (6, (3, 6), (4, 3)),
        (8, (4, 6), (4, 6)),
        (90, (4, 6), (4, 6)),
    ],
)
def test_cores_are_spent_where_they_save_most(
    left: int, one_at_a_time: tuple[int, int], streamed: tuple[int, int]
) -> None:
    """By hand: a saves 25 ns by core with its first two more, b 20 with its first and 13 with the next three."""
    tile = Tile(1, 1, 1)
    all_cuts = {
        "a": [Cut(tile, 1, 100.0), Cut(tile, 3, 50.0), Cut(tile, 4, 38.0)],
        "b": [Cut(tile, 2, 60.0), Cut(tile, 3, 40.0), Cut(tile, 6, 1.0)],
    }

    def cuts(name: str, most: int) -> list[Cut]:
        return [cut for cut in all_cuts[name] if cut.cores <= all_cuts[name][0].cores + most]

    for spend, expected in ((_spend_on_best, one_at_a_time), (_spend_on_slowest, streamed)):
        chosen = spend(("a", "b"), cuts, left)
        assert (chosen["a"].cores, chosen["b"].cores) == expected


def test_in_a_stream_no_other_choice_makes_the_slowest_layer_much_faster() -> None:
    """By trying every bound: the cores that all layers take to stay below it."""
    fewest = map_balanced(NETWORK, ACTIVITY, LOIHI2, "cores")
    left = math.floor(0.5 * fewest.cores)
    found = max(times(balance(NETWORK, fewest, LOIHI2, ACTIVITY, 0.5, streamed=True)))
    fronts = [
        select_front(
            list_cuts(layer.layer, map_operations(NETWORK, ACTIVITY, layer.layer.name), LOIHI2, left, NETWORK.steps)
        )
        for layer in fewest.layers
    ]
    reachable = [
        bound
        for bound in sorted({cut.time_ns for front in fronts for cut in front})
        if all(front[-1].time_ns <= bound for front in fronts)
        and sum(next(cut.cores for cut in front if cut.time_ns <= bound) for front in fronts) <= fewest.cores + left
    ]
    assert reachable[0] <= found <= reachable[0] * (1 + SLACK)


def test_of_cuts_that_are_as_good_the_one_with_fewest_messages_is_chosen() -> None:
    mapping = balance(NETWORK, map_network(NETWORK, LOIHI2), LOIHI2, ACTIVITY, 0.5, streamed=True)
    limit = max(times(mapping))
    for layer in mapping.layers:
        assert layer.tile is not None
        name = layer.layer.name
        operations = map_operations(NETWORK, ACTIVITY, name)
        for cut in list_cuts(layer.layer, operations, LOIHI2, 0, NETWORK.steps):
            if cut.cores == layer.cores and cut.time_ns <= limit:
                assert arriving(name, layer.tile) <= arriving(name, cut.tile) * (1 + 1e-12)


def arriving(name: str, tile: Tile) -> float:
    return sum(
        int(ACTIVITY.population(each.source).events.sum())
        * float(
            count_messages(
                each.kernel, NETWORK.population(each.source).shape, NETWORK.population(name).shape, tile
            ).mean()
        )
        for each in NETWORK.incoming(name)
    )


@pytest.mark.parametrize("streamed", [False, True])
def test_more_cores_save_time_and_are_never_more_than_allowed(streamed: bool) -> None:
    fewest = map_balanced(NETWORK, ACTIVITY, LOIHI2, "cores", streamed=streamed)
    mapping = balance(NETWORK, fewest, LOIHI2, ACTIVITY, 0.5, streamed=streamed)
    assert fewest.cores < mapping.cores <= 1.5 * fewest.cores
    assert all(fits(LOIHI2, mapped.layer, mapped.tile) for mapped in mapping.layers if mapped.tile is not None)
    intervals = []
    for each in (fewest, mapping):
        timing = estimate(NETWORK, ACTIVITY, LOIHI2, mapping=each, streamed=streamed).timing
        assert timing is not None
        intervals.append(timing.interval_s.value)
    assert intervals[1] < 0.9 * intervals[0]


def test_energy_is_the_least_of_those_that_are_tried() -> None:
    def joules(goal: str | None) -> float:
        mapping = map_balanced(NETWORK, ACTIVITY, LOIHI2, goal)  # type: ignore[arg-type]
        return estimate(NETWORK, ACTIVITY, LOIHI2, mapping=mapping).total_j.value

    assert joules("energy") <= min(joules(goal) for goal in (None, "cores", "latency"))


def test_chips_whose_tiles_are_free_have_nothing_to_balance() -> None:
    loihi1 = load_target("loihi1")
    with pytest.raises(TargetError, match=r"^target loihi1: its tiles have any size already; leave the balance out$"):
        balance(NETWORK, map_network(NETWORK, loihi1), loihi1, ACTIVITY, 0.0)
