"""The loop: it helps, it repeats itself, it goes on after a break, and it keeps its test set out."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is absent: fine-tuning needs the extra train")

from snn_deploy.arrays import Array
from snn_deploy.cli.app import main
from snn_deploy.conversion.options import preset
from snn_deploy.data import images
from snn_deploy.data.sample import Entry, Sample
from snn_deploy.errors import ConversionError, StimulusError
from snn_deploy.finetuning.data import Data
from snn_deploy.finetuning.network import GraphNetwork
from snn_deploy.finetuning.training import Schedule, Tuned, finetune
from snn_deploy.frontend.onnx import read
from snn_deploy.network import artifact
from snn_deploy.network.picture_scale import PictureScale
from tests.cli.models import write_unet

OPTIONS = preset("spiking-unet", steps=2)


def _read(sample: Sample, _: int) -> Sample:
    return sample


@pytest.fixture(scope="module")
def data() -> Data:
    """Eight photographs, half of them for validation."""
    samples = [Sample(name, images.load_photograph(name, 1)) for name in images.CALIBRATION[:8]]
    entries = [Entry(sample.name, partial(_read, sample)) for sample in samples]
    return Data.of(entries, "denoise", 1, 0.5, 25.0, 32, 0)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A U-Net of 300 weights, for what does not depend on the network."""
    return write_unet(tmp_path_factory.mktemp("small") / "small.onnx")


@pytest.fixture(scope="module")
def patches() -> Data:
    """Parts of photographs, a sixteenth as large as those of ``data``."""
    samples = [
        Sample(name, images.center_crop(images.load_photograph(name, 1), 64, 64)) for name in images.CALIBRATION[:8]
    ]
    entries = [Entry(sample.name, partial(_read, sample)) for sample in samples]
    return Data.of(entries, "denoise", 1, 0.5, 25.0, 32, 0)


def weights(tuned: Tuned) -> Array:
    return np.concatenate([node.op.weight.ravel() for node in tuned.graph.nodes if hasattr(node.op, "weight")])


@pytest.mark.extended
def test_fine_tuning_improves_two_steps(root: Path, data: Data) -> None:
    schedule = Schedule(iterations=16, batch=4, rate=1e-3, check_every=8)
    tuned = finetune(root / "models/denoiser_s25.onnx", data, OPTIONS, schedule)
    assert tuned.metric == "psnr_db"
    assert [check.iteration for check in tuned.checks] == [0, 8, 16]
    assert tuned.best.score > tuned.checks[0].score + 0.4
    assert tuned.conversion.network.steps == 2


@pytest.mark.slow
def test_training_for_few_levels_improves_them(root: Path, data: Data) -> None:
    schedule = Schedule(iterations=40, batch=4, rate=1e-3, check_every=40)
    tuned = finetune(root / "models/denoiser_s25.onnx", data, preset("exact", levels=7), schedule)
    assert tuned.best.score > tuned.checks[0].score + 0.2


def test_an_interrupted_run_resumes_with_the_same_bits(small: Path, patches: Data, tmp_path: Path) -> None:
    schedule = Schedule(iterations=4, batch=2, check_every=2, seed=5)
    straight = finetune(small, patches, OPTIONS, schedule)

    def stop(done: int, _: int, __: str) -> None:
        if done == 3:
            raise KeyboardInterrupt

    checkpoint = tmp_path / "c"
    with pytest.raises(KeyboardInterrupt):
        finetune(small, patches, OPTIONS, schedule, checkpoint=checkpoint, report=stop)
    assert checkpoint.is_file()
    with pytest.raises(
        ConversionError, match=r"c: the checkpoint belongs to a run with other options, schedule or data; remove it$"
    ):
        finetune(small, patches, preset("exact"), schedule, checkpoint=checkpoint)
    again = finetune(small, patches, OPTIONS, schedule, checkpoint=checkpoint)
    assert again.checks == straight.checks
    np.testing.assert_array_equal(weights(again), weights(straight))
    assert artifact.digest(again.conversion.network) == artifact.digest(straight.conversion.network)
    assert not checkpoint.exists()


def test_patience_and_the_best_network(root: Path, data: Data) -> None:
    """A rate that harms the network: training stops, and the network it began with is kept."""
    schedule = Schedule(iterations=8, batch=1, rate=0.005, check_every=1, patience=2)
    tuned = finetune(root / "models/denoiser_s25.onnx", data, OPTIONS, schedule)
    assert len(tuned.checks) == 3
    assert tuned.best.iteration == 0
    plain = GraphNetwork(read(root / "models/denoiser_s25.onnx", (32, 32)).graph).trained()
    np.testing.assert_allclose(weights(tuned), weights(replace(tuned, graph=plain)))


def test_a_rate_that_destroys_the_network_is_named(root: Path, data: Data) -> None:
    schedule = Schedule(iterations=4, batch=1, rate=0.9, check_every=2)
    with pytest.raises(
        ConversionError, match=r"iteration \d: the network can no longer be converted .* lower the rate"
    ):
        finetune(root / "models/denoiser_s25.onnx", data, OPTIONS, schedule)


def test_validation_shares_no_image_with_training(data: Data) -> None:
    names = [{sample.name for sample in part} for part in (data.training, data.validation)]
    assert len(names[0]) == len(names[1]) == 4
    assert not names[0] & names[1]


def test_labels_are_transformed_like_their_image() -> None:
    labels = np.arange(64 * 64).reshape(64, 64) % 7
    sample = Sample("s", (labels / 10).astype(np.float32)[None, None], labels)
    data = Data.of([Entry("s", lambda _: sample)] * 2, "segment", 1, 0.5, 0.0, 16, 0)
    inputs, targets = data.batch(8, np.random.default_rng(0))
    np.testing.assert_allclose(inputs[:, 0] * 10, targets, atol=1e-5)


def test_what_is_too_little(data: Data) -> None:
    entries = [Entry("s", lambda _: Sample("s", np.zeros((1, 1, 8, 8), np.float32)))]
    with pytest.raises(StimulusError, match="fine-tuning needs at least two images"):
        Data.of(entries, "denoise", 1, 0.1, 25.0, 8, 0)
    with pytest.raises(StimulusError, match=r"s: \(8, 8\) pixels are smaller than a patch of 16; lower --patch$"):
        Data.of(entries * 2, "denoise", 1, 0.1, 25.0, 16, 0)
    with pytest.raises(ConversionError, match="iterations is 0; it must be at least 1$"):
        Schedule(iterations=0)
    with pytest.raises(ConversionError, match="rate is 2; it must be between 0 and 1$"):
        Schedule(rate=2)


def test_the_verb_writes_both_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("coins", "moon"):
        images.write_image(tmp_path / f"{name}.png", images.center_crop(images.load_photograph(name, 1), 64, 64))
    command = ["finetune", str(write_unet(tmp_path / "u.onnx")), "--data", str(tmp_path), "--task", "denoise"]
    options = ["--noise", "25", "--iterations", "1", "--batch", "1", "--patch", "32", "--levels", "7"]
    assert main([*command, *options, "--out", str(tmp_path / "t.onnx"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == "finetune/1"
    assert artifact.load(tmp_path / "t.snn").config["levels"] == 7
    assert main([*command, *options, "--out", str(tmp_path / "t.txt")]) == 3
    assert "name a .onnx file in a folder that exists" in capsys.readouterr().err


def test_training_reads_pictures_by_their_scale_and_learns_their_targets(data: Data) -> None:
    """The input with mean and deviation, the target in the range only; pairs bring their own clean images."""
    picture = PictureScale(0, 255, (51.0,), (2.0,))
    plain, scaled = (each.batch(2, np.random.default_rng(0)) for each in (data, data.scaled(picture)))
    np.testing.assert_allclose(scaled[0], (plain[0] * 255 - 51) / 2, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(scaled[1], plain[1] * 255, rtol=1e-6)
    noisy = np.random.default_rng(1).random((1, 1, 16, 16), np.float32)
    entries = [Entry("s", lambda _: Sample("s", noisy, target=noisy / 2))] * 2
    inputs, targets = Data.of(entries, "denoise", 1, 0.5, 0.0, 16, 0).batch(3, np.random.default_rng(0))
    np.testing.assert_array_equal(targets, inputs / 2)
    with pytest.raises(StimulusError, match="the images have clean images of their own; leave the noise out$"):
        Data.of(entries, "denoise", 1, 0.5, 5.0, 16, 0)
