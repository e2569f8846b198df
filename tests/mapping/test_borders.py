"""Layers that begin a chip: as many chips, fewer messages between them, and every core on a place of its own."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from snn_deploy.activity.counting import count_activity
from snn_deploy.backend.registry import load_backend
from snn_deploy.mapping.borders import choose_borders
from snn_deploy.mapping.fit import Mapping, map_network
from snn_deploy.mapping.traffic import list_places, list_routes, measure_traffic
from snn_deploy.targets.load import Target
from snn_deploy.testing import random_stimulus, random_unet
from tests.mapping.test_traffic import small

NETWORK = random_unet("exact", 4)
ACTIVITY = count_activity(NETWORK, load_backend("cpu").run(NETWORK, random_stimulus(NETWORK, 4)))


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return small(tmp_path, "loihi2", neurons=200, cores=20)


def begun(mapping: Mapping, begins: tuple[bool, ...]) -> Mapping:
    layers = [replace(layer, begins_chip=begin) for layer, begin in zip(mapping.layers, begins, strict=True)]
    return replace(mapping, layers=tuple(layers))


def test_places_and_chips(target: Target) -> None:
    mapping = map_network(NETWORK, target)
    sizes = [layer.cores for layer in mapping.layers]
    assert mapping.chips == -(-sum(sizes) // 20)
    assert np.array_equal(list_places(mapping), np.arange(sum(sizes)))
    for begins in product((False, True), repeat=3):
        changed = begun(mapping, (*begins, *(False for _ in sizes[3:])))
        expected: list[int] = []
        free = 0
        for size, begin in zip(sizes, (*begins, *(False for _ in sizes[3:])), strict=True):
            if begin and free % 20:
                free += 20 - free % 20
            expected += range(free, free + size)
            free += size
        assert list_places(changed).tolist() == expected
        assert changed.chips == expected[-1] // 20 + 1
        assert changed.cores == mapping.cores


def test_fewer_messages_cross_on_as_many_chips(target: Target) -> None:
    mapping = map_network(NETWORK, target)
    found = choose_borders(NETWORK, ACTIVITY, mapping, target)
    assert mapping.chips > 2
    assert found.chips == mapping.chips
    before, after = (measure_traffic(NETWORK, ACTIVITY, each, target) for each in (mapping, found))
    assert after.between_chips < 0.9 * before.between_chips
    assert after.between_chips + after.within_chips == pytest.approx(before.between_chips + before.within_chips)
    assert np.array_equal(after.operations, before.operations)
    for index, layer in enumerate(found.layers):
        more = begun(found, tuple(each.begins_chip or number == index for number, each in enumerate(found.layers)))
        if not layer.begins_chip and more.chips <= found.chips:
            assert measure_traffic(NETWORK, ACTIVITY, more, target).between_chips >= after.between_chips * (1 - 1e-12)


def test_two_chips_have_a_border_too(tmp_path: Path) -> None:
    target = small(tmp_path, "loihi2", neurons=200, cores=40)
    mapping = map_network(NETWORK, target)
    found = choose_borders(NETWORK, ACTIVITY, mapping, target)
    assert mapping.chips == found.chips == 2
    assert [layer.begins_chip for layer in found.layers].count(True) == 1
    before, after = (measure_traffic(NETWORK, ACTIVITY, each, target) for each in (mapping, found))
    assert after.between_chips < 0.6 * before.between_chips


def test_routes_are_the_messages_between_populations(target: Target) -> None:
    mapping = map_network(NETWORK, target)
    begin, finish, messages = list_routes(NETWORK, ACTIVITY, mapping, target)
    traffic = measure_traffic(NETWORK, ACTIVITY, mapping, target)
    assert messages.sum() == pytest.approx(traffic.within_chips + traffic.between_chips, rel=1e-12)
    assert messages @ (begin // 20 != finish // 20) == pytest.approx(traffic.between_chips, rel=1e-12)


def test_one_chip_stays_as_it_is(tmp_path: Path) -> None:
    target = small(tmp_path, "loihi2", neurons=200, cores=1000)
    mapping = map_network(NETWORK, target)
    assert mapping.chips == 1
    assert choose_borders(NETWORK, ACTIVITY, mapping, target) is mapping
