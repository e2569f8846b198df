"""What other readers make of our NIR graphs: their rules, told by one ramp, and counts that are equal where the rules are.

``make exchange`` installs the readers, each in a folder of its own, and runs this. Nothing is said of other versions.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import nir
import numpy as np
import pytest

from snn_deploy.arrays import Float64, Int64
from snn_deploy.backend.protocol import Record
from snn_deploy.backend.registry import load_backend
from snn_deploy.exchange.nir_write import write_nir
from snn_deploy.network.kernels import ConvKernel, Kernel
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Connection, Network, Output, Population
from snn_deploy.network.neuron import Reset
from snn_deploy.network.schedule import align
from snn_deploy.verification import Level, Status
from snn_deploy.verification.comparison.comparison import Comparison
from snn_deploy.verification.comparison.verdict import Verdict
from snn_deploy.verification.diagnosis.autopsy import explain
from snn_deploy.verification.traces.trace import Probe, Trace

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "exchange"
DRIVER = Path(__file__).parent / "readers" / "run_reader.py"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not FOLDER.is_dir(), reason="other readers are absent; make EXTRAS=train exchange installs them"
    ),
]


@dataclass(frozen=True)
class Rule:
    """An integrate-and-fire neuron: ``v = decay * v + x``, not below the negative threshold where it is ``floored``, then spikes.

    It fires above its threshold, or at it, too (not ``strict``), once or as often as the threshold fits (``several``), of the
    membrane before the step (``late``), and only at twice the threshold where the step before left it above (``twice``). A
    spike subtracts the threshold or resets to zero.
    """

    reset: Reset = "subtract"
    strict: bool = False
    several: bool = False
    floored: bool = False
    decay: float = 1.0
    late: bool = False
    twice: bool = False

    def fire(self, inputs: Sequence[float], theta: float) -> list[float]:
        """Spikes in every step."""
        v, spikes = 0.0, []
        for value in inputs:
            before = v
            v = self.decay * v + value
            v = max(v, -theta) if self.floored else v
            seen = before if self.late else v
            needed = 2 * theta if self.twice and before > theta else theta
            crossed = seen > needed if self.strict else seen >= needed
            fired = (seen // theta if self.several else 1.0) if crossed else 0.0
            spikes.append(fired)
            if fired:
                v = v - fired * theta if self.reset == "subtract" else (value if self.late else 0.0)
        return spikes


RULES = [
    Rule(*fields, *flags)  # type: ignore[arg-type]
    for fields in product(("subtract", "zero"), (False, True), (False, True), (False, True), (1.0, 0.9))
    for flags in ((False, False), (True, False), (False, True))
    if flags != (False, True) or (fields[0] == "subtract" and not fields[2])
]
"""All combinations but ``twice`` where no membrane is left above its threshold."""

READERS: Mapping[str, Rule] = {
    "norse 1.1.0": Rule("zero", strict=True),
    "sinabs 3.1.3": Rule("subtract", several=True, floored=True),
    "snntorch 1.0.0": Rule("subtract", strict=True, decay=0.9, twice=True),
    "spikingjelly 2.0.0": Rule("zero"),
    "spyx 1.0.0": Rule("subtract", strict=True, late=True),
}
"""The table of docs/how-to/other-tools.md."""

THETA = 8
RAMP = (8, 3, 4, 1, 8, 0, 5, 2, 7, 1, 1, 9, 0, 20, 0, 0, 6, 6, -30, 9, 9, 9, 9, 3, 3, 3, 3, 3, 3, 3, 3, 4, 4, 4)


def read(reader: str, graph: Path, inputs: Float64) -> Float64:
    """What ``reader`` sends for ``inputs`` (T, ...), step by step."""
    tool = reader.split()[0]
    if not (FOLDER / tool).is_dir():
        pytest.skip(f"{tool} is not installed; make EXTRAS=train exchange")
    given, found = graph.with_suffix(".in.npy"), graph.with_suffix(".out.npy")
    np.save(given, inputs)
    words = [sys.executable, DRIVER, tool, graph, given, found]
    ran = subprocess.run(
        [str(word) for word in words],
        env={**os.environ, "PYTHONPATH": str(FOLDER / tool)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    values: Float64 = np.load(found)
    return values


def write_ramp(path: Path) -> None:
    one = np.ones(1)
    nodes = {
        "input": nir.Input(np.array([1])),
        "weight": nir.Affine(np.ones((1, 1)), np.zeros(1)),
        "neuron": nir.IF(one, THETA * one, 0 * one),
        "output": nir.Output(np.array([1])),
    }
    nir.write(path, nir.NIRGraph(nodes, [("input", "weight"), ("weight", "neuron"), ("neuron", "output")]))


@pytest.mark.parametrize("reader", READERS)
def test_one_ramp_tells_a_readers_rule(reader: str, tmp_path: Path) -> None:
    """Of all rules one gives these spikes."""
    write_ramp(tmp_path / "ramp.nir")
    spikes = read(reader, tmp_path / "ramp.nir", np.array(RAMP, np.float64)[:, None])
    fitting = [rule for rule in RULES if rule.fire(RAMP, THETA) == spikes.ravel().tolist()]
    assert fitting == [READERS[reader]]


def chain(reset: Reset, *, strict: bool, bias: int, steps: int = 32) -> Network:
    """Three convolutions, a pool and a read-out. Membranes never reach two thresholds, nor fall below zero."""
    rng = np.random.default_rng(1)
    pads = (1, 1, 1, 1)
    kernels: list[Kernel] = [
        ConvKernel(rng.integers(0, 20, (3, 1, 3, 3), np.int8), pads=pads),
        ConvKernel(np.ones((3, 1, 2, 2), np.int8), (2, 2), groups=3),
        ConvKernel(rng.integers(0, 20, (4, 3, 3, 3), np.int8), pads=pads),
        ConvKernel(rng.integers(0, 20, (4, 4, 3, 3), np.int8), pads=pads),
        ConvKernel(rng.integers(-9, 20, (2, 4, 1, 1), np.int8)),
    ]
    largest = {0: 9, 2: 4, 3: 1}
    shape = (1, 8, 8)
    names = ("input", "one", "pool", "two", "three", "output")
    populations = [Population("input", shape, None, np.zeros((1, 1, 1), np.int64), np.ones(1), input_max=9)]
    for index, kernel in enumerate(kernels):
        shape = kernel.output_shape(shape)
        none = np.zeros(shape[0], np.int64)
        biases = np.zeros((shape[0], 1, 1), np.int64)
        neuron = MultiThreshold(none + 1, none, -(2**20), 2**20)
        if index in largest:
            assert isinstance(kernel, ConvKernel)
            theta = int(kernel.weight.astype(np.int64).sum((1, 2, 3)).max()) * largest[index] + 7
            neuron = MultiThreshold(none + theta, none, 0, 1, strict=strict, reset=reset)
            biases += bias
        populations.append(Population(names[index + 1], shape, neuron, biases, np.ones(shape[0])))
    connections = tuple(
        Connection(f"c{index}", names[index], names[index + 1], kernel) for index, kernel in enumerate(kernels)
    )
    return align(Network("chain", "rate", steps, tuple(populations), connections, (Output("output", "output"),)))


@pytest.mark.parametrize("reader", [reader for reader in READERS if "snntorch" not in reader])
def test_a_network_of_ours_counts_the_same_elsewhere(reader: str, tmp_path: Path) -> None:
    """In the form that states the reader's own rule.

    A late reader is a step later in each of three layers, in which biases would charge its neurons and not ours.
    """
    rule = READERS[reader]
    network = chain(rule.reset, strict=rule.strict, bias=0 if rule.late else 5)
    write_nir(network, tmp_path / "chain.nir")
    payloads = np.random.default_rng(2).integers(0, 10, (1, *network.input.shape))
    expected = load_backend("reference").run(network, payloads).counts["output"][0]
    assert np.unique(expected).size > 9
    late = 3 * rule.late
    sent = read(reader, tmp_path / "chain.nir", np.repeat(payloads.astype(np.float64), network.steps + late, 0))
    assert np.array_equal(sent[late:].sum(0), expected)


def record_ramp(reader: str, tmp_path: Path, inputs: Int64) -> tuple[Network, Verdict, list[Trace]]:
    """A reader's spikes beside those of a network that subtracts and fires at its threshold."""
    one, none = np.ones(1, np.int64), np.zeros((1, 1, 1), np.int64)
    neuron = MultiThreshold(THETA * one, 0 * one, 0, 1)
    source = Population("input", (1, 1, 1), None, none, np.ones(1), input_min=-99, input_max=99)
    fires = Population("neuron", (1, 1, 1), neuron, none, np.ones(1))
    weight = Connection("weight", "input", "neuron", ConvKernel(np.ones((1, 1, 1, 1), np.int8)))
    network = align(Network("ramp", "rate", inputs.size, (source, fires), (weight,), (Output("o", "neuron"),)))
    own = Trace.of(load_backend("reference").run(network, inputs.reshape(1, -1, 1, 1, 1), Record.TRAINS))
    write_ramp(tmp_path / "ramp.nir")
    spikes = read(reader, tmp_path / "ramp.nir", inputs.astype(np.float64)[:, None])
    probes = {"input": own.probes["input"], "neuron": Probe(trains=spikes.reshape(1, -1, 1).astype(np.int64))}
    other = Trace(reader, 1, probes, own.network, own.stimulus)
    comparison = Comparison(network, Level.TRAIN, replay=True)
    comparison.add([own, other])
    return network, comparison.verdict(), [own, other]


CAUSES: Mapping[str, tuple[str, ...]] = {
    "norse 1.1.0": ("comparison", "hard reset"),
    "spikingjelly 2.0.0": ("hard reset",),
    "spyx 1.0.0": ("comparison", "one step late"),
}
"""Faults of :mod:`snn_deploy.verification.diagnosis.faults` that a reader's rule is, beside subtraction at the threshold."""


@pytest.mark.parametrize("reader", READERS)
def test_the_verifier_names_what_a_reader_does_otherwise(reader: str, tmp_path: Path) -> None:
    network, verdict, traces = record_ramp(reader, tmp_path, np.array(RAMP[:12]))
    found = explain(network, verdict, traces)
    if "sinabs" in reader:
        assert (verdict.status, found) == (Status.EQUAL, None)
        return
    assert verdict.status is Status.DIFFERENT
    assert found is not None
    if reader in CAUSES:
        assert CAUSES[reader] in found.causes
