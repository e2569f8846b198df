"""Scores of restored images and of label maps, computed by scikit-image and scikit-learn.

Denoising: PSNR and SSIM of one image, clipped to [0, 1]. Segmentation: counts of (true, predicted) label pairs add up
over images, and F1, Jaccard, accuracy and mIoU are those of all pixels together; the area under the ROC curve is in
:mod:`~snn_deploy.data.curve`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from snn_deploy.arrays import Float32, Float64, Int64
from snn_deploy.data.images import Image
from snn_deploy.errors import StimulusError

Labels = Int64

VOID = -1
"""Label of pixels that scores ignore."""


def score_restoration(restored: Float64, clean: Image) -> dict[str, float]:
    """PSNR in dB (float, not rounded to 8 bits) and SSIM of ``restored`` (1, C, H, W) against ``clean``."""
    from skimage.metrics import structural_similarity

    if restored.shape != clean.shape:
        raise StimulusError(
            f"the network returns {restored.shape} for an image {clean.shape}; a denoiser must keep the shape"
        )
    similarity = structural_similarity(
        clean[0].astype(np.float64), np.clip(restored[0], 0.0, 1.0), channel_axis=0, data_range=1.0
    )
    return {"psnr_db": psnr_db(restored, clean), "ssim": float(similarity)}


def count_label_pairs(predicted: Labels, labels: Labels, classes: int) -> Int64:
    """Pixels (classes, classes) int64 by true and by predicted label, without :data:`VOID` pixels."""
    from sklearn.metrics import confusion_matrix

    if predicted.shape != labels.shape:
        raise StimulusError(f"label map {labels.shape} and output {predicted.shape} differ in size")
    counted = labels != VOID
    if labels.max() >= classes:
        raise StimulusError(
            f"the label map contains class {labels.max()}; the network predicts classes 0 to {classes - 1}"
        )
    if not counted.any():
        return np.zeros((classes, classes), np.int64)
    pairs: Int64 = confusion_matrix(labels[counted], predicted[counted], labels=np.arange(classes))
    return pairs


def score_segmentation(pairs: Int64) -> dict[str, float]:
    """Scores from label pairs (K, K): accuracy and mIoU; for two classes F1 and Jaccard of class 1 too.

    mIoU is the mean over the classes that occur, true or predicted.
    """
    from sklearn.metrics import accuracy_score, f1_score, jaccard_score

    classes = pairs.shape[0]
    labels, predicted = (axis.ravel() for axis in np.indices(pairs.shape))
    occurring = pairs.ravel() > 0
    if not occurring.any():
        raise StimulusError("no pixel has a label other than void; scores need at least one")
    labels, predicted, weight = labels[occurring], predicted[occurring], pairs.ravel()[occurring]
    scores = {
        "accuracy": float(accuracy_score(labels, predicted, sample_weight=weight)),
        "miou": float(jaccard_score(labels, predicted, average="macro", sample_weight=weight)),
    }
    if classes == 2:
        scores["f1"] = float(f1_score(labels, predicted, sample_weight=weight, zero_division=0.0))
        scores["jaccard"] = float(jaccard_score(labels, predicted, sample_weight=weight, zero_division=0.0))
    return scores


@dataclass(frozen=True)
class ClassScore:
    """One class over all pixels: how many have it, intersection over union, and Dice (F1), both 0 to 1."""

    number: int
    pixels: int
    iou: float
    dice: float


def score_classes(pairs: Int64) -> tuple[ClassScore, ...]:
    """Scores of every class that occurs, true or predicted, from label pairs (K, K) by true and by predicted label.

    IoU is TP / (TP + FP + FN), Dice 2 TP / (2 TP + FP + FN).
    """
    hits, true, predicted = np.diag(pairs), pairs.sum(axis=1), pairs.sum(axis=0)
    return tuple(
        ClassScore(
            int(number),
            int(true[number]),
            float(hits[number] / (true[number] + predicted[number] - hits[number])),
            float(2 * hits[number] / (true[number] + predicted[number])),
        )
        for number in np.flatnonzero(true + predicted)
    )


def psnr_db(restored: Float32 | Float64, clean: Image) -> float:
    """Peak signal-to-noise ratio in dB of ``restored``, clipped to [0, 1], against ``clean``; all pixels.

    Infinite where they are equal.
    """
    square = float(np.mean((clean.astype(np.float64) - np.clip(restored, 0.0, 1.0).astype(np.float64)) ** 2))
    return float(10 * np.log10(1 / square)) if square else math.inf


def gain_db(after_db: float, before_db: float) -> float:
    """By how many dB a score rose; 0 where both are infinite."""
    return 0.0 if after_db == before_db else after_db - before_db
