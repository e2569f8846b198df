"""Networks of Lava's own neurons: built of Lava's processes alone, equal in three backends in every event and state."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snn_deploy.backend.protocol import Record, Run
from snn_deploy.backend.registry import load_backend
from snn_deploy.cli.app import main
from snn_deploy.conversion import convert as pipeline
from snn_deploy.conversion.options import preset
from snn_deploy.errors import BackendError, BackendUnavailableError, ConversionError
from snn_deploy.network import artifact, bounds
from snn_deploy.network.cuba_lif import CubaLif
from snn_deploy.network.network import Network, Population
from snn_deploy.network.neuron import StockNeuron
from snn_deploy.network.sigma_delta import SigmaDelta
from snn_deploy.testing import random_stimulus, random_unet
from snn_deploy.verification import Level, Status, compare
from snn_deploy_lava import LavaBackend, rules

MODELS = Path(__file__).parents[3] / "models"

needs_lava = pytest.mark.skipif(importlib.util.find_spec("lava") is None, reason="lava-nc is not installed")


def relay(channels: int, worst: int) -> SigmaDelta:
    """Passes every step's sum on; its bias joins once."""
    limit = worst + 7 * channels
    return SigmaDelta.of(np.arange(channels) * 7, shift=0, payloads=(-limit, limit), rectify=False)


def leaky(rng: np.random.Generator, channels: int, worst: int) -> CubaLif:
    return CubaLif.of(
        np.full(channels, 64 * max(worst // 20, 1)),
        rng.integers(-300, 900, channels) << 5,
        current_decay=int(rng.integers(1500, 4097)),
        voltage_decay=int(rng.integers(0, 2000)),
    )


def changing(rng: np.random.Generator, channels: int, worst: int) -> SigmaDelta:
    """Thresholds above one count, a shift that drops bits: changes wait in the residue for the next step."""
    shift = max((worst // 200).bit_length(), 1)
    offset = rng.integers(-10, 20, channels) << shift - 1
    return SigmaDelta.of(offset, shift=shift, payloads=(-255, 255), threshold=int(rng.integers(1, 4)))


def stock_unet(kind: str, seed: int) -> Network:
    """A random U-Net with every kind of connection, in rate mode, whose neurons are all Lava's own."""
    rng = np.random.default_rng(seed)
    network = random_unet("rate", seed, size=8, steps=6)
    built = {"input": replace(network.input, input_min=-20, input_max=20)}
    for population, connections in network.layers():
        channels, neuron = population.shape[0], population.neuron
        reached = [
            bounds.bound_current(connection, *built[connection.source].payload_range) for connection in connections
        ]
        none = np.zeros(1, np.int64)  # a pixel map reaches as much in every channel
        worst = max(
            int(sum((-low for low, _ in reached), start=none).max()),
            int(sum((high for _, high in reached), start=none).max()),
        )
        passes = neuron is not None and neuron.relays
        own = relay(channels, worst) if passes else (leaky if kind == "lif" else changing)(rng, channels, worst)
        built[population.name] = replace(population, neuron=own, bias=np.zeros((channels, 1, 1), np.int64))
    return replace(network, populations=tuple(built.values()))


def assert_equal(actual: Run, expected: Run) -> None:
    for field in ("counts", "events", "trains", "states", "second_states"):
        reference, recorded = getattr(expected, field), getattr(actual, field)
        assert (reference is None) == (recorded is None), field
        for name, values in (reference or {}).items():
            assert np.array_equal(recorded[name], values), (field, name)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", ["lif", "sigma-delta"])
def test_the_cpu_backend_equals_the_reference(kind: str, seed: int) -> None:
    network = stock_unet(kind, seed)
    stimulus = random_stimulus(network, seed)
    expected = load_backend("reference").run(network, stimulus, Record.STATES)
    actual = load_backend("cpu").run(network, stimulus, Record.STATES)
    assert_equal(actual, expected)
    assert actual.saturations == expected.saturations
    assert all(np.any(expected.events[population.name]) for population in network.populations)
    verdict = compare(network, [expected, actual], Level.STATE)
    assert verdict.status is Status.EQUAL


@pytest.mark.extended
@needs_lava
@pytest.mark.lava
@pytest.mark.parametrize(
    ("kind", "record"),
    [(kind, record) for kind in ("lif", "sigma-delta") for record in (Record.STATES, Record.TRAINS)],
)
def test_lava_equals_the_reference(kind: str, record: Record) -> None:
    """With every kind of connection, two images in a stream; the processes that show their states, and the plain ones."""
    network = stock_unet(kind, 0)
    stimulus = random_stimulus(network, 0)
    expected = load_backend("reference").run(network, stimulus, record)
    assert_equal(LavaBackend().run(network, stimulus, record), expected)


# Lava sets the start method of the interpreter that imports it, so it gets one of its own.
PROCESSES = """
import sys
from pathlib import Path
from snn_deploy_lava.runtime import description, lava_import
lava_import.prepare()
from snn_deploy_lava.runtime import graph as graphs
import numpy as np
folder = Path(sys.argv[1])
read = description.read(folder / "network.snn")
graph = graphs.build(read, np.load(folder / "stimulus.npy"), graphs.plan(read, 2, stream=True), graphs.Recording(folder))
print("stock" if read.stock else "own")
for process in [graph.source, *graph.neurons.values(), *graph.resets, *graph.synapses, *graph.delays]:
    print(type(process).__module__.split(".")[0], type(process).__name__)
"""


@needs_lava
@pytest.mark.lava
@pytest.mark.parametrize("kind", ["lif", "sigma-delta"])
def test_every_process_is_lavas_own(kind: str, tmp_path: Path) -> None:
    network = stock_unet(kind, 0)
    artifact.save(network, tmp_path / "network.snn")
    np.save(tmp_path / "stimulus.npy", random_stimulus(network, 0))
    command = [sys.executable, "-c", PROCESSES, str(tmp_path)]
    profile, *processes = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert profile == "stock"
    assert {line.split()[0] for line in processes} == {"lava"}
    names = {line.split()[1] for line in processes}
    assert names >= {"RingBuffer", "SigmaDelta", "Reset", "Conv", "Sparse", "DelaySparse", "GradedVec"}
    assert ("LIFReset" in names) == (kind == "lif")


def converted(name: str, kind: str, size: int, **changes: int) -> Network:
    model = MODELS / f"{name}.onnx"
    rng = np.random.default_rng(0)
    smooth = np.add.outer(np.sin(np.arange(32) / 5), np.cos(np.arange(32) / 7)) / 4 + 0.5
    images = [(0.8 * smooth + 0.2 * rng.random((1, 1, 32, 32))).astype(np.float32) for _ in range(2)]
    return pipeline.convert(model, images, preset(kind, **changes), (size, size)).conversion.network


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("denoiser_s25", "lif"),
        ("denoiser_s25", "sigma-delta"),
        pytest.param("segmenter_isbi", "sigma-delta", marks=pytest.mark.extended),
    ],
)
def test_the_trained_networks_fit_the_chip_and_the_cpu_backend(name: str, kind: str) -> None:
    network = converted(name, kind, 16, **({"steps": 6} if kind == "lif" else {}))
    assert all(isinstance(population.neuron, StockNeuron) for population in network.populations[1:])
    assert rules.list_violations(network) == ()
    stimulus = random_stimulus(network) // 2
    expected = load_backend("reference").run(network, stimulus, Record.STATES)
    assert_equal(load_backend("cpu").run(network, stimulus, Record.STATES), expected)


@needs_lava
@pytest.mark.lava
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kind"), [("denoiser_s25", "lif"), ("denoiser_s25", "sigma-delta"), ("segmenter_isbi", "sigma-delta")]
)
def test_the_trained_networks_in_lava(name: str, kind: str) -> None:
    network = converted(name, kind, 16, **({"steps": 6} if kind == "lif" else {}))
    stimulus = random_stimulus(network) // 2
    expected = load_backend("reference").run(network, stimulus, Record.STATES)
    assert_equal(LavaBackend().run(network, stimulus, Record.STATES), expected)


def test_max_pooling_has_no_place_in_single_spikes() -> None:
    with pytest.raises(ConversionError, match=r"^/pool/MaxPool.max1: the maximum of a pool .* or average pooling$"):
        converted("segmenter_isbi", "lif", 16)


@needs_lava
@pytest.mark.lava
@pytest.mark.extended
def test_an_event_beyond_the_proof_is_an_error_in_lava_too() -> None:
    """As in the other backends, in tests/network/test_sigma_delta.py."""
    network = stock_unet("sigma-delta", 0)
    narrow = replace(
        network,
        populations=tuple(
            replace(population, neuron=replace(population.neuron, payload_max=3))
            if population.name == "enc2" and population.neuron
            else population
            for population in network.populations
        ),
    )
    with pytest.raises(BackendError, match=r"enc2: an event carries \d+; the network is proved for -255..3, "):
        LavaBackend().run(narrow, random_stimulus(narrow))


@needs_lava
def test_thresholds_and_biases_beyond_lavas_lif_are_refused() -> None:
    network = stock_unet("lif", 0)

    def odd(population: Population) -> Population:
        if population.name == "enc1/a" and isinstance(population.neuron, CubaLif):
            return replace(population, neuron=replace(population.neuron, offset=population.neuron.offset * 64 + 1))
        if population.name == "dec" and isinstance(population.neuron, CubaLif):
            return replace(population, neuron=replace(population.neuron, theta=population.neuron.theta + 1))
        return population

    wrong = replace(network, populations=tuple(odd(population) for population in network.populations))
    with pytest.raises(BackendUnavailableError, match=r"enc1/a: biases .* by two; .*dec: thresholds \d+..\d+;"):
        rules.check(wrong)
    with pytest.raises(
        BackendUnavailableError, match=r"cannot run in Lava: enc1/a: biases .* by two; .*dec: thresholds"
    ):
        LavaBackend().run(wrong, random_stimulus(wrong))


@pytest.mark.extended
@needs_lava
def test_the_command_line_converts_and_emits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As docs/explanation/modes.md says it, at a small size; what single spikes cannot do ends in one line."""
    options = ["--noise", "25", "--size", "16x16", "--out"]
    network, bundle = tmp_path / "delta.snn", tmp_path / "bundle"
    model = str(MODELS / "denoiser_s25.onnx")
    assert main(["convert", model, "--neuron", "sigma-delta", *options, str(network)]) == 0
    assert artifact.load(network).config["neuron"] == "sigma-delta"
    assert main(["emit", str(network), "--to", "lava", "--out", str(bundle)]) == 0
    assert "Every process of the network is Lava's own: " in (bundle / "README.md").read_text(encoding="utf-8")
    capsys.readouterr()
    model = str(MODELS / "segmenter_isbi.onnx")
    assert main(["convert", model, "--neuron", "lif", *options, str(tmp_path / "none.snn")]) == 3
    assert "/pool/MaxPool.max1: the maximum of a pool cannot be sent in single spikes" in capsys.readouterr().err
