"""Networks that conversion makes for other tools' files: written, read back, the same spikes in every population."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from snn_deploy.backend.protocol import Record
from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.stimulus import quantize_images
from snn_deploy.conversion.double_precision import evaluate
from snn_deploy.errors import ConversionError, NetworkError
from snn_deploy.exchange.netx import read_net
from snn_deploy.exchange.netx_write import write_net
from snn_deploy.exchange.nir import read_nir
from snn_deploy.exchange.nir_write import write_nir
from snn_deploy.graph.graph import Graph
from snn_deploy.graph.ops import Add, AveragePool, ConvTranspose, Relay, Relu
from snn_deploy.network.cuba_lif import CubaLif
from snn_deploy.network.network import Network

from .test_lower import IMAGES, chain, conv, converted

pytest.importorskip("nir")

SEQUENTIAL = chain(
    ("a", conv(0), "x"),
    ("relu", Relu(), "a"),
    ("p", AveragePool((2, 2), (2, 2)), "relu"),
    ("pool", Relay(), "p"),
    ("b", conv(1), "pool"),
    ("deep", Relu(), "b"),
    ("head", conv(2), "deep"),
)

UNET = chain(
    ("a", conv(0), "x"),
    ("relu", Relu(), "a"),
    ("p", AveragePool((2, 2), (2, 2)), "relu"),
    ("pool", Relay(), "p"),
    ("b", conv(1), "pool"),
    ("deep", Relu(), "b"),
    ("t", ConvTranspose(np.random.default_rng(3).normal(0, 1, (2, 2, 2, 2)), np.full(2, 0.1), (2, 2)), "deep"),
    ("up", Relu(), "t"),
    ("c", conv(4), "up"),
    ("d", conv(5), "relu"),
    ("sum", Add(), "c d"),
    ("last", Relu(), "sum"),
    ("head", conv(2), "last"),
)


def spikes(network: Network) -> list[np.ndarray[tuple[int, ...], np.dtype[np.int32]]]:
    """Trains of all populations in order, neurons in a row."""
    stimulus = quantize_images(network, IMAGES[0][:1])
    trains = load_backend("reference").run(network, stimulus, Record.TRAINS).trains
    assert trains is not None
    return [train.reshape(network.steps, -1) for train in trains.values()]


def same(first: Network, second: Network) -> bool:
    pairs = zip(spikes(first), spikes(second), strict=True)
    return all(np.array_equal(one, other) and np.any(one) for one, other in pairs)


def test_a_sequential_network_as_net(tmp_path: Path) -> None:
    network = converted("netx", SEQUENTIAL).network
    write_net(network, tmp_path / "chain.net")
    again = read_net(tmp_path / "chain.net")
    assert same(network, again)
    assert np.array_equal(again.populations[-1].unit, network.populations[-1].unit)
    assert (again.steps, again.input.payload_range) == (64, network.input.payload_range)
    for population in network.populations[1:-1]:
        assert isinstance(population.neuron, CubaLif)
        assert np.all(population.neuron.offset % 64 == 0)
        assert np.abs(population.neuron.offset).max() <= 64 * 4095


@pytest.mark.parametrize("name", ["if", "if-hard", "netx"])
@pytest.mark.parametrize("graph", [SEQUENTIAL, UNET], ids=["chain", "unet"])
def test_networks_as_nir(name: str, graph: Graph, tmp_path: Path) -> None:
    network = converted(name, graph).network
    write_nir(network, tmp_path / "small.nir")
    assert same(network, read_nir(tmp_path / "small.nir"))


def test_what_the_netx_preset_loses() -> None:
    """As much as ``lif``, of which it rounds biases to integers of the current."""
    values = evaluate(SEQUENTIAL, IMAGES[0][0].astype(np.float64))["head"]
    near = []
    for name in ("lif", "netx"):
        network = converted(name, SEQUENTIAL).network
        run = load_backend("reference").run(network, quantize_images(network, IMAGES[0][:1]))
        near.append(np.corrcoef(run.values(network)[0].ravel(), values.ravel())[0, 1])
    assert near[0] > 0.8
    assert abs(near[0] - near[1]) < 0.02


def test_what_neither_format_can_say(tmp_path: Path) -> None:
    for name, message in (
        ("exact", r"^chain: a .net file holds networks in rate mode, not in exact mode; convert with --preset netx$"),
        ("if-hard", r"^relu: its neurons are not CUBA-LIF; .* convert with --preset netx$"),
        ("lif", r"^relu: biases must be 64 times integers .*; convert with --preset netx$"),
    ):
        with pytest.raises(NetworkError, match=message):
            write_net(converted(name, SEQUENTIAL).network, tmp_path / "no.net")
    with pytest.raises(NetworkError, match=r"^up: reads deep|^last: reads relu, up|the format supports chains only"):
        write_net(converted("netx", UNET).network, tmp_path / "no.net")
    with pytest.raises(ConversionError, match=r"Lava's LIF runs in rate mode"):
        converted("netx", SEQUENTIAL, strict=False)
    assert not list(tmp_path.iterdir())
