"""Mappings as values: sums over layers, what is unknown while a layer has no cores, the record, sizes to choose from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from snn_deploy.mapping.fit import LayerMapping, Mapping, map_layers, map_network, suggest_sizes
from snn_deploy.mapping.layout import Layer, SynapseGroup
from snn_deploy.mapping.tiling import Tile, Use
from snn_deploy.network.kernels import ConvKernel
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Connection, Network, Output, Population
from snn_deploy.targets.load import load_target

LOIHI2 = load_target("loihi2")
SMALL = Layer("small", (4, 8, 8), (SynapseGroup("in", (3, 8, 8), taps=(3, 3)),))
"""256 neurons, 27 lists of one word."""

WIDE = Layer("wide", (8, 16, 16), (SynapseGroup("in", (2048, 16, 16), taps=(3, 3)),))
"""18,432 lists: one neuron has more than a core."""

SMALL_RECORD = {
    "population": "small",
    "shape": [4, 8, 8],
    "tile": [4, 8, 8],
    "cores": 1,
    "begins_chip": False,
    "limited_by": "neurons",
    "uses": {
        "neurons": {"used": 256, "limit": 4095},
        "synaptic words": {"used": 27, "limit": 16000},
        "input axons": {"used": 1, "limit": 16000},
        "output axons": {"used": 64, "limit": 16000},
        "core memory words": {"used": 256 + 27 + 64, "limit": 20000},
    },
}
WIDE_RECORD = {
    "population": "wide",
    "shape": [8, 16, 16],
    "tile": None,
    "cores": None,
    "begins_chip": False,
    "limited_by": "synaptic words",
    "uses": {
        "neurons": {"used": 1, "limit": 4095},
        "synaptic words": {"used": 18432, "limit": 16000},
        "input axons": {"used": 1, "limit": 16000},
        "output axons": {"used": 1, "limit": 16000},
        "core memory words": {"used": 1 + 18432 + 1, "limit": 20000},
    },
}


def test_the_record_of_a_mapping() -> None:
    mapping = map_layers("net", [SMALL, replace(SMALL, name="again")], LOIHI2)
    assert mapping.record() == {
        "network": "net",
        "target": "loihi2",
        "fits": True,
        "cores": 2,
        "chips": 1,
        "board": LOIHI2.boards[0].name,
        "neuron_bound": 2,
        "free_tile_bound": 2,
        "problems": [],
        "warnings": [],
        "layers": [SMALL_RECORD, SMALL_RECORD | {"population": "again"}],
    }
    assert (mapping.exit_status, mapping.unplaced) == (0, ())


def test_a_mapping_without_all_cores_has_no_totals() -> None:
    mapping = map_layers("net", [SMALL, WIDE], LOIHI2)
    (problem,) = mapping.problems
    assert mapping.record() == {
        "network": "net",
        "target": "loihi2",
        "fits": False,
        "cores": None,
        "chips": None,
        "board": None,
        "neuron_bound": 2,
        "free_tile_bound": None,
        "problems": [problem.text],
        "warnings": [],
        "layers": [SMALL_RECORD, WIDE_RECORD],
    }
    assert (mapping.exit_status, mapping.unplaced, mapping.is_placed) == (1, ("wide",), False)
    assert mapping.cores == 2  # a lower bound


def test_totals_are_sums_over_layers() -> None:
    def mapped(cores: int, bound: int, free: int | None) -> LayerMapping:
        return LayerMapping(Layer("l", (cores, 1, 1)), Tile(1, 1, 1), (Use("a", 1, 2), Use("b", 2, 3)), bound, free)

    layers = (mapped(5, 2, 4), mapped(7, 3, 6))
    mapping = Mapping("net", "chip", layers, 4, LOIHI2.boards, (), ())
    assert (mapping.cores, mapping.neuron_bound, mapping.free_bound, mapping.chips) == (12, 5, 10, 3)
    assert replace(mapping, layers=(*layers, mapped(1, 1, None))).free_bound is None
    assert layers[0].limit == layers[0].used("b") == Use("b", 2, 3)
    assert layers[0].used("a") == Use("a", 1, 2)


def test_the_smallest_board_that_holds_all_chips() -> None:
    sizes = [board.chips for board in LOIHI2.boards]
    assert sizes == sorted(sizes)
    mapping = Mapping("net", "chip", (), 120, LOIHI2.boards, (), ())
    for chips in range(1, max(sizes) + 2, 7):
        layer = LayerMapping(Layer("l", (chips * 120, 1, 1)), Tile(1, 1, 1), (), 1, 1)
        board = replace(mapping, layers=(layer,)).board
        assert (None if board is None else board.chips) == min((size for size in sizes if size >= chips), default=None)


def test_a_chip_without_boards_limits_nothing() -> None:
    large = [Layer("l", (64, 2048, 2048))] * 3
    assert [problem.where for problem in map_layers("net", large, LOIHI2).problems] == ["net"]
    assert map_layers("net", large, replace(LOIHI2, boards=())).problems == ()
    (problem,) = map_layers("net", [*large, WIDE], LOIHI2).problems  # without cores for all, boards say nothing
    assert problem.where == "wide"


def pooled(window: tuple[int, int], size: tuple[int, int]) -> Network:
    """An input, and two maps of it, each pixel the sum of a window."""
    theta, zero, one = np.full(2, 64), np.zeros((1, 1, 1), np.int64), np.ones(1)
    kernel = ConvKernel(np.ones((2, 1, *window), np.int8), window)
    neuron = MultiThreshold(theta, 0 * theta, 0, 1)
    populations = (
        Population("in", (1, *size), None, zero, one, input_max=1),
        Population("p", kernel.output_shape((1, *size)), neuron, np.zeros((2, 1, 1), np.int64), np.ones(2), start=1),
    )
    return Network("n", "rate", 4, populations, (Connection("c", "in", "p", kernel),), (Output("out", "p"),))


@pytest.mark.parametrize("window", [(4, 2), (2, 4)])
@pytest.mark.parametrize(
    ("size", "spread", "changes"),
    [
        ((32, 64), 0.3, (-8, -4, 0, 4, 8)),
        ((64, 32), 0.25, (-8, -4, 0, 4, 8)),
        ((32, 64), 0.1, (0,)),
        ((8, 8), 1.0, (-4, 0, 4, 8)),  # of which 8 less would leave nothing
    ],
)
def test_sizes_lie_in_steps_of_the_largest_pool(
    window: tuple[int, int], size: tuple[int, int], spread: float, changes: tuple[int, ...]
) -> None:
    options = suggest_sizes(pooled(window, size), LOIHI2, spread)
    assert sorted((each.height, each.width) for each in options) == [(size[0] + by, size[1] + by) for by in changes]
    assert [each.cores_per_megapixel for each in options] == sorted(each.cores_per_megapixel for each in options)
    for each in options:
        there = map_network(pooled(window, (each.height, each.width)), LOIHI2)
        assert each.cores == there.cores
        assert each.cores_per_megapixel == pytest.approx(1e6 * each.cores / each.height / each.width)


def test_no_size_is_suggested_where_no_neuron_fits() -> None:
    figure = replace(LOIHI2.figure("limits.synaptic_memory_words"), value=1.0)
    tiny = replace(LOIHI2, figures={**LOIHI2.figures, "limits.synaptic_memory_words": figure})
    assert suggest_sizes(pooled((2, 2), (8, 8)), tiny) == ()
