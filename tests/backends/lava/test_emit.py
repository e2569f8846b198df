"""Bundles: complete, hashed, free of snn-deploy, and giving the counts they promise on any Python that has lava-nc."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import snn_deploy_lava
from snn_deploy.arrays import Array
from snn_deploy.backend.protocol import Record
from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.stimulus import digest_stimulus
from snn_deploy.errors import ArtifactError, BackendUnavailableError
from snn_deploy.network.kernels import SpatialKernel
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Connection, Network, Output, Population
from snn_deploy.testing import random_stimulus, random_unet
from snn_deploy.verification import Level, Status, compare
from snn_deploy.verification.traces.trace_file import TraceFile, read_trace
from snn_deploy_lava import rules
from snn_deploy_lava.emit import make_conformance_network, write_bundle
from snn_deploy_lava.runtime import command, description, trace
from snn_deploy_lava.runtime.arithmetic import Correlation, encode_weights

RUNTIME = Path(snn_deploy_lava.__file__).parent / "runtime"

needs_lava = pytest.mark.skipif(importlib.util.find_spec("lava") is None, reason="lava-nc is not installed")


def python310() -> str | None:
    """A Python 3.10 that has lava-nc: the one named by SNN_DEPLOY_PYTHON310, or python3.10 of the path."""
    executable = os.environ.get("SNN_DEPLOY_PYTHON310") or shutil.which("python3.10")
    if executable is None:
        return None
    done = subprocess.run([executable, "-c", "import lava.magma"], capture_output=True, check=False)
    return executable if done.returncode == 0 else None


@pytest.fixture(scope="module")
def network() -> Network:
    return random_unet("exact", 0, size=8)


@pytest.fixture(scope="module")
def bundle(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("emit") / "bundle"
    write_bundle(network, folder, random_stimulus(network, 0, 2))
    return folder


def run(python: str, bundle: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(
        [python, str(bundle / "run.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd="/",
    )


def test_the_runtime_imports_nothing_of_snn_deploy() -> None:
    for path in [*RUNTIME.rglob("*.py"), *(RUNTIME.parent / "bundle").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not [name for name in names if name.split(".")[0] == "snn_deploy"], path


def test_the_manifest_hashes_every_file_and_leads_back_to_onnx(bundle: Path, network: Network) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    files = {str(path.relative_to(bundle)) for path in bundle.rglob("*") if path.is_file()} - {"manifest.json"}
    assert set(manifest["files"]) == files
    for name, expected in manifest["files"].items():
        assert hashlib.sha256((bundle / name).read_bytes()).hexdigest() == expected
    assert [item["name"] for item in manifest["populations"]] == [population.name for population in network.populations]


@needs_lava
def test_the_self_check_and_a_trace_of_this_python(bundle: Path, network: Network, tmp_path: Path) -> None:
    done = run(sys.executable, bundle, "--out", str(tmp_path / "trace.npz"), "--trains", "--record", "all")
    assert (done.returncode, done.stdout) == (0, "equal: 10 populations, every count\n"), done.stderr
    stimulus = random_stimulus(network, 0, 2)
    expected = load_backend("reference").run(network, stimulus, Record.TRAINS)
    (batch,) = read_trace(tmp_path / "trace.npz")
    assert (batch.name, batch.network, batch.stimulus) == ("lava-sim", expected.network, expected.stimulus)
    verdict = compare(network, [expected, batch], Level.TRAIN)
    assert verdict.status is Status.EQUAL
    assert verdict.asked is Level.TRAIN


@needs_lava
def test_a_wrong_count_is_found(
    bundle: Path, network: Network, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = dict(load_backend("reference").run(network, random_stimulus(network, 0, 2)).counts)
    counts["dec"] = counts["dec"].copy()
    counts["dec"][1, 2, 3, 4] += 1
    monkeypatch.setattr(
        command, "run_bundle", lambda *_: ({name: {"counts": values} for name, values in counts.items()}, {})
    )
    assert command.main(bundle, []) == 1
    assert capsys.readouterr().out.startswith(
        "dec: 1 of 512 counts differ; the first, at (image, channel, y, x) (1, 2, 3"
    )


@needs_lava
@pytest.mark.slow
def test_the_conformance_test_passes_on_the_simulator(bundle: Path) -> None:
    assert run(sys.executable, bundle, "--conformance").stdout == "equal: 4 populations, every count\n"


@needs_lava
def test_without_lava_loihi_the_chip_is_refused_in_one_sentence(bundle: Path) -> None:
    done = run(sys.executable, bundle, "--target", "loihi2")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: target loihi2 needs Intel's lava-loihi")
    assert done.stderr.endswith("or use --target sim\n")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_the_bundle_runs_on_python_310_with_lava_alone(bundle: Path) -> None:
    python = python310()
    if python is None:
        pytest.skip("no Python 3.10 with lava-nc: name one in SNN_DEPLOY_PYTHON310")
    done = run(python, bundle, "--record", "all")
    assert (done.returncode, done.stdout) == (0, "equal: 10 populations, every count\n"), done.stderr
    done = run(python, bundle, "--conformance")
    assert (done.returncode, done.stdout) == (0, "equal: 4 populations, every count\n"), done.stderr


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((1, 2, 8, 8)), r"shape \(1, 2, 8, 8\); the network expects \(B, 1, 8, 8\)$"),
        (np.full((1, 8, 8), 300), r"payloads 300..300; the input's limits are -255..255$"),
        (np.full((1, 8, 8), np.nan), r"float64 values; only finite real numbers and integers are supported$"),
    ],
)
def test_bad_inputs_are_one_line(bundle: Path, tmp_path: Path, values: Array, message: str) -> None:
    np.save(tmp_path / "x.npy", values)
    network = description.read(bundle / "network.snn")
    with pytest.raises(command.UsageError, match=message):
        command.read_payloads(network, tmp_path / "x.npy")


def test_real_inputs_are_rounded_as_backends_round_them(bundle: Path, network: Network, tmp_path: Path) -> None:
    from snn_deploy.backend.stimulus import quantize_images

    image = np.random.default_rng(0).uniform(-1, 1, (2, 1, 8, 8))
    np.save(tmp_path / "x.npy", image)
    got = command.read_payloads(description.read(bundle / "network.snn"), tmp_path / "x.npy")
    assert np.array_equal(got, quantize_images(network, image))


@needs_lava
@pytest.mark.slow
def test_an_input_for_every_step(tmp_path: Path) -> None:
    """On the simulator and on the graph of the chip; the trace holds them."""
    network = random_unet("rate", 0, size=8, steps=4)
    windows = np.stack([random_stimulus(network, seed, 2) for seed in range(4)], axis=1)
    write_bundle(network, tmp_path / "bundle", windows)
    np.save(tmp_path / "other.npy", windows[:, :3])
    for arguments in ((), ("--chip-graph",)):
        done = run(sys.executable, tmp_path / "bundle", "--record", "all", "--out", str(tmp_path / "t.npz"), *arguments)
        assert done.stdout == f"equal: {len(network.populations)} populations, every count\n", done.stderr
    with TraceFile(tmp_path / "t.npz") as file:
        stimulus = file.stimulus(0)
        assert stimulus is not None
        assert np.array_equal(stimulus, windows)
    refused = run(sys.executable, tmp_path / "bundle", "--input", str(tmp_path / "other.npy"))
    channels = network.input.shape[0]
    assert refused.returncode == 3
    assert f"the network expects (B, {channels}, 8, 8) or (B, 4, {channels}, 8, 8)" in refused.stderr


def test_digests_are_those_of_snn_deploy(network: Network) -> None:
    stimulus = random_stimulus(network, 3)
    assert trace.digest_stimulus(stimulus) == digest_stimulus(stimulus)


def test_an_existing_folder_is_not_overwritten(network: Network, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"exists already; choose a new folder$"):
        write_bundle(network, tmp_path)


def test_the_conformance_test_crosses_many_thresholds(network: Network) -> None:
    probe = make_conformance_network(network)
    sweep = np.arange(-127, 128, dtype=np.int64).reshape(1, 1, 1, 255)
    counts = load_backend("reference").run(probe, sweep).counts
    for population in probe.populations[1:]:
        assert all(np.unique(channel).size >= 10 for channel in counts[population.name][0])


@pytest.mark.parametrize("seed", range(4))
def test_weights_as_the_chip_stores_them_mean_the_same(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.integers(*((0, 128) if seed % 2 else (-128, 128)), (4, 3, 3, 2)).astype(np.int32)
    stored, exponent = encode_weights(weight, seed)
    assert np.all(stored % 2 == 0) if weight.min() < 0 else np.array_equal(stored, weight)
    assert stored.min() >= -256
    assert stored.max() <= 255
    maps = rng.integers(-255, 256, (6, 7, 2))
    geometry = ((1, 1), (1, 1, 1, 1), (1, 1), 1)
    assert np.array_equal(Correlation(stored, *geometry, exponent)(maps), Correlation(weight, *geometry, seed)(maps))


def test_every_rule_of_the_chip_names_what_breaks_it(network: Network) -> None:
    assert rules.list_violations(network) == ()
    first, second, *others = network.connections
    broken = replace(
        network,
        populations=(replace(network.input, input_max=2**23 - 1), *network.populations[1:]),
        connections=(replace(first, exponent=9), replace(second, delay=63), *others),
    )
    assert [line.split(":")[0] for line in rules.list_violations(broken)] == [
        "enc1/a",
        "output",
        "input->enc1/a",
        "enc1/a->enc1/b",
    ]
    with pytest.raises(BackendUnavailableError, match=r"does not fit loihi2: enc1/a: .*; insert a relay population$"):
        rules.check(broken)


def through(kernel: SpatialKernel) -> Network:
    """An input and one population that reads it through ``kernel``."""
    zero, one = np.zeros((1, 1, 1), np.int64), np.ones(1)
    neuron = MultiThreshold(np.array([64]), np.array([0]), 0, 1)
    populations = (
        Population("in", (1, *kernel.input_size), None, zero, one, input_max=1),
        Population("n", (1, *kernel.output_size), neuron, zero, one, start=1),
    )
    return Network("one", "rate", 2, populations, (Connection("c", "in", "n", kernel),), (Output("y", "n"),))


@pytest.mark.parametrize(
    ("weights", "sums"),
    [
        ([100, 27, 0, -1], None),
        ([100, 28, 0, -1], "-1..128, outside -128..127"),
        ([-100, -28, 0, 1], None),
        ([-100, -29, 0, 1], "-129..1, outside -128..127"),
        ([127, 127, 1, 5], None),  # of one sign: 255
        ([127, 127, 2, 5], "0..256, outside -255..255"),
        ([-128, -127, 0, -5], None),
        ([-128, -128, 0, -5], "-256..0, outside -255..255"),
        ([127, -100, 120, 1], "0..147, outside -128..127"),
    ],
)
def test_weights_between_the_same_two_pixels_are_one_weight(weights: list[int], sums: str | None) -> None:
    """The first three of four entries join pixel 0 to pixel 1; the last stands alone."""
    data = np.array([*weights[3:], *weights[:3]])
    network = through(SpatialKernel((1, 2), (1, 2), np.array([0, 1, 4]), np.array([1, 0, 0, 0]), data))
    if sums is None:
        rules.require_runnable(network)
        assert rules.list_violations(network) == ()
        return
    line = f"c: weights between the same two pixels add up to {sums}; give each pair one weight"
    assert rules.list_violations(network) == (line,)
    with pytest.raises(BackendUnavailableError, match=f"^one cannot run in Lava: {line}$"):
        rules.require_runnable(network)


def test_an_empty_map_of_pixels_breaks_no_rule() -> None:
    none = SpatialKernel((1, 2), (1, 2), np.zeros(3, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int8))
    assert rules.list_violations(through(none)) == ()
