"""A denoiser that removes more than there is misses noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snn_deploy.arrays import Float32
from snn_deploy.conversion.choose import Bench
from snn_deploy.conversion.findings import Findings, _suspect
from snn_deploy.conversion.missing_noise import FEWEST, SUSPECT, estimate_noise, suspect_missing_noise
from snn_deploy.conversion.task_loss import TaskLoss
from snn_deploy.data.calibration import load_calibration
from snn_deploy.data.images import PLAIN

ROOT = Path(__file__).resolve().parents[2]
RNG = np.random.default_rng(0)


def noise(sigma: float, size: int = 64) -> Float32:
    return (sigma * RNG.standard_normal((1, 1, size, size))).astype(np.float32)


@pytest.mark.parametrize("sigma", [5 / 255, 25 / 255, 50 / 255])
def test_white_noise_is_estimated_on_edges_and_slopes(sigma: float) -> None:
    y, x = np.mgrid[:64, :64]
    picture = (0.2 + 0.005 * x + 0.3 * (y > 30))[None, None].astype(np.float32)
    assert estimate_noise(picture + noise(sigma)) == pytest.approx(sigma, rel=0.06)
    assert estimate_noise(picture) < 0.001
    color = np.concatenate([picture + noise(sigma), picture + noise(2 * sigma)], axis=1)
    assert estimate_noise(color) == pytest.approx(1.5 * sigma, rel=0.06)


def test_more_removed_than_there_is_is_suspect() -> None:
    pictures = [np.float32(0.5) + noise(10 / 255) for _ in range(3)]
    for part, suspect in ((1.0, False), (1.3, False), (1.4, True), (3.0, True)):
        outputs = [picture.astype(np.float64) - part * (picture - 0.5) for picture in pictures]
        assert bool(suspect_missing_noise(pictures, outputs)) is suspect
    text = suspect_missing_noise(pictures, [picture - 2.0 * (picture - 0.5) for picture in pictures])
    assert text.startswith("the network changes the calibration images by ")
    assert text.endswith("if it removes noise, calibrate with noisy images or --noise")


CHECKS = np.where(np.indices((8, 9)).sum(0) % 2, 1.0, -1.0).astype(np.float32)[None, None]
"""Immerkaer's operator gives 16 on it everywhere."""


def test_noise_by_hand() -> None:
    """The median over pixels and images, the mean over channels; lines and slopes are none."""
    known = 16 / (0.6745 * 6)
    assert estimate_noise(CHECKS) == pytest.approx(known)
    assert estimate_noise(np.concatenate([CHECKS, 0 * CHECKS], axis=1)) == pytest.approx(known / 2)
    assert estimate_noise(np.concatenate([CHECKS, 3 * CHECKS, 2 * CHECKS])) == pytest.approx(2 * known)
    rows, columns = np.mgrid[:8, :9]
    for flat in (rows % 2, columns % 2, rows**2 + columns**2, rows * 3.0 - columns):
        assert estimate_noise(flat[None, None].astype(np.float64)) == 0
    single = np.zeros((1, 1, 5, 5))
    single[..., 2, 2] = 1.0
    assert estimate_noise(single) == pytest.approx(2 / (0.6745 * 6)), "weights 4, four of 2, four of 1"


@pytest.mark.parametrize(
    ("ratio", "deviation", "suspect"),
    [
        (SUSPECT * 0.999, 10 / 255, False),
        (SUSPECT * 1.001, 10 / 255, True),
        (2.0, FEWEST * 0.998, False),
        (2.0, FEWEST * 1.002, True),
    ],
)
def test_what_is_suspected_on_both_sides(ratio: float, deviation: float, suspect: bool) -> None:
    """The median of images counts: one that is far off changes nothing."""
    assert (SUSPECT, FEWEST) == (1.35, 1 / 255)
    checks = CHECKS[..., :8].astype(np.float64)
    noise = deviation / ratio
    picture = (noise / (16 / (0.6745 * 6)) * checks).astype(np.float32)
    outputs = [picture - deviation * checks] * 2 + [picture - 9 * checks]
    text = suspect_missing_noise([picture] * 3, outputs)
    assert bool(text) is suspect
    if suspect:
        assert f"images by {255 * deviation:.1f}/255, more than the noise of {255 * noise:.1f}/255 that" in text
    small = [picture[..., :7]] * 3
    assert suspect_missing_noise(small, [output[..., :7] for output in outputs]) == ""
    low = [picture[..., :7, :]] * 3
    assert suspect_missing_noise(low, [output[..., :7, :] for output in outputs]) == ""
    assert suspect_missing_noise([picture] * 3, [*outputs[:2], outputs[2][..., :7]]) == ""


def test_pictures_without_noise_are_compared_with_next_to_nothing() -> None:
    flat = np.zeros((1, 1, 8, 8), np.float32)
    assert suspect_missing_noise([flat], [FEWEST * 1.01 * CHECKS[..., :8].astype(np.float64)]) != ""


def test_what_is_not_a_denoiser_is_not_suspected() -> None:
    picture = np.full((1, 1, 32, 32), 0.5, np.float32)
    slight = picture + 0.9 * FEWEST * np.sign(noise(1, 32)).astype(np.float64)
    assert suspect_missing_noise([picture], [slight]) == ""
    assert suspect_missing_noise([picture], [slight + 2 * (slight - picture)]) != ""
    assert suspect_missing_noise([picture], [np.zeros((1, 1, 64, 64))]) == ""
    assert suspect_missing_noise([picture[..., :7]], [np.zeros((1, 1, 32, 7))]) == ""


def test_a_forgotten_noise_is_told() -> None:
    """Of the shipped denoiser, on photographs; with noise there is nothing to say."""
    model = ROOT / "models/denoiser_s25.onnx"
    for sigma, told in ((0, True), (25, False)):
        images = load_calibration(None, 1, sigma, 0, (32, 32))
        bench = Bench(model, images.seen, PLAIN, {}, images.held_back, images.clean)
        assert (bool(_suspect(replace(bench, clean=None))), bool(_suspect(bench))) == (told, told)


def test_suspicions_are_told_whatever_is_lost() -> None:
    few, much = (Findings(TaskLoss("psnr", value), 0.05, suspicions=("perhaps",)) for value in (0.01, 0.2))
    assert (few.alerts, few.advice, few.warnings, few.is_enough) == (("perhaps",), (), ("perhaps",), True)
    assert much.alerts == (
        "perhaps",
        "the conversion loses 0.200 dB of PSNR for a float network of 30 dB; 0.05 dB are allowed",
    )
    assert much.record()["warnings"] == [*much.alerts, *much.advice]
