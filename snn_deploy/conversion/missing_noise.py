r"""Whether calibration images may lack the noise that a denoiser removes, from what the network does to them.

A denoiser removes about as much as the noise of its image. Where it removes clearly more than there is, it takes texture for
noise, which it does where its images are cleaner than those it was trained on. The noise of an image is estimated by Immerkaer's
operator N (Computer Vision and Image Understanding 64, 1996), which edges and slopes hardly excite, by the median of its
magnitude (Donoho and Johnstone, Biometrika 81, 1994):

.. math:: \sigma = \mathrm{median}\,|N * x| \,/\, (0.6745 \cdot 6)

Measured on four patches each of scikit-image's photographs and of BSD68 and CBSD68, six denoisers: the median of removed over
estimated is 0.8 to 1.2 with noise of 15 and 25, and 1.4 to 10 without.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from snn_deploy.arrays import Float32, Float64

SUSPECT = 1.35
"""Ratio of what is removed to the noise above which noise is missed."""

FEWEST = 1 / 255
"""Deviation that a network must remove to be suspected; rounding to 8 bits alone is 0.3 of it."""

_SMALLEST = 8
"""Side of an image in pixels below which its noise is not estimated."""


def estimate_noise(image: Float32 | Float64) -> float:
    """Standard deviation of white noise in a picture (B, C, H, W), as its mean over channels."""
    kernel = np.array([1.0, -2.0, 1.0])
    rows = sum(kernel[tap] * image[:, :, tap : image.shape[2] - 2 + tap] for tap in range(3))
    both = sum(kernel[tap] * rows[..., tap : image.shape[3] - 2 + tap] for tap in range(3))
    return float(np.median(np.abs(both), axis=(0, 2, 3)).mean() / (0.6745 * 6))


def suspect_missing_noise(pictures: Sequence[Float32], outputs: Sequence[Float64]) -> str:
    """What is suspected of ``pictures`` and the network's ``outputs`` for them, both 0 to 1; empty if nothing is."""
    if any(a.shape != b.shape or min(a.shape[2:]) < _SMALLEST for a, b in zip(pictures, outputs, strict=True)):
        return ""
    removed = [float(np.std(a - b)) for a, b in zip(pictures, outputs, strict=True)]
    noise = [estimate_noise(picture) for picture in pictures]
    ratio = float(np.median([a / max(b, 1e-6) for a, b in zip(removed, noise, strict=True)]))
    if ratio <= SUSPECT or np.median(removed) < FEWEST:
        return ""
    return (
        f"the network changes the calibration images by {255 * np.median(removed):.1f}/255, more than the noise of"
        f" {255 * np.median(noise):.1f}/255 that they seem to have; if it removes noise, calibrate with noisy images or --noise"
    )
