"""Every verb that shows an image to a network tells of clipping: a line on standard error, a field of ``--json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .conftest import Tool
from .models import write_unet


@pytest.fixture
def bright(tmp_path: Path) -> Path:
    """A picture almost twice too bright."""
    np.save(tmp_path / "bright.npy", 1.75 * np.random.default_rng(0).random((1, 1, 16, 16), np.float32))
    return tmp_path / "bright.npy"


VERBS = {
    "run": ("run", "NET", "--input", "BRIGHT"),
    "verify": ("verify", "NET", "--input", "BRIGHT", "--backends", "reference,onnx", "--level", "neuron-count"),
    "verify --shuffle": ("verify", "NET", "--input", "BRIGHT", "--backends", "reference", "--shuffle", "1"),
    "verify folder": (
        "verify",
        "NET",
        "--input",
        "PICS",
        "--crop",
        "16x16",
        "--noise",
        "80",
        "--level",
        "neuron-count",
    ),
    "estimate": ("estimate", "NET", "--input", "BRIGHT", "--backend", "reference"),
    "evaluate": ("evaluate", "NET", "--data", "PICS", "--task", "denoise", "--noise", "80", "--crop", "16"),
    "report": ("report", "NET", "--input", "BRIGHT", "--backend", "reference", "--out", "r.html"),
    "emit": ("emit", "NET", "--to", "lava", "--input", "BRIGHT", "--out", "bundle"),
    "sweep": ("sweep", "MODEL", "--input", "BRIGHT", "--grid", "levels=7", "--calibration", "PICS"),
}


@pytest.mark.parametrize("name", VERBS)
def test_clipping_is_told(tool: Tool, name: str, network: Path, pictures: Path, bright: Path, tmp_path: Path) -> None:
    if "lava" in VERBS[name]:
        pytest.importorskip("lava", reason="needs lava-nc")
    files = {"NET": network, "PICS": pictures, "BRIGHT": bright, "MODEL": write_unet(tmp_path / "m.onnx")}
    found = tool(*(files.get(word, word) for word in VERBS[name]), "--json")
    assert found.status in (0, 1), found.err
    assert "warning: " in found.err
    assert "of the input's values are outside of " in found.err
    values: Any = json.loads(found.out)
    clipped = (values[0] if isinstance(values, list) else values)["clipped"]
    assert set(clipped) == {"share", "extreme", "low", "high"}
    assert clipped["share"] > 0.1
    assert abs(clipped["extreme"]) > clipped["high"] > clipped["low"]


def test_an_image_of_another_scale_is_an_error(tool: Tool, network: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "bytes.npy", 255 * np.random.default_rng(0).random((1, 1, 16, 16), np.float32))
    found = tool("run", network, "--input", tmp_path / "bytes.npy", "--backend", "reference", "-q", "--json")
    assert (found.status, found.out, found.err.count("\n")) == (3, "", 1)
    assert "of the input's values are outside of " in found.err


def test_nothing_is_told_of_an_image_within_the_range(tool: Tool, network: Path, picture: Path) -> None:
    found = tool("run", network, "--input", picture, "--backend", "reference", "--json")
    assert json.loads(found.out)["clipped"] is None
    assert "outside" not in found.err
