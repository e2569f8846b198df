"""Neurons are on the cores that the mapping gives their tiles."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("sanafe", reason="needs the extra sanafe")

from snn_deploy.errors import BackendUnavailableError
from snn_deploy.mapping.fit import map_network
from snn_deploy.mapping.tiling import Tile
from snn_deploy.mapping.traffic import place_layers
from snn_deploy.targets.load import load_target
from snn_deploy.testing import random_unet
from snn_deploy_sanafe.chip import describe_chip
from snn_deploy_sanafe.placement import CORES, NEURONS_PER_CORE, _number_tiles, place
from tests.mapping.test_traffic import tile_numbers

NETWORK = random_unet("exact", 4, size=24)


def test_every_neuron_is_on_the_core_of_its_tile() -> None:
    target = load_target("loihi1-sanafe")
    blocks = place_layers(map_network(NETWORK, target), target)
    placement = place(NETWORK, 1)
    assert set(placement.cores) == set(blocks)
    for name, block in blocks.items():
        numbers = block.first + tile_numbers(NETWORK.population(name).shape, block.tile)
        assert np.array_equal(placement.cores[name], numbers.reshape(-1))
    assert placement.free == sum(math.prod(block.grid) for block in blocks.values())
    assert any(block.grid[1] > 1 for block in blocks.values())


@pytest.mark.parametrize("tile", [Tile(2, 3, 4), Tile(5, 1, 9), Tile(1, 7, 2), Tile(5, 7, 9)])
def test_tiles_are_numbered_along_channels_rows_and_columns(tile: Tile) -> None:
    assert np.array_equal(_number_tiles((5, 7, 9), tile), tile_numbers((5, 7, 9), tile).reshape(-1))


def test_the_sizes_are_those_of_the_description() -> None:
    text = describe_chip(1)
    assert f"max_neurons_supported: {NEURONS_PER_CORE}" in text
    assert "loihi_tile[0..31]" in text
    assert "loihi_core[0..3]" in text
    assert CORES == 32 * 4


def test_as_many_cores_as_there_are_and_no_more() -> None:
    others = (CORES - place(NETWORK, 0).free) * NEURONS_PER_CORE
    assert place(NETWORK, others).free == place(NETWORK, 0).free
    with pytest.raises(
        BackendUnavailableError, match=r"needs 129 cores at 24x24, SANA-FE's Loihi has 128; use a smaller"
    ):
        place(NETWORK, others + 1)
