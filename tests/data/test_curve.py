"""The area under the ROC curve against scikit-learn's, and what scores it is of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snn_deploy.arrays import Float64
from snn_deploy.data.curve import BINS, count_odds, find_odds, measure_area
from snn_deploy.data.metrics import VOID
from snn_deploy.errors import StimulusError

RNG = np.random.default_rng(0)
LABELS = (RNG.random((40, 50)) < 0.2).astype(np.int64)
LOGITS = RNG.normal(0, 2, (40, 50)) + 1.5 * LABELS


def measured(labels: Any, scores: Any) -> float:
    from sklearn.metrics import roc_auc_score  # here, or every collection of tests waits for it

    return float(roc_auc_score(labels, scores))


def sigmoid(values: Float64) -> Float64:
    probabilities: Float64 = 1 / (1 + np.exp(-values))
    return probabilities


@pytest.mark.parametrize(
    ("functions", "values"),
    [
        ((), LOGITS[None]),
        (("sigmoid",), sigmoid(LOGITS)[None]),
        ((), np.stack([np.ones_like(LOGITS), LOGITS + 1])),
        (("softmax",), np.stack([1 - sigmoid(LOGITS), sigmoid(LOGITS)])),
        (("softmax", "take:1"), sigmoid(LOGITS)[None]),
    ],
)
def test_the_area_is_that_of_scikit_learn(functions: tuple[str, ...], values: Float64) -> None:
    odds = find_odds(functions, values[None])
    assert odds is not None
    assert np.allclose(odds, LOGITS, atol=1e-9)
    expected = measured(LABELS.ravel(), LOGITS.ravel())
    assert measure_area(count_odds(odds, LABELS)) == pytest.approx(expected, abs=2e-5)
    assert 0.6 < expected < 0.9


def test_ties_count_by_half_and_images_add_up() -> None:
    coarse = np.rint(LOGITS)
    parts = count_odds(coarse[:20], LABELS[:20]) + count_odds(coarse[20:], LABELS[20:])
    expected = measured(LABELS.ravel(), coarse.ravel())
    assert measure_area(parts) == pytest.approx(expected, abs=1e-12)


def test_void_and_extreme_pixels() -> None:
    labels = LABELS.copy()
    labels[:, :10] = VOID
    counts = count_odds(LOGITS * 1e6, labels)
    assert counts.shape == (2, BINS)
    assert counts.sum() == 40 * 40
    assert (counts[1].sum(), counts[:, 1:-1].sum()) == (int((labels == 1).sum()), 0)
    certain = find_odds(("sigmoid",), np.array([[[[0.0, 1.0]]]]))
    assert certain is not None
    assert measure_area(count_odds(certain, np.array([[0, 1]]))) == 1.0
    assert measure_area(count_odds(LOGITS, np.zeros_like(LABELS))) is None
    with pytest.raises(StimulusError, match=r"contains class 2; an area under the curve is of classes 0 and 1$"):
        count_odds(LOGITS, 2 * LABELS)


@pytest.mark.parametrize(
    ("functions", "channels"), [(("argmax",), 1), (("sigmoid", "greater:0.5"), 1), ((), 3), (("softmax", "round"), 2)]
)
def test_what_tells_no_odds_has_no_area(functions: tuple[str, ...], channels: int) -> None:
    assert find_odds(functions, np.zeros((1, channels, 2, 2))) is None
