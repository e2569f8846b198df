"""``run --out``: what a network gives is written as what it is, all of it, or refused before the run."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from snn_deploy.conversion.convert import convert
from snn_deploy.conversion.options import Options
from snn_deploy.network import artifact
from tests.cli.conftest import Tool
from tests.cli.models import write_head


def write_network(folder: Path, *head: str) -> Path:
    image = np.random.default_rng(1).random((1, 1, 8, 8)).astype(np.float32)
    converted = convert(write_head(folder / "m.onnx", 5, *head), [image], Options(levels=63))
    artifact.save(converted.conversion.network, folder / "n.snn")
    return folder / "n.snn"


def test_labels_survive(tool: Tool, tmp_path: Path) -> None:
    """The labels in the PNG are the numbers in the array, and the palette does not change them."""
    np.save(tmp_path / "noise.npy", np.random.default_rng(2).random((1, 1, 32, 32)).astype(np.float32))
    run = (
        "run",
        write_network(tmp_path, "ArgMax"),
        "--input",
        tmp_path / "noise.npy",
        "--backend",
        "reference",
        "--out",
    )
    for name, *more in (("x.npy",), ("x.png",), ("colors.png", "--colors")):
        found = tool(*run, tmp_path / name, *more)
        assert (found.status, found.err) == (0, f"wrote {tmp_path / name}\n")
    labels = np.load(tmp_path / "x.npy")[0, 0]
    assert np.unique(labels).size > 2
    for name, mode in (("x.png", "L"), ("colors.png", "P")):
        with Image.open(tmp_path / name) as shown:
            assert shown.mode == mode
            assert np.array_equal(np.asarray(shown), labels)


@pytest.mark.parametrize("head", [(), ("Softmax",)])
def test_logits_are_no_picture(tool: Tool, tmp_path: Path, picture: Path, head: tuple[str, ...]) -> None:
    network = write_network(tmp_path, *head)
    run = ("run", network, "--input", picture, "--backend", "reference", "--out", tmp_path / "x.png")
    refused = tool(*run)
    assert (refused.status, refused.out, refused.err.count("\n")) == (3, "", 1)
    assert "has 5 " in refused.err
    assert "write .npy, or the class of every pixel as a label image" in refused.err
    assert not (tmp_path / "x.png").exists()
    assert tool(*run, "--labels").status == 0
    assert tool(*run[:-1], tmp_path / "x.npy").status == 0
    with Image.open(tmp_path / "x.png") as shown:
        assert np.array_equal(np.asarray(shown), np.load(tmp_path / "x.npy")[0].argmax(0))


def test_every_image_of_a_batch_is_written(tool: Tool, tmp_path: Path, network: Path) -> None:
    values = np.random.default_rng(0).random((3, 1, 16, 16)).astype(np.float32)
    np.save(tmp_path / "three.npy", values)
    found = tool(
        "run", network, "--input", tmp_path / "three.npy", "--backend", "reference", "--out", tmp_path / "x.png"
    )
    assert found.status == 0
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["x.0.png", "x.1.png", "x.2.png"]
    assert all(f"wrote {tmp_path / f'x.{index}.png'}\n" in found.err for index in range(3))


def test_values_outside_of_a_picture_are_told(tool: Tool, tmp_path: Path, network: Path, picture: Path) -> None:
    """The test network is untrained: much of its output lies outside of 0..1."""
    run = ("run", network, "--input", picture, "--backend", "reference", "--out")
    assert "% of the values lie outside of 0..1 and are clipped; .npy keeps them" in tool(*run, tmp_path / "x.png").err
    assert "clipped" not in tool(*run, tmp_path / "x.npy").err
