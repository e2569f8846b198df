"""README and its neighbours are correct: marked commands run as written; links and named files exist."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted(ROOT.glob("*.md"))

MARKED = re.compile(r"<!-- tested -->\n```(sh|python)\n(.*?)```", re.DOTALL)
"""A block behind this comment is executed in an empty folder with ``models`` beside it, up to its first failure."""

BLOCKS = [
    (document.name, language, body)
    for document in DOCUMENTS
    for language, body in MARKED.findall(document.read_text(encoding="utf-8"))
]


def test_there_is_something_to_execute() -> None:
    assert {language for _, language, _ in BLOCKS} == {"sh", "python"}


@pytest.mark.parametrize(("document", "language", "body"), BLOCKS, ids=[f"{name}-{kind}" for name, kind, _ in BLOCKS])
def test_marked_blocks_run_as_written(document: str, language: str, body: str, tmp_path: Path) -> None:
    for name in ("skimage", "onnxruntime"):
        pytest.importorskip(name, reason=f"{document} uses the extras report and cpu")
    (tmp_path / "models").symlink_to(ROOT / "models")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, command in (("python", ""), ("snn-deploy", "-m snn_deploy ")):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {command}"$@"\n', encoding="utf-8")
        program.chmod(0o755)
    environment = os.environ | {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "OMP_NUM_THREADS": "1",
    }
    words = ["bash", "-e", "-u", "-c", body] if language == "sh" else [sys.executable, "-c", body]
    result = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_links_and_named_files_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    assert text.startswith("# ")
    for link in re.findall(r"\]\(([^)]+)\)", text):
        if not link.startswith("https://"):
            assert (ROOT / link).exists(), link
    for path in re.findall(r"`((?:snn_deploy|backends|models|tests)/[^`\s]*)`", text):
        assert (ROOT / path).exists(), path


def test_every_target_of_make_is_explained_and_none_is_dead() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = set(re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)[0].split())
    explained = set(re.findall(r"^([a-z-]+):.*## ", text, re.MULTILINE))
    assert phony == explained
    for program in re.findall(r"python (tests/\S+\.py|models/\S+\.py)", text):
        assert (ROOT / program).is_file(), program
    shown = subprocess.run(
        ["make", "--no-print-directory"], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout
    assert all(f"make {target} " in shown for target in explained)
    named = set(re.findall(r"\bmake ([a-z-]+)", (ROOT / "README.md").read_text(encoding="utf-8"))) - {"is"}
    assert named <= explained
