"""Bundles of streams: every frame on the simulator and on the stand-in for the chip, whose mistakes are found by frame."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pytest

from snn_deploy.arrays import Int64
from snn_deploy.backend.integer_ann import compute_integer_counts
from snn_deploy.cli.app import main
from snn_deploy.errors import BackendUnavailableError, VerificationError
from snn_deploy.network import artifact
from snn_deploy.network.network import Network
from snn_deploy.network.streaming import prepare_stream
from snn_deploy.testing import draw_frames, draw_stream, random_stimulus, random_two_sided, random_unet
from snn_deploy.verification.traces.trace_file import TraceFile
from snn_deploy_lava.emit import write_bundle
from tests.backends.lava.contact import Visit, contact
from tests.backends.lava.test_stock import converted

pytestmark = [
    pytest.mark.lava,
    pytest.mark.skipif(importlib.util.find_spec("lava") is None, reason="lava-nc is not installed"),
]

RECORD = ("--record", "all", "--trains")
FAULTS = {
    "frames begun anew": "fully explained by 'frame begun anew'",
    "frames without a difference": "input sends the frame itself, not its difference to the one before (no difference taken)",
}
"""Faults of :func:`tests.backends.lava.contact.planted`, and what the autopsy says."""


def frames_of(network: Network) -> Int64:
    """Four frames: one that is shown twice, and one that changes a little."""
    frames = random_stimulus(network, 0, 4) // 2
    frames[2] = frames[1]
    frames[3] = frames[1]
    frames[3, ..., :2] += 1
    return frames


STREAMS: dict[str, Callable[[], Network]] = {
    "all at once": lambda: prepare_stream(random_unet("exact", 0, size=8)),
    "two-sided": lambda: prepare_stream(random_two_sided(0), hold=1),
    "hold": lambda: prepare_stream(random_unet("exact", 1, size=8), hold=3),
    "several steps": lambda: draw_stream(Random(4), stock=False),
}


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Network]:
    """Networks by the folders of their bundles."""
    folder = tmp_path_factory.mktemp("streams")
    made = {folder / name: make() for name, make in STREAMS.items()}
    for path, network in made.items():
        frames = draw_frames(network, Random(1), 3, batch=1) if path.name == "several steps" else frames_of(network)
        write_bundle(network, path, np.concatenate(list(frames)) if isinstance(frames, list) else frames)
    return made


@pytest.fixture(scope="module")
def said(networks: dict[Path, Network]) -> dict[str, tuple[int, str]]:
    """Exit status and output on the stand-in of every bundle, its conformance test, and the first bundle with every fault."""
    first = next(iter(networks))
    visits = {folder.name: Visit(folder, (*RECORD, "--out", f"{folder}.npz")) for folder in networks}
    visits |= {f"{folder.name} conformance": Visit(folder, ("--conformance",)) for folder in networks}
    visits |= {fault: Visit(first, (*RECORD, "--out", f"{first}.{fault}.npz"), fault) for fault in FAULTS}
    return dict(zip(visits, contact(list(visits.values())), strict=True))


@pytest.mark.parametrize("name", STREAMS)
def test_every_frame_on_the_chip(
    name: str, networks: dict[Path, Network], said: dict[str, tuple[int, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = next(each for each in networks if each.name == name)
    assert said[name] == (0, f"equal: {len(networks[folder].populations)} populations, every count\n")
    assert said[f"{name} conformance"][0] == 0
    assert main(["verify", str(folder / "network.snn"), "--trace", f"{folder}.npz"]) == 0
    shown = capsys.readouterr().out
    assert "reference, cpu, lava-loihi2; " in shown
    assert f", {len(np.load(folder / 'input.npy'))} frame(s), " in shown


@pytest.mark.parametrize("fault", FAULTS)
def test_what_a_chip_gets_wrong_is_named(
    fault: str, networks: dict[Path, Network], said: dict[str, tuple[int, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = next(iter(networks))
    assert said[fault][0] == 1
    assert "the first, at (frame, channel, y, x) (1, " in said[fault][1]
    assert main(["verify", str(folder / "network.snn"), "--trace", f"{folder}.{fault}.npz", "--level", "train"]) == 1
    assert FAULTS[fault] in " ".join(capsys.readouterr().out.split())


def test_counts_are_those_of_every_frame_alone(networks: dict[Path, Network]) -> None:
    folder, network = next(iter(networks.items()))
    with np.load(folder / "expected.npz") as expected:
        for name, counts in compute_integer_counts(network, np.load(folder / "input.npy")).items():
            assert np.array_equal(expected[f"counts/{name}"], counts), name


def test_the_simulator_and_a_trace_with_states(networks: dict[Path, Network], tmp_path: Path) -> None:
    folder = next(iter(networks))
    out = tmp_path / "states.npz"
    command = [sys.executable, str(folder / "run.py"), "--record", "all", "--states", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "equal: 10 populations, every count\n", done.stderr
    assert main(["verify", str(folder / "network.snn"), "--trace", str(out), "--level", "state"]) == 0
    with TraceFile(out) as file:
        assert file.header.frames
        assert file.header.images == (1, 1, 1, 1)


def test_a_trace_of_frames_is_not_taken_for_one_of_images(
    networks: dict[Path, Network], tmp_path: Path, capsys: pytest.CaptureFixture[str], said: dict[str, tuple[int, str]]
) -> None:
    folder, network = next(iter(networks.items()))
    assert said[folder.name][0] == 0
    from snn_deploy.verification.session import Session
    from snn_deploy.verification.stimuli import Stimuli

    session = Session(traces=(Path(f"{folder}.npz"),))
    with pytest.raises(VerificationError, match=r"is a recording of a stream, frame by frame; compare it by itself: "):
        session.verify(Stimuli.of_payloads(network, np.load(folder / "input.npy")[:1]))
    for option in (["--input", str(folder / "input.npy")], ["--spread"], ["--certificate", str(tmp_path / "c.json")]):
        assert main(["verify", str(folder / "network.snn"), "--trace", f"{folder}.npz", *option]) == 3
        assert f"{option[0]}: {folder}.npz is a recording of a stream" in capsys.readouterr().err


def test_lavas_own_neurons_are_refused(tmp_path: Path) -> None:
    network = converted("denoiser_s25", "sigma-delta", 8, stream=True)
    with pytest.raises(BackendUnavailableError, match="not carried from frame to frame"):
        write_bundle(prepare_stream(network), tmp_path / "bundle")


def test_emit_from_a_folder_of_frames(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = random_unet("exact", 3, size=8)
    artifact.save(network, tmp_path / "net.snn")
    channels = network.input.shape[0]
    frames = np.random.default_rng(0).random((3, channels, 8, 8), np.float32) * np.float32(
        network.input.unit.max() * 10
    )
    np.save(tmp_path / "frames.npy", frames)
    words = [
        "emit",
        str(tmp_path / "net.snn"),
        "--out",
        str(tmp_path / "bundle"),
        "--stream",
        str(tmp_path / "frames.npy"),
    ]
    assert main([*words, "--to", "onnx"]) == 3
    assert "--stream has no effect unless --to is lava" in capsys.readouterr().err
    assert main([*words, "--to", "lava", "--frames", "1-2"]) == 0
    assert artifact.load(tmp_path / "bundle/network.snn").stream
    assert np.load(tmp_path / "bundle/input.npy").shape == (2, channels, 8, 8)


@pytest.mark.slow
def test_drawn_streams_on_the_chip(tmp_path: Path) -> None:
    """Any exact network whose neurons are this project's; frames of any kind."""
    visits = []
    for seed in range(20):
        network = draw_stream(Random(seed), stock=False)
        frames = np.concatenate(list(draw_frames(network, Random(seed), 3, batch=1)))
        try:
            write_bundle(network, tmp_path / str(seed), frames)
        except BackendUnavailableError:
            continue
        visits.append(Visit(tmp_path / str(seed), ("--record", "all")))
    assert len(visits) >= 8
    for visit, (status, text) in zip(visits, contact(visits), strict=True):
        assert status == 0, (visit.bundle.name, text)
