"""What the demo says and returns where Lava is absent, and where it is there and fails."""

import json
import re
import sys
from pathlib import Path

import pytest

from snn_deploy.backend import registry
from snn_deploy.backend.protocol import Backend
from snn_deploy.cli.commands import demo
from snn_deploy.errors import BackendUnavailableError
from tests.cli.conftest import Tool

pytest.importorskip("skimage", reason="the demo's photograph needs the extra report")


@pytest.mark.slow
@pytest.mark.parametrize(("installed", "status"), [(False, 0), (True, 2)])
def test_lava_is_left_out_where_it_is_absent_and_missed_where_it_fails(
    tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: Path, installed: bool, status: int
) -> None:
    load = registry.load_backend

    def without_lava(name: str) -> Backend:
        if name == "lava":
            raise BackendUnavailableError("backend lava: does not load")
        return load(name)

    monkeypatch.setattr("snn_deploy.verification.session.load_backend", without_lava)
    monkeypatch.setattr(demo, "find_spec", lambda name: sys.__spec__ if installed else None)
    as_json = ["--json"] if installed else []
    found = tool("demo", "--out", tmp_path / "demo", "--crop", "8x8", *as_json)
    assert found.status == status, found.err
    assert "lava is not compared: backend lava: does not load" in found.err
    if installed:
        said = json.loads(found.out)
        assert said["schema"] == "demo/1"
        figures = [f"{said['psnr_db'][name]:.2f}" for name in ("noisy", "float", "spiking")]
        for page in ("README.md", "docs/index.md"):
            shown = re.search(r"^!\[(.*)\]\(.*img/demo.png\)$", (root / page).read_text(encoding="utf-8"), re.MULTILINE)
            assert shown is not None
            assert re.findall(r"([\d.]+) dB", shown[1]) == figures, f"{page}: write the picture of `make demo` again"
    assert (tmp_path / "demo" / "denoiser.onnx").read_bytes() == demo.embedded_model().read_bytes()
    assert installed or f"next: snn-deploy inspect {tmp_path}/demo/denoiser.onnx" in found.err.replace("\n", "")
    assert "EQUAL at level state: reference, cpu;" in (said["verdict"]["line"] if installed else found.out)
