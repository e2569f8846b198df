"""Files of lava-dl and NIR on the command line: imported and run, listed, written again, refused with one line."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from snn_deploy.network import artifact
from tests.cli.conftest import Tool
from tests.cli.models import write_foreign


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return write_foreign(tmp_path)


@pytest.mark.parametrize("kind", [0, 1], ids=["net", "nir"])
def test_an_imported_network_runs_and_is_written_again(
    tool: Tool, files: tuple[Path, Path], kind: int, tmp_path: Path
) -> None:
    made = tool("import", files[kind], "--out", "leaky.snn", "--steps", "20")
    assert made.status == 0, made.err
    assert "rate mode" in made.out
    network = artifact.load(Path("leaky.snn"))
    assert (network.steps, network.input.shape) == (20, (2, 1, 1))
    np.save(tmp_path / "spikes.npy", np.ones((1, 2, 1, 1), np.float32))
    ran = tool("verify", "leaky.snn", "--input", tmp_path / "spikes.npy", "--level", "state")
    assert ran.status == 0, ran.out + ran.err
    for suffix in ("net", "nir"):
        assert tool("emit", "leaky.snn", "--to", suffix, "--out", f"again.{suffix}").status == 0
        assert tool("import", f"again.{suffix}", "--out", "again.snn").status == 0
        assert artifact.load(Path("again.snn")).steps == 20


def test_inspect_lists_layers_and_nodes(tool: Tool, files: tuple[Path, Path]) -> None:
    rows = json.loads(tool("inspect", files[0], "--json").out)["nodes"]
    assert [(row["node"], row["operator"], row["fate"]) for row in rows] == [
        ("layer/0", "input", "mapped"),
        ("layer/1", "dense", "mapped"),
    ]
    shown = json.loads(tool("inspect", files[1], "--json").out)
    assert shown["counts"] == {"mapped": 3, "folded": 1, "host": 0, "refused": 0}
    assert {row["node"]: row["note"] for row in shown["nodes"]}["layer.1"] == "layer.1 3x1x1: CUBA-LIF"


def test_a_refused_layer_is_named_by_inspect_and_import(tool: Tool, files: tuple[Path, Path]) -> None:
    with h5py.File(files[0], "r+") as file:
        file["layer/1/neuron/vMin"] = -9
    listed = tool("inspect", files[0])
    assert listed.status == 1
    assert "vMin is not supported" in listed.out
    refused = tool("import", files[0], "--out", "o.snn")
    assert (refused.status, refused.out, refused.err.count("\n")) == (3, "", 1)
    assert refused.err.startswith("snn-deploy import: layer/1: a CUBA neuron with vMin is not supported; ")
    assert not Path("o.snn").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("import", "a.txt", "--out", "o.snn"), "a.txt: ends in .txt; .net and .nir files are read"),
        (("import", "a.net", "--out", "o.txt"), "o.txt: ends in .txt; use .snn"),
        (("import", "a.nir", "--out", "o.snn"), "a.nir: cannot be read: No such file"),
        (("inspect", "a.net"), "a.net: cannot be read: No such file"),
        (("import", "a.net", "--out", "o.snn", "--payloads", "1..9"), "'1..9' must hold 0 and end above it"),
        (("import", "a.net", "--out", "o.snn", "--payloads", "x"), "'x' is not a range; write LOW..HIGH"),
    ],
)
def test_bad_input_is_one_line(tool: Tool, empty_folder: Path, words: tuple[str, ...], message: str) -> None:
    found = tool(*words)
    assert (found.status, found.out, found.err.count("\n")) == (3, "", 1)
    assert message in found.err
    assert list(empty_folder.iterdir()) == []
