"""The wheel and the sdist, built for real, without a network: what is in them, and that what is in them runs."""

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

import snn_deploy

ROOT = Path(__file__).resolve().parent.parent

TOP_LEVEL = {
    "snn_deploy",
    "snn_deploy_reference",
    "snn_deploy_cpu",
    "snn_deploy_lava",
    "snn_deploy_onnx",
    "snn_deploy_sanafe",
    "snn_deploy_akida",
}

SDIST_TOP = {
    "snn_deploy", "backends", "models", "tests", "Makefile", "constraints.txt", "pyproject.toml", "PKG-INFO",
    "requirements.lock", "requirements-lava.lock",
    "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "SECURITY.md", "Dockerfile", "docs",
    "examples", "mkdocs.yml", ".ci", ".dockerignore", ".github", ".gitignore",
}  # fmt: skip


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist of this checkout and its wheel, with the kernels that are compiled already."""
    pytest.importorskip("build", reason="needs the extra dev (build)")
    pytest.importorskip("hatchling", reason="needs the extra dev (hatchling)")
    folder = tmp_path_factory.mktemp("dist")
    command = [
        sys.executable,
        "-m",
        "build",
        "--no-isolation",
        "--sdist",
        "--wheel",
        "--outdir",
        str(folder),
        str(ROOT),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> zipfile.ZipFile:
    (path,) = dist.glob("*.whl")
    assert re.search(r"-py3-none-(?!any)\w+(\.\w+)?\.whl$", path.name), "the kernels are missing"
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def installed(wheel: zipfile.ZipFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel unpacked, as an installer would."""
    folder = tmp_path_factory.mktemp("site")
    wheel.extractall(folder)
    return folder


def run(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python with the unpacked wheel before everything else."""
    environment = os.environ | {"PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, cwd=installed, env=environment
    )


def test_the_wheel_installs_these_names_and_no_other(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == TOP_LEVEL
    assert len(tops) == len(TOP_LEVEL) + 1


def test_the_wheel_holds_every_source_file_and_the_data_beside_it(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    for base in (ROOT, ROOT / "backends"):
        for path in base.glob("snn_deploy*/**/*"):
            if path.is_file() and path.suffix not in {".c", ".h"} and "__pycache__" not in path.parts:
                assert path.relative_to(base).as_posix() in names
    assert "snn_deploy/py.typed" in names
    assert "snn_deploy/targets/loihi2.toml" in names
    assert "snn_deploy/models/denoiser_s25.onnx" in names
    assert {f"snn_deploy/schemas/{path.name}" for path in (ROOT / "snn_deploy" / "schemas").iterdir()} <= set(names)
    assert not any("__pycache__" in name or name.endswith(".pyc") for name in names)


def test_the_sdist_holds_what_is_needed_to_build_test_and_read(dist: Path) -> None:
    (path,) = dist.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = [name.split("/", 1)[1] for name in archive.getnames() if "/" in name]
    assert {name.split("/")[0] for name in names} == SDIST_TOP
    assert "tests/conftest.py" in names
    assert not any(name.endswith((".pt", ".pyc")) or name.startswith("shared") for name in names)


def test_the_metadata_names_licence_pythons_extras_and_doors(wheel: zipfile.ZipFile) -> None:
    (info,) = {name.split("/")[0] for name in wheel.namelist() if ".dist-info/" in name}
    metadata = wheel.read(f"{info}/METADATA").decode()
    assert "License-Expression: Apache-2.0" in metadata
    assert "Requires-Python: >=3.10" in metadata
    extras = {line.split(": ")[1] for line in metadata.splitlines() if line.startswith("Provides-Extra: ")}
    assert {"cpu", "lava", "train", "report", "dev"} <= extras
    required = [line for line in metadata.splitlines() if line.startswith("Requires-Dist: ") and "extra ==" not in line]
    assert not any(heavy in line for line in required for heavy in ("torch", "lava", "matplotlib", "scikit-image"))
    doors = wheel.read(f"{info}/entry_points.txt").decode()
    for name in ("cpu = snn_deploy_cpu:", "lava = snn_deploy_lava:", "reference = snn_deploy_reference:"):
        assert name in doors
    assert "snn-deploy = snn_deploy.cli:main" in doors
    assert "Version 2.0, January 2004" in wheel.read(f"{info}/licenses/LICENSE").decode()


def test_the_wheel_runs_away_from_the_checkout(installed: Path) -> None:
    code = (
        "import pathlib, sys, snn_deploy; from snn_deploy.backend import list_backends, load_backend; "
        "from snn_deploy.testing import random_unet, random_stimulus; n = random_unet(size=8, width=2); "
        "load_backend('reference').run(n, random_stimulus(n)); "
        "print(pathlib.Path(snn_deploy.__file__).parents[1], *list_backends())"
    )
    result = run(installed, "-c", code)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == [str(installed), "akida", "cpu", "lava", "onnx", "reference", "sanafe"]


def test_the_command_line_of_the_wheel_reads_the_model_it_ships(installed: Path) -> None:
    version = run(installed, "-m", "snn_deploy", "--version")
    assert (version.returncode, version.stdout.split()[0]) == (0, "snn-deploy")
    code = "import snn_deploy; from snn_deploy.cli.commands.demo import embedded_model; print(embedded_model())"
    model = run(installed, "-c", code)
    assert model.stdout.strip() == str(installed / "snn_deploy" / "models" / "denoiser_s25.onnx"), model.stderr


def test_the_version_stands_in_one_place(wheel: zipfile.ZipFile) -> None:
    """In ``snn_deploy/__init__.py``; the metadata is made from it, and what people cite and read names the same."""
    assert f"snn_deploy-{snn_deploy.__version__}.dist-info/METADATA" in wheel.namelist()
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {snn_deploy.__version__}\n" in citation
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\n## {snn_deploy.__version__}\n" in changelog
    assert "version" not in re.findall(r"^(\w+) =", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)


def test_continuous_integration_calls_targets_of_make() -> None:
    yaml = pytest.importorskip("yaml", reason="needs PyYAML, which the extra dask brings")
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    workflows = [
        yaml.safe_load(file.read_text(encoding="utf-8")) for file in (ROOT / ".github/workflows").glob("*.yml")
    ]
    steps = [step.get("run", "") for each in workflows for job in each["jobs"].values() for step in job["steps"]]
    publish = next(each for each in workflows if each["name"] == "publish")["jobs"]
    assert (publish["try"]["needs"], publish["publish"]["needs"]) == ("build", "try"), (
        "what was not tried is not published"
    )
    assert [name for name, job in publish.items() if "permissions" in job] == ["publish"]
    steps += (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    commands = [step.split()[1:] for step in steps if step.startswith("make ")]
    called = {word for words in commands for word in words if "=" not in word}
    assert {"lint", "types", "test", "docs"} <= called <= targets
    for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"):
        form = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert path.name == "config.yml" or {"name", "description", "body"} <= set(form)


def test_every_requirement_has_a_tested_version() -> None:
    """``constraints.txt`` pins each package that pyproject.toml asks for, inside the range asked for, on every Python."""
    requirements = pytest.importorskip("packaging.requirements")
    tomllib = pytest.importorskip("tomllib", reason="reads pyproject.toml with Python 3.11's tomllib")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins: dict[str, list[Any]] = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            pin = requirements.Requirement(line)
            (specifier,) = pin.specifier
            assert specifier.operator == "==", line
            pins.setdefault(pin.name.lower().replace("_", "-"), []).append((specifier.version, pin.marker))
    asked = project["dependencies"] + [item for extra in project["optional-dependencies"].values() for item in extra]
    for text in asked:
        requirement = requirements.Requirement(text)
        name = requirement.name.lower().replace("_", "-")
        if name in {"snn-deploy", "netron"}:  # itself, and the viewer that no test starts
            continue
        assert name in pins, f"{name} has no line in constraints.txt"
        for minor in range(10, 15):
            python = {"python_version": f"3.{minor}"}
            if requirement.marker is None or requirement.marker.evaluate(python):
                (version,) = (pin for pin, marker in pins[name] if marker is None or marker.evaluate(python))
                assert requirement.specifier.contains(version), (text, python)
