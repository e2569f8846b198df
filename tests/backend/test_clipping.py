"""Images outside of the range that a network was calibrated for: told by every way in, with share and extreme value."""

import warnings

import cloudpickle
import numpy as np
import pytest

import snn_deploy as sd
from snn_deploy.arrays import Float32, Int64
from snn_deploy.backend.stimulus import quantize_images
from snn_deploy.errors import ClippedInputWarning, StimulusError
from snn_deploy.testing import random_unet
from snn_deploy.workers import _call, gather

NETWORK = random_unet(size=8, width=2)
"""Unit 1/255, payloads -255..255."""


def picture(beyond: float, number: int) -> Float32:
    """64 pixels of 0.5, of which ``number`` are ``beyond``."""
    image = np.full((1, 1, 8, 8), 0.5, np.float32)
    image.reshape(-1)[:number] = beyond
    return image


@pytest.mark.parametrize(
    ("beyond", "number", "told"),
    [
        (1.5, 3, False),
        (1.5, 4, True),
        (-1.5, 4, True),
        (1.003, 64, False),
        (1.99, 1, False),
        (2.01, 1, True),
        (-2.01, 1, True),
    ],
)
def test_a_share_or_a_far_value_is_told(beyond: float, number: int, told: bool) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        payloads = quantize_images(NETWORK, picture(beyond, number))
    assert abs(payloads).max() == 255
    assert [entry.category for entry in caught] == [ClippedInputWarning] * told
    if told:
        warning = caught[0].message
        assert isinstance(warning, ClippedInputWarning)
        assert (warning.share, warning.low, warning.high) == (number / 64, -1.0, 1.0)
        assert warning.extreme == pytest.approx(beyond)
        assert f"{number / 64:.2%} of the input's values are outside of -1 to 1" in str(warning)
        assert "\n" not in str(warning)
        again = cloudpickle.loads(cloudpickle.dumps(warning))  # it travels between processes
        assert str(again) == str(warning)


def test_python_tells_where_the_image_was_given() -> None:
    net = sd.SpikingNetwork(NETWORK)
    with pytest.warns(
        sd.ClippedInputWarning, match=r"^78.12% of the input's values .* the largest is 1.75; give images"
    ):
        net.run(picture(1.75, 50), backend="reference")
    with pytest.warns(sd.ClippedInputWarning, match="are clipped"):
        sd.verify(net, picture(1.75, 50), backends=("reference", "reference"), level="neuron-count")


@pytest.mark.parametrize(
    ("beyond", "number", "remedy"),
    [
        (1.75, 57, ""),
        (1.75, 58, "give images from -1 to 1, or calibrate with images like these"),
        (127.5, 3, ""),
        (127.5, 4, "divide the values by 255, or, .* 0..255"),
        (-9.0, 4, "give images from -1 to 1, or calibrate with images like these"),
    ],
)
def test_an_image_of_another_scale_is_refused(beyond: float, number: int, remedy: str) -> None:
    """More than nine values of ten beyond the range, or more than one of twenty and some of them far beyond."""
    image = picture(beyond, number)
    if not remedy:
        with pytest.warns(ClippedInputWarning):
            quantize_images(NETWORK, image)
        return
    with pytest.raises(StimulusError, match=rf"^{number / 64:.2%} of the input's values .* of -1 to 1, .*; {remedy}$"):
        quantize_images(NETWORK, image)


def test_workers_hand_the_warning_over() -> None:
    def quantize(image: Float32) -> Int64:
        return quantize_images(NETWORK, image)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, told = _call(quantize, cloudpickle.dumps(picture(9, 3)))
    assert [warning.extreme for warning in told] == [9.0]
    with pytest.warns(ClippedInputWarning):
        gather(quantize, [picture(9, 3)], 1)
