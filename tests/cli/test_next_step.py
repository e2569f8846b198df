"""The command that a verb names as the next step runs, from the model to the bundle."""

import shlex
from pathlib import Path

import pytest

from tests.cli.conftest import Tool
from tests.cli.models import write_unet


def next_step(said: str) -> list[str]:
    """The words of the command that was suggested, without the name of the program."""
    (line,) = (line for line in said.splitlines() if line.startswith("next: "))
    program, *words = shlex.split(line.removeprefix("next: "))
    assert program == "snn-deploy"
    return words


def test_every_suggestion_runs_as_it_stands(tool: Tool, tmp_path: Path, pictures: Path) -> None:
    pytest.importorskip("lava", reason="the bundle at the end needs lava-nc")
    folder = tmp_path / "my nets"
    folder.mkdir()
    model, artifact, image = write_unet(folder / "u.onnx"), folder / "u.snn", str(pictures / "0.png")
    said = tool("convert", model, "--size", "16x16", "--calibration", pictures, "--out", artifact).err
    verbs = []
    for _ in range(3):
        words = [image if word == "IMAGE" else word for word in next_step(said)]
        verbs.append(words[0])
        crop = ["--crop", "16x16"] if words[0] == "verify" else []
        found = tool(*words, *crop)
        assert found.status == 0, found.err
        said = found.err
    assert verbs == ["verify", "estimate", "emit"]
    assert f"next: python '{folder / 'u_bundle' / 'run.py'}'" in said


def test_the_next_step_shows_the_same_image(tool: Tool, network: Path, picture: Path) -> None:
    stimulus = ("--crop", "16x16", "--noise", "12.5", "--seed", "3")
    words = next_step(tool("verify", network, "--input", picture, *stimulus).err)
    assert words == ["estimate", str(network), "--input", str(picture), *stimulus]
    assert tool(*words).status == 0
    assert next_step(tool("verify", network, "--input", picture, "--noise", "25").err)[-2:] == ["--noise", "25"]


@pytest.mark.parametrize("option", ["-q", "--json"])
def test_neither_quiet_nor_machines_are_told(tool: Tool, network: Path, picture: Path, option: str) -> None:
    assert "next: " not in tool("estimate", network, "--rate", "0.5", option).err
    assert "next: " not in tool("verify", network, "--input", picture, "--crop", "16x16", option).err


def test_nothing_is_proposed_where_backends_differ_or_nothing_fits(tool: Tool, network: Path) -> None:
    assert "next: " not in tool("estimate", network, "--rate", "0.5", "--target", "cmos45-int8").err


def test_no_verb_at_all_prints_the_help(tool: Tool) -> None:
    found = tool()
    assert (found.status, found.err) == (0, "")
    assert found.out == tool("--help").out
