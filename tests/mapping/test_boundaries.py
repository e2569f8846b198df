"""Every limit is inclusive: what uses it up still fits, one more does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from snn_deploy.mapping.fit import LayerMapping, Mapping, map_network
from snn_deploy.mapping.layout import Layer, SynapseGroup
from snn_deploy.mapping.tiling import Tile, bound_cores, choose_tile, fits, measure_uses
from snn_deploy.network.kernels import ConvKernel
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Connection, Network, Output, Population
from snn_deploy.targets.load import Target, load_target

LIMIT_OF = {
    "neurons": "limits.neurons_per_core",
    "synaptic words": "limits.synaptic_memory_words",
    "input axons": "limits.input_axons_per_core",
    "core memory words": "limits.core_memory_words",
}
CONV = Layer("conv", (4, 8, 8), (SynapseGroup("source", (3, 8, 8), taps=(3, 3)),))


def limited(target: Target, **limits: int) -> Target:
    """``target`` with other ``limits``."""
    changed = {
        f"limits.{key}": replace(target.figure(f"limits.{key}"), value=float(value)) for key, value in limits.items()
    }
    return replace(target, figures={**target.figures, **changed})


def pair(*, delay: int = 1, payload: int = 1, weight: int = 1) -> Network:
    """The input copied with one ``weight`` into one neuron, ``delay`` steps later."""
    zero = np.zeros((1, 1, 1), np.int64)
    neuron = MultiThreshold(np.full(1, 64, np.int64), np.zeros(1, np.int64), 0, payload)
    populations = (
        Population("input", (1, 1, 1), None, zero, np.ones(1), input_max=1),
        Population("neuron", (1, 1, 1), neuron, zero, np.ones(1), start=delay),
    )
    kernel = ConvKernel(np.full((1, 1, 1, 1), weight, np.int8))
    connection = Connection("synapse", "input", "neuron", kernel, delay=delay)
    return Network("pair", "rate", 8, populations, (connection,), (Output("out", "neuron"),))


@pytest.mark.parametrize(
    ("name", "resource"),
    [
        *(("loihi1", resource) for resource in ("neurons", "synaptic words", "input axons")),
        *(("loihi2", resource) for resource in LIMIT_OF),
    ],
)
def test_a_tile_may_use_a_core_up(name: str, resource: str) -> None:
    target, tile = load_target(name), Tile(4, 4, 4)
    used = next(use.used for use in measure_uses(target, CONV, tile) if use.resource == resource)
    key = LIMIT_OF[resource].removeprefix("limits.")
    assert fits(limited(target, **{key: used}), CONV, tile)
    assert not fits(limited(target, **{key: used - 1}), CONV, tile)


def test_a_core_of_loihi2_holds_4095_neurons() -> None:
    target = load_target("loihi2")
    for neurons, cores in ((4095, 1), (4096, 2)):
        layer = Layer("dense", (neurons, 1, 1), (SynapseGroup("source", (1, 1, 1), "dense"),))
        tile = choose_tile(target, layer)
        assert tile is not None
        assert (tile.cores(layer), bound_cores(target, layer)) == (cores, cores)


@pytest.mark.parametrize(
    ("group", "tile", "axons"),
    [
        (SynapseGroup("source", (3, 20, 20), taps=(3, 3)), Tile(4, 4, 5), 3 * 6 * 7),
        (SynapseGroup("source", (3, 20, 20), taps=(5, 1), dilations=(2, 1)), Tile(4, 4, 5), 3 * 12 * 5),
        (SynapseGroup("source", (3, 40, 40), taps=(3, 3), strides=(2, 2)), Tile(4, 4, 5), 3 * 9 * 11),
        (
            SynapseGroup("source", (3, 5, 20), taps=(3, 3)),
            Tile(4, 4, 5),
            3 * 5 * 7,
        ),  # no axons beyond the source's edge
        (SynapseGroup("source", (3, 10, 10), "transposed", (3, 3), (2, 2)), Tile(4, 4, 5), 3 * 3 * 4),
        (SynapseGroup("source", (4, 20, 20), taps=(3, 3), groups=2), Tile(2, 4, 5), 2 * 6 * 7),
        (SynapseGroup("source", (3, 4, 4), "dense"), Tile(4, 1, 1), 3 * 4 * 4),
    ],
)
def test_loihi1_axons_include_the_halo(group: SynapseGroup, tile: Tile, axons: int) -> None:
    """One input axon per source neuron in the receptive field of the tile, borders included."""
    layer = Layer("layer", (4, 20, 20), (group,))
    assert {use.resource: use.used for use in measure_uses(load_target("loihi1"), layer, tile)}["input axons"] == axons


@pytest.mark.parametrize(("delay", "relays"), [(62, None), (63, 1), (124, 1), (125, 2), (186, 2), (187, 3)])
def test_delays_up_to_62_steps(delay: int, relays: int | None) -> None:
    problems = [problem.text for problem in map_network(pair(delay=delay), load_target("loihi2")).problems]
    advice = f"pass the spikes through {relays} relay population(s)"
    assert problems == ([] if relays is None else [f"synapse: delay {delay}, loihi2 has at most 62; {advice}"])


@pytest.mark.parametrize(("bits", "fitting"), [(4, True), (3, False)])
def test_payloads_may_use_all_bits(bits: int, fitting: bool) -> None:
    target = limited(load_target("loihi2"), payload_bits=bits)
    assert map_network(pair(payload=15), target).fits is fitting


@pytest.mark.parametrize(("bits", "fitting"), [(8, True), (7, False)])
def test_a_current_may_use_the_whole_accumulator(bits: int, fitting: bool) -> None:
    """One spike of weight 127 is the largest current that 8 bits hold."""
    target = limited(load_target("loihi2"), accumulator_bits=bits)
    assert map_network(pair(weight=127), target).fits is fitting


@pytest.mark.parametrize(("bits", "fitting"), [(7, True), (6, False)])
def test_weights_may_use_all_bits(bits: int, fitting: bool) -> None:
    target = limited(load_target("loihi2"), weight_bits=bits)
    assert map_network(pair(weight=127), target).fits is fitting


@pytest.mark.parametrize(("cores", "chips"), [(1, 1), (119, 1), (120, 1), (121, 2), (240, 2), (241, 3)])
def test_full_chips(cores: int, chips: int) -> None:
    layer, tile = Layer("layer", (cores, 1, 1)), Tile(1, 1, 1)
    layers = (LayerMapping(layer, tile, (), 1, None),)
    mapping = Mapping("network", "loihi2", layers, 120, load_target("loihi2").boards, (), ())
    assert (mapping.cores, mapping.chips) == (cores, chips)
    assert mapping.board is not None
    assert mapping.board.chips >= chips
