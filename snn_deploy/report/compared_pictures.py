"""Pictures and scores of a report: input, clean, float network, spiking network, difference."""

from __future__ import annotations

import numpy as np

from snn_deploy.arrays import Float32, Float64
from snn_deploy.data import images
from snn_deploy.data.label_image import COLORS
from snn_deploy.data.metrics import gain_db, psnr_db
from snn_deploy.network.host import choose_classes, put_channels_first
from snn_deploy.report import Picture, Score

MOST_LOSS_DB = 0.1
"""A larger loss of PSNR against the float network is marked."""


def compare_pictures(
    clean: images.Image,
    noisy: images.Image,
    output: Float64,
    expected: Float32 | None,
    host: tuple[str, ...],
    *,
    noise: float,
) -> tuple[tuple[Score, ...], tuple[Picture, ...]]:
    """Scores and pictures of ``output`` after the functions ``host``, and of the float network's where it is known."""
    expected = None if expected is None else put_channels_first(host, expected)[1]
    host, output = put_channels_first(host, output)
    if "argmax" in host:
        return _compared_labels(noisy, output, expected, host)
    restores = noise > 0 and output.shape == clean.shape

    def score(values: Float64 | Float32) -> str:
        return f"{psnr_db(values, clean):.2f} dB" if restores else ""

    pictures = [Picture("input", noisy, score(noisy))]
    if noise > 0:
        pictures.append(Picture("clean", clean))
    scores = []
    if expected is not None:
        pictures.append(Picture("float network", _visible(expected, host), score(expected)))
    pictures.append(Picture("spiking network", _visible(output, host), score(output)))
    if restores:
        scores.append(Score("PSNR of the spiking network", score(output)))
    if expected is not None:
        difference = np.abs(output - expected).max(axis=1, keepdims=True)
        top = float(difference.max())
        values = (difference / top if top else difference).astype(np.float32)
        pictures.append(Picture("difference to the float network", values, f"white is {top:.2g}"))
        if restores:
            gain = round(gain_db(psnr_db(output, clean), psnr_db(expected, clean)), 3) + 0.0  # not -0.000
            scores.append(Score("change against the float network", f"{gain:+.3f} dB", gain < -MOST_LOSS_DB))
        else:
            scores.append(Score("mean difference to the float network", f"{np.abs(output - expected).mean():.2g}"))
    return tuple(scores), tuple(pictures)


def _compared_labels(
    noisy: images.Image, output: Float64, expected: Float32 | None, host: tuple[str, ...]
) -> tuple[tuple[Score, ...], tuple[Picture, ...]]:
    """The same of label maps: how many pixels have the same class, and where they have not."""
    pictures, scores = [Picture("input", noisy)], []
    if expected is not None:
        pictures.append(Picture("float network", _visible(expected, host)))
    pictures.append(Picture("spiking network", _visible(output, host)))
    if expected is not None:
        differs = choose_classes(host, output) != choose_classes(host, expected)
        pictures.append(
            Picture("difference to the float network", differs[:, None].astype(np.float32), "white differs")
        )
        scores.append(Score("pixels of the float network's class", f"{1 - differs.mean():.2%}"))
    return tuple(scores), tuple(pictures)


def _visible(values: Float64 | Float32, host: tuple[str, ...]) -> images.Image:
    """Gray or color as it is; classes, and what chooses between them, in a color for each."""
    if values.shape[1] in (1, 3) and not {"argmax", "softmax"} & set(host):
        return values.astype(np.float32)
    return np.moveaxis(COLORS[choose_classes(host, values)] / 255, -1, 1).astype(np.float32)
