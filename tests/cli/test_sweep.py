"""``sweep``: one and two processes find the same; a journal is gone on with, and belongs to one image."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.cli.conftest import Tool
from tests.cli.models import write_unet

GRID = ("--grid", "levels=15,63", "--grid", "weight_bits=4,8", "--json")


@pytest.mark.filterwarnings("default")
def test_processes_journal_and_plot(tool: Tool, tmp_path: Path, pictures: Path, picture: Path) -> None:
    model, journal, plot = (
        write_unet(tmp_path / "unet.onnx", (16, 16)),
        tmp_path / "sweep.jsonl",
        tmp_path / "sweep.svg",
    )
    words = (model, "--input", picture, "--crop", "16x16", "--calibration", pictures, *GRID)
    two = tool("sweep", *words, "--workers", "2", "--journal", journal, "--plot", plot)
    assert two.status == 0, two.err
    points = json.loads(two.out)["points"]
    assert [point["settings"] for point in points] == [
        {"levels": levels, "weight_bits": bits} for levels in (15, 63) for bits in (4, 8)
    ]
    assert points[3]["scores"]["quality_db"] > points[0]["scores"]["quality_db"]
    assert ET.parse(plot).getroot().tag.endswith("svg")
    lines = journal.read_text().splitlines()
    assert json.loads(tool("sweep", *words, "--journal", journal).out)["points"] == points
    assert journal.read_text().splitlines() == lines
    assert json.loads(tool("sweep", *words).out)["points"] == points
    other = tool("sweep", *words, "--noise", "9", "--journal", journal)
    assert other.status == 3
    assert other.err.count("\n") == 1
