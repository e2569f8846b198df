"""Ctrl-C in the middle of a verb: status 130, one line, no half-written file, no process and no scratch folder left.

The program under test sends SIGINT to its own process group, as a terminal does, at a chosen call; so nothing here waits
for a moment that may not come.
"""

import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")

MARK = "SNN_DEPLOY_INTERRUPTED"

ONNXRUNTIMES = ".ses"
"""An empty file that onnxruntime keeps in the folder for temporary files."""

PROGRAM = """
import importlib, os, signal, sys
from snn_deploy.cli import app as cli

module, _, name = sys.argv[1].partition(":")
owner = importlib.import_module(module)
*parents, last = name.split(".")
for parent in parents:
    owner = getattr(owner, parent)
original = getattr(owner, last)

def interrupted(*values, **named):
    os.killpg(0, signal.SIGINT)
    return original(*values, **named)

setattr(owner, last, interrupted)

if __name__ == "__main__":
    sys.exit(cli.main(sys.argv[2:]))
"""


def interrupt(where: str, folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """``snn-deploy`` with ``words`` in ``folder``, interrupted when ``where`` (module:name) is called."""
    program = folder.parent / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    scratch = folder.parent / "scratch"
    scratch.mkdir()
    environment = os.environ | {
        MARK: str(folder),
        "TMPDIR": str(scratch),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(program.parent), *(path for path in sys.path if path)]),
    }
    process = subprocess.Popen(
        [sys.executable, program, where, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=environment,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=240)
        assert alive(str(folder)) == []
    finally:
        for pid in alive(str(folder)):
            os.kill(pid, signal.SIGKILL)
        process.wait()
    assert {path.name for path in scratch.iterdir()} <= {ONNXRUNTIMES}
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def alive(mark: str) -> list[int]:
    """Processes that the program started, directly or not; they inherit its environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state = (folder / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
            if f"{MARK}={mark}\0".encode() in (folder / "environ").read_bytes() and state != "Z":
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def check(done: subprocess.CompletedProcess[str], verb: str) -> None:
    assert done.returncode == 130, done.stderr
    assert done.stderr.splitlines()[-1] == f"snn-deploy {verb}: interrupted"
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_convert(empty_folder: Path, network: Path, pictures: Path) -> None:
    """When the artifact is whole beside its place, and not yet in it."""
    (empty_folder / "net.snn").write_text("of before")
    model = network.with_name("unet.onnx")
    words = ("convert", model, "--calibration", pictures, "--out", "net.snn")
    check(interrupt("pathlib:Path.replace", empty_folder, *words), "convert")
    assert [(path.name, path.read_text()) for path in empty_folder.iterdir()] == [("net.snn", "of before")]


@pytest.mark.parametrize(
    "words",
    [
        ("run", "--out", "restored.png"),
        ("verify", "--certificate", "certificate.json"),
        pytest.param(("estimate", "--map", "map.svg"), marks=pytest.mark.extended),
        ("report", "--out", "report.html"),
    ],
    ids=("run", "verify", "estimate", "report"),
)
def test_in_the_middle_of_a_run(words: tuple[str, ...], empty_folder: Path, network: Path, picture: Path) -> None:
    verb, *rest = words
    done = interrupt(
        "snn_deploy_cpu.backend:CpuBackend._run_group",
        empty_folder,
        verb,
        network,
        "--input",
        picture,
        "--crop",
        "16x16",
        *rest,
    )
    check(done, verb)
    assert list(empty_folder.iterdir()) == []


@pytest.mark.extended
def test_evaluate_on_two_processes(empty_folder: Path, network: Path, pictures: Path) -> None:
    """When the first result has come; the terminal interrupts the workers too."""
    pytest.importorskip("distributed", reason="needs the extra dask")
    words = ("evaluate", network, "--data", pictures, "--task", "denoise", "--backend", "reference", "--workers", "2")
    check(interrupt("distributed:Future.result", empty_folder, *words), "evaluate")
    assert list(empty_folder.iterdir()) == []


def test_sweep_keeps_its_journal(empty_folder: Path, network: Path, pictures: Path, picture: Path) -> None:
    """What was finished stays, whole lines only, and a later run goes on from it."""
    words = ("sweep", network.with_name("unet.onnx"), "--input", picture, "--crop", "16x16", "--calibration", pictures)
    grid = ("--grid", "levels=15,31", "--journal", "journal.jsonl")
    check(interrupt("snn_deploy.cli.commands.sweep:count_activity", empty_folder, *words, *grid), "sweep")
    assert [path.name for path in empty_folder.iterdir()] == ["journal.jsonl"]
    assert (empty_folder / "journal.jsonl").read_text().endswith("}\n")


@pytest.mark.slow
@pytest.mark.skipif(find_spec("lava") is None, reason="needs lava-nc")
def test_demo_while_lava_works(empty_folder: Path) -> None:
    """When Lava's processes run, in a session of their own, which no terminal reaches."""
    done = interrupt(
        "snn_deploy_lava.runtime.guard:json.loads", empty_folder, "demo", "--crop", "32x32", "--out", "demo"
    )
    check(done, "demo")
    assert {path.name for path in (empty_folder / "demo").iterdir()} == {"denoiser.snn"}
