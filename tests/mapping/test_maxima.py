"""Tournaments are found again as the maxima they were made of, and nothing else is taken for one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from snn_deploy.conversion.lower import lower
from snn_deploy.conversion.options import Options
from snn_deploy.graph.graph import Graph, Node
from snn_deploy.graph.ops import Conv, MaxPool, Relu
from snn_deploy.mapping.maxima import Maximum, find_maxima
from snn_deploy.network.kernels import ConvKernel
from snn_deploy.network.network import Connection, Network, Output, Population
from snn_deploy.passes import normal_form
from snn_deploy.shapes import Pads, Pair


def pooled(kernel: Pair, strides: Pair, pads: Pads = (0, 0, 0, 0)) -> Network:
    rng = np.random.default_rng(0)
    nodes = (
        Node("c", Conv(rng.normal(size=(2, 1, 3, 3)), np.zeros(2), pads=(1, 1, 1, 1)), ("x",)),
        Node("r", Relu(), ("c",)),
        Node("m", MaxPool(kernel, strides, pads), ("r",)),
        Node("y", Conv(rng.normal(size=(1, 2, 1, 1)), np.zeros(1)), ("m",)),
    )
    graph = normal_form(Graph("pooled", "x", (1, 12, 12), nodes, (("y", "y"),)))
    return lower(graph, graph, [rng.random((1, 1, 12, 12), np.float32)], Options(rounding="nearest")).network


@pytest.fixture(scope="module")
def network() -> Network:
    return pooled((2, 2), (2, 2))


@pytest.mark.parametrize(
    ("kernel", "strides", "pads"),
    [
        ((2, 2), (2, 2), (0, 0, 0, 0)),
        ((3, 3), (2, 2), (1, 1, 1, 1)),
        ((1, 3), (1, 2), (0, 1, 0, 0)),
        ((2, 3), (3, 1), (0, 0, 1, 1)),
    ],
)
def test_the_window_is_told(kernel: Pair, strides: Pair, pads: Pads) -> None:
    network = pooled(kernel, strides, pads)
    relays = tuple(population.name for population in network.populations if ".max" in population.name)
    assert len(relays) == kernel[0] * kernel[1] - 1
    assert find_maxima(network) == (Maximum("m", "r", kernel, strides, pads, relays),)


def edge(network: Network, source: str, target: str, change: Callable[[Connection], Connection]) -> Network:
    """``network`` with one connection changed."""
    chosen = [each for each in network.connections if (each.source, each.target) == (source, target)]
    assert len(chosen) == 1
    return replace(network, connections=tuple(change(each) if each in chosen else each for each in network.connections))


def weighted(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Connection], Connection]:  # type: ignore[type-arg]
    def changed(connection: Connection) -> Connection:
        assert isinstance(connection.kernel, ConvKernel)
        return replace(connection, kernel=replace(connection.kernel, weight=change(connection.kernel.weight.copy())))

    return changed


def only_first(weight: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    weight[0] = -weight[0]
    return weight


def another(name: str, change: Callable[[Population], Population]) -> Callable[[Network], Network]:
    return lambda network: replace(
        network,
        populations=tuple(change(each) if each.name == name else each for each in network.populations),
    )


def limited(low: int, high: int) -> Callable[[Population], Population]:
    def change(population: Population) -> Population:
        assert population.neuron is not None
        return replace(population, neuron=replace(population.neuron, count_min=low, count_max=high))

    return change


OTHERS: dict[str, Callable[[Network], Network]] = {
    "a weight of 2": lambda network: edge(network, "r", "m", weighted(lambda weight: 2 * weight)),
    "an exponent": lambda network: edge(network, "r", "m", lambda each: replace(each, exponent=1)),
    "other pixels": lambda network: edge(network, "r", "m", weighted(lambda weight: weight[..., ::-1, ::-1])),
    "other pixels in one channel": lambda network: edge(network, "r", "m.max1", weighted(only_first)),
    "a relay subtracted": lambda network: edge(network, "m.max1", "m", weighted(lambda weight: -weight)),
    "signs of a pair": lambda network: edge(network, "r", "m.max1", weighted(lambda weight: -weight)),
    "another step": lambda network: edge(
        network, "r", "m.max1", lambda each: replace(each, kernel=replace(each.kernel, pads=(1, 1, -1, -1)))  # type: ignore[arg-type]
    ),
    "a bias": another("m", lambda each: replace(each, bias=each.bias + 1)),
    "a bias inside": another("m.max1", lambda each: replace(each, bias=each.bias + 1)),
    "a limit": another("m", limited(0, 126)),
    "a limit inside": another("m.max1", limited(0, 126)),
    "a relay that is not rectified": another("m.max1", limited(-127, 127)),
    "a threshold": another("m", lambda each: replace(each, neuron=replace(each.neuron, theta=np.full(2, 2)))),  # type: ignore[type-var]
    "a host that reads a relay": lambda network: replace(network, outputs=(*network.outputs, Output("o", "m.max2"))),
}  # fmt: skip


@pytest.mark.parametrize("what", OTHERS)
def test_what_is_no_maximum(network: Network, what: str) -> None:
    assert [maximum.name for maximum in find_maxima(network)] == ["m"]
    assert find_maxima(OTHERS[what](network)) == ()


def test_counts_without_limits_have_no_maximum_that_is_known(network: Network) -> None:
    source = network.population("r")
    assert source.neuron is not None
    unlimited = replace(source, neuron=replace(source.neuron, count_min=None, count_max=None))
    populations = tuple(unlimited if each.name == "r" else each for each in network.populations)
    assert find_maxima(replace(network, mode="rate", populations=populations)) == ()


def test_limits_that_hold_every_count(network: Network) -> None:
    for name, least in (("m", -3), ("m.max1", 0), ("m.max3", 0)):
        assert len(find_maxima(another(name, limited(least, 127))(network))) == 1


def test_a_relay_that_another_population_reads(network: Network) -> None:
    """It needs its counts, which an engine that takes the maximum whole does not have."""
    last = network.population("y")
    read = Connection("z", "m.max1", "y", ConvKernel(np.ones((1, 2, 1, 1), np.int8)), delay=last.start - 2)
    assert find_maxima(replace(network, connections=(*network.connections, read))) == ()
