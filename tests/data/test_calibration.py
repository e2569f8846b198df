"""Calibration images that are none, of another kind, or not finite."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import snn_deploy as sd
from snn_deploy.arrays import Array
from snn_deploy.data.calibration import load_calibration_images
from snn_deploy.errors import StimulusError
from tests.cli.models import write_unet

MODEL = "models/denoiser_s25.onnx"


def image(value: float = 0.5) -> Array:
    values = np.full((1, 1, 32, 32), 0.5, np.float32)
    values[0, 0, 3, 4] = value
    return values


def test_no_image() -> None:
    message = r"^no calibration image; give at least one, or None for scikit-image's photographs$"
    with pytest.raises(StimulusError, match=message):
        load_calibration_images([], 1)
    with pytest.raises(StimulusError, match=message):
        sd.convert(MODEL, calibration=[])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["exact", "lif", "if"])
def test_values_that_are_not_finite(name: str, value: float) -> None:
    with pytest.raises(
        StimulusError, match=rf"^image: value {value} at \(0, 0, 3, 4\) is not finite in float32; replace it$"
    ):
        sd.convert(MODEL, calibration=[image(), image(value)], options=sd.Options(bias_correction=name == "exact"))


@pytest.mark.parametrize("noise", [np.nan, np.inf, -1.0])
def test_noise_that_is_no_deviation(noise: float) -> None:
    with pytest.raises(
        StimulusError, match=r"^noise of .*: a standard deviation in units of 1/255, 0 or more, is needed$"
    ):
        load_calibration_images([image()], 1, noise)


def test_a_run_of_values_that_are_not_finite(tmp_path: Path) -> None:
    network = sd.convert(write_unet(tmp_path / "u.onnx"), calibration=[image()], size=(32, 32), fixed=True)
    with pytest.raises(
        StimulusError, match=r"the image: value nan at \(0, 0, 3, 4\) is not finite in float32; replace it$"
    ):
        network.run(image(np.nan))
    with pytest.raises(StimulusError, match=r"is not finite in float32; replace it$"):
        network.run(image().astype(np.float64) * 1e300)
