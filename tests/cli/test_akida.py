"""``--for akida`` and ``--target akida2`` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from snn_deploy.network import artifact
from tests.cli.conftest import Tool
from tests.cli.models import write_unet


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_unet(tmp_path / "unet.onnx")


def test_convert_for_akida_tells_what_it_costs(tool: Tool, model: Path) -> None:
    np.save("images.npy", np.random.default_rng(0).random((8, 1, 8, 8), np.float32))
    words = ("convert", model, "--calibration", "images.npy", "--size", "8x8", "--rounding", "nearest", "--fixed")
    told = tool(*words, "--for", "akida", "--out", "a.snn")
    assert told.status == 0
    assert "the limits of Akida 2 cost " in told.out
    assert artifact.load(Path("a.snn")).config["device"] == "akida"
    record = json.loads(tool(*words, "--for", "akida", "--out", "b.snn", "--json").out)
    assert set(record["device_cost"]) == {"measure", "within", "without"}
    assert json.loads(tool(*words, "--out", "c.snn", "--json").out)["device_cost"] is None


def test_what_is_chosen_twice_or_has_no_effect_is_refused(tool: Tool, model: Path) -> None:
    twice = tool("convert", model, "--for", "akida", "--preset", "if", "--out", "a.snn")
    assert (twice.status, "not allowed with argument --for" in twice.err) == (3, True)
    steps = tool("convert", model, "--for", "akida", "--steps", "4", "--out", "a.snn")
    assert "--steps has no effect in exact mode, which --preset, --neuron or --for chooses; leave it out" in steps.err


def test_inspect_for_akida(tool: Tool, model: Path) -> None:
    told = tool("inspect", model, "--size", "16x16", "--target", "akida2", "--json")
    record = json.loads(told.out)
    assert told.status == 0
    assert record["counts"]["refused"] == 0
    assert record["remarks"][-1].startswith("Akida 2: shapes were checked")
