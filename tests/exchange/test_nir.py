"""NIR graphs: written, read by PyPI ``nir``, read back by us with the same spikes; what NIR cannot say is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snn_deploy.arrays import Array, Int8
from snn_deploy.backend.protocol import Record
from snn_deploy.backend.registry import load_backend
from snn_deploy.errors import NetworkError
from snn_deploy.exchange.nir import read_nir
from snn_deploy.exchange.nir_write import write_nir
from snn_deploy.network.cuba_lif import CubaLif
from snn_deploy.network.kernels import ConvKernel, Kernel, SpatialKernel, TransposedKernel
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Connection, Network, Output, Population
from snn_deploy.network.neuron import Neuron, Reset
from snn_deploy.network.schedule import align
from snn_deploy.testing import random_stimulus, random_unet

nir = pytest.importorskip("nir")


def chain(seed: int = 0) -> Network:
    """Three kinds of neurons behind strided, grouped, dilated and dense convolutions."""
    rng = np.random.default_rng(seed)

    def theta(channels: int) -> Array:
        return rng.integers(3000, 30000, channels)

    decays = {"current_decay": int(rng.integers(2000, 4097)), "voltage_decay": int(rng.integers(1, 4097))}
    layers: list[tuple[str, ConvKernel, int, Neuron]] = [
        (
            "enc/if",
            ConvKernel(rng.integers(-90, 110, (6, 1, 3, 3)).astype(np.int8), (2, 1), (1, 0, 1, 0), groups=2),
            3,
            MultiThreshold(theta(6), np.zeros(6, np.int64), 0, 1, strict=True, reset="zero"),
        ),
        (
            "enc/leaky",
            ConvKernel(rng.integers(-90, 110, (4, 6, 2, 2)).astype(np.int8), dilations=(1, 2)),
            0,
            CubaLif.of(theta(4), rng.integers(-50, 900, 4), **decays),
        ),
        (
            "head",
            ConvKernel(rng.integers(-90, 110, (5, 4, 3, 3)).astype(np.int8)),
            0,
            CubaLif.of(theta(5), 64 * rng.integers(-5, 90, 5), current_decay=4096, voltage_decay=0),
        ),
    ]
    image = Population("image", (2, 7, 7), None, np.zeros((2, 1, 1), np.int64), np.ones(2), input_min=-99, input_max=99)
    populations, connections = [image], []
    for name, kernel, exponent, neuron in layers:
        source = populations[-1]
        shape = kernel.output_shape(source.shape)
        bias = rng.integers(-20, 50, (shape[0], 1, 1))
        populations.append(Population(name, shape, neuron, bias, np.ones(shape[0])))
        connections.append(Connection(f"{source.name}->{name}", source.name, name, kernel, exponent))
    return align(Network("chain", "rate", 30, tuple(populations), tuple(connections), (Output("out", "head"),)))


def unet(seed: int, reset: Reset, *, strict: bool, up: bool = False) -> Network:
    """A skip into two convolutions (the concat), a sum pool, a transposed convolution with or without strides, a read-out."""
    rng = np.random.default_rng(seed)
    image = Population("image", (1, 8, 8), None, np.zeros((1, 1, 1), np.int64), np.full(1, 1 / 9), input_max=9)
    size = (8, 8) if up else (4, 4)

    def fires(name: str, channels: int, size: tuple[int, int]) -> Population:
        theta = rng.integers(40, 300, channels)
        neuron = MultiThreshold(theta, 0 * theta, 0, 1, strict=strict, reset=reset)
        return Population(name, (channels, *size), neuron, rng.integers(-9, 30, (channels, 1, 1)), np.ones(channels))

    def passes(name: str, shape: tuple[int, int, int], limit: int) -> Population:
        one = np.ones(shape[0], np.int64)
        bias = np.zeros((shape[0], 1, 1), np.int64) if name == "pool" else rng.integers(-9, 9, (shape[0], 1, 1))
        return Population(name, shape, MultiThreshold(one, 0 * one, -limit, limit), bias, np.full(shape[0], 0.25))

    def weights(*shape: int) -> Int8:
        return rng.integers(-60, 90, shape).astype(np.int8)

    pads = (1, 1, 1, 1)
    populations = (
        image,
        fires("enc/a", 3, (8, 8)),
        passes("pool", (3, 4, 4), 4),
        fires("mid", 4, (4, 4)),
        fires("up", 3, size),
        fires("dec", 2, size),
        passes("head", (1, *size), 9999),
    )
    skip = ConvKernel(weights(2, 3, 3, 3), pads=pads, strides=(1, 1) if up else (2, 2))
    kernels: dict[tuple[str, str], Kernel] = {
        ("image", "enc/a"): ConvKernel(weights(3, 1, 3, 3), pads=pads),
        ("enc/a", "pool"): ConvKernel(np.ones((3, 1, 2, 2), np.int8), (2, 2), groups=3),
        ("pool", "mid"): ConvKernel(weights(4, 3, 3, 3), pads=pads),
        ("mid", "up"): TransposedKernel(weights(4, 3, 2, 2), (2, 2))
        if up
        else TransposedKernel(weights(4, 3, 3, 3), pads=pads),
        ("enc/a", "dec"): skip,
        ("up", "dec"): ConvKernel(weights(2, 3, 3, 3), pads=pads),
        ("dec", "head"): ConvKernel(weights(1, 2, 1, 1)),
    }
    connections = tuple(
        Connection(f"{source}->{target}", source, target, kernel, int(source == "mid"))
        for (source, target), kernel in kernels.items()
    )
    return align(Network("unet", "rate", 12, populations, connections, (Output("out", "head"),)))


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("reset", ["zero", "subtract"])
@pytest.mark.parametrize("strict", [False, True])
def test_a_unet_that_was_read_back_fires_the_same_spikes(up: bool, reset: Reset, strict: bool, tmp_path: Path) -> None:
    """With ``up``, everything behind the transposed convolution is written as dense matrices."""
    network = unet(3, reset, strict=strict, up=up)
    write_nir(network, tmp_path / "unet.nir")
    again = read_nir(tmp_path / "unet.nir")
    assert (again.steps, again.input.input_max, again.input.unit.tolist()) == (12, 9, [1 / 9])
    assert set(again.population("head.current").unit.tolist()) == {0.25}
    stimulus = random_stimulus(network, 0)
    expected, actual = (load_backend("reference").run(item, stimulus, Record.TRAINS) for item in (network, again))
    assert expected.trains is not None
    assert actual.trains is not None
    for name, train in expected.trains.items():
        found = actual.trains[{"image": "input", "head": "head.current"}.get(name, name.replace("/", "."))]
        assert np.array_equal(found.reshape(train.shape), train), name
        assert np.any(train), name


def test_a_skip_is_two_convolutions_into_one_node(tmp_path: Path) -> None:
    write_nir(unet(3, "zero", strict=False), tmp_path / "unet.nir")
    graph = nir.read(tmp_path / "unet.nir")
    assert sorted(source for source, target in graph.edges if target == "dec") == ["dec.current.0", "dec.current.1"]
    kinds = {name: type(node).__name__ for name, node in graph.nodes.items()}
    assert (kinds["pool"], kinds["dec.current.0"], kinds["dec"]) == ("SumPool2d", "Conv2d", "IF")
    notes = graph.nodes["dec"].metadata
    assert (notes["reset"], bool(notes["strict"]), int(notes["start"])) == ("zero", False, 5)
    assert graph.nodes["up"].v_threshold.ravel()[0] % 1 == 0.5, "half way, where readers differ in strictness"


@pytest.mark.parametrize("seed", range(5))
def test_a_graph_that_was_read_back_fires_the_same_spikes(seed: int, tmp_path: Path) -> None:
    network = chain(seed)
    write_nir(network, tmp_path / "chain.nir")
    again = read_nir(tmp_path / "chain.nir")
    stimulus = random_stimulus(network, seed)
    expected, actual = (load_backend("reference").run(item, stimulus, Record.STATES) for item in (network, again))
    assert [population.name for population in again.populations[1:]] == ["enc.if", "enc.leaky", "head"]
    assert expected.trains is not None
    assert expected.states is not None
    assert actual.trains is not None
    assert actual.states is not None
    for name, values in expected.states.items():
        assert np.array_equal(actual.states[name.replace("/", ".")], values), name
        assert np.array_equal(actual.trains[name.replace("/", ".")], expected.trains[name]), name
    assert all(expected.events[population.name].sum() > 0 for population in network.populations)


def test_the_numbers_are_those_of_the_differential_equations(tmp_path: Path) -> None:
    """Forward Euler on the written node, without rounding, follows the integers to within what decays cut off."""
    network = chain(1)
    write_nir(network, tmp_path / "chain.nir")
    node, neuron = nir.read(tmp_path / "chain.nir").nodes["enc.leaky"], network.population("enc/leaky").neuron
    assert isinstance(neuron, CubaLif)
    current = np.random.default_rng(0).integers(-20, 40, (12, *network.population("enc/leaky").shape))
    v = u = np.zeros(current.shape[1:])
    whole_v = whole_u = np.zeros(current.shape[1:], np.int64)
    quiet = replace(neuron, theta=np.full_like(neuron.theta, 2**23 - 1))
    for arriving in current:
        u = u + (-u + node.w_in * arriving) / node.tau_syn
        v = v + (node.v_leak - v + node.r * u) / node.tau_mem
        whole_v, whole_u, _ = quiet.step(whole_v, whole_u, arriving)
    assert np.abs(u - whole_u).max() < 12
    assert np.abs(v - whole_v).max() < 24


def _changed(index: int, **fields: object) -> Network:
    network = chain()
    populations = list(network.populations)
    populations[index] = replace(populations[index], **fields)  # type: ignore[arg-type]
    return replace(network, populations=tuple(populations))


def _with_neuron(index: int, **fields: object) -> Network:
    neuron = chain().populations[index].neuron
    assert neuron is not None
    return _changed(index, neuron=replace(neuron, **fields))  # type: ignore[arg-type]


def _interpolated(size: int) -> Network:
    """Nearest neighbours twice as large, then neurons."""
    pixels = np.arange(4 * size * size)
    nearest = SpatialKernel(
        (size, size), (2 * size, 2 * size), np.arange(pixels.size + 1), pixels // 4, np.ones_like(pixels)
    )
    neuron = MultiThreshold(np.array([3]), np.array([0]), 0, 1, reset="zero")
    zeros = np.zeros((1, 1, 1), np.int64)
    populations = (
        Population("image", (1, size, size), None, zeros, np.ones(1), input_max=9),
        Population("up", (1, 2 * size, 2 * size), neuron, zeros, np.ones(1)),
    )
    edge = Connection("image->up", "image", "up", nearest)
    return align(Network("nearest", "rate", 4, populations, (edge,), (Output("out", "up"),)))


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (random_unet("exact", size=8), r"NIR has no running counts, .* convert with --preset if-hard$"),
        (
            random_unet("rate", size=8),
            r"^enc1/a: multi-threshold neurons with payloads \(0, 15\); .* --preset if-hard$",
        ),
        (_with_neuron(1, v0=np.ones(6)), r"^enc/if: NIR's neurons start at 0; convert with --preset if-hard$"),
        (
            _with_neuron(1, theta=np.ones(6), strict=False, reset="subtract", count_min=0, count_max=9),
            r"^enc/if: part of a maximum; NIR has no max-pooling, train with average pooling$",
        ),
        (_with_neuron(1, count_min=0, count_max=9), r"^enc/if: multi-threshold neurons .* send single spikes, convert"),
        (
            _with_neuron(2, voltage_decay=0, offset=np.zeros(4)),
            r"^enc/leaky: its current decays but its membrane does not; .* both decays$",
        ),
        (_changed(1, bias=np.ones((6, 4, 5))), r"^enc/if: a bias for each pixel; .* train it without$"),
        (_interpolated(64), r"^image->up: NIR has no interpolation; .* convert it for a smaller image \(--size 8x8\)$"),
        (
            replace(chain(), connections=(replace(chain().connections[0], delay=2), *chain().connections[1:])),
            r"^chain: NIR has no delays",
        ),
    ],
)
def test_what_nir_cannot_express_is_refused_by_name(network: Network, message: str, tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=message):
        write_nir(network, tmp_path / "refused.nir")
    assert not list(tmp_path.iterdir())


def test_an_interpolation_of_few_pixels_is_a_matrix(tmp_path: Path) -> None:
    network = _interpolated(4)
    write_nir(network, tmp_path / "nearest.nir")
    again = read_nir(tmp_path / "nearest.nir")
    stimulus = random_stimulus(network, 0)
    runs = [load_backend("reference").run(item, stimulus) for item in (network, again)]
    assert np.array_equal(runs[0].counts["up"].ravel(), runs[1].counts["up"].ravel())


def test_sums_between_layers_are_refused(tmp_path: Path) -> None:
    network = unet(0, "zero", strict=True)
    doubled = replace(network.connections[1], kernel=ConvKernel(np.full((3, 1, 2, 2), 2, np.int8), (2, 2), groups=3))
    network = replace(
        network,
        connections=(network.connections[0], doubled, *network.connections[2:]),
        populations=tuple(
            replace(item, neuron=replace(item.neuron, payload_max=99)) if item.name == "pool" and item.neuron else item
            for item in network.populations
        ),
    )
    with pytest.raises(NetworkError, match=r"^pool: passes sums on, .* \(--preset if-hard makes them fire\)$"):
        write_nir(network, tmp_path / "refused.nir")
