"""Scores of equal images are infinite, which JSON has no number for."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import parser
from PIL import Image

from snn_deploy import __version__
from snn_deploy.cli.commands.demo import tabulate_quality
from snn_deploy.data.metrics import gain_db, psnr_db
from snn_deploy.display.console import show_json
from tests.cli.conftest import Tool

IDENTITY = """
<ir_version: 8, opset_import: ["": 13]>
identity (float[N, 1, 8, 8] image) => (float[N, 1, 8, 8] same) <float[1, 1, 1, 1] one = {1.0}>
{
    same = Conv (image, one)
}
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    onnx.save(parser.parse_model(IDENTITY), tmp_path / "identity.onnx")
    return tmp_path / "identity.onnx"


@pytest.fixture
def black(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "pictures" / "black.png")
    return tmp_path / "pictures" / "black.png"


def test_json_names_infinite_numbers_and_keeps_all_others(capsys: pytest.CaptureFixture[str]) -> None:
    scores = {"a": math.inf, "b": -math.inf, "c": 1.5, "d": math.nan, "e": np.float64(math.inf)}
    settings = {"f": "Infinity", "g": True, "h": None}
    show_json(
        "sweep", {"points": ({"settings": settings, "scores": scores, "error": None, "front": True},), "clipped": None}
    )
    found = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(f"bare {name} is not JSON"))
    (point,) = found.pop("points")
    assert found == {"schema": "sweep/1", "version": __version__, "clipped": None}
    assert point["scores"] == {"a": "Infinity", "b": "-Infinity", "c": 1.5, "d": "NaN", "e": "Infinity"}
    assert point["settings"] == settings
    assert float(point["scores"]["a"]) == math.inf


def test_equal_images_have_an_infinite_score_and_no_gain() -> None:
    image = np.full((1, 1, 8, 8), 0.5, np.float32)
    assert psnr_db(image, image) == math.inf
    assert psnr_db(image + np.float32(0.1), image) == pytest.approx(20.0, abs=1e-3)
    assert gain_db(math.inf, math.inf) == 0.0
    assert gain_db(30.0, 28.5) == 1.5
    table = tabulate_quality("title", {"noisy": 20.0, "float": math.inf, "spiking": math.inf}, 0)
    assert str(list(table.columns[2].cells)[-1]) == "+0.000 dB"


def test_evaluate_of_a_network_that_changes_nothing(tool: Tool, model: Path, black: Path) -> None:
    found = tool("evaluate", model, "--data", black.parent, "--task", "denoise", "--json")
    assert found.status == 0, found.err
    assert json.loads(found.out)["overall"] == {"psnr_db": "Infinity", "ssim": 1.0}
    assert " inf" in tool("evaluate", model, "--data", black.parent, "--task", "denoise").out


def test_convert_and_report_without_any_error(tool: Tool, model: Path, black: Path, tmp_path: Path) -> None:
    network = tmp_path / "identity.snn"
    calibrated = tool("convert", model, "--calibration", black.parent, "--noise", "20", "--out", network, "--json")
    assert calibrated.status == 0, calibrated.err
    page = tmp_path / "report.html"
    found = tool(
        "report", network, "--input", black, "--model", model, "--calibration", black.parent, "--out", page, "--json"
    )
    assert found.status == 2, "a black image makes no spike, and silence is not compared" + found.err
    assert "Without any error, and not drawn: levels N" in page.read_text("utf-8")
