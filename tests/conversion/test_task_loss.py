"""A loss in the unit of the task: dB, labels, or parts of the variation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from snn_deploy.arrays import Float32, Float64
from snn_deploy.conversion.task_loss import ASSUMED_DB, BARS, Measure, Task, TaskLoss, _expect_loss, _guess
from snn_deploy.data.images import Images
from snn_deploy.network.picture_scale import PictureScale

RNG = np.random.default_rng(0)
CLEAN = [RNG.random((1, 1, 8, 8), np.float32) * np.float32(0.5) + np.float32(0.25) for _ in range(2)]


def noisy(images: Images, sigma: float, seed: int = 1) -> Images:
    rng = np.random.default_rng(seed)
    return [image + np.float32(sigma) * rng.standard_normal(image.shape, np.float32) for image in images]


def wide(images: Images) -> list[Float64]:
    return [image.astype(np.float64) for image in images]


def psnr(image: Float32 | Float64, clean: Float32) -> float:
    return -10 * math.log10(np.square(image.astype(np.float64) - clean).mean())


def test_psnr_is_lost_to_the_clean_image_where_it_is_known() -> None:
    expected, values = noisy(CLEAN, 0.02), wide(noisy(CLEAN, 0.03, 2))
    task = Task.of((), expected, noisy(CLEAN, 0.1, 3), CLEAN)
    loss = task.lose(values, 0.5)
    before = np.mean([psnr(image, clean) for image, clean in zip(expected, CLEAN, strict=True)])
    after = np.mean([psnr(image, clean) for image, clean in zip(values, CLEAN, strict=True)])
    assert loss.measure == "psnr"
    assert loss.float_db == pytest.approx(before, rel=1e-5)
    assert loss.value == pytest.approx(before - after, rel=1e-4)
    assert 2 < loss.value < 5
    assert str(loss) == f"{loss.value:.3f} dB of PSNR"


def test_bytes_are_pictures_too() -> None:
    """A network of 0..255 loses as much as that of 0..1."""
    expected, values = noisy(CLEAN, 0.02), noisy(CLEAN, 0.03, 2)
    plain = Task.of((), expected, noisy(CLEAN, 0.1, 3), CLEAN).lose(wide(values), 0.5)
    scale = PictureScale(0, 255)
    noised, clean = ([255 * image for image in images] for images in (noisy(CLEAN, 0.1, 3), CLEAN))
    task = Task.of((), [255 * image for image in expected], noised, clean, scale)
    assert task.lose([255 * image for image in wide(values)], 0.5).value == pytest.approx(plain.value, rel=1e-4)


def test_without_a_clean_image_the_float_network_has_thirty_db() -> None:
    values = [image + 10 ** (-ASSUMED_DB / 20) for image in wide(CLEAN)]
    loss = Task.of((), CLEAN, CLEAN).lose(values, 0.5)
    assert loss.value == pytest.approx(10 * math.log10(2), rel=1e-5)  # an error as large as the network's own
    assert str(loss) == "3.010 dB of PSNR for a float network of 30 dB"
    doubled = [np.kron(image, np.ones((1, 1, 2, 2), np.float32)) for image in CLEAN]
    for images, shown in ((CLEAN, doubled), (noisy(CLEAN, 0.01), noisy(CLEAN, 0.02))):
        other = Task.of((), shown, images, CLEAN)  # a network that enlarges, or brings noise, has another target
        assert (other.measure, other.clean) == ("psnr", None)


@pytest.mark.parametrize(("host", "channels"), [(("softmax",), 2), (("argmax",), 3), ((), 5)])
def test_labels_that_differ_are_counted(host: tuple[str, ...], channels: int) -> None:
    expected = [RNG.random((1, channels, 4, 4), np.float32) for _ in range(2)]
    task = Task.of(host, expected, CLEAN)
    values = wide(expected)
    assert task.lose(values, 0.5) == TaskLoss("labels", 0.0)
    values[1][0, :, :2] *= -1
    before, after = (np.concatenate([each.argmax(1) for each in maps]) for maps in (expected, values))
    loss = task.lose(values, 0.5)
    assert loss.value == np.mean(before != after)
    assert 0 < loss.value <= 0.25
    assert str(loss) == f"{loss.value:.3%} of the labels"


@pytest.mark.parametrize(
    ("host", "channels", "factor", "measure"),
    [
        ((), 1, 1.0, "psnr"),
        ((), 3, 1.0, "psnr"),
        ((), 1, 9.0, "variation"),
        ((), 1, -9.0, "variation"),
        ((), 2, 1.0, "variation"),
        ((), 1, 0.1, "variation"),
        (("sigmoid",), 1, 1.0, "labels"),
        (("sigmoid",), 3, 1.0, "labels"),
        (("tanh",), 3, 1.0, "psnr"),
    ],
)
def test_what_an_output_is_taken_for(host: tuple[str, ...], channels: int, factor: float, measure: Measure) -> None:
    expected = [np.float32(factor) * RNG.random((1, channels, 8, 8), np.float32) for _ in range(2)]
    task = Task.of(host, expected, CLEAN)
    assert task.measure == measure
    assert Task.of(host, expected, CLEAN, measure="labels").measure == "labels"
    if (host, channels) == (("sigmoid",), 3):  # of a network that reads colors, colors
        assert (
            Task.of(host, [9 * each for each in expected], [np.repeat(each, 3, axis=1) for each in CLEAN]).measure
            == "psnr"
        )
    assert task.lose(wide(expected), 0.25).value == (0.25 if measure == "variation" else 0)


def of_values(low: float, high: float, channels: int = 1) -> list[Float64]:
    """Half of the values ``low``, half ``high``, in every channel."""
    halves = np.where(np.arange(64) % 2, low, high).reshape(1, 1, 8, 8)
    return [np.repeat(halves, channels, axis=1)]


@pytest.mark.parametrize(
    ("shown", "measure"),
    [
        (of_values(-0.5, 1.5), "psnr"),
        (of_values(-0.501, 1.0), "variation"),
        (of_values(0.0, 1.501), "variation"),
        (of_values(0.3999, 0.5), "psnr"),  # a deviation of 0.05
        (of_values(0.4001, 0.5), "variation"),
        (of_values(-0.5, 1.5, 3), "psnr"),
        (of_values(-0.5, 1.5, 2), "variation"),
        (of_values(-0.5, 1.5, 4), "labels"),
    ],
)
def test_pictures_lie_near_black_and_white_and_vary(shown: list[Float64], measure: Measure) -> None:
    assert _guess((), shown[0].shape[1], 1, shown) == measure


def test_one_value_in_a_hundred_may_lie_anywhere() -> None:
    values = np.linspace(0, 1, 1000).reshape(1, 1, 10, 100)
    for outside, measure in ((9, "psnr"), (11, "variation")):
        for far in (-99.0, 99.0):
            given = values.copy()
            given.flat[:outside] = far
            assert _guess((), 1, 1, [given]) == measure


def test_some_channel_must_vary() -> None:
    flat = np.zeros((1, 1, 8, 8))
    varied = of_values(0.0, 1.0)[0]
    assert _guess((), 3, 3, [np.concatenate([flat, varied, flat], axis=1)]) == "psnr"
    assert _guess((), 3, 3, [np.concatenate([flat, flat, flat], axis=1)]) == "variation"


@pytest.mark.parametrize(
    ("host", "channels", "read", "measure"),
    [
        ((), 2, 2, "variation"),
        ((), 5, 5, "variation"),  # as many as it reads: no classes
        ((), 5, 4, "labels"),
        ((), 2, 3, "variation"),
        (("sigmoid",), 3, 3, "psnr"),
        (("sigmoid",), 3, 1, "labels"),
        (("sigmoid",), 1, 1, "labels"),
        (("sigmoid", "softmax"), 3, 3, "labels"),
        (("argmax",), 3, 3, "labels"),
    ],
)
def test_channels_tell_classes_from_pictures(host: tuple[str, ...], channels: int, read: int, measure: Measure) -> None:
    assert _guess(host, channels, read, of_values(0.0, 1.0, channels)) == measure


@pytest.mark.parametrize(
    ("square", "float_db", "lost"),
    [(0.0, 30.0, 0.0), (0.001, 30.0, 3.0103), (0.009, 30.0, 10.0), (1.0, 0.0, 3.0103), (0.0, math.inf, 0.0)],
)
def test_an_independent_error_costs_decibels(square: float, float_db: float, lost: float) -> None:
    assert _expect_loss(square, float_db) == pytest.approx(lost, rel=1e-5)


def test_expected_losses_are_means_over_pictures() -> None:
    expected, values = noisy(CLEAN, 0.02), wide(noisy(CLEAN, 0.03, 2))
    loss = Task.of((), expected, noisy(CLEAN, 0.1, 3), CLEAN).lose(values, 0.5)
    likely = []
    for shown, other, clean in zip(expected, values, CLEAN, strict=True):
        square = float(np.square(shown.astype(np.float64) - other).mean())
        likely.append(10 * math.log10(1 + square * 10 ** (psnr(shown, clean) / 10)))
    assert loss.expected_db == pytest.approx(np.mean(likely), rel=1e-4)
    assert (TaskLoss("psnr", 0.1).number, TaskLoss("labels", 0.0042).number) == ("0.100 dB", "0.420%")
    assert [TaskLoss(measure, 0.1).bar for measure in BARS] == list(BARS.values())


def test_brighter_than_white_and_darker_than_black_is_shown_as_those() -> None:
    """What a display cannot show is no loss, on either side."""
    expected = wide([2 * (image - 0.5) for image in CLEAN])
    values = [np.where(image < 0, image - 0.5, image) for image in expected]
    assert Task.of((), [image.astype(np.float32) for image in expected], CLEAN, measure="psnr").lose(
        values, 0.5
    ).value == (pytest.approx(0, abs=1e-6))


def test_nothing_is_suggested_up_to_the_bars_of_the_docs() -> None:
    assert BARS == {"psnr": 0.05, "labels": 1.0, "variation": 1.5}


def test_limits_are_in_decibels_or_percent() -> None:
    assert TaskLoss("psnr", 0.2).exceeds(0.19)
    assert not TaskLoss("psnr", 0.2).exceeds(0.2)
    assert TaskLoss("labels", 0.02).exceeds(1.9)
    assert TaskLoss("labels", 0.02).exceeds(1.995)
    assert not TaskLoss("labels", 0.02).exceeds(2)
    assert [TaskLoss("psnr", 0.2).bound(0.1), TaskLoss("variation", 0.2).bound(0.1)] == ["0.1 dB", "0.1%"]
