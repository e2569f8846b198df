"""The files that are written: SANA-FE alone loads them, and fires what the specification fires."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sanafe", reason="needs the extra sanafe")

from snn_deploy.backend.protocol import Record
from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.stimulus import digest_stimulus
from snn_deploy.conversion.convert import convert
from snn_deploy.conversion.options import preset
from snn_deploy.errors import ArtifactError, BackendError, BackendUnavailableError
from snn_deploy.network import artifact
from snn_deploy.network.network import Network
from snn_deploy.testing.networks import random_stimulus
from snn_deploy_sanafe import SanafeBackend
from tests.cli.models import write_unet


def converted(folder: Path, kind: str, size: int = 8) -> Network:
    images = [np.random.default_rng(0).random((2, 1, size, size), np.float32)]
    options = preset("if-strict", steps=6) if kind == "if-strict" else preset(kind)
    return convert(write_unet(folder / "unet.onnx"), images, options).conversion.network


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    return converted(tmp_path_factory.mktemp("emit"), "if-strict")


@pytest.fixture(scope="module")
def folder(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("emit") / "files"
    digest = SanafeBackend().emit(network, path, random_stimulus(network, batch=1))
    assert digest == hashlib.sha256((path / "manifest.json").read_bytes()).hexdigest()
    return path


def simulated(folder: Path, steps: int) -> Any:
    """Without a line of this project's code."""
    import sanafe

    architecture = sanafe.load_arch(str(folder / "architecture.yaml"))
    chip = sanafe.SpikingChip(architecture)
    chip.load(sanafe.load_net(str(folder / "network.yaml"), architecture))
    return chip.sim(steps, spike_trace=True, potential_trace=True, processing_threads=1)


def test_the_files_alone_fire_the_spikes_of_the_specification_step_by_step(network: Network, folder: Path) -> None:
    described = json.loads((folder / "expected.json").read_text())
    expected = load_backend("reference").run(network, random_stimulus(network, batch=1), Record.TRAINS)
    assert expected.trains is not None
    found = simulated(folder, described["steps"])
    first = 0
    for population in described["populations"]:
        train = expected.trains[population["name"]][0].reshape(network.steps, -1)
        assert train.any()
        assert (population["steps"], len(population["counts"])) == train.shape
        assert population["counts"] == train.sum(0).tolist()
        begin = population["first_step"]
        window = range(begin, begin + population["steps"])
        if population["fires"]:
            spikes = [
                sorted(
                    each.neuron_offset for each in found["spike_trace"][step] if each.group_name == population["group"]
                )
                for step in window
            ]
            assert spikes == [np.flatnonzero(step).tolist() for step in train]
        else:
            membranes = np.asarray(found["potential_trace"])[begin - 1 : window.stop, first : first + train.shape[1]]
            assert np.array_equal(np.diff(membranes, axis=0), train)
        first += train.shape[1]
    assert [population["name"] for population in described["populations"]] == [
        population.name for population in network.populations[1:]
    ]
    assert [population["fires"] for population in described["populations"]] == [True] * 4 + [False]


def test_the_manifest_names_every_file_and_what_it_was_made_of(network: Network, folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    found = {path.name for path in folder.iterdir()} - {"manifest.json"}
    assert found == set(manifest["files"])
    assert found == {"architecture.yaml", "network.yaml", "expected.json", "run.py", "README.md"}
    for name, digest in manifest["files"].items():
        assert digest == hashlib.sha256((folder / name).read_bytes()).hexdigest()
    assert manifest["network"] == artifact.digest(network)
    assert manifest["image"] == digest_stimulus(random_stimulus(network, batch=1))
    assert (manifest["name"], manifest["sanafe"][:3]) == (network.name, "2.2")
    text = (folder / "README.md").read_text()
    assert "$" not in text
    assert text.startswith(
        f"# {network.name}: a spiking network for SANA-FE\n\n5 populations, 560 neurons, an image of 8x8 "
    )
    assert f"chip.sim({network.duration + 2}, " in text
    assert "loihi_inputs[0..9]" in (folder / "architecture.yaml").read_text(), "two for each population"


def test_the_program_beside_them_compares_the_counts(folder: Path) -> None:
    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, folder / "run.py"], capture_output=True, text=True, check=False)

    equal = run()
    lines = equal.stdout.splitlines()
    assert (equal.returncode, equal.stderr) == (0, "")
    spikes = sum(json.loads((folder / "expected.json").read_text())["populations"][0]["counts"])
    assert lines[1].endswith(f": equal, {spikes} spikes"), "the first is SANA-FE's"
    assert sum(": equal, " in line for line in lines) == 4
    assert lines[5].endswith(": equal (membranes)")
    assert lines[-1].startswith("energy ")
    path = folder / "expected.json"
    as_written = path.read_text()
    described = json.loads(as_written)
    described["populations"][1]["counts"][3] += 1
    path.write_text(json.dumps(described))
    try:
        different = run()
    finally:
        path.write_text(as_written)
    assert different.returncode == 1
    assert f"{described['populations'][1]['name']}: 1 of 48 neurons differ" in different.stdout


def test_nothing_is_written_for_what_the_files_cannot_hold(network: Network, folder: Path, tmp_path: Path) -> None:
    backend, path = SanafeBackend(), tmp_path / "files"
    with pytest.raises(ArtifactError, match=r"^unet: 2 images; SANA-FE's files hold one, emit one at a time$"):
        backend.emit(network, path, random_stimulus(network, batch=2))
    with pytest.raises(BackendError, match=r"no checks can be left out; emit with checked=True$"):
        backend.emit(network, path, checked=False)
    with pytest.raises(ArtifactError, match=r"exists already; choose a new folder$"):
        backend.emit(network, folder)
    large = network.at_size(256, 256)
    with pytest.raises(BackendUnavailableError, match=r"synapses at 256x256, more than 2,500,000"):
        backend.emit(large, path)
    with pytest.raises(BackendUnavailableError, match=r"sends payloads, not single spikes"):
        backend.emit(converted(tmp_path, "exact"), path)
    assert not path.exists()


def test_without_an_image_noise_is_shown(network: Network, tmp_path: Path) -> None:
    for name in ("a", "b"):
        SanafeBackend().emit(network, tmp_path / name)
    assert (tmp_path / "a/manifest.json").read_bytes() == (tmp_path / "b/manifest.json").read_bytes()
    counts = [
        population["counts"] for population in json.loads((tmp_path / "a/expected.json").read_text())["populations"]
    ]
    assert all(any(each) for each in counts)
