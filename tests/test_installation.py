"""Wheel and sdist as a stranger installs them: clean environments, a folder far from the checkout, nothing but pip.

``make installation`` tries Python 3.10 to 3.14; alone, these tests try the Python that runs them.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = os.environ.get("SNN_DEPLOY_PYTHONS", sys.executable).split()

pytestmark = pytest.mark.slow

LIBRARY = """
import json, sys
import numpy as np
import snn_deploy as sd
from snn_deploy.network import artifact
from snn_deploy.backend import load_backend
from snn_deploy.frontend.onnx import inspect
from snn_deploy.testing import check_backend, random_unet
from pathlib import Path

model = Path(sd.__file__).parent / "models" / "denoiser_s25.onnx"
fates = inspect(model, (64, 64)).counts
artifact.save(random_unet(size=8, width=2), Path("net.snn"))
net = sd.load("net.snn")
x = np.random.default_rng(0).random((1, 1, 8, 8), np.float32)
np.save("x.npy", x)
verdict = sd.verify(net, x, backends=("reference", "cpu"))
refusal = ""
try:
    sd.convert(model, calibration=[np.zeros((1, 1, 32, 32), np.float32)])
except sd.SnnDeployError as error:
    refusal = str(error)
print(json.dumps({
    "fates": fates,
    "verdict": verdict.line,
    "networks": len(check_backend(load_backend("reference")).equal),
    "joules": net.estimate(x, backend="reference").total_j.value,
    "notebook": net._repr_html_(),
    "refusal": refusal,
    "loaded": sorted({"rich", "onnxruntime", "torch", "PIL", "skimage"} & set(sys.modules)),
}))
"""


@dataclass(frozen=True)
class Place:
    """A virtual environment, and a folder to work in."""

    programs: Path
    folder: Path

    def __call__(self, program: str, *words: object, status: int = 0) -> str:
        done = subprocess.run(
            [self.programs / program, *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
            env=self.environment,
        )
        assert done.returncode == status, f"{program} {words}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    @property
    def environment(self) -> dict[str, str]:
        """What a new user has: nothing of the checkout."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
        return kept | {"PATH": f"{self.programs}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}

    def install(self, *words: object) -> None:
        self("python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *words)


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheel and sdist of this checkout."""
    pytest.importorskip("build", reason="needs the extra dev (build)")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, capture_output=True, check=True, cwd=folder)
    return folder


@pytest.fixture(scope="module", params=PYTHONS)
def python(request: pytest.FixtureRequest) -> str:
    found = shutil.which(str(request.param))
    if found is None or subprocess.run([found, "--version"], capture_output=True, check=False).returncode:
        pytest.fail(f"{request.param}: no such Python")
    return found


def place(python: str, folder: Path) -> Place:
    subprocess.run([python, "-m", "venv", folder / "venv"], check=True, capture_output=True)
    (folder / "work").mkdir()
    made = Place(folder / "venv" / "bin", folder / "work")
    reach: list[str | Path] = [
        made.programs / "python",
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--dest",
        folder / "probe",
        "rich",
    ]
    if subprocess.run(reach, capture_output=True, check=False, env=made.environment).returncode:
        pytest.skip("pip reaches no package index")
    return made


@pytest.fixture(scope="module")
def core(python: str, dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """NumPy, ONNX (on Python 3.10 the standard library's TOML reader, too), and the wheel with nothing that it asks for."""
    made = place(python, tmp_path_factory.mktemp("core"))
    made.install("-c", ROOT / "constraints.txt", "numpy", "onnx", "tomli; python_version < '3.11'")
    made.install("--no-deps", *dist.glob("*.whl"))
    return made


def test_the_library_needs_numpy_and_onnx_only(core: Place) -> None:
    found = json.loads(core("python", "-c", LIBRARY))
    assert found["fates"]["refused"] == 0
    assert found["verdict"].startswith("EQUAL at level train: reference, cpu;")
    assert found["networks"] > 3
    assert found["joules"] > 0
    assert found["notebook"] is None
    assert found["refusal"].endswith('which is not installed: pip install "snn-deploy[cpu]"')
    assert found["loaded"] == []


def test_the_command_needs_little_more_and_says_what_is_missing(core: Place, dist: Path) -> None:
    core.install("-c", ROOT / "constraints.txt", *dist.glob("*.whl"))
    core("python", "-c", LIBRARY)
    model = core("python", "-c", "import snn_deploy.cli.commands.demo as d; print(d.embedded_model())").strip()
    assert "0 refused" in core("snn-deploy", "inspect", model)
    assert "EQUAL" in core("snn-deploy", "verify", "net.snn", "--input", "x.npy")
    core("snn-deploy", "run", "net.snn", "--input", "x.npy", "--backend", "reference")
    core("snn-deploy", "estimate", "net.snn", "--input", "x.npy")
    for words, extra in (
        (("demo",), "report"),
        (("convert", model, "--out", "d.snn"), "report"),
        (("report", "net.snn", "--input", "x.npy", "--out", "r.html"), "report"),
        (("complete", "bash"), "completion"),
        (("verify", "net.snn", "--input", ".", "--workers", "2"), None),
    ):
        said = core("snn-deploy", *words, status=3)
        assert said.count("\n") == 1
        assert extra is None or said.endswith(f'pip install "snn-deploy[{extra}]"\n')


@pytest.fixture(scope="module")
def whole(python: str, dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The sdist with the extras of the main job, a photograph, and the network of the model that is packaged."""
    made = place(python, tmp_path_factory.mktemp("whole"))
    (archive,) = dist.glob("*.tar.gz")
    made.install("-c", ROOT / "constraints.txt", f"snn-deploy[report] @ {archive.as_uri()}")
    made("python", "-c", "from skimage import data, io; io.imsave('photo.png', data.camera())")
    made("snn-deploy", "convert", model_of(made), "--noise", "25", "--size", "64x64", "--out", "unet.snn")
    return made


def model_of(made: Place) -> str:
    """Path of the packaged model."""
    return made("python", "-c", "import snn_deploy.cli.commands.demo as d; print(d.embedded_model())").strip()


def test_the_sdist_with_extras_does_the_main_job(whole: Place) -> None:
    listing = "import importlib.metadata as m; print(*sorted({file.parts[0] for file in m.files('snn-deploy')}))"
    tops = {top for top in whole("python", "-c", listing).split() if not top.endswith(".dist-info") and top != ".."}
    assert tops == {"snn_deploy", *(path.parent.name for path in (ROOT / "backends").glob("*/__init__.py"))}
    assert str(ROOT) not in model_of(whole)
    assert "0 refused" in whole("snn-deploy", "inspect", model_of(whole))
    stimulus = ("--input", "photo.png", "--crop", "64x64", "--noise", "25")
    assert "EQUAL" in whole("snn-deploy", "verify", "unet.snn", *stimulus, "--level", "state")
    whole("snn-deploy", "report", "unet.snn", *stimulus, "--model", model_of(whole), "--out", "report.html")
    demo = whole("snn-deploy", "demo", "--out", "demo")
    assert "lava is not compared" in demo
    assert "0 of the whole image's counts differ" in demo
    assert (whole.folder / "demo" / "comparison.png").is_file()
    assert "0 refused" in whole(*shlex.split(re.findall("^next: (.*)$", demo, re.MULTILINE)[0]))


def test_a_strangers_backend(whole: Place) -> None:
    """docs/how-to/backend.md to the letter: its two files, its commands, in an environment that knows no checkout."""
    text = (ROOT / "docs" / "how-to" / "backend.md").read_text(encoding="utf-8")
    blocks = re.findall(r"<!-- (?:tested|installed)(?:: (\S+))? -->\n```(\w+)\n(.*?)```", text, re.DOTALL)
    assert [name for name, _, _ in blocks if name] == ["toy.py", "pyproject.toml"]
    for name, language, body in blocks:
        if name:
            (whole.folder / name).write_text(body, encoding="utf-8")
        elif language == "sh":
            (whole.folder / "commands.sh").write_text(body, encoding="utf-8")
            shown = whole(shutil.which("bash") or "bash", "-eu", "commands.sh")
            assert "EQUAL at level state: reference, toy;" in shown
        else:
            assert "every event and every membrane equal" in whole("python", "-c", body)
    assert re.search("^toy +yes", whole("snn-deploy", "backends"), re.MULTILINE)
