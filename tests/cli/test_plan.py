"""``plan``, and the verbs that execute what it writes."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import snn_deploy as sd
from snn_deploy.errors import BackendUnavailableError, PlanError
from tests.cli.conftest import Tool
from tests.cli.models import write_unet


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture of 48x64 pixels as an array."""
    path = tmp_path_factory.mktemp("large") / "large.npy"
    rng = np.random.default_rng(7)
    waves = 0.5 + 0.4 * np.sin(np.arange(48)[:, None] / 3) * np.cos(np.arange(64) / 5)
    np.save(path, np.clip(waves + rng.normal(0, 0.05, waves.shape), 0, 1)[None, None].astype(np.float32))
    return path


@pytest.fixture(scope="module")
def planned(network: Path, large: Path) -> Path:
    """A plan in tiles, exact."""
    path = large.with_name("plan.json")
    net = sd.load(network)
    chosen, options = sd.plan(net, np.load(large), cores=4, prefer="energy")
    assert chosen.exact
    assert len(options) > 1
    from snn_deploy.planning.plan import save_plan

    save_plan(chosen, path)
    return path


def test_plan_shows_executed_plans_and_writes_the_chosen_one(
    tool: Tool, network: Path, large: Path, tmp_path: Path
) -> None:
    out, plot = tmp_path / "p.json", tmp_path / "p.svg"
    words = ("plan", network, "--input", large, "--cores", "4", "--out", out, "--plot", plot)
    shown = tool(*words)
    assert shown.status == 0, shown.err
    assert "0, exact" in shown.out
    assert "events between host and chips" in shown.out
    assert ET.parse(plot).getroot().tag.endswith("svg")
    written = json.loads(out.read_text())
    assert written["exact"] is True
    assert written["figures"]["output_error"] == 0
    found = json.loads(tool(*words, "--noise", "5", "--max-loss", "100", "--prefer", "speed", "--json").out)
    speeds = [plan["figures"]["images_per_s"]["value"] for plan in found["plans"]]
    assert speeds[found["chosen"]] == max(speeds)
    assert all(plan["figures"]["loss_db"] is not None for plan in found["plans"])
    assert any(plan["front"] for plan in found["plans"])


def test_a_plan_runs_verifies_and_is_estimated(
    tool: Tool, network: Path, large: Path, planned: Path, tmp_path: Path
) -> None:
    tiles, whole = tmp_path / "tiles.npy", tmp_path / "whole.npy"
    ran = tool("run", network, "--input", large, "--plan", planned, "--out", tiles)
    assert ran.status == 0, ran.err
    assert "on cpu in tiles" in ran.out
    assert tool("run", network, "--input", large, "--out", whole).status == 0
    assert np.array_equal(np.load(tiles), np.load(whole))
    images = np.load(large)
    net = sd.load(network)
    assert np.array_equal(net.run(images, plan=planned).output, net.run(images).output)

    compared = tool("verify", network, "--input", large, "--plan", planned, "--backends", "reference,cpu", "--json")
    verdict = json.loads(compared.out)["verdict"]
    assert compared.status == 0, compared.err
    assert verdict["backends"] == ["reference", "reference in tiles", "cpu in tiles"]

    estimated = tool("estimate", network, "--input", large, "--plan", planned, "--json")
    assert estimated.status == 0, estimated.err
    assert json.loads(estimated.out)["plan"]["total_j"]["value"] > 0
    assert "host input and output" in tool("estimate", network, "--input", large, "--plan", planned).out


def test_a_plan_is_emitted_with_what_its_files_must_give(
    tool: Tool, network: Path, large: Path, planned: Path, tmp_path: Path
) -> None:
    pytest.importorskip("lava", reason="needs lava-nc")
    words = ("emit", network, "--to", "lava", "--plan", planned, "--input", large)
    written = tool(*words, "--out", tmp_path / "files")
    assert written.status == 0, written.err
    assert "run.py" in written.err
    plan, net = json.loads(planned.read_text()), sd.load(network)
    groups = json.loads((tmp_path / "files/tiles.json").read_text())["groups"]
    names = [name for group in plan["groups"] for name in group["populations"]]
    assert [name for group in groups for name in group["members"]] == [net.network.input.name, *names]
    images = np.load(large)
    with np.load(tmp_path / "files/expected.npz") as expected:
        counts = {name.removeprefix("counts/"): expected[name] for name in expected.files}
    run = net.run(images).run
    assert set(counts) == {output.population for output in net.network.outputs}
    assert all(np.array_equal(found, run.counts[name]) for name, found in counts.items())
    assert sd.emit(net, tmp_path / "again", images=images, plan=planned) == tmp_path / "again"
    for name in ("manifest.json", "tiles.json"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "files" / name).read_bytes()
    with pytest.raises(BackendUnavailableError, match=r"^a plan cannot be written as onnx; choose lava$"):
        sd.emit(net, tmp_path / "x.onnx", "onnx", images=images, plan=planned)


def test_a_folder_is_scored_by_a_plan(tool: Tool, network: Path, large: Path, planned: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(2):
        picture = np.round(np.load(large)[0, 0, :, :: 1 - 2 * index] * 255).astype(np.uint8)
        Image.fromarray(picture).save(folder / f"{index}.png")
    words = ("evaluate", network, "--data", folder, "--task", "denoise", "--noise", "9", "--json")
    whole, tiles = (json.loads(tool(*words, *more).out) for more in ((), ("--plan", planned)))
    assert tiles["overall"] == whole["overall"]
    wrong = tool(*words[:-1], "--plan", planned, "--crop", "16")
    assert (wrong.status, wrong.out) == (3, "")
    assert wrong.err.endswith(
        "the plan is of images of 48x64, this one has 16x16; crop it, or make a plan for its size\n"
    )


def test_a_model_is_converted_first(tool: Tool, tmp_path: Path) -> None:
    model, saved, out = write_unet(tmp_path / "unet.onnx", (16, 16)), tmp_path / "unet.snn", tmp_path / "p.json"
    words = ("plan", model, "--size", "24x40", "--cores", "4", "--out", out)
    refused = tool(*words)
    assert refused.status == 3
    assert refused.err.endswith("write the converted one too (--save FILE.snn), to run it by --out's plan\n")
    shown = tool(*words, "--save", saved)
    assert shown.status == 0, shown.err
    assert json.loads(out.read_text())["image"] == [24, 40]
    np.save(tmp_path / "p.npy", np.full((1, 1, 24, 40), 0.5, np.float32))
    assert tool("run", saved, "--input", tmp_path / "p.npy", "--plan", out).status == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("plan", "NET"), "give either --input FILE, a picture of the size to plan for, or --size HxW"),
        (("plan", "NET", "--size", "16x16", "--input", "PIC"), "give either --input FILE, a picture"),
        (("plan", "NET", "--size", "48x64", "--cores", "1"), "net: no tile fits: tiles of"),
        (("plan", "NET", "--size", "16x16", "--board", "x"), "loihi2 has no board 'x'; the boards (chips) are"),
        (("plan", "NET", "--size", "16x16", "--target", "cmos45-int8"), "has no cores to plan for; choose a chip"),
        (("plan", "NET", "--size", "16x16", "--out", "p.txt"), "p.txt: ends in .txt; use .json"),
        (("run", "NET", "--input", "PIC", "--plan", "PLAN"), "the plan is of images of 48x64, this one has 32x48; "),
        (("run", "NET", "--input", "PIC", "--plan", "PIC"), "0.png: is not a plan; snn-deploy plan --out writes one"),
        (("estimate", "NET", "--plan", "PLAN"), "give --input FILE, the image on which the plan is executed"),
        (("emit", "NET", "--to", "lava", "--plan", "PLAN", "--out", "b"), "a plan is written with an image, which its"),
        (("emit", "NET", "--to", "onnx", "--plan", "PLAN", "--out", "b.onnx"), "--plan has no effect unless --to is"),
    ],
)
def test_wrong_words_are_one_line(
    tool: Tool, network: Path, picture: Path, planned: Path, empty_folder: Path, words: tuple[str, ...], message: str
) -> None:
    if "lava" in words:
        pytest.importorskip("lava", reason="needs lava-nc")
    files = {"NET": network, "PIC": picture, "PLAN": planned}
    found = tool(*(files.get(word, word) for word in words))
    assert (found.status, found.out, found.err.count("\n")) == (3, "", 1)
    assert message.removeprefix("net") in found.err
    assert list(empty_folder.iterdir()) == []


def test_a_plan_of_another_network_is_refused(network: Path, planned: Path) -> None:
    net = sd.load(network)
    with pytest.raises(PlanError, match=r"; make a plan of this network$"):
        sd.SpikingNetwork(net.network.at_size(20, 20)).run(np.zeros((1, 1, 48, 64), np.float32), plan=planned)
