"""A small network, small pictures, and a command line that runs in this process."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from snn_deploy.cli import app as cli
from snn_deploy.conversion.convert import convert
from snn_deploy.conversion.options import Options
from snn_deploy.network import artifact
from tests.cli.models import write_unet


@dataclass(frozen=True)
class Outcome:
    status: int
    out: str
    err: str


Tool = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test starts in a folder of its own, so that no project file of the caller is read."""
    folder = tmp_path / "cwd"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in cli.THREAD_VARIABLES:
        monkeypatch.setenv(name, "1")
    return folder


@pytest.fixture
def tool(capsys: pytest.CaptureFixture[str]) -> Tool:
    """``snn-deploy`` in this process."""

    def run(*words: object) -> Outcome:
        capsys.readouterr()
        try:
            status = cli.main([str(word) for word in words])
        except SystemExit as stop:
            status = int(stop.code or 0)
        out, err = capsys.readouterr()
        return Outcome(status, out, err)

    return run


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifact of a small U-Net whose names are an exporter's, for images of 16x16."""
    folder = tmp_path_factory.mktemp("network")
    image = np.random.default_rng(1).random((1, 1, 16, 16)).astype(np.float32)
    converted = convert(write_unet(folder / "unet.onnx"), [image], Options(levels=15))
    artifact.save(converted.conversion.network, folder / "unet.snn")
    return folder / "unet.snn"


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two gray pictures of 32x48 pixels."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    ramp = np.add.outer(np.arange(32) * 4, np.arange(48) * 2)
    for index in range(2):
        noisy = np.clip(ramp + rng.normal(0, 9, ramp.shape) + 20 * index, 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / f"{index}.png")
    return folder


@pytest.fixture(scope="session")
def picture(pictures: Path) -> Path:
    return pictures / "0.png"
