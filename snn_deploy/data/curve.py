r"""Area under the ROC curve of a classifier of two classes, over all pixels of all images.

Scores are log-odds of class 1, counted in :data:`BINS` equal bins, which add up over images; pixels of one bin count as ties, by
half, so the area is exact up to the pairs of pixels that share a bin:

.. math:: A = \frac{1}{P N} \sum_b p_b \big( \sum_{a < b} n_a + n_b / 2 \big)

with p and n the pixels of class 1 and 0 in each bin and P and N all of them (Hanley and McNeil, Radiology 143, 1982).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from snn_deploy.arrays import Float64, Int64
from snn_deploy.data.metrics import VOID, Labels
from snn_deploy.errors import StimulusError
from snn_deploy.graph.host import HostFunction, is_probability

BINS = 65536
LIMIT = 32.0
"""Log-odds beyond this are counted in the last bin; a probability in single precision has at most 16.6 near 1."""


def find_odds(functions: Sequence[str], values: Float64) -> Float64 | None:
    """Log-odds (H, W) of class 1 of an output (1, C, H, W) after ``functions``.

    One channel is a probability or a logit, two are probabilities or logits of the two classes. ``None`` where the output
    tells no more than the class (argmax, a comparison, rounding), or tells apart more than two.
    """
    names = {HostFunction.of(text).name for text in functions}
    channels = values.shape[1]
    if channels > 2 or names & {"argmax", "greater", "less", "at_least", "at_most", "round", "truncate"}:
        return None
    if not is_probability(functions):
        return np.asarray(values[0, -1] - (values[0, 0] if channels == 2 else 0.0), np.float64)
    one = values[0, -1]
    zero = values[0, 0] if channels == 2 else 1.0 - one
    with np.errstate(divide="ignore", invalid="ignore"):
        odds = np.log(one) - np.log(zero)
    return np.asarray(np.nan_to_num(odds, nan=0.0, posinf=LIMIT, neginf=-LIMIT), np.float64)


def count_odds(odds: Float64, labels: Labels) -> Int64:
    """Pixels (2, BINS) int64 by class and bin of their log-odds, without :data:`VOID` pixels; classes above 1 are an error."""
    if labels.max(initial=0) > 1:
        raise StimulusError(
            f"the label map contains class {labels.max()}; an area under the curve is of classes 0 and 1"
        )
    bins = np.clip(((odds + LIMIT) * (BINS / (2 * LIMIT))).astype(np.int64), 0, BINS - 1)
    counted = labels != VOID
    return np.bincount(labels[counted] * BINS + bins[counted], minlength=2 * BINS).reshape(2, BINS)


def measure_area(counts: Int64) -> float | None:
    """The area from ``counts`` (2, BINS), 0 to 1; ``None`` unless both classes occur."""
    zeros, ones = counts.astype(np.float64)
    pairs = zeros.sum() * ones.sum()
    if not pairs:
        return None
    below = np.cumsum(zeros) - zeros / 2
    return float((ones * below).sum() / pairs)
