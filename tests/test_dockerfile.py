"""The Dockerfile, parsed: what it copies exists and suffices for a wheel, and it installs what the Makefile does."""

import json
import re
import subprocess
import sys
from pathlib import Path
from shutil import copy, copytree

import pytest

from snn_deploy.cli import app as cli

ROOT = Path(__file__).resolve().parent.parent


def instructions() -> list[tuple[str, str]]:
    """Every instruction and its operands, lines joined and comments dropped."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.partition(" ")[0], line.partition(" ")[2].strip()) for line in lines]


def operands(name: str) -> list[str]:
    return [rest for instruction, rest in instructions() if instruction == name]


def copies() -> list[tuple[list[str], str]]:
    """Sources and destination of every COPY."""
    return [(words[:-1], words[-1]) for words in (rest.split() for rest in operands("COPY"))]


def test_every_instruction_is_known_and_the_python_is_supported() -> None:
    names = [name for name, _ in instructions()]
    assert names[0] == "FROM"
    assert set(names) <= {"FROM", "ENV", "WORKDIR", "COPY", "RUN", "VOLUME", "ENTRYPOINT", "CMD"}
    (image,) = operands("FROM")
    assert image.removeprefix("python:").removesuffix("-slim") in {"3.10", "3.11", "3.12"}


def test_what_it_copies_exists_is_versioned_and_not_ignored() -> None:
    kept = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line.startswith("!")
    }
    for sources, destination in copies():
        for source in sources:
            assert (ROOT / source).exists(), source
            assert source in kept, source
            assert destination in {"./", source}


def test_a_wheel_builds_from_what_it_copies(tmp_path: Path) -> None:
    pytest.importorskip("build", reason="needs the extra dev (build)")
    context = tmp_path / "src"
    context.mkdir()
    for sources, _ in copies():
        for source in sources:
            (copytree if (ROOT / source).is_dir() else copy)(ROOT / source, context / source)
    command = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(tmp_path), str(context)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list(tmp_path.glob("*.whl"))) == 1


def test_every_package_it_installs_has_a_hash() -> None:
    locked, own = operands("RUN")
    assert own == "pip install --no-deps --no-build-isolation ."
    files = re.findall(r"--require-hashes -r (\S+)", locked)
    assert files == ["requirements.lock", "requirements-lava.lock"]
    assert locked.count("pip install") == 2
    assert subprocess.run(["sh", "-n", "-c", locked], check=False).returncode == 0


def locked_versions(name: str) -> dict[str, set[str]]:
    """The versions of every package in a lock, each of which must have a hash."""
    found: dict[str, set[str]] = {}
    for entry in re.split(r"\n(?=\S)", (ROOT / name).read_text(encoding="utf-8").strip()):
        head, *hashes = entry.split(" \\\n")
        package, _, version = head.partition(" ;")[0].partition("==")
        assert hashes, entry
        assert all(re.fullmatch(r" {4}--hash=sha256:[0-9a-f]{64}", line) for line in hashes), entry
        found.setdefault(package.lower().replace("_", "-"), set()).add(version)
    return found


def test_locks_hold_the_versions_that_were_tested() -> None:
    pinned: dict[str, set[str]] = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            package, _, version = line.partition(";")[0].partition("==")
            pinned.setdefault(package.lower().replace("_", "-"), set()).add(version)
    locked = locked_versions("requirements.lock")
    assert {name for name, versions in locked.items() if name in pinned and not versions <= pinned[name]} == set()
    assert set(locked) - set(pinned) <= {"pyyaml"}
    lava = re.findall(r"^LAVA := (\S+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert [f"lava-nc=={version}" for version in locked_versions("requirements-lava.lock")["lava-nc"]] == lava
    for name in ("numpy", "onnx", "rich", "onnxruntime", "pillow", "hatchling", "scikit-image"):
        assert name in locked


def test_it_starts_a_command_that_exists() -> None:
    (entry,), (words,) = operands("ENTRYPOINT"), operands("CMD")
    assert json.loads(entry) == ["snn-deploy"]
    assert cli.parser().parse_args(json.loads(words)).verb == "demo"
