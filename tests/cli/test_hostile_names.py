"""Names are data: no node name, file name or recorded option changes, colours or crashes what a verb prints or writes."""

import json
import os
import sys
import unicodedata
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from snn_deploy.conversion.convert import convert
from snn_deploy.conversion.options import Options
from snn_deploy.display.names import visible
from snn_deploy.network import artifact
from tests.cli.conftest import Outcome, Tool
from tests.cli.models import write_unet

NAMES = {
    "closing markup": "[/]",
    "unknown markup": "[/x] [bold]y",
    "style": "[bold red]x[/bold red]",
    "link": "[link=file:///etc/passwd]x[/link]",
    "emoji code": "conv:x:0 :smile:",
    "colour": "\x1b[31mred\x1b[0m",
    "title of the window": "\x1b]0;owned\x07",
    "C1": "\x9b31m\x85\x90",
    "lines": "a\nb\r\n\tc\x0b\x0c",
    "line separators": "a\u2028b\u2029c",
    "right to left": "a\u202egnp.exe\u2066",
    "null": "a\x00b",
    "not XML": "\ufffe\uffff",
    "HTML": "<script>alert(1)</script>\"'&<b>",
    "CSV": "=1+1,\";'",
    "format": "{0} {task.description} %s %(x)d",
    "long": "n" * 3000,
    "spaces": "   ",
    "surrogate pair": "\U0001f525" * 3,
}


NODES = 9
"""Nodes of the tests' U-Net, which take one name each."""

GROUPS = [list(NAMES.values())[first : first + NODES] for first in range(0, len(NAMES), NODES)]


def write_named(path: Path, names: Sequence[str]) -> Path:
    """The tests' U-Net, whose nodes have ``names``, over and over, each with the node's number."""
    model = onnx.load(write_unet(path, (16, 16)))
    assert len(model.graph.node) == NODES
    model.graph.name = names[0]
    for index, node in enumerate(model.graph.node):
        node.name = f"{names[index % len(names)]}{index}"
    onnx.save(model, path)
    return path


def harmless(outcome: Outcome, *statuses: int) -> Outcome:
    """Ended as it should, and printed nothing that a terminal obeys."""
    assert outcome.status in statuses, outcome
    for text in (outcome.out, outcome.err):
        assert {unicodedata.category(character) for character in text.replace("\n", "")}.isdisjoint(
            {"Cc", "Cf", "Cs", "Zl", "Zp"}
        )
    if outcome.status == 3:
        assert (outcome.out, outcome.err.count("\n")) == ("", 1)
    return outcome


@pytest.mark.parametrize(
    "names",
    [GROUPS[0], *(pytest.param(each, marks=pytest.mark.extended) for each in GROUPS[1:])],
    ids=range(len(GROUPS)),
)
def test_every_verb_shows_names_as_they_are(
    tool: Tool, tmp_path: Path, picture: Path, pictures: Path, names: list[str]
) -> None:
    model, network = write_named(tmp_path / "unet.onnx", names), tmp_path / "unet.snn"
    inspected = json.loads(tool("inspect", model, "--json").out)
    assert [row["node"] for row in inspected["nodes"]] == [
        f"{names[index % len(names)]}{index}" for index in range(NODES)
    ]
    harmless(tool("inspect", model), 0)
    harmless(tool("convert", model, "--calibration", pictures, "--levels", "7", "--out", network), 0)
    populations = [population.name for population in artifact.load(network).populations]
    assert any(population.startswith(tuple(names)) for population in populations)

    shown = ("--input", picture, "--crop", "16x16")
    ran = tool("run", network, *shown, "--backend", "reference", "--json")
    assert [population["name"] for population in json.loads(ran.out)["populations"]] == populations
    for words in (
        ("run", network, *shown, "--backend", "reference"),
        ("verify", network, *shown),
        ("verify", network, *shown, "--shuffle", "1", "--backends", "reference"),
        ("verify", network, "--probe-plan"),
        ("estimate", network, *shown, "-v"),
        ("estimate", network, "--rate", "0.5", "--map", "map.svg"),
        ("diff", network, network, *shown),
        ("emit", network, "--to", "onnx", "--out", "integers.onnx"),
        ("report", network, *shown, "--verify-crop", "8x8", "--model", model, "--no-curve", "--out", "report.html"),
        ("view", network, "--out", "view.onnx"),
    ):
        harmless(tool(*words), 0)
    for name in names:
        harmless(tool("verify", network, "--probe-plan", f"{name}=perhaps"), 3)
        harmless(tool("verify", network, "--probe-plan", f"{name}?=equal"), 3)
    assert ET.parse("map.svg").getroot().tag.endswith("svg")
    page = Path("report.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "\x1b" not in page
    for file in ("integers.onnx", "view.onnx"):
        onnx.checker.check_model(onnx.load(file))


def test_a_difference_is_shown_with_its_name(
    tool: Tool, tmp_path: Path, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status 1 comes from the spikes alone: with names like markup, too, it is equal or different as told."""
    model = write_named(tmp_path / "unet.onnx", ["[/red] \x1b[31m"])
    image = np.random.default_rng(1).random((1, 1, 16, 16)).astype(np.float32)
    for levels in (7, 15):
        artifact.save(convert(model, [image], Options(levels=levels)).conversion.network, tmp_path / f"{levels}.snn")
    found = harmless(tool("diff", tmp_path / "7.snn", tmp_path / "15.snn", "--input", picture), 1)
    assert visible("[/red] \x1b[31m1") in found.out


@pytest.mark.skipif(os.name != "posix" or sys.platform == "darwin", reason="file names of any bytes")
def test_file_names_that_are_not_utf8(tool: Tool, tmp_path: Path, picture: Path, pictures: Path) -> None:
    """Python reads them as surrogates, which no UTF-8 file can hold."""
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xffd \x1b[31m"))
    folder.mkdir()
    model = write_unet(Path(os.fsdecode(os.fsencode(folder) + b"/n\xe9t.onnx")), (16, 16))
    network = model.with_suffix(".snn")
    harmless(tool("inspect", model), 0)
    harmless(tool("convert", model, "--calibration", pictures, "--out", network), 0)
    assert artifact.load(network).config["model"] == "n\\udce9t.onnx"
    copy = folder / picture.name
    copy.write_bytes(picture.read_bytes())
    shown = ("--input", copy, "--crop", "16x16")
    harmless(tool("run", network, *shown, "--out", folder / "out.png"), 0)
    harmless(tool("verify", network, *shown, "--certificate", folder / "c.json"), 0)
    harmless(tool("verify", network, "--check", folder / "c.json"), 0)
    harmless(tool("report", network, *shown, "--verify-crop", "8x8", "--out", folder / "r.html"), 0)
    assert json.loads(tool("emit", network, "--to", "onnx", "--out", folder / "i.onnx", "--json").out)["to"] == "onnx"
    harmless(tool("run", folder / "none.snn", *shown), 3)
    harmless(tool("run", network, "--input", copy, "--crop", "\x1b[31m"), 3)
    harmless(tool("\x1b[31m"), 3)


@pytest.mark.parametrize(
    ("name", "value", "with_curve"),
    [("levels", "abc", 3), ("levels", '<b class="good">EQUAL</b>', 3), ("scale", "\x1b[31m", 3), ("model", "<i>x", 0)],
)
def test_recorded_options_are_data(
    tool: Tool, tmp_path: Path, picture: Path, name: str, value: str, with_curve: int
) -> None:
    """A signed-again artifact whose record of the conversion says anything: escaped in the page, refused by the curve."""
    model = write_unet(tmp_path / "unet.onnx", (16, 16))
    image = np.random.default_rng(1).random((1, 1, 16, 16)).astype(np.float32)
    network = convert(model, [image], Options(levels=7)).conversion.network
    artifact.save(replace(network, config={**network.config, name: value}), tmp_path / "forged.snn")
    words = (
        "report",
        tmp_path / "forged.snn",
        "--input",
        picture,
        "--crop",
        "16x16",
        "--noise",
        "9",
        "--out",
        "r.html",
    )
    harmless(tool(*words), 0)
    page = Path("r.html").read_text(encoding="utf-8")
    assert value not in page or value == "abc"
    harmless(tool(*words, "--model", model, "--calibration", picture.parent), with_curve)


@pytest.mark.parametrize("text", ["x = " + "[" * 100_000 + "]" * 100_000, "x = " + "{a=" * 50_000 + "1" + "}" * 50_000])
@pytest.mark.parametrize("words", [("targets", "deep.toml"), ("targets", "--project", "deep.toml")])
def test_nesting_without_end(tool: Tool, text: str, words: tuple[str, ...]) -> None:
    Path("deep.toml").write_text(text)
    assert "deep.toml: not " in harmless(tool(*words), 3).err
