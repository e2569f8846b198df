"""Scores against their definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snn_deploy.data.metrics import VOID, count_label_pairs, psnr_db, score_restoration, score_segmentation
from snn_deploy.errors import StimulusError


def test_two_classes_by_hand() -> None:
    labels = np.array([[1, 1, 1, 0], [0, 0, 0, VOID]])
    predicted = np.array([[1, 1, 0, 1], [0, 0, 0, 1]])
    scores = score_segmentation(count_label_pairs(predicted, labels, 2))
    assert scores["f1"] == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    assert scores["jaccard"] == pytest.approx(2 / 4)
    assert scores["accuracy"] == pytest.approx(5 / 7)
    assert scores["miou"] == pytest.approx((2 / 4 + 3 / 5) / 2)


def test_miou_is_over_the_classes_that_occur() -> None:
    labels, predicted = np.array([[0, 0, 2, 2]]), np.array([[0, 0, 2, 0]])
    scores = score_segmentation(count_label_pairs(predicted, labels, 5))
    assert scores["miou"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert "f1" not in scores


def test_pairs_add_up_over_images() -> None:
    rng = np.random.default_rng(0)
    labels, predicted = rng.integers(-1, 3, (2, 9, 9)), rng.integers(0, 3, (2, 9, 9))
    parts = sum(count_label_pairs(f, w, 3) for f, w in zip(predicted, labels, strict=True))
    np.testing.assert_array_equal(parts, count_label_pairs(predicted.reshape(18, 9), labels.reshape(18, 9), 3))


def test_psnr_is_of_the_clipped_image() -> None:
    clean = np.full((1, 1, 16, 16), 0.5, np.float32)
    restored = clean.astype(np.float64).copy()
    restored[0, 0, 0, 0] = 9.0
    assert score_restoration(restored, clean)["psnr_db"] == pytest.approx(-10 * np.log10(0.25 / 256))
    assert score_restoration(clean.astype(np.float64), clean + 1e-6)["ssim"] == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_psnr_is_that_of_scikit_image(kind: type[np.floating[Any]]) -> None:
    metrics = pytest.importorskip("skimage.metrics")
    rng = np.random.default_rng(4)
    clean = rng.random((1, 3, 17, 19), np.float32)
    restored = (clean + rng.normal(0, 0.1, clean.shape)).astype(kind)
    clipped = np.clip(restored, 0, 1).astype(np.float64)
    expected = metrics.peak_signal_noise_ratio(clean.astype(np.float64), clipped, data_range=1.0)
    assert psnr_db(restored, clean) == expected
    assert psnr_db(clean.astype(kind), clean) == np.inf


def test_what_does_not_fit() -> None:
    with pytest.raises(StimulusError, match="the label map contains class 4; the network predicts classes 0 to 2"):
        count_label_pairs(np.zeros((2, 2), np.int64), np.full((2, 2), 4), 3)
    with pytest.raises(StimulusError, match=r"label map \(2, 2\) and output \(3, 3\) differ in size$"):
        count_label_pairs(np.zeros((3, 3), np.int64), np.zeros((2, 2), np.int64), 3)
    with pytest.raises(StimulusError, match="no pixel has a label other than void"):
        score_segmentation(count_label_pairs(np.zeros((2, 2), np.int64), np.full((2, 2), VOID), 3))
    with pytest.raises(StimulusError, match="a denoiser must keep the shape$"):
        score_restoration(np.zeros((1, 2, 8, 8)), np.zeros((1, 1, 8, 8), np.float32))
