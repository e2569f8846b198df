"""From pictures to what a network reads and back, kept in the artifact."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from snn_deploy.errors import ArtifactError, NetworkError
from snn_deploy.network import artifact
from snn_deploy.network.picture_scale import PictureScale
from snn_deploy.network.record import RecordReader
from tests.network.test_artifact import NETWORK

IMAGENET = PictureScale(0, 255, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))


def test_the_equation() -> None:
    """As torchvision: (x - mean) / std of each channel, in units of the range."""
    picture = np.array([0.0, 0.5, 1.0], np.float32).reshape(1, 3, 1, 1)
    made = IMAGENET.apply(picture)
    expected = [(255 * p - m) / s for p, m, s in zip((0, 0.5, 1), IMAGENET.mean, IMAGENET.std, strict=True)]
    assert made.ravel().tolist() == pytest.approx(expected, rel=1e-6)
    assert IMAGENET.of_input(made).ravel().tolist() == pytest.approx([0, 0.5, 1], abs=1e-6)
    assert IMAGENET.gain().ravel().tolist() == pytest.approx([255 / s for s in IMAGENET.std])
    assert PictureScale(-1, 1).apply(picture).ravel().tolist() == [-1, 0, 1]


def test_outputs_are_in_the_range_of_the_input_unless_they_are_probabilities() -> None:
    values = np.array([0.0, 51.0, 255.0])
    assert IMAGENET.as_picture(values).tolist() == [0, 0.2, 1]
    for host in (("sigmoid",), ("softmax", "take:1"), ("argmax",), ("greater:0.5",)):
        assert IMAGENET.as_picture(values, host) is values
    assert PictureScale(-1, 1).as_picture(np.array([-1.0, 1.0]), ("tanh",)).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((1, 0), "range 1..0: two finite numbers, the smaller one first"),
        ((0, float("inf")), "range 0..inf"),
        ((0, 1, (0.0,), (0.0,)), "one positive number"),
        ((0, 1, (0.0,), ()), "one positive number"),
    ],
)
def test_numbers_that_do_not_fit(numbers: tuple[float, ...], message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        PictureScale(*numbers)  # type: ignore[arg-type]


def test_the_artifact_keeps_it_and_files_without_it_keep_their_bytes() -> None:
    plain = artifact.encode(NETWORK)
    assert b'"picture"' not in plain
    scaled = replace(NETWORK, picture=PictureScale(0, 255, (3.5,), (0.25,)))
    assert artifact.decode(artifact.encode(scaled)).picture == scaled.picture
    assert artifact.encode(scaled) != plain
    with pytest.raises(NetworkError, match="mean lists 3 numbers, the network reads 1 channels"):
        replace(NETWORK, picture=IMAGENET)


@pytest.mark.parametrize("wrong", [0, True, [0.0], "0.0", None])
def test_an_artifact_with_other_numbers_is_refused(wrong: object) -> None:
    with pytest.raises(ArtifactError, match="^low: .* stands where a number with a fraction belongs$"):
        RecordReader({"low": wrong}, {}).number("low")
    with pytest.raises(ArtifactError, match="^mean: .* stands where numbers with fractions belong$"):
        RecordReader({"mean": [wrong]}, {}).numbers("mean")
