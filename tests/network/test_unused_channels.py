"""A network without the channels that it does without counts what it counted before, in every channel that stays."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random

import numpy as np
import pytest

from snn_deploy.activity.counting import count_activity
from snn_deploy.backend.protocol import Record
from snn_deploy.backend.registry import load_backend
from snn_deploy.errors import BackendError
from snn_deploy.network.bounds import prove
from snn_deploy.network.constant_channels import find_constants
from snn_deploy.network.kernels import ConvKernel, SpatialKernel, TransposedKernel, identity
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Connection, Network, Output, Population
from snn_deploy.network.schedule import align
from snn_deploy.network.unused_channels import find_needed, remove_unused
from snn_deploy.testing import draw_network, draw_stimulus


def knock_out(network: Network, random: Random) -> Network:
    """Some channels read nothing, and some are read by nothing, through kernels that join all channels."""
    silenced = {each.name: random.random() < 0.4 for each in network.populations}
    unread = {each.name: random.random() < 0.4 for each in network.populations}
    connections = []
    for each in network.connections:
        kernel = each.kernel
        if not isinstance(kernel, SpatialKernel):
            weight = kernel.weight.copy()
            out_axis = 0 if isinstance(kernel, ConvKernel) else 1
            if silenced[each.target] and kernel.groups == 1:
                np.moveaxis(weight, out_axis, 0)[-1] = 0
            if unread[each.source] and kernel.groups == 1:
                np.moveaxis(weight, 1 - out_axis, 0)[0] = 0
            kernel = replace(kernel, weight=weight)
        connections.append(replace(each, kernel=kernel))
    return replace(network, connections=tuple(connections))


def assert_same_counts(network: Network, seed: Random) -> tuple[int, int]:
    """Channels removed, and constants among them that are not 0; every other count, and every train of rate mode, is as before."""
    smaller = remove_unused(network)
    constants = find_constants(network)
    kept = find_needed(network, constants)
    stimulus = draw_stimulus(network, seed)
    reference = load_backend("reference")
    before, after = (reference.run(each, stimulus, Record.TRAINS) for each in (network, smaller))
    assert before.trains is not None
    assert after.trains is not None
    for name, counts in before.counts.items():
        np.testing.assert_array_equal(after.counts[name], counts[:, kept[name]], err_msg=name)
        if network.mode == "rate":
            np.testing.assert_array_equal(after.trains[name], before.trains[name][:, :, kept[name]], err_msg=name)
        for channel, values in constants[name].items():
            np.testing.assert_array_equal(counts[:, channel], np.broadcast_to(values, counts[:, channel].shape))
    prove(smaller)
    removed = {name: np.flatnonzero(~part) for name, part in kept.items()}
    folded = sum(
        bool(values.any()) and channel in removed[name]
        for name in removed
        for channel, values in constants[name].items()
    )
    return sum(map(len, removed.values())), folded


def test_drawn_networks() -> None:
    """Over all kernels, neurons, modes and schedules; enough channels are removed, and enough constants folded, to say so."""
    found: Counter[str] = Counter()
    for seed in range(50):
        random = Random(seed)
        network = knock_out(draw_network(random), random)
        try:
            removed, folded = assert_same_counts(network, random)
        except BackendError:  # an event of a sigma-delta neuron beyond what the proof assumes
            continue
        found[network.mode] += removed
        found["folded"] += folded
    assert found["exact"] >= 12
    assert found["rate"] >= 9
    assert found["folded"] >= 10


def population(name: str, channels: int, bias: list[int], theta: int = 4) -> Population:
    """Neurons of ``exact`` mode that count 0..7."""
    wide = np.full(channels, theta)
    neuron = MultiThreshold(wide, wide // 2, -7, 7, 0, 7)
    return Population(name, (channels, 6, 6), neuron, np.array(bias)[:, None, None], np.ones(channels))


def unet() -> Network:
    """Two layers, the maximum of pairs of pixels of the first by a depthwise tournament, an upsampled branch and a skip that meet.

    Of the first layer, channel 1 never fires, 2 is a constant, 3 is read by nothing but its pool, and 4 by nothing.
    """
    rng = np.random.default_rng(0)

    def weights(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int8]]:
        return rng.integers(1, 9, shape).astype(np.int8) * rng.choice([-1, 1], shape).astype(np.int8)

    first = weights(5, 1, 3, 3)
    first[1], first[2] = -1, 0
    larger = np.zeros((5, 1, 2, 2), np.int8)
    larger[:, 0, 0, 0], larger[:, 0, 0, 1] = -1, 1
    upper = np.zeros_like(larger)
    upper[:, 0, 0, 0] = 1
    up, skip = weights(5, 3, 2, 2), weights(3, 5, 3, 3)
    up[4], skip[:, 3:] = 0, 0
    zeros = np.zeros((5, 1, 1), np.int64)
    ones = np.ones(5, np.int64)
    relay = MultiThreshold(ones, 0 * ones, -14, 14, 0, 14)
    pads = (1, 1, 1, 1)
    populations = (
        Population("x", (1, 6, 6), None, zeros[:1], np.ones(1), input_max=9),
        population("a", 5, [3, 1, 12, 5, 5]),
        Population("larger", (5, 3, 3), relay, zeros, np.ones(5)),
        Population("pool", (5, 3, 3), relay, zeros, np.ones(5)),
        population("b", 3, [9, -2, 4], 16),
        population("y", 2, [0, 1]),
    )
    connections = (
        Connection("xa", "x", "a", ConvKernel(first, pads=pads)),
        Connection("al", "a", "larger", ConvKernel(larger, (2, 2), groups=5)),
        Connection("ap", "a", "pool", ConvKernel(upper, (2, 2), groups=5)),
        Connection("lp", "larger", "pool", identity(5)),
        Connection("pb", "pool", "b", TransposedKernel(up, (2, 2))),
        Connection("ab", "a", "b", ConvKernel(skip, pads=pads)),
        Connection("by", "b", "y", ConvKernel(weights(2, 3, 1, 1))),
    )
    return align(Network("unet", "exact", 1, populations, connections, (Output("o", "y"),)))


def test_skips_and_tournaments_lose_channels_together() -> None:
    network = unet()
    constants = find_constants(network)
    assert {name: sorted(channels) for name, channels in constants.items() if channels} == {
        "a": [1, 2], "larger": [1, 2], "pool": [1, 2]
    }  # fmt: skip
    assert np.all(constants["a"][2] == (2 + 12) // 4)
    kept = find_needed(network, constants)
    assert {name: np.flatnonzero(part).tolist() for name, part in kept.items()} == {
        "x": [0], "a": [0, 3], "larger": [0, 3], "pool": [0, 3], "b": [0, 1, 2], "y": [0, 1]
    }  # fmt: skip
    assert_same_counts(network, Random(0))
    smaller = remove_unused(network)
    assert smaller.population("b").bias.shape == (3, 6, 6)  # a constant behind zero padding differs at borders
    assert remove_unused(smaller) is smaller
    assert remove_unused(network, fold=False).population("a").shape == (3, 6, 6)  # the constant stays
    assert [each.kernel.groups for each in smaller.connections if not isinstance(each.kernel, SpatialKernel)][1:4] == [
        2,
        2,
        2,
    ]
    stimulus = np.random.default_rng(1).integers(0, 9, (2, 1, 6, 6))
    operations = [
        count_activity(each, load_backend("cpu").run(each, stimulus)).synaptic_operations for each in (network, smaller)
    ]
    assert operations[1] < operations[0]


def test_a_channel_stays_for_its_group() -> None:
    """The skip reads a channel that its pool's readers do not: the depthwise kernel between them keeps both."""
    network = unet()
    skip = network.connections[5].kernel
    assert isinstance(skip, ConvKernel)
    weight = skip.weight.copy()
    weight[:, 4] = 1
    changed = replace(network.connections[5], kernel=replace(skip, weight=weight))
    network = replace(network, connections=(*network.connections[:5], changed, *network.connections[6:]))
    assert find_needed(network, find_constants(network))["pool"].tolist() == [True, False, False, True, True]
    assert_same_counts(network, Random(0))


def test_at_least_one_channel_stays() -> None:
    """A layer that sends nothing keeps a neuron, since what it feeds must be fed."""
    network = unet()
    silenced = replace(network.population("b"), bias=np.full((3, 1, 1), -(2**20)))
    populations = tuple(silenced if each.name == "b" else each for each in network.populations)
    network = replace(network, populations=populations)
    assert remove_unused(network).population("b").shape == (1, 6, 6)
    assert_same_counts(network, Random(0))


@pytest.mark.parametrize("size", [(10, 6), (16, 20)])
def test_other_sizes(size: tuple[int, int]) -> None:
    """Cut and resized, or resized and cut: the same counts, biases by pixel included."""
    network = unet().at_size(16, 16)
    stimulus = np.random.default_rng(2).integers(0, 9, (1, 1, *size))
    first, second = remove_unused(network).at_size(*size), remove_unused(network.at_size(*size))
    runs = [load_backend("reference").run(each, stimulus) for each in (first, second)]
    for name, counts in runs[0].counts.items():
        np.testing.assert_array_equal(counts, runs[1].counts[name])
