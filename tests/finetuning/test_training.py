"""The loop: it helps, it repeats itself, it goes on after a break, and it keeps its test set out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is absent: fine-tuning needs the extra train")

from snn_deploy.backend.registry import load_backend
from snn_deploy.cli.app import main
from snn_deploy.conversion.convert import convert
from snn_deploy.conversion.options import preset
from snn_deploy.data import images
from snn_deploy.data.sample import Entry, Sample
from snn_deploy.errors import ConversionError, StimulusError
from snn_deploy.evaluation.evaluate import SpikingPredictor, Task, evaluate
from snn_deploy.finetuning.data import Data, list_training
from snn_deploy.finetuning.loss import data_loss, imitation_loss
from snn_deploy.finetuning.training import Schedule, finetune
from snn_deploy.network import artifact
from snn_deploy.network.network import Network
from snn_deploy.network.picture_scale import PictureScale
from tests.cli.models import write_unet
from tests.finetuning.photographs import entries_of, make_data

OPTIONS = preset("spiking-unet", steps=2)


@pytest.fixture(scope="module")
def data() -> Data:
    """Eight photographs, half of them for validation."""
    return make_data(0.5)


@pytest.fixture(scope="module")
def patches() -> Data:
    """Parts of photographs, a sixteenth as large as those of ``data``."""
    return make_data(0.5, 64)


@pytest.mark.extended
def test_fine_tuning_improves_two_steps(root: Path, data: Data) -> None:
    schedule = Schedule(iterations=16, batch=4, check_every=8, rate=1e-3)
    tuned = finetune(root / "models/denoiser_s25.onnx", data, OPTIONS, schedule)
    assert tuned.metric == "psnr_db"
    assert [check.iteration for check in tuned.checks] == [0, 8, 16]
    assert tuned.best.score > tuned.checks[0].score + 0.3
    assert tuned.network.steps == 2


@pytest.mark.slow
def test_training_for_few_bits_improves_them(root: Path, data: Data) -> None:
    schedule = Schedule(iterations=40, batch=4, check_every=40)
    tuned = finetune(root / "models/denoiser_s25.onnx", data, preset("exact", weight_bits=3, theta="integer"), schedule)
    assert tuned.best.score > tuned.checks[0].score + 0.2


def score(network: Network, samples: tuple[Sample, ...], sigma: float) -> float:
    predictor = SpikingPredictor(network, load_backend("reference"))
    return evaluate(predictor, entries_of(samples), "denoise", 1, sigma=sigma, crop=(32, 32)).overall["psnr_db"]


def test_the_result_is_the_network_that_was_scored(small: Path, patches: Data, tmp_path: Path) -> None:
    """The file, run by another backend, has the score of the best check; the first check is the plain conversion."""
    schedule = Schedule(iterations=3, batch=2, check_every=1, rate=0.01)
    tuned = finetune(small, patches, preset("exact", weight_bits=4), schedule)
    artifact.save(tuned.network, tmp_path / "t.snn")
    network = artifact.load(tmp_path / "t.snn")
    assert score(network, patches.validation, 25.0) == tuned.best.score
    assert tuned.best.iteration > 0
    plain = convert(small, patches.calibration(32, 0), preset("exact", weight_bits=4), (32, 32)).conversion.network
    assert score(plain, patches.validation, 25.0) == tuned.checks[0].score
    assert dict(network.config) == dict(plain.config)


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
    assert artifact.digest(again.network) == artifact.digest(straight.network)
    assert not checkpoint.exists()


def test_patience_and_the_best_network(root: Path, patches: Data) -> None:
    """A rate that harms the network: training stops, and the network it began with is kept."""
    model = root / "models/denoiser_s25.onnx"
    schedule = Schedule(iterations=8, batch=1, rate=0.5, check_every=1, patience=2)
    tuned = finetune(model, patches, preset("exact"), schedule)
    assert len(tuned.checks) == 3
    assert tuned.best.iteration == 0
    plain = convert(model, patches.calibration(32, 0), preset("exact"), (32, 32)).conversion.network
    assert artifact.digest(tuned.network) == artifact.digest(plain)


@pytest.mark.parametrize("task", ["denoise", "segment"])
def test_images_without_answers(root: Path, tmp_path: Path, task: Task) -> None:
    """They train by the float network and are scored against it; the data's own loss needs answers."""
    for name in ("coins", "moon", "page"):
        images.write_image(tmp_path / f"{name}.png", images.center_crop(images.load_photograph(name, 1), 48, 48))
    data = Data.of(list_training(tmp_path, task), task, 1, 0.5, 0.0, 32, 0)
    model = write_unet(tmp_path / "u.onnx") if task == "denoise" else root / "models/segmenter_isbi.onnx"
    options = preset("exact", weight_bits=3)
    tuned = finetune(model, data, options, Schedule(iterations=1, batch=1))
    assert len(tuned.checks) == 2
    wanted = "a clean image, and there is no noise to add" if task == "denoise" else "labels"
    with pytest.raises(
        StimulusError, match=rf"png: comes without {wanted}; train for the loss 'float', which needs none$"
    ):
        finetune(model, data, options, Schedule(loss="data"))


def test_losses() -> None:
    logits, labels = torch.zeros(1, 2, 1, 3), torch.tensor([[[0, 1, -1]]])
    assert data_loss("segment", logits, labels).item() == pytest.approx(np.log(2))
    assert data_loss("segment", logits[:, :1], labels).item() == pytest.approx(np.log(2))
    assert data_loss("denoise", torch.tensor([1.0, 3.0]), torch.zeros(2)).item() == pytest.approx(5.0)
    given = {"y": torch.tensor([[[[1.0]], [[3.0]]]])}
    assert imitation_loss("denoise", {"y": torch.zeros(1, 2, 1, 1)}, given).item() == pytest.approx(5.0)
    assert imitation_loss("segment", {"y": torch.zeros(1, 2, 1, 1)}, given).item() == pytest.approx(np.log(2))
    one = {"y": torch.zeros(1, 1, 1, 1)}
    assert imitation_loss("segment", one, one).item() == pytest.approx(np.log(2))
    both = {"y": given["y"], "z": given["y"] + 1}
    assert imitation_loss("denoise", both, given | {"z": given["y"]}).item() == pytest.approx(0.5)


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


def test_the_verb_writes_the_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("coins", "moon"):
        images.write_image(tmp_path / f"{name}.png", images.center_crop(images.load_photograph(name, 1), 64, 64))
    command = ["finetune", str(write_unet(tmp_path / "u.onnx")), "--data", str(tmp_path), "--task", "denoise"]
    options = ["--noise", "25", "--iterations", "1", "--batch", "1", "--patch", "32", "--levels", "7", "--loss", "data"]
    assert main([*command, *options, "--out", str(tmp_path / "t.snn"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == "finetune/1"
    assert artifact.load(tmp_path / "t.snn").config["levels"] == 7
    published = [*options[:-4], "--preset", "spiking-unet", "--steps", "2", "--quiet", "--out", str(tmp_path / "t.snn")]
    for words, scale in (([], "mmse"), (["--scale", "percentile"], "percentile")):
        assert main([*command, *published, *words]) == 0
        assert artifact.load(tmp_path / "t.snn").config["scale"] == scale
    capsys.readouterr()
    assert main([*command, *options, "--out", str(tmp_path / "t.onnx")]) == 3
    assert "name a .snn file in a folder that exists" in capsys.readouterr().err


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
