"""Formats and batches of what is stitched."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from snn_deploy.backend.protocol import Record
from snn_deploy.backend.registry import load_backend
from snn_deploy.errors import StimulusError
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.planning.halo import Halo, find_cut
from snn_deploy.planning.tiled import NEURONS_AT_ONCE, TiledBackend, _narrowest
from snn_deploy.planning.windows import Tiling
from snn_deploy.testing.networks import random_stimulus
from tests.planning.test_halo import conv, network

NET = network(("input", "y", conv(2, 1)))


@pytest.mark.parametrize(
    ("payloads", "steps", "expected"),
    [
        ((-32767, 32767), 1, np.int16),
        ((-32768, 32767), 1, np.int64),
        ((-32767, 32768), 1, np.int64),
        ((0, 127), 258, np.int16),
        ((0, 127), 259, np.int64),
        ((-128, 127), 255, np.int16),
        ((-128, 127), 256, np.int64),
        ((0, 1), 32767, np.int16),
        ((0, 1), 32768, np.int64),
    ],
)
def test_counts_are_kept_in_the_narrowest_format(
    payloads: tuple[int, int], steps: int, expected: type[np.int16 | np.int64]
) -> None:
    ones = np.ones(2, np.int64)
    low, high = payloads
    neuron = MultiThreshold(ones, ones, low, high, low, high)
    population = replace(NET.populations[-1], neuron=neuron)
    assert population.payload_range == payloads
    assert _narrowest(population, steps, np.dtype(np.int64)) == expected
    assert _narrowest(population, steps, np.dtype(np.int32)) == np.int32


@pytest.mark.parametrize(
    ("neurons", "batches"),
    [(1, [1, 2, 3, 4]), (2 * 3 * 64, [1, 2, 3, 4]), (4 * 3 * 64 - 1, [1, 2, 3, 4]), (4 * 3 * 64, [2, 4]), (6 * 3 * 64, [3, 4]),
     (NEURONS_AT_ONCE, [4])],
)  # fmt: skip
def test_so_many_tiles_at_once_as_neurons_allow(
    monkeypatch: pytest.MonkeyPatch, neurons: int, batches: list[int]
) -> None:
    """Two images of four tiles of 3 x 8 x 8 neurons."""
    assert NEURONS_AT_ONCE == 16_777_216
    monkeypatch.setattr("snn_deploy.planning.tiled.NEURONS_AT_ONCE", neurons)
    whole, cpu = NET.at_size(12, 12), load_backend("cpu")
    stimulus = random_stimulus(whole, batch=2)
    seen: list[tuple[int, int]] = []
    shapes = []
    tiling = Tiling((12, 12), (8, 8), find_cut(NET).exact, (1, 1))
    backend = TiledBackend(cpu, tiling, lambda tile, run: shapes.append(run.counts["y"].shape[0]))
    run = backend.run(whole, stimulus, Record.TRAINS, lambda *part: seen.append(part))
    assert seen == [(done, 4) for done in batches]
    assert shapes == [2 * number for number in np.diff([0, *batches])]
    expected = cpu.run(whole, stimulus, Record.TRAINS)
    for name, counts in expected.counts.items():
        assert np.array_equal(run.counts[name], counts)
    assert run.states is None
    assert run.second_states is None
    assert run.trains is not None
    assert (len(run.counts), len(run.trains)) == (2, 2)
    assert run.seconds > 0


def test_images_of_another_size_are_refused() -> None:
    tiling = Tiling((12, 10), (8, 8), Halo(1, 1), (1, 1))
    net = NET.at_size(12, 12)
    with pytest.raises(StimulusError, match=r"^the tiles are of images of 12x10, not of 12x12$"):
        TiledBackend(load_backend("cpu"), tiling).run(net, random_stimulus(net))
