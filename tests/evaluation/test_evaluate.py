"""Tiles, padding, predictors and the verb."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snn_deploy.arrays import Array
from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.stimulus import quantize_images
from snn_deploy.cli.app import main
from snn_deploy.conversion.convert import convert
from snn_deploy.conversion.options import Options
from snn_deploy.data import images
from snn_deploy.data.metrics import psnr_db
from snn_deploy.data.sample import Entry, Sample
from snn_deploy.data.tiles import cut_windows
from snn_deploy.errors import NetworkError, StimulusError
from snn_deploy.evaluation.evaluate import Cost, FloatPredictor, Prediction, SpikingPredictor, evaluate
from snn_deploy.network import artifact
from snn_deploy.network.network import Network, Output
from snn_deploy.network.picture_scale import PictureScale
from snn_deploy.network.schedule import align
from snn_deploy.testing import random_unet
from tests.cli.models import write_head


@given(
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    tile=st.integers(4, 40),
    overlap=st.integers(0, 39),
)
def test_tiles_write_every_pixel_once(size: tuple[int, int], tile: int, overlap: int) -> None:
    if overlap >= tile:
        if max(size) > tile:
            with pytest.raises(StimulusError, match=f"tiles of {tile} pixels cannot overlap by {overlap}"):
                list(cut_windows(size, (tile, tile), overlap))
        return
    image = np.arange(size[0] * size[1]).reshape(size)
    written = np.full(size, -1)
    for window in cut_windows(size, (tile, tile), overlap):
        assert np.all(written[window.write] == -1)
        read = image[window.read]
        assert max(read.shape) <= tile
        written[window.write] = read[window.keep]
        for axis in (0, 1):
            keep, span = window.keep[axis], read.shape[axis]
            assert keep.start == 0 or keep.start >= overlap // 2
            assert keep.stop == span or span - keep.stop >= overlap // 2
    np.testing.assert_array_equal(written, image)


def test_deep_tiles_equal_the_whole_image() -> None:
    """An overlap of twice the receptive field's radius leaves no trace of the cuts."""
    source = random_convolutions(48)
    image = images.add_noise(np.full((1, 1, 48, 48), 0.5, np.float32), 60.0, 0)
    whole = SpikingPredictor(source, load_backend("reference"))(image).values
    tiled = SpikingPredictor(source.at_size(24, 24), load_backend("reference"), (24, 24), 8)(image)
    np.testing.assert_array_equal(tiled.values, whole)
    assert tiled.cost is not None
    assert tiled.cost.macs > 0
    assert tiled.cost.energy_j is None
    shallow = SpikingPredictor(source.at_size(24, 24), load_backend("reference"), (24, 24), 0)(image)
    assert np.any(shallow.values != whole)


def _sample(name: str, image: images.Image, _: int) -> Sample:
    return Sample(name, image)


def random_convolutions(size: int) -> Network:
    """Two 3x3 convolutions without pooling: a receptive field of radius 2."""

    network = random_unet("exact", 0, size=16)
    names = ("input", "enc1/a", "enc1/b")
    small = Network(
        "two",
        "exact",
        1,
        tuple(population for population in network.populations if population.name in names),
        tuple(connection for connection in network.connections if {connection.source, connection.target} <= set(names)),
        (Output("out", "enc1/b"),),
    )
    return replace(align(small.at_size(size, size)), name="two")


def test_images_are_padded_to_a_supported_size(root: Path) -> None:
    predictor = FloatPredictor(root / "models/denoiser_s25.onnx")
    image = images.center_crop(images.load_photograph("camera", 1), 45, 50)
    prediction = predictor(image)
    assert prediction.values.shape == (1, 1, 45, 50)
    padded = np.pad(image, ((0, 0), (0, 0), (0, 3), (0, 2)), mode="symmetric")
    np.testing.assert_allclose(prediction.values, predictor(padded).values[:, :, :45, :50], atol=1e-6)


def test_a_fixed_size_is_the_tile() -> None:
    """The pixel map of the random U-Net binds it to its size."""
    network = random_unet("exact", 1, size=16)
    image = images.add_noise(np.full((1, 1, 30, 30), 0.5, np.float32), 60.0, 0)
    prediction = SpikingPredictor(network, load_backend("reference"))(image)
    halves = SpikingPredictor(network, load_backend("reference"), overlap=8)(image)
    np.testing.assert_array_equal(prediction.values, halves.values)
    assert prediction.values.shape == (1, 1, 30, 30)
    first = load_backend("reference").run(
        network, quantize_images(network, np.ascontiguousarray(image[:, :, :16, :16]))
    )
    np.testing.assert_array_equal(prediction.values[0, 0, :8, :8], first.values(network)[0, 0, :8, :8])
    with pytest.raises(NetworkError, match="does not support a size near 20x20"):
        SpikingPredictor(network, load_backend("reference"), (20, 20), 8)(image)


LOGITS = np.array([[[[-1.0, 2.0]], [[0.0, -3.0]]]])


@pytest.mark.parametrize(
    ("values", "hosted", "channels", "classes"),
    [
        (LOGITS, (), 2, [[1, 0]]),
        (LOGITS, ("softmax",), 2, [[1, 0]]),
        (LOGITS[:, :1], (), 1, [[0, 1]]),
        (LOGITS[:, :1] * 0.3, ("sigmoid",), 1, [[0, 1]]),
        (np.array([[[[4.0, 1.0]]]]), ("argmax",), 5, [[4, 1]]),
        (np.moveaxis(LOGITS, 1, -1), ("to_channels_last",), 2, [[1, 0]]),
    ],
)
def test_labels_of_every_kind_of_output(
    values: Array, hosted: tuple[str, ...], channels: int, classes: list[list[int]]
) -> None:
    labels, number = Prediction(values, hosted, channels).labels()
    assert labels.tolist() == classes
    assert number == max(channels, 2)


@pytest.mark.parametrize("head", [(), ("Sigmoid",), ("Softmax",), ("ArgMax",)])
def test_a_float_model_and_its_network_give_the_same_labels(head: tuple[str, ...], tmp_path: Path) -> None:
    """One channel after a sigmoid is split at 1/2, several after argmax are classes already, in the float model too."""
    channels = 1 if head == ("Sigmoid",) else 3
    model = write_head(tmp_path / "m.onnx", channels, *head)
    image = np.random.default_rng(0).random((1, 1, 8, 8)).astype(np.float32)
    predicted = FloatPredictor(model)(image)
    network = convert(model, [image], Options(levels=255)).conversion.network
    spiking = SpikingPredictor(network, load_backend("reference"))(image)
    assert predicted.hosted == tuple(name.lower() for name in head)
    assert predicted.cost is None
    labels, number = predicted.labels()
    assert number == spiking.labels()[1] == max(channels, 2)
    assert np.unique(labels).size > 1
    assert np.mean(labels == spiking.labels()[0]) > 0.9


@pytest.mark.parametrize("head", [(), ("ArgMax",)])
def test_channels_last_change_no_label(head: tuple[str, ...], tmp_path: Path) -> None:
    """Neither of the float model nor of its network, on an image whose sides differ."""
    image = np.random.default_rng(0).random((1, 1, 8, 12)).astype(np.float32)
    plain, moved = (write_head(tmp_path / f"{len(each)}.onnx", 3, *each) for each in (head, (*head, "Transpose")))
    expected, _ = FloatPredictor(plain)(image).labels()
    predicted = FloatPredictor(moved)(image)
    network = convert(moved, [image], Options(levels=255)).conversion.network
    spiking = SpikingPredictor(network, load_backend("reference"))(image)
    assert predicted.hosted == spiking.hosted == tuple(name.lower() for name in head)
    np.testing.assert_array_equal(predicted.labels()[0], expected)
    assert np.mean(spiking.labels()[0] == expected) > 0.9


def test_noise_and_crops_are_those_named() -> None:
    image = images.load_photograph("camera", 1)
    seen: list[Array] = []

    def remember(noisy: images.Image) -> Prediction:
        seen.append(noisy)
        return Prediction(noisy.astype(np.float64), (), 1, Cost(4.0, 2.0, 1.0))

    entries = [Entry(name, partial(_sample, name, image)) for name in ("a", "b")]
    evaluation = evaluate(remember, entries, "denoise", 1, sigma=25.0, seed=7, crop=(32, 32))
    crop = images.center_crop(image, 32, 32)
    np.testing.assert_array_equal(seen[1], images.add_noise(crop, 25.0, 8))
    scores = [score.scores["psnr_db"] for score in evaluation.images]
    assert scores[0] == psnr_db(images.add_noise(crop, 25.0, 7), crop)
    assert evaluation.overall["psnr_db"] == pytest.approx(np.mean(scores))
    assert evaluation.cost == Cost(4.0, 2.0, 1.0, None)
    with pytest.raises(StimulusError, match="a: no label map; segmentation needs one$"):
        evaluate(remember, entries, "segment", 1)
    with pytest.raises(StimulusError, match="no images to evaluate; give at least one$"):
        evaluate(remember, [], "denoise", 1)


def test_the_verb_on_artifact_and_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    artifact.save(random_unet("exact", 0, size=16), tmp_path / "n.snn")
    images.write_image(tmp_path / "a.png", images.center_crop(images.load_photograph("camera", 1), 16, 16))
    status = main(
        ["evaluate", str(tmp_path / "n.snn"), "--data", str(tmp_path), "--task", "denoise", "--noise", "25", "--json"]
    )
    record = json.loads(capsys.readouterr().out)
    assert status == 0
    assert [score["image"] for score in record["images"]] == ["a.png"]
    assert record["cost_per_image"]["synaptic_operations"] > 0
    assert main(["evaluate", str(tmp_path / "n.snn"), "--data", str(tmp_path / "x"), "--task", "denoise"]) == 3
    assert (
        main(["evaluate", str(tmp_path / "n.snn"), "--data", str(tmp_path), "--task", "denoise", "--images", "4"]) == 3
    )
    assert "none of them is chosen" in capsys.readouterr().err


def test_pairs_are_scored_against_their_clean_images_and_masks_by_class() -> None:
    noisy, clean = (np.full((1, 1, 24, 24), value, np.float32) for value in (0.5, 0.25))
    pair = Entry("a", lambda _: Sample("a", noisy, target=clean))

    def keep(image: Array) -> Prediction:
        return Prediction(image.astype(np.float64), (), 1)

    assert evaluate(keep, [pair], "denoise", 1, crop=(16, 16)).overall["psnr_db"] == pytest.approx(10 * np.log10(16))
    with pytest.raises(StimulusError, match="^a: has a clean image of its own; leave the noise out$"):
        evaluate(keep, [pair], "denoise", 1, sigma=5)
    labels = np.zeros((24, 24), np.int64)
    labels[:6] = 1
    evaluation = evaluate(keep, [Entry("a", lambda _: Sample("a", noisy, labels))], "segment", 1)
    assert [(each.number, each.pixels, each.iou) for each in evaluation.classes] == [(0, 432, 0.0), (1, 144, 0.25)]
    assert evaluation.overall["auc"] == 0.5  # one value everywhere ranks nothing


def test_the_area_under_the_curve_is_of_all_pixels_together() -> None:
    """Images whose logits have another offset each rank well alone and badly together; an image of one class has no area."""
    images = [np.full((1, 1, 2, 2), offset, np.float32) for offset in (0.0, 10.0)]
    for image in images:
        image[..., 0] += 1
    labels = np.array([[1, 0], [1, 0]])
    entries = [Entry(str(index), partial(_labelled, image, labels)) for index, image in enumerate(images)]
    evaluation = evaluate(_keep, [*entries, Entry("c", partial(_labelled, images[0] - 5, 0 * labels))], "segment", 1)
    assert [scored.scores.get("auc") for scored in evaluation.images] == [1.0, 1.0, None]
    assert evaluation.overall["auc"] == pytest.approx((2 * 6 + 2 * 8) / (4 * 8))
    argmax = evaluate(lambda image: replace(_keep(image), hosted=("argmax",), channels=2), entries[:1], "segment", 1)
    assert "auc" not in argmax.overall


def _labelled(image: Array, labels: Array, _: int) -> Sample:
    return Sample("a", image, labels)


def _keep(image: Array) -> Prediction:
    return Prediction(image.astype(np.float64), (), 1)


def test_pictures_reach_a_network_in_its_own_range() -> None:
    """Of 0..255 with mean and deviation: predicted from and scored as pictures from 0 to 1."""
    network = random_unet("exact", 0, size=16)
    scaled = replace(network, picture=PictureScale(0, 255, (51.0,), (255.0,)))
    picture = images.center_crop(images.load_photograph("camera", 1), 16, 16)
    backend = load_backend("reference")
    plain, ranged = (
        SpikingPredictor(network, backend)(picture - np.float32(0.2)),
        SpikingPredictor(scaled, backend)(picture),
    )
    np.testing.assert_allclose(ranged.values, plain.values, atol=2 * float(network.populations[-1].unit.max()))
    np.testing.assert_allclose(ranged.restored, ranged.values / 255)
