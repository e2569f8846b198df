r"""What a conversion loses, in the unit of the network's task.

The error relative to the output's variation compares options well, but nobody scores a denoiser by it. Three measures:

``psnr``
    dB of PSNR, over images that calibration did not see. Where the clean image is known, because the noise was added here, and
    the float network comes closer to it than the noisy image,

    .. math:: \mathrm{PSNR}(float, clean) - \mathrm{PSNR}(spiking, clean)

    and otherwise what a float network of :data:`ASSUMED_DB` would lose by an independent error of the same size,
    :math:`10 \log_{10}(1 + \mathrm{MSE} \cdot 10^{\mathrm{ASSUMED\_DB} / 10})`.
``labels``
    The share of pixels whose class differs from the float network's.
``variation``
    The error relative to the output's variation, where the output is neither.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from snn_deploy.arrays import Float32, Float64
from snn_deploy.data.images import PLAIN, Images
from snn_deploy.data.metrics import gain_db, psnr_db
from snn_deploy.graph.host import is_probability
from snn_deploy.network.host import apply_host, choose_classes, count_channels, put_channels_first
from snn_deploy.network.picture_scale import PictureScale

Measure = Literal["psnr", "labels", "variation"]

MEASURES: tuple[Measure, ...] = get_args(Measure)

ASSUMED_DB = 30.0
"""PSNR that the float network is taken to have where it cannot be measured: that of denoisers at a noise of 25/255."""

BARS: dict[Measure, float] = {"psnr": 0.05, "labels": 1.0, "variation": 1.5}
"""Losses up to which nothing is suggested, by measure: dB of a picture, percent of labels or of the variation."""

PICTURES = (1, 3)
"""Channels of pictures, gray and color."""

LEAST_DEVIATION = 0.05
"""Deviation, in parts of the range, that some channel of pictures has; an error of maps that vary less is no loss of PSNR."""

BEYOND = 0.5
"""How far beyond black and white, in parts of the range, the values of an output may lie that still is a picture."""


@dataclass(frozen=True)
class TaskLoss:
    """A loss by one ``measure``: in dB, as the share of labels, or relative to the output's variation.

    ``float_db``: the float network's PSNR, ``None`` unless it was measured; ``expected_db``: what an independent error of the
    same size would lose of it, which hangs less on chance than ``value``.
    """

    measure: Measure
    value: float
    float_db: float | None = None
    expected_db: float | None = None

    @property
    def bar(self) -> float:
        """The measure's bar, as :meth:`exceeds` takes it."""
        return BARS[self.measure]

    def exceeds(self, most: float) -> bool:
        """Whether more is lost than ``most``: dB of a picture, percent of labels or of the variation."""
        return self.value > (most if self.measure == "psnr" else most / 100)

    def bound(self, most: float) -> str:
        """``most``, as :meth:`exceeds` takes it, with its unit."""
        return f"{most:g} dB" if self.measure == "psnr" else f"{most:g}%"

    def __str__(self) -> str:
        return f"{self.number}{self.noun}"

    @property
    def number(self) -> str:
        """The loss with its unit: ``0.018 dB``, ``0.42%``."""
        return f"{self.value:.3f} dB" if self.measure == "psnr" else f"{self.value:.3%}"

    @property
    def noun(self) -> str:
        """What the number is of."""
        if self.measure == "labels":
            return " of the labels"
        if self.measure == "variation":
            return " of the output's variation"
        return " of PSNR" if self.float_db is not None else f" of PSNR for a float network of {ASSUMED_DB:g} dB"


@dataclass(frozen=True, eq=False)
class Task:
    """What the first output of a network is, as the held-back images show it.

    ``expected``: the float network's read-out (B, C, H, W) of every image, before the functions ``host``; ``clean``: the
    images without their noise, as the network reads them, or none.
    """

    measure: Measure
    host: tuple[str, ...]
    expected: tuple[Float64, ...]
    clean: Images | None = None
    picture: PictureScale = PLAIN

    @classmethod
    def of(
        cls,
        host: Sequence[str],
        expected: Sequence[Float32],
        images: Images,
        clean: Images | None = None,
        picture: PictureScale = PLAIN,
        measure: Measure | None = None,
    ) -> Task:
        """The task of a read-out ``expected`` of ``images`` (each (B, C, H, W)), by ``measure`` or what the values suggest."""
        values = tuple(np.asarray(each, np.float64) for each in expected)
        task = cls(measure or "psnr", tuple(host), values, None, picture)
        shown = task.show(values)
        known = clean if clean and _restores(shown, images, clean, picture) else None
        chosen = measure or ("psnr" if known else _guess(tuple(host), values[0].shape[1], images[0].shape[1], shown))
        return cls(chosen, task.host, values, known if chosen == "psnr" else None, picture)

    def lose(self, values: Sequence[Float64], error: float) -> TaskLoss:
        """The loss of a network whose read-outs are ``values``, with ``error`` relative to their variation."""
        if self.measure == "variation":
            return TaskLoss("variation", error)
        if self.measure == "labels":
            pairs = zip(self.expected, values, strict=True)
            differ = [self._classes(float_values) != self._classes(given) for float_values, given in pairs]
            return TaskLoss("labels", float(np.mean(np.concatenate([each.ravel() for each in differ]))))
        expected, shown = self.show(self.expected), self.show(values)
        if self.clean is None:
            return TaskLoss("psnr", _expect_loss(float(np.mean(_squares(expected, shown))), ASSUMED_DB))
        before, after = (_psnrs(pictures, self.clean, self.picture) for pictures in (expected, shown))
        lost = [-gain_db(b, a) for a, b in zip(before, after, strict=True)]
        likely = [_expect_loss(square, db) for square, db in zip(_squares(expected, shown), before, strict=True)]
        return TaskLoss("psnr", float(np.mean(lost)), float(np.mean(before)), float(np.mean(likely)))

    def show(self, values: Sequence[Float64]) -> list[Float64]:
        """Read-outs as pictures, 0 to 1."""
        results = []
        for each in values:
            hosted, planes = put_channels_first(self.host, apply_host(self.host, each))
            results.append(self.picture.as_picture(np.asarray(planes, np.float64), hosted))
        return results

    def _classes(self, values: Float64) -> Float64:
        hosted = apply_host(self.host, values)
        return np.asarray(choose_classes(self.host, hosted), np.float64)


def _restores(shown: Sequence[Float64], images: Images, clean: Images, picture: PictureScale) -> bool:
    """Whether the network brings the noisy ``images`` closer to the ``clean`` ones, as a denoiser does."""
    if any(a.shape != b.shape for a, b in zip(shown, clean, strict=True)):
        return False
    noisy = [picture.of_input(image) for image in images]
    return float(np.mean(_psnrs(shown, clean, picture))) > float(np.mean(_psnrs(noisy, clean, picture)))


def _psnrs(pictures: Sequence[Float64 | Float32], clean: Images, picture: PictureScale) -> list[float]:
    """PSNR in dB of ``pictures``, 0 to 1, to the ``clean`` images as the network reads them."""
    return [psnr_db(shown, picture.of_input(image)) for shown, image in zip(pictures, clean, strict=True)]


def _guess(host: tuple[str, ...], channels: int, read: int, shown: Sequence[Float64]) -> Measure:
    """The measure of an output whose clean image is not known: labels behind a classifier's last step or of many channels."""
    kept = count_channels(channels, host)
    colors = host[-1:] == ("sigmoid",) and kept == read == max(PICTURES)
    if "argmax" in host or (is_probability(host) and not colors):
        return "labels"
    if kept not in (*PICTURES, read):
        return "labels" if kept > max(PICTURES) else "variation"
    values = np.concatenate([image.swapaxes(0, 1).reshape(kept, -1) for image in shown], axis=1)
    low, high = (float(np.quantile(values, share)) for share in (0.01, 0.99))
    pictures = kept in PICTURES and low >= -BEYOND and high <= 1 + BEYOND and values.std(1).max() >= LEAST_DEVIATION
    return "psnr" if pictures else "variation"


def _squares(expected: Sequence[Float64], shown: Sequence[Float64]) -> list[float]:
    """Mean square error of every picture, limited to 0 to 1."""
    pairs = zip(expected, shown, strict=True)
    return [float(np.square(np.clip(a, 0.0, 1.0) - np.clip(b, 0.0, 1.0)).mean()) for a, b in pairs]


def _expect_loss(square: float, float_db: float) -> float:
    """PSNR in dB that an independent error of mean ``square`` takes from ``float_db``; 0 for a perfect network's perfect copy."""
    return 10 * math.log10(1 + square * 10 ** (float_db / 10)) if square else 0.0
