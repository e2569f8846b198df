"""NIR graphs: written, read by PyPI ``nir``, read back by us with the same spikes; what NIR cannot say is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snn_deploy.arrays import Array
from snn_deploy.backend.protocol import Record
from snn_deploy.backend.registry import load_backend
from snn_deploy.errors import NetworkError
from snn_deploy.exchange.nir import read_nir, write_nir
from snn_deploy.network.cuba_lif import CubaLif
from snn_deploy.network.kernels import ConvKernel, TransposedKernel
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Connection, Network, Output, Population
from snn_deploy.network.neuron import Neuron
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


@pytest.mark.parametrize("seed", range(5))
def test_a_graph_that_was_read_back_fires_the_same_spikes(seed: int, tmp_path: Path) -> None:
    network = chain(seed)
    write_nir(network, tmp_path / "chain.nir")
    again = read_nir(tmp_path / "chain.nir", steps=30, input_limits=(-99, 99))
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


def _oblong() -> Network:
    network = chain()
    kernel = ConvKernel(np.ones((5, 4, 2, 1), np.int8))
    populations = (*network.populations[:3], replace(network.populations[3], shape=(5, 2, 3)))
    connections = (*network.connections[:2], replace(network.connections[2], kernel=kernel))
    return replace(network, populations=populations, connections=connections)


def _transposed() -> Network:
    network = chain()
    last = replace(network.connections[2], kernel=TransposedKernel(np.ones((4, 5, 1, 1), np.int8)))
    populations = (*network.populations[:3], replace(network.populations[3], shape=(5, 3, 3)))
    return replace(network, populations=populations, connections=(*network.connections[:2], last))


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (random_unet("exact", size=8), r"NIR has no running counts, which exact mode needs; convert in rate mode$"),
        (random_unet("rate", size=8), r"^enc1/a: resets by subtraction|the format supports chains only"),
        (_with_neuron(1, reset="subtract"), r"^enc/if: resets by subtraction; NIR's neurons reset to a value$"),
        (_with_neuron(1, payload_max=3), r"^enc/if: NIR's neurons start at 0 and send single spikes"),
        (
            _with_neuron(2, voltage_decay=0, offset=np.zeros(4)),
            r"^enc/leaky: its current decays but its membrane does not; .* both decays$",
        ),
        (_with_neuron(3, offset=np.ones(5)), r"^head: without a voltage decay its offsets must be multiples of 64$"),
        (_oblong(), r"^enc/leaky->head: kernel \(2, 1\); nir 1.0.8 infers shapes of square kernels only$"),
        (
            _transposed(),
            r"^enc/leaky->head: the format has no layer for a TransposedKernel; only convolutions can be written$",
        ),
    ],
)
def test_what_nir_cannot_express_is_refused_by_name(network: Network, message: str, tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=message):
        write_nir(network, tmp_path / "refused.nir")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("node", "change", "message"),
    [
        ("enc.if", {"r": 2.0}, r"^enc.if: r is \[2.0\]; only 1 and 64 are supported$"),
        ("enc.if", {"v_reset": 1.0}, r"^enc.if: v_reset is not 0$"),
        ("enc.if", {"v_threshold": 10.5}, r"^enc.if: v_threshold holds fractions"),
        ("enc.leaky", {"tau_mem": 20.0}, r"^enc.leaky: tau_mem 20 is not 4096 / d"),
        ("enc.leaky", {"w_in": 1.0}, r"^enc.leaky: w_in must be .*, so that spikes have the chip's weight$"),
        ("head.current", {"weight": 0.5}, r"^head.current: weight holds fractions"),
        ("head.current", {"weight": 129.0}, r"^head.current: weights up to 129 are not 8-bit numbers"),
    ],
)
def test_what_would_change_is_refused_by_node(
    node: str, change: dict[str, float], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "chain.nir"
    write_nir(chain(), path)
    graph = nir.read(path)
    for entry, value in change.items():
        setattr(graph.nodes[node], entry, np.full_like(getattr(graph.nodes[node], entry), value))
    nir.write(path, graph)
    with pytest.raises(NetworkError, match=message):
        read_nir(path, steps=4)


def test_other_nodes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.nir"
    shape = np.array([1, 2, 2])
    pool = nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0]))
    weight = np.ones((1, 1, 1))
    graph = nir.NIRGraph(
        {"in": nir.Input(shape), "pool": pool, "if": nir.IF(weight, weight), "out": nir.Output(np.array([1, 1, 1]))},
        [("in", "pool"), ("pool", "if"), ("if", "out")],
        {},
        type_check=False,
    )
    nir.write(path, graph)
    with pytest.raises(NetworkError, match=r"^pool: a SumPool2d where a Conv2d, an Affine or a Linear is expected$"):
        read_nir(path, steps=4)
    path.write_bytes(b"no HDF5")
    with pytest.raises(NetworkError, match=r"other\.nir: not an HDF5 file, or damaged"):
        read_nir(path, steps=4)
