"""NIR graphs of other tools: what their nodes mean, how real numbers become integers, and what is refused by the node's name."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snn_deploy.arrays import Array, Float64, Int64
from snn_deploy.backend.protocol import Record
from snn_deploy.backend.registry import load_backend
from snn_deploy.errors import NetworkError
from snn_deploy.exchange.nir import read_nir
from snn_deploy.network import dynamics
from snn_deploy.network.cuba_lif import CubaLif
from snn_deploy.network.network import Network

nir = pytest.importorskip("nir")

GOLDEN = Path(__file__).parents[2].parent / "shared" / "golden" / "nir"


def write(path: Path, *nodes: Any, inputs: tuple[int, ...], edges: list[tuple[str, str]] | None = None) -> Path:
    """A chain of ``nodes`` named 0, 1, ... between ``in`` and ``out``, or other ``edges`` between them."""
    named = {"in": nir.Input(np.array(inputs)), **{str(index): node for index, node in enumerate(nodes)}}
    named["out"] = nir.Output(np.array([1]))
    graph = nir.NIRGraph(named, list(pairwise(named)) if edges is None else edges, {}, type_check=False)
    nir.write(path / "small.nir", graph)
    return path / "small.nir"


def fires(shape: tuple[int, ...], theta: float = 1.0, r: float = 1.0, v_reset: float = 0.0) -> Any:
    return nir.IF(np.full(shape, r), np.full(shape, theta), np.full(shape, v_reset))


def leaks(size: int, tau: float, theta: float, r: float = 1.0, v_leak: float = 0.0, v_reset: float = 0.0) -> Any:
    numbers = (np.full(size, value) for value in (tau, r, v_leak, theta, v_reset))
    return nir.LIF(*numbers)


def run(network: Network, stimulus: Int64) -> dict[str, Array]:
    found = load_backend("reference").run(network, stimulus.reshape(1, *network.input.shape), Record.TRAINS).trains
    assert found is not None
    return {name: train[0] for name, train in found.items()}


def test_whole_numbers_stay_as_they_are(tmp_path: Path) -> None:
    weight = np.array([[3.0, -200, 100], [1, 2, 4]])
    path = write(tmp_path, nir.Affine(weight, np.array([5.0, -6])), fires((2,), 10.5), inputs=(3,))
    network = read_nir(path)
    (connection,) = network.connections
    assert (connection.exponent, network.steps) == (0, 16), "200 is no 8-bit number, and 3 is odd"
    neuron = network.populations[1].neuron
    assert neuron is not None
    weight[0, 1] = -100
    network = read_nir(write(tmp_path, nir.Affine(weight, np.array([5.0, -6])), fires((2,), 10.5), inputs=(3,)))
    neuron = network.populations[1].neuron
    assert neuron is not None
    assert (neuron.theta.tolist(), neuron.strict, neuron.reset) == ([10, 10], True, "zero")
    assert network.populations[1].bias.ravel().tolist() == [5, -6]
    assert np.array_equal(network.connections[0].kernel.weight.reshape(2, 3), weight)  # type: ignore[union-attr]


@pytest.mark.parametrize("v_reset", [0.0, 0.25])
def test_real_weights_are_rounded_to_eight_bits_and_thresholds_not_at_all(v_reset: float, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(0, 0.3, (6, 5)), rng.normal(0, 0.1, 6)
    network = read_nir(write(tmp_path, nir.Affine(weight, bias), fires((6,), 0.9, 2.0, v_reset), inputs=(5,)), steps=40)
    neuron, kernel = network.populations[1].neuron, network.connections[0].kernel
    assert neuron is not None
    factor = neuron.theta / (0.9 - v_reset)
    integers = kernel.weight.reshape(6, 5)  # type: ignore[union-attr]
    assert np.abs(integers).max() <= 127
    assert np.abs(integers).max(1).min() > 100
    assert np.abs(integers - 2 * weight * factor[:, None]).max() <= 0.5
    assert np.abs(network.populations[1].bias.ravel() - 2 * bias * factor).max() <= 0.5
    v, spikes = np.zeros(6), np.zeros((40, 6))
    stimulus = np.array([1, 0, 1, 1, 0])
    for step in range(40):
        v = v + 2 * (weight @ stimulus + bias)
        spikes[step] = v > 0.9 - v_reset
        v = np.where(spikes[step], 0, v)
    found = run(network, stimulus)["1"].reshape(40, 6)
    assert spikes.sum() > 20
    assert np.abs(found.sum(0) - spikes.sum(0)).max() <= 1


@pytest.mark.parametrize("current", [False, True])
def test_leaky_neurons_follow_their_equations(current: bool, tmp_path: Path) -> None:
    """Spikes of the forward Euler method in floats, at most one of each neuron at another step."""
    rng = np.random.default_rng(1)
    weight, bias = rng.normal(0.4, 0.3, (4, 3)), rng.normal(0, 0.1, 4)
    tau, tau_syn, r, v_leak, theta, w_in = 20.0, 5.0, 3.0, 0.1, 0.5, 1.7
    if current:
        numbers = (np.full(4, value) for value in (tau_syn, tau, r, v_leak, theta, 0.0, w_in))
        node = nir.CubaLIF(*numbers)
    else:
        node = leaks(4, tau, theta, r, v_leak)
    network = read_nir(write(tmp_path, nir.Affine(weight, bias), node, inputs=(3,)), steps=60)
    v, u, counts = np.zeros(4), np.zeros(4), np.zeros(4)
    stimulus = np.array([1, 0, 1])
    for _ in range(60):
        arriving = weight @ stimulus + bias
        u = u + (w_in * arriving - u) / tau_syn if current else arriving
        v = v + (v_leak - v + r * u) / tau
        counts += v > theta
        v = np.where(v > theta, 0, v)
    found = run(network, stimulus)["1"].reshape(60, 4).sum(0)
    assert counts.max() > 5
    assert np.abs(found - counts).max() <= 1


def test_time_constants_below_one_are_seconds(tmp_path: Path) -> None:
    path = write(tmp_path, nir.Linear(np.ones((1, 1))), leaks(1, 0.0025, 0.1), inputs=(1,))
    for dt, decay in ((None, 164), (1e-3, 1638)):
        neuron = read_nir(path, dt=dt).populations[1].neuron
        assert isinstance(neuron, CubaLif)
        assert (neuron.voltage_decay, neuron.current_decay) == (decay, 4096)
    with pytest.raises(
        NetworkError, match=r"^1: tau 0.0025 is shorter than a step of 0.01; choose a shorter one \(--dt\)$"
    ):
        read_nir(path, dt=0.01)


def conv2d(weight: Float64, **changes: Any) -> Any:
    geometry = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1} | changes
    return nir.Conv2d((9, 9), weight, bias=np.zeros(weight.shape[0]), **geometry)


def test_geometries(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    weight = rng.integers(-9, 9, (4, 2, 3, 3)).astype(float)
    cases: list[tuple[Any, tuple[int, ...], tuple[int, ...]]] = [
        (conv2d(weight, groups=2), (4, 6, 5), (4, 4, 3)),
        (conv2d(weight, padding="same"), (2, 6, 5), (4, 6, 5)),
        (conv2d(weight[:, :, :2, :2], padding="same", dilation=(3, 1)), (2, 6, 5), (4, 6, 5)),
        (conv2d(weight, padding="valid", stride=(2, 1)), (2, 7, 5), (4, 3, 3)),
        (conv2d(weight[..., :1], padding=(1, 0)), (2, 6, 5), (4, 6, 5)),
        (nir.Conv1d(9, weight[:, :, 0], 2, 1, 1, 1, np.zeros(4)), (2, 9), (4, 1, 5)),
    ]
    for node, inputs, expected in cases:
        network = read_nir(write(tmp_path, node, fires(expected, 3), inputs=inputs))
        assert network.populations[1].shape == expected


@pytest.mark.parametrize(("kind", "unit"), [("SumPool2d", 1.0), ("AvgPool2d", 0.25)])
def test_pools_pass_sums_on(kind: str, unit: float, tmp_path: Path) -> None:
    pool = getattr(nir, kind)(np.array([2, 2]), np.array([2, 2]), np.array([0, 0]))
    nodes = (
        fires((1, 4, 4), 1),
        pool,
        nir.Flatten({"input": np.array([1, 2, 2])}, 0),
        nir.Affine(np.full((1, 4), 4.0), np.zeros(1)),
        fires((1,), 3),
    )
    network = read_nir(write(tmp_path, *nodes, inputs=(1, 4, 4)), steps=6, input_limits=(0, 9))
    assert network.population("1").unit.tolist() == [unit]
    assert network.connections[-1].kernel.weight.ravel().tolist() == [int(4 * unit)] * 4  # type: ignore[union-attr]
    stimulus = np.arange(16) % 4
    found = run(network, stimulus)
    sent = found["0"].reshape(6, 2, 2, 2, 2).sum((2, 4))
    assert np.array_equal(found["1"].reshape(6, 2, 2), sent)
    assert sent.max() > 1


def test_branches_nested_graphs_and_several_outputs(tmp_path: Path) -> None:
    """Two paths into one node add up; a nested graph is its content; weights before an output are a read-out."""
    inner = nir.NIRGraph(
        {
            "i": nir.Input(np.array([2])),
            "w": nir.Linear(2 * np.eye(2)),
            "n": fires((2,), 3),
            "o": nir.Output(np.array([2])),
        },
        [("i", "w"), ("w", "n"), ("n", "o")],
        {},
    )
    edges = [
        ("in", "0"),
        ("0", "1"),
        ("1", "2"),
        ("in", "3"),
        ("2", "4"),
        ("3", "4"),
        ("4", "5"),
        ("5", "out"),
        ("4", "more"),
    ]
    nodes = {
        "in": nir.Input(np.array([2])),
        "0": nir.Linear(np.eye(2)),
        "1": fires((2,), 0.5),
        "2": nir.Linear(np.array([[5.0, 7]])),
        "3": inner,
        "4": fires((1,), 6),
        "5": nir.Affine(np.array([[0.3]]), np.array([0.1])),
        "out": nir.Output(np.array([1])),
        "more": nir.Output(np.array([1])),
    }
    nodes["6"], edges = (
        nir.Linear(np.array([[1.0, 1]])),
        [*(edge for edge in edges if edge != ("3", "4")), ("3", "6"), ("6", "4")],
    )
    nir.write(tmp_path / "branch.nir", nir.NIRGraph(nodes, edges, {}, type_check=False))
    network = read_nir(tmp_path / "branch.nir", steps=5)
    assert {output.name: output.population for output in network.outputs} == {"out": "5", "more": "4"}
    found = run(network, np.array([1, 1]))
    assert found["1"].reshape(5, 2).tolist() == [[1, 1]] * 5
    assert found["3.n"].reshape(5, 2).tolist() == [[0, 0], [1, 1]] * 2 + [[0, 0]]
    assert found["4"].ravel().tolist() == [1] * 5
    head = network.population("5")
    assert found["5"].ravel().tolist() == [127 + round(0.1 * 127 / 0.3)] * 5
    assert head.unit.tolist() == [0.3 / 127]


REFUSED: dict[str, tuple[list[Any], str]] = {
    "an integrator": ([nir.I(np.ones(2))], r"^0: a I is not supported; IF, LIF, CubaLIF, Linear, .* are$"),
    "a delay": ([nir.Delay(np.ones(2))], r"^0: a Delay is not supported"),
    "two weights": (
        [nir.Linear(np.eye(2)), nir.Linear(np.eye(2)), fires((2,))],
        r"^1: reads the sums of 0 .* one node of both$",
    ),
    "other sizes": (
        [nir.Linear(np.eye(3)), fires((3,))],
        r"^0: weights \(3, 3\) do not fit a map \(2, 1, 1\); \(outputs, 2\) do$",
    ),
    "NaN": (
        [nir.Linear(np.full((2, 2), np.nan)), fires((2,))],
        r"^0: weight holds values that are not finite; train it again$",
    ),
    "no margin": ([fires((2,), 1, 1, 1)], r"^0: v_threshold must lie above v_reset$"),
    "many taus": (
        [nir.LIF(np.array([9.0, 8]), *np.ones((4, 2)))],
        r"^0: v_threshold must lie above|^0: tau from 8 to 9",
    ),
    "no gain": ([leaks(2, 9, 1, r=-1)], r"^0: r and w_in must be positive$"),
    "within a channel": (
        [nir.IF(np.ones((1, 2, 1)), np.array([[[1.0], [2.0]]]))],
        r"^0: v_threshold differs within a channel|does not fit its map",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_is_refused_by_node(case: str, tmp_path: Path) -> None:
    nodes, message = REFUSED[case]
    inputs = (1, 2, 1) if case == "within a channel" else (2,)
    with pytest.raises(NetworkError, match=message):
        read_nir(write(tmp_path, *nodes, inputs=inputs))


def test_edges_that_lead_nowhere_are_refused(tmp_path: Path) -> None:
    nodes = (nir.Linear(np.eye(2)), fires((2,)), nir.Linear(np.eye(2)))
    chain = [("in", "0"), ("0", "1"), ("1", "out")]
    for edges, message in (
        (
            [*chain, ("1", "2"), ("2", "1")],
            r"^[12]: recurrent \(.*\); networks here have no recurrence, train without it$",
        ),
        ([*chain, ("2", "out")], r"^2: nothing reaches it; join it to the input, or leave it out$"),
        ([*chain, ("1", "9")], r"^9: an edge names this node, and the graph has none; have .*$"),
    ):
        with pytest.raises(NetworkError, match=message):
            read_nir(write(tmp_path, *nodes, inputs=(2,), edges=edges))


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="../shared/golden/nir is absent")
def test_files_of_other_tools() -> None:
    """Written by sinabs, Norse and snnTorch (neuromorphs/NIR, paper/, BSD-3-Clause)."""
    network = read_nir(GOLDEN / "cnn_sinabs.nir", steps=4)
    assert [item.name for item in network.populations] == ["input", "1", "3", "4", "6", "7", "10", "12"]
    stimulus = np.random.default_rng(0).integers(0, 2, (1, 2, 34, 34))
    assert load_backend("reference").run(network, stimulus).counts["12"].sum() > 0
    lif = read_nir(GOLDEN / "lif_norse.nir").populations[1].neuron
    assert isinstance(lif, CubaLif)
    v = u = np.zeros((1, 1, 1), np.int64)
    reals = 0.0
    for step in range(200):
        sent = int(step % 13 == 0)
        v, u, _ = dynamics.advance(lif, v, u, np.full((1, 1, 1), 127 * sent))
        reals += 1e-4 / 0.0025 * (sent - reals)
        assert reals < 0.1
        assert abs(int(v.item()) / lif.theta[0] * 0.1 - reals) < 0.001
    with pytest.raises(NetworkError, match=r"^lif1.lif: recurrent \(lif1.lif -> lif1.w_rec -> lif1.lif\)"):
        read_nir(GOLDEN / "braille_noDelay_noBias_subtract.nir")


def test_a_bias_counts_once_however_many_paths_lead_to_it(tmp_path: Path) -> None:
    """Two kinds of neurons lead into one Affine, which adds its bias to their sum."""
    nodes = (fires((2,), 0.5), fires((2,), 0.5), nir.Affine(np.array([[1.0, 2]]), np.array([5.0])))
    edges = [("in", "0"), ("in", "1"), ("0", "2"), ("1", "2"), ("2", "out")]
    network = read_nir(write(tmp_path, *nodes, inputs=(2,), edges=edges), steps=3)
    assert run(network, np.array([1, 1]))["2"].ravel().tolist() == [2 * 3 + 5] * 3
