"""The integer network: every invariant refused with where and what, and the small questions it answers."""

from dataclasses import replace

import numpy as np
import pytest

from snn_deploy.errors import NetworkError
from snn_deploy.network.kernels import ConvKernel, SpatialKernel, identity
from snn_deploy.network.limits import MAX_EXPONENT, MAX_STEPS, STATE_MAX
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Connection, Network, Output, Population
from snn_deploy.testing import random_unet

ONE = np.ones(1, np.int64)
ZERO = np.zeros((1, 1, 1), np.int64)
UNIT = np.ones(1)
RELU = MultiThreshold(8 * ONE, 4 * ONE, -15, 15, 0, 15)


def source(**changes: object) -> Population:
    return replace(Population("in", (1, 2, 2), None, ZERO, UNIT, input_max=255), **changes)  # type: ignore[arg-type]


def layer(name: str = "a", **changes: object) -> Population:
    return replace(Population(name, (1, 2, 2), RELU, ZERO, UNIT, start=1), **changes)  # type: ignore[arg-type]


def link(name: str = "in->a", begin: str = "in", end: str = "a", **changes: object) -> Connection:
    return replace(Connection(name, begin, end, identity(1, 3)), **changes)  # type: ignore[arg-type]


def network(**changes: object) -> Network:
    good = Network("net", "exact", 1, (source(), layer()), (link(),), (Output("y", "a"),))
    return replace(good, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"theta": np.ones((1, 1))}, r"theta \(1, 1\) and v0 \(1,\) must both be \(C,\)$"),
        ({"theta": np.ones(2)}, r"theta \(2,\) and v0 \(1,\) must both be \(C,\)$"),
        ({"theta": np.ones(0), "v0": np.ones(0)}, r"thresholds must lie in 1\.\.8388607$"),
        ({"theta": [0]}, r"thresholds must lie in 1\.\.8388607$"),
        ({"theta": [STATE_MAX + 1]}, r"thresholds must lie in 1\.\.8388607$"),
        ({"v0": [-STATE_MAX - 1]}, r"initial membranes must lie in \+-8388607$"),
        ({"payload_max": 0}, r"payload limits -15\.\.0 must hold 0 and lie in \+-8388607$"),
        ({"payload_min": 1}, r"payload limits 1\.\.15 must hold 0 and lie in \+-8388607$"),
        ({"payload_max": STATE_MAX + 1}, r"payload limits -15\.\.8388608 must hold 0 and lie in \+-8388607$"),
        ({"count_min": None}, "count limits come in pairs$"),
        ({"count_max": None}, "count limits come in pairs$"),
        ({"count_min": 1}, r"count limits 1\.\.15 must hold 0 and lie in \+-8388607$"),
        ({"count_max": 0}, r"count limits 0\.\.0 must hold 0 and lie in \+-8388607$"),
        ({"count_min": -STATE_MAX - 1}, r"count limits -8388608\.\.15 must hold 0 and lie in \+-8388607$"),
    ],
)
def test_impossible_neurons_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        replace(RELU, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": (1, 0, 2)}, r"^a: shape \(1, 0, 2\) has an empty axis$"),
        ({"shape": (1, 2**16, 2**16)}, "^a: 4294967296 neurons; at most 134217728 are allowed$"),
        ({"bias": np.zeros(1)}, r"^a: bias \(1,\) is neither \(1, 1, 1\) nor \(1, 2, 2\)$"),
        ({"bias": ZERO - STATE_MAX - 1}, "^a: bias reaches 8388608, more than 8388607$"),
        ({"unit": np.ones(2)}, r"^a: unit must be \(1,\), finite and positive$"),
        ({"unit": [0.0]}, "finite and positive$"),
        ({"unit": [np.nan]}, "finite and positive$"),
        ({"unit": [np.inf]}, "finite and positive$"),
        ({"neuron": replace(RELU, theta=np.array([8, 8]), v0=np.array([0, 0]))}, "^a: 2 thresholds for 1 channels$"),
        ({"neuron": None, "input_max": 0}, r"^a: input payloads 0\.\.0 must hold 0 and lie in \+-8388607$"),
        ({"neuron": None, "input_max": 9, "input_min": 1}, r"^a: input payloads 1\.\.9 must hold 0 and lie"),
        ({"neuron": None, "input_max": 9, "input_min": -(2**30)}, r"must hold 0 and lie in \+-8388607$"),
        ({"start": -1}, r"^a: starts at step -1, outside 0\.\.1048576$"),
        ({"start": MAX_STEPS + 1}, r"^a: starts at step 1048577, outside 0\.\.1048576$"),
    ],
)
def test_impossible_populations_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        replace(layer(), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"exponent": -1}, r"^in->a: exponent -1 outside 0\.\.15$"),
        ({"exponent": MAX_EXPONENT + 1}, r"^in->a: exponent 16 outside 0\.\.15$"),
        ({"delay": 0}, r"^in->a: delay 0 outside 1\.\.1048576; a spike takes at least one step$"),
        ({"delay": MAX_STEPS + 1}, r"^in->a: delay 1048577 outside 1\.\.1048576"),
    ],
)
def test_impossible_connections_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        replace(link(), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "burst"}, "^mode 'burst' is neither 'exact' nor 'rate'$"),
        ({"steps": 0}, r"^0 steps; 1\.\.1048576 are allowed$"),
        ({"steps": MAX_STEPS + 1}, r"^1048577 steps; 1\.\.1048576 are allowed$"),
        ({"populations": (source(), layer(), layer())}, "^two populations share a name$"),
        ({"connections": (link(), link())}, "^two connections share a name$"),
        ({"populations": (layer("x"), source(), layer())}, "^the first population, and no other, must be the input$"),
        (
            {"populations": (source(), layer(), source(name="b"))},
            "^the first population, and no other, must be the input",
        ),
        (
            {"populations": (), "connections": ()},
            "^(no output|output y: unknown population 'a'|the first population)",
        ),
        ({"connections": (link(begin="q"),)}, "^in->a: unknown population 'q'$"),
        ({"connections": (link(end="q"),)}, "^in->a: unknown population 'q'$"),
        ({"connections": (link(), link("loop", "a", "a"))}, "^loop: a does not stand before a$"),
        ({"connections": (link(), link("back", "a", "in"))}, "^back: a does not stand before in$"),
        (
            {"connections": (link(kernel=ConvKernel(np.ones((1, 1, 2, 2), np.int8))),)},
            r"^in->a: maps in \(1, 2, 2\) to \(1, 1, 1\), but a is \(1, 2, 2\)$",
        ),
        ({"populations": (source(), layer(), layer("b"))}, "^b: nothing reaches it$"),
        (
            {"populations": (source(), layer(neuron=MultiThreshold(8 * ONE, ONE, 0, 15)))},
            "^a: exact mode needs count limits$",
        ),
        ({"outputs": ()}, "^no output$"),
        ({"outputs": (Output("y", "z"),)}, "^output y: unknown population 'z'$"),
    ],
)
def test_impossible_networks_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        network(**changes)


def test_ranges_sizes_and_neighbors() -> None:
    net = random_unet(size=8, width=2)
    dec = net.population("dec")
    assert dec.payload_range == (-63, 63)
    assert dec.count_range == (0, 63)
    assert net.input.payload_range == net.input.count_range == (-255, 255)
    assert dec.size == 2 * 8 * 8
    assert [connection.source for connection in net.incoming("dec")] == ["enc1/b", "up1"]
    assert [connection.target for connection in net.outgoing("enc1/b")] == ["pool", "dec"]
    assert [population.name for population, _ in net.layers()] == [
        population.name for population in net.populations[1:]
    ]
    assert random_unet("rate", size=8).population("dec").count_range is None
    with pytest.raises(NetworkError, match=r"^unknown population 'deck'; populations: input, enc1/a, .*, output$"):
        net.population("deck")


def test_relays_pass_every_sum_on() -> None:
    net = random_unet(size=8, width=2)
    relays = [population.name for population in net.populations[1:] if population.neuron and population.neuron.relays]
    assert relays == ["pool", "output"]
    pool = net.population("pool").neuron
    assert pool is not None
    assert not replace(pool, strict=True).relays
    assert not replace(pool, v0=pool.theta).relays


def test_duration_and_input_steps_follow_mode_and_schedule() -> None:
    exact, rate = random_unet(size=8), random_unet("rate", size=8, steps=5)
    assert exact.one_shot
    assert (exact.input_steps, exact.duration) == (1, 1 + max(population.start for population in exact.populations))
    assert not rate.one_shot
    assert (rate.input_steps, rate.duration) == (5, 5 + max(population.start for population in rate.populations))
    several = random_unet(size=8, levels=15, payload=4)
    assert (several.input_steps, several.steps > 1) == (1, True)
    assert exact.aligned
    late = replace(exact, connections=(replace(exact.connections[0], delay=2), *exact.connections[1:]))
    assert not late.aligned
    assert not late.one_shot


def test_a_network_moves_to_another_size_and_says_where_it_cannot() -> None:
    net = network()
    assert net.at_size(7, 5).population("a").shape == (1, 7, 5)
    with pytest.raises(
        NetworkError, match=r"^the pixel map from 4x4 to 8x8 does not repeat itself; convert again for this size$"
    ):
        random_unet(size=16).at_size(32, 32)
    pixels = network(populations=(source(), layer(bias=np.arange(4).reshape(1, 2, 2))))
    with pytest.raises(
        NetworkError, match=r"^a: its bias differs by pixel and does not repeat itself; convert again for 4x4$"
    ):
        pixels.at_size(4, 4)


def test_sources_that_disagree_at_another_size_are_named() -> None:
    half = ConvKernel(np.ones((1, 1, 2, 2), np.int8), (2, 2))
    third = ConvKernel(np.ones((1, 1, 3, 3), np.int8), (3, 3), (1, 1, 0, 0))
    net = Network(
        "net",
        "exact",
        1,
        (source(shape=(1, 5, 5)), layer(shape=(1, 2, 2))),
        (link("p", kernel=half), link("q", kernel=third)),
        (Output("y", "a"),),
    )
    with pytest.raises(NetworkError, match=r"^a: sources disagree at 12x12: \[\(1, 4, 4\), \(1, 6, 6\)\]$"):
        net.at_size(12, 12)


@pytest.mark.parametrize(
    ("pads", "window", "words"),
    [
        ((0, 0, -3, 0), 1, "cuts 3 of 5 pixels at one end"),
        ((0, -3, 0, 0), 1, "cuts 3 of 5 pixels at one end"),
        ((5, 0, 0, 0), 1, "adds 5 of 5 pixels at one end"),
        ((0, 0, 0, 3), 3, "adds 3 of 5 pixels at one end"),
        ((-2, 0, 0, 0), 1, ""),
        ((0, 0, 2, 2), 1, ""),
        ((0, 3, 3, 0), 4, ""),
    ],
)
def test_pads_that_hang_on_the_size_have_no_other(pads: tuple[int, int, int, int], window: int, words: str) -> None:
    """The last rows beside the first ones, or room for another map: kernels do not say which it was."""
    kernel = ConvKernel(np.ones((1, 1, window, window), np.int8), pads=pads)
    shape = kernel.output_shape((1, 5, 5))
    net = Network(
        "net",
        "exact",
        1,
        (source(shape=(1, 5, 5)), layer(shape=shape)),
        (link("p", kernel=kernel),),
        (Output("y", "a"),),
    )
    assert net.at_size(5, 5).population("a").shape == shape
    if words:
        with pytest.raises(NetworkError, match=rf"^p: {words}, which may hang on the size; convert again for 12x12$"):
            net.at_size(12, 12)
    else:
        assert net.at_size(12, 12).population("a").shape == kernel.output_shape((1, 12, 12))


def test_pixel_maps_keep_channels() -> None:
    pixels = SpatialKernel((2, 2), (2, 2), np.arange(5), np.arange(4)[::-1].copy(), np.ones(4, np.int8))
    net = network(connections=(link(kernel=pixels),))
    assert net.population("a").shape == (1, 2, 2)
