"""Tiles of any size: the fewest cores, then more where they save most."""

from __future__ import annotations

from itertools import product

import pytest

from snn_deploy.activity.counting import count_activity
from snn_deploy.backend.registry import load_backend
from snn_deploy.cost.balancing import map_balanced
from snn_deploy.cost.energy import estimate
from snn_deploy.errors import TargetError
from snn_deploy.mapping.balance import NOTE, Cut, _finer, balance
from snn_deploy.mapping.fit import map_network
from snn_deploy.mapping.layout import Layer, SynapseGroup
from snn_deploy.mapping.tiling import Tile, choose_free_tile, fits
from snn_deploy.targets.load import load_target
from snn_deploy.testing import random_stimulus, random_unet

LOIHI2 = load_target("loihi2")
NETWORK = random_unet("exact", 1, size=76)
ACTIVITY = count_activity(NETWORK, load_backend("cpu").run(NETWORK, random_stimulus(NETWORK, batch=1)))
LAYER = Layer("conv", (6, 9, 10), (SynapseGroup("a", (3, 9, 10), taps=(3, 3)),))


def test_the_fewest_cores_are_those_of_free_tiles() -> None:
    mapping = balance(map_network(NETWORK, LOIHI2), LOIHI2, ACTIVITY, 0.0)
    for mapped in mapping.layers:
        free = choose_free_tile(LOIHI2, mapped.layer)
        assert free is not None
        assert mapped.tile == free
    assert mapping.cores == mapping.free_bound
    assert mapping.warnings[-1] == NOTE
    assert mapping.cores < map_network(NETWORK, LOIHI2).cores


@pytest.mark.parametrize("most", [1, 3, 8])
@pytest.mark.parametrize("cut", [Cut(Tile(6, 9, 10), 1), Cut(Tile(3, 9, 10), 2), Cut(Tile(2, 5, 5), 12)])
def test_the_next_cut_is_the_next_of_all(cut: Cut, most: int) -> None:
    """By trying all tiles: the fewest cores above, then the smallest tile."""
    tiles = [Tile(*sides) for sides in product(*(range(1, length + 1) for length in LAYER.shape))]
    finer = [
        (tile.cores(LAYER), tile.size)
        for tile in tiles
        if cut.cores < tile.cores(LAYER) <= cut.cores + most and tile.size < cut.tile.size and fits(LOIHI2, LAYER, tile)
    ]
    found = _finer(LOIHI2, LAYER, cut, most)
    assert (found is None) == (not finer)
    if found is not None:
        assert (found.cores, found.tile.size) == min(finer)
        assert found.tile.cores(LAYER) == found.cores


@pytest.mark.parametrize("streamed", [False, True])
def test_more_cores_save_time_and_are_never_more_than_allowed(streamed: bool) -> None:
    fewest = map_balanced(NETWORK, ACTIVITY, LOIHI2, "cores", streamed=streamed)
    mapping = balance(fewest, LOIHI2, ACTIVITY, 0.5, streamed=streamed)
    assert fewest.cores < mapping.cores <= 1.5 * fewest.cores
    assert all(fits(LOIHI2, mapped.layer, mapped.tile) for mapped in mapping.layers if mapped.tile is not None)
    times = []
    for each in (fewest, mapping):
        timing = estimate(NETWORK, ACTIVITY, LOIHI2, mapping=each, streamed=streamed).timing
        assert timing is not None
        times.append(timing.interval_s.value)
    assert times[1] < 0.9 * times[0]


def test_energy_is_the_least_of_those_that_are_tried() -> None:
    def joules(goal: str | None) -> float:
        mapping = map_balanced(NETWORK, ACTIVITY, LOIHI2, goal)  # type: ignore[arg-type]
        return estimate(NETWORK, ACTIVITY, LOIHI2, mapping=mapping).total_j.value

    assert joules("energy") <= min(joules(goal) for goal in (None, "cores", "latency"))


def test_chips_whose_tiles_are_free_have_nothing_to_balance() -> None:
    loihi1 = load_target("loihi1")
    with pytest.raises(TargetError, match=r"^target loihi1: its tiles have any size already; leave the balance out$"):
        balance(map_network(NETWORK, loihi1), loihi1, ACTIVITY, 0.0)
