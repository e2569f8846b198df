"""``estimate --against``: a table, JSON, and refusals."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sanafe", reason="needs the extra sanafe")

from snn_deploy.conversion.convert import convert
from snn_deploy.conversion.options import preset
from snn_deploy.network import artifact
from snn_deploy_sanafe import SanafeBackend
from tests.cli.conftest import Tool
from tests.cli.models import write_unet


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("against")
    images = [np.random.default_rng(0).random((2, 1, 8, 8), np.float32)]
    converted = convert(write_unet(folder / "unet.onnx"), images, preset("if-strict", steps=4))
    artifact.save(converted.conversion.network, folder / "plain.snn")
    np.save(folder / "image.npy", images[0][:1])
    return folder / "plain.snn"


def test_the_estimate_stands_beside_the_simulation(tool: Tool, plain: Path) -> None:
    words = ("estimate", plain, "--input", plain.with_name("image.npy"), "--against", "sanafe")
    shown = tool(*words)
    assert shown.status == 0, shown.err
    assert "unet on loihi1-sanafe: the estimate beside SANA-FE 2.2" in shown.out
    assert "step by step" in shown.out
    assert "a chip would not do what the simulation does: image, /head/Conv: events carry payloads" in shown.out
    found = json.loads(tool(*words, "--json").out)
    assert found["schema"] == "estimate-against/1"
    assert found["energy"]["target"] == found["mapping"]["target"] == "loihi1-sanafe"
    for each in found["against"]["comparisons"][:3]:
        assert abs(each["unexplained"]) <= 1e-9 * each["theirs"]
    assert [step["step"] for step in found["against"]["steps"]][:2] == [-1, 0]


def test_other_spikes_are_an_error(tool: Tool, plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    simulate = SanafeBackend.simulate

    def changed(self: SanafeBackend, network: object, stimulus: object) -> object:
        simulation = simulate(self, network, stimulus)  # type: ignore[arg-type]
        next(iter(simulation.run.counts.values()))[...] += 1
        return simulation

    monkeypatch.setattr(SanafeBackend, "simulate", changed)
    found = tool("estimate", plain, "--input", plain.with_name("image.npy"), "--against", "sanafe", "--json")
    assert found.status != 0
    assert found.out == ""
    assert found.err.endswith(
        "sanafe and cpu fire other spikes in image; find the first one with verify --backends cpu,sanafe\n"
    )


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ((), "give --input FILE, the image that the simulator runs"),
        (("--target", "loihi2"), "--target has no effect with --against, whose chip is estimated; leave it out"),
        (("--streamed", "--map", "m.svg"), "--streamed, --map have no effect with --against, whose chip is estimated"),
        (("--rate", "0.5"), "--rate has no effect with --against"),
    ],
)
def test_what_has_no_effect_is_refused(tool: Tool, plain: Path, more: tuple[str, ...], reason: str) -> None:
    found = tool("estimate", plain, "--against", "sanafe", *more)
    assert found.status == 3
    assert reason in found.err


def test_a_network_that_it_cannot_fire_is_named(tool: Tool, network: Path, plain: Path) -> None:
    found = tool("estimate", network, "--against", "sanafe", "--input", plain.with_name("image.npy"))
    assert found.status != 0
    assert "exact mode sends payloads, not single spikes" in found.err
