"""SANA-FE fires the same spikes and leaves the same membranes as the specification, or says why it cannot run a network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sanafe", reason="needs the extra sanafe")

from snn_deploy.backend.protocol import Record
from snn_deploy.backend.registry import load_backend
from snn_deploy.conversion.convert import convert
from snn_deploy.conversion.options import Options, preset
from snn_deploy.errors import BackendError, BackendUnavailableError
from snn_deploy.network.network import Network
from snn_deploy.testing.networks import random_stimulus
from snn_deploy_sanafe import SanafeBackend, program
from tests.cli.models import write_unet

PLAIN: dict[str, bool | int | str] = {"steps": 6}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_unet(tmp_path_factory.mktemp("sanafe") / "unet.onnx")


def converted(model: Path, options: Options, size: int = 8) -> Network:
    images = [np.random.default_rng(0).random((2, 1, size, size), np.float32)]
    return convert(model, images, options).conversion.network


@pytest.mark.parametrize(
    "options",
    [
        {},
        *(
            pytest.param(options, marks=pytest.mark.extended)
            for options in (
                {"half_start": True},
                {"reset": "zero"},
                {"reset": "zero", "strict": False},
                {"weight_bits": 4},
            )
        ),
    ],
)
def test_spikes_and_membranes_are_those_of_the_specification(
    model: Path, options: dict[str, bool | int | str], capfd: pytest.CaptureFixture[str]
) -> None:
    network = converted(model, preset("if-strict", **{**PLAIN, **options}))
    assert max(connection.delay for connection in network.connections) > 1, "a skip"
    images = 2 if options else 1  # SANA-FE takes a second for each
    stimulus = random_stimulus(network, batch=images)
    expected = load_backend("reference").run(network, stimulus, Record.STATES)
    done: list[tuple[int, int]] = []
    run = SanafeBackend().run(network, stimulus, Record.STATES, lambda *part: done.append(part))
    assert capfd.readouterr().out == "", "what SANA-FE prints is no result"
    assert done == [(each + 1, images) for each in range(images)]
    assert (run.network, run.stimulus) == (expected.network, expected.stimulus)
    assert run.saturations == dict.fromkeys(expected.counts, 0)
    for mine, theirs in (
        (run.counts, expected.counts),
        (run.events, expected.events),
        (run.trains, expected.trains),
        (run.states, expected.states),
    ):
        assert mine is not None
        assert theirs is not None
        assert set(mine) == set(theirs)
        assert [name for name in theirs if not np.array_equal(mine[name], theirs[name])] == []
    assert all(expected.counts[population.name].any() for population in network.populations)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["denoiser_s25", "denoiser_blind", "denoiser_color_s25"])
def test_the_trained_denoisers(root: Path, name: str) -> None:
    """2.5 million synapses each, which take 4 GB."""
    images = [np.random.default_rng(0).random((2, 3 if "color" in name else 1, 8, 8), np.float32)]
    network = convert(root / f"models/{name}.onnx", images, preset("if-strict", steps=8)).conversion.network
    stimulus = random_stimulus(network, batch=1)
    expected = load_backend("reference").run(network, stimulus, Record.STATES)
    run = SanafeBackend().run(network, stimulus, Record.STATES)
    assert run.states is not None
    assert expected.states is not None
    assert [each for each in expected.counts if not np.array_equal(run.counts[each], expected.counts[each])] == []
    assert [each for each in expected.states if not np.array_equal(run.states[each], expected.states[each])] == []


@pytest.mark.extended
def test_only_what_is_asked_for_is_recorded(model: Path) -> None:
    network = converted(model, preset("if-strict", **PLAIN))
    run = SanafeBackend().run(network, random_stimulus(network, batch=1))
    assert (run.trains, run.states) == (None, None)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (preset("exact"), r"exact mode sends payloads, not single spikes; .* --preset if-strict$"),
        (preset("if", steps=4, strict=False, pool="neuron"), r"neurons that fire at their threshold, not above it"),
        (preset("if", steps=4, strict=True, pool="relay"), r"payloads of 0\.\.4, not single spikes"),
        (preset("multi-threshold", steps=4), r"plain integrate-and-fire|not single spikes"),
    ],
)
def test_other_neurons_are_refused_by_name(model: Path, options: Options, reason: str) -> None:
    network = converted(model, options)
    with pytest.raises(BackendUnavailableError, match=rf"^sanafe cannot run this network: .*{reason}"):
        SanafeBackend().run(network, random_stimulus(network, batch=1))


def test_what_does_not_fit_the_chip_or_the_memory_is_refused_before_it_is_built(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = converted(model, preset("if-strict", **PLAIN), 16).at_size(256, 256)
    with pytest.raises(BackendUnavailableError, match=r"synapses at 256x256, more than 2,500,000, .* \(--crop\)$"):
        SanafeBackend().run(large, random_stimulus(large, batch=1))
    monkeypatch.setattr(program, "MOST_SYNAPSES", 10**9)
    with pytest.raises(
        BackendUnavailableError, match=r"needs \d+ cores at 256x256, SANA-FE's Loihi has 128; use a smaller"
    ):
        SanafeBackend().run(large, random_stimulus(large, batch=1))


@pytest.mark.extended
def test_a_membrane_beyond_24_bits_is_an_error(model: Path) -> None:
    """It keeps its sum there, and is limited everywhere else."""
    network = converted(model, preset("if-strict", **PLAIN))
    population = network.populations[1]
    drift = replace(population, bias=np.full(population.bias.shape, -(2**22), np.int64))
    changed = replace(network, populations=(network.input, drift, *network.populations[2:]))
    with pytest.raises(BackendError, match=rf"^{population.name}: a membrane reaches \d+; SANA-FE does not limit it"):
        SanafeBackend().run(changed, random_stimulus(changed, batch=1))
