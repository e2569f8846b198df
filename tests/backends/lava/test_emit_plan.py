"""Plans as bundles: complete, hashed, and giving the counts and the trace of the whole image in Lava."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.stimulus import digest_stimulus
from snn_deploy.errors import ArtifactError
from snn_deploy.network import artifact
from snn_deploy.planning.emission import emit_plan
from snn_deploy.verification.traces.trace_file import read_trace
from snn_deploy_lava.backend import LavaBackend
from snn_deploy_lava.runtime import description, plan_command, trace, versions
from snn_deploy_lava.runtime.command import Int64
from snn_deploy_lava.runtime.guard import WorkerError
from tests.planning.test_emission import STIMULUS, WHOLE
from tests.planning.test_plan import NAMES, NET, THREE, plan_of

needs_lava = pytest.mark.skipif(importlib.util.find_spec("lava") is None, reason="lava-nc is not installed")

REFERENCE = load_backend("reference")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("lava", reason="needs lava-nc")
    path = tmp_path_factory.mktemp("plan") / "files"
    digest = emit_plan(plan_of(NET, THREE), WHOLE, STIMULUS, LavaBackend(), path, REFERENCE)
    assert digest == hashlib.sha256((path / "manifest.json").read_bytes()).hexdigest()
    return path


def test_every_file_is_there_and_hashed(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - {"manifest.json"}
    assert found == set(manifest["files"])
    for name, digest in manifest["files"].items():
        assert digest == hashlib.sha256((folder / name).read_bytes()).hexdigest(), name
    assert {"run.py", "tiles.json", "network.snn", "input.npy", "expected.npz", "README.md"} <= found
    for number in (1, 2, 3):
        own = {name for name in found if name.startswith(f"group-{number}/")}
        assert {f"group-{number}/{name}" for name in ("run.py", "network.snn", "manifest.json")} <= own
    assert artifact.digest(artifact.load(folder / "network.snn")) == manifest["network"] == artifact.digest(WHOLE)
    assert np.array_equal(np.load(folder / "input.npy"), STIMULUS)
    text = (folder / "README.md").read_text()
    assert "$" not in text
    assert "Images of 36x28 pixels, 3 group(s) of layers" in text
    assert f"| 2 | `{NAMES[1]}` to `{NAMES[2]}`, 2 populations | " in text
    assert text.count("| 18x16 |") == 1
    assert f"| 3 | `{NAMES[3]}` to `{NAMES[-1]}`, {len(NAMES) - 3} populations | " in text
    assert "plan_command" in (folder / "run.py").read_text()


def test_a_folder_that_exists_is_refused(folder: Path) -> None:
    with pytest.raises(ArtifactError, match=r"exists already; choose a new folder$"):
        LavaBackend().emit_plan(WHOLE, (), folder, STIMULUS, {})


def check_trace(path: Path) -> None:
    """It is a trace of the whole network on the whole images, with the counts of all populations."""
    (batch,) = read_trace(path)
    assert (batch.network, batch.stimulus) == (artifact.digest(WHOLE), digest_stimulus(STIMULUS))
    expected = REFERENCE.run(WHOLE, STIMULUS).counts
    assert set(batch.probes) == set(expected)
    for name, counts in expected.items():
        found = batch.probes[name].counts
        assert found is not None
        assert np.array_equal(found.reshape(counts.shape), counts), name


def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference in place of Lava."""

    def run(path: Path, payloads: Int64, read: object, _: object) -> tuple[object, dict[str, str]]:
        assert isinstance(read, description.Description)
        ran = REFERENCE.run(artifact.load(path / "network.snn"), payloads)
        return {name: {"counts": counts, "events": ran.events[name]} for name, counts in ran.counts.items()}, {
            "Conv": "Own"
        }

    monkeypatch.setattr(plan_command, "run_bundle", run)
    monkeypatch.setattr(versions, "check", lambda: None)


def test_the_command_compares_writes_a_trace_and_says_what_differs(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake(monkeypatch)
    out = tmp_path / "trace.npz"
    assert plan_command.main(folder, ["--out", str(out)]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("equal: every count of ")
    assert [line.split(":")[0] for line in shown.err.splitlines()] == ["group-1", "group-2", "group-3"]
    check_trace(out)
    with np.load(out) as stored:
        models = json.loads(str(stored["manifest"]))["models"]
    assert models == {f"group-{number}/Conv": "Own" for number in (1, 2, 3)}
    image = tmp_path / "x.npy"
    np.save(image, STIMULUS[0])
    assert plan_command.main(folder, ["--input", str(image)]) == 0
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(trace, "list_differences", lambda *_: ["out: 1 of 2 counts differ"])
    assert plan_command.main(folder, []) == 1
    assert capsys.readouterr().out == "out: 1 of 2 counts differ\n"


def test_bad_input_is_one_line(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake(monkeypatch)
    assert plan_command.main(folder, ["--input", str(tmp_path / "absent.npy")]) == 3
    assert capsys.readouterr().err == f"error: {tmp_path / 'absent.npy'}: No such file or directory\n"
    np.save(tmp_path / "small.npy", STIMULUS[0, :, :4, :4])
    assert plan_command.main(folder, ["--input", str(tmp_path / "small.npy")]) == 3
    assert "the network expects (B, 1, 36, 28)" in capsys.readouterr().err

    def fail(*_: object) -> object:
        raise WorkerError("it stopped")

    monkeypatch.setattr(plan_command, "run_bundle", fail)
    assert plan_command.main(folder, []) == 2
    assert capsys.readouterr().err.endswith("error: it stopped\n")


@pytest.mark.lava
@pytest.mark.slow
@needs_lava
@pytest.mark.parametrize("more", [(), ("--chip-graph",)])
def test_in_lava_the_trace_is_that_of_the_whole_image(folder: Path, tmp_path: Path, more: tuple[str, ...]) -> None:
    """In a process of its own, without snn-deploy's code."""
    words = [sys.executable, str(folder / "run.py"), "--any-lava", "--out", str(tmp_path / "t.npz"), *more]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("equal: every count of ")
    check_trace(tmp_path / "t.npz")
