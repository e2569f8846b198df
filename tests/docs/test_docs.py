"""The documentation is correct: its blocks run as written, its links resolve, generated pages are current."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from generate.cli import table
from generate.reference import pages
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = sorted((ROOT / "docs").rglob("*.md"))
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))

GENERATED = {ROOT / "docs" / path for path, _ in pages()}
"""Pages that exist only where the site is built."""

BLOCK = re.compile(r"<!-- tested(?:: (\S+))? -->\n```(\w+)\n(.*?)```", re.DOTALL)
"""A block behind this comment is run, or saved under the name it gives, in one folder per page, in its order."""


def environment(folder: Path) -> dict[str, str]:
    """A shell in which ``python`` and ``snn-deploy`` are those under test."""
    programs = folder / ".bin"
    programs.mkdir(exist_ok=True)
    for name, command in (("python", ""), ("snn-deploy", "-m snn_deploy ")):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {command}"$@"\n', encoding="utf-8")
        program.chmod(0o755)
    path = os.pathsep.join([str(ROOT), str(ROOT / "backends"), *(entry for entry in sys.path if entry)])
    return os.environ | {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": path,
        "OMP_NUM_THREADS": "1",
    }


def run_page(page: Path, folder: Path) -> None:
    (folder / "models").symlink_to(ROOT / "models")
    settings = environment(folder)
    for name, language, body in BLOCK.findall(page.read_text(encoding="utf-8")):
        if name:
            (folder / name).write_text(body, encoding="utf-8")
            continue
        command = ["bash", "-e", "-u", "-c", body] if language == "sh" else [sys.executable, "-c", body]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=settings)
        assert done.returncode == 0, f"{body}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_tutorial_runs_from_training_to_the_report(tmp_path: Path) -> None:
    for name in ("torch", "skimage", "onnxruntime"):
        pytest.importorskip(name, reason="the tutorial needs the extras cpu, report and train")
    run_page(ROOT / "docs" / "tutorials" / "first-network.md", tmp_path)
    assert {"unet.onnx", "unet.snn", "restored.png", "certificate.json", "report.html"} <= {
        path.name for path in tmp_path.iterdir()
    }


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_many_images_on_two_processes(tmp_path: Path) -> None:
    for name in ("distributed", "skimage", "onnxruntime"):
        pytest.importorskip(name, reason="many workers need the extras cpu, dask and report")
    run_page(ROOT / "docs" / "how-to" / "many-images.md", tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "how-to/backend.md",
        pytest.param("how-to/installation.md", marks=pytest.mark.extended),
        pytest.param("how-to/choose-options.md", marks=pytest.mark.slow),
        pytest.param("how-to/prepare-a-model.md", marks=pytest.mark.slow),
        pytest.param("how-to/large-images.md", marks=pytest.mark.extended),
        "how-to/target.md",
        pytest.param("how-to/project-file.md", marks=pytest.mark.extended),
        pytest.param("how-to/streams.md", marks=pytest.mark.extended),
        pytest.param("how-to/verify-a-recording.md", marks=pytest.mark.extended),
        "reference/json.md",
        pytest.param("reference/snn-format.md", marks=pytest.mark.slow),
    ],
)
def test_how_to_pages_run(name: str, tmp_path: Path) -> None:
    pytest.importorskip("skimage", reason="conversion without images of one's own needs the extra report")
    if "import torch" in (ROOT / "docs" / name).read_text(encoding="utf-8"):
        pytest.importorskip("torch", reason="the page exports from PyTorch, of the extra train")
    run_page(ROOT / "docs" / name, tmp_path)


@pytest.mark.slow
def test_the_workflow_of_the_certificate_runs(tmp_path: Path) -> None:
    """Its commands in their order, in a checkout with a model and a photograph; pip's is read, because it needs an index."""
    data = pytest.importorskip("skimage.data", reason="conversion without images of one's own needs the extra report")
    text = (ROOT / "docs" / "how-to" / "certificate-in-ci.md").read_text(encoding="utf-8")
    (workflow,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    install, *commands = re.findall(r"^      - run: (.*)$", workflow, re.MULTILINE)
    (extra,) = re.findall(r'^pip install "snn-deploy\[(\w+)\]"$', install)
    assert f"\n{extra} = [" in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (tmp_path / "models").symlink_to(ROOT / "models")
    Image.fromarray(data.camera()).save(tmp_path / "photo.png")
    assert len(commands) == 3
    for command in commands:
        done = subprocess.run(
            ["bash", "-e", "-c", command],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env=environment(tmp_path),
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    assert "a new run agrees" in done.stdout
    assert {path.suffix for path in tmp_path.glob("certificate.*")} == {".json", ".html", ".xml"}


def test_every_tested_block_is_on_a_page_that_a_test_runs() -> None:
    with_blocks = {
        str(page.relative_to(ROOT / "docs")) for page in PAGES if BLOCK.search(page.read_text(encoding="utf-8"))
    }
    assert with_blocks == {
        "tutorials/first-network.md",
        "how-to/backend.md",
        "how-to/installation.md",
        "how-to/choose-options.md",
        "how-to/prepare-a-model.md",
        "how-to/large-images.md",
        "how-to/many-images.md",
        "how-to/project-file.md",
        "how-to/streams.md",
        "how-to/target.md",
        "how-to/verify-a-recording.md",
        "reference/json.md",
        "reference/snn-format.md",
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT / "docs")))
def test_links_and_named_files_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# ")
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        if not link.startswith("https://"):
            path = (page.parent / link).resolve()
            assert path.exists() or path in GENERATED, link
    for path in re.findall(r"`((?:snn_deploy|backends|models|tests|examples)/[^`\s*]*)`", text):
        assert (ROOT / path).exists(), path


def test_every_page_is_in_the_navigation() -> None:
    listed = set(re.findall(r"- ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE))
    written = {str(page.relative_to(ROOT / "docs")) for page in PAGES}
    assert written == listed


def test_the_architecture_page_has_every_package() -> None:
    text = (ROOT / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")
    named = {
        name for cell in re.findall(r"^\| \d+ \| (.*?) \|", text, re.MULTILINE) for name in re.findall(r"`(\w+)`", cell)
    }
    modules = {path.stem for path in (ROOT / "snn_deploy").glob("*.py") if not path.stem.startswith("_")}
    packages = {path.parent.name for path in (ROOT / "snn_deploy").glob("*/__init__.py")}
    assert named == modules | packages
    backends = set(re.findall(r"^\| `(snn_deploy_\w+)`", text, re.MULTILINE))
    assert backends == {path.parent.name for path in (ROOT / "backends").glob("*/__init__.py")}


def test_every_decision_is_in_the_index() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "index.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[(\d{4})\]\((\S+)\) \| (.*) \| (\d{4}-\d\d-\d\d) \|$", index, re.MULTILINE)
    written = []
    for path in sorted(folder.glob("[0-9]*.md")):
        title, _, status = path.read_text(encoding="utf-8").split("\n")[:3]
        written.append((path.name[:4], path.name, title.removeprefix(f"# {path.name[:4]} "), status.partition(" ")[0]))
    assert rows == written


def test_the_command_line_page_is_current() -> None:
    """Rewritten with ``python docs/generate/cli.py > docs/reference/cli.md``."""
    assert (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8") == table()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
@pytest.mark.slow
def test_examples_run(example: Path, tmp_path: Path) -> None:
    pytest.importorskip("skimage", reason="the examples show photographs of scikit-image")
    pytest.importorskip("matplotlib", reason="the examples draw with matplotlib")
    done = subprocess.run(
        [sys.executable, str(example)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=environment(tmp_path),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
