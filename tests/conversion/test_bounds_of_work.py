"""What a conversion may ask for, and how far it says it is."""

from __future__ import annotations

import numpy as np
import pytest

from snn_deploy.conversion import calibrate as calibration
from snn_deploy.conversion.calibrate import calibrate
from snn_deploy.conversion.convert import convert
from snn_deploy.conversion.layers import group_layers
from snn_deploy.errors import ConversionError
from snn_deploy.frontend.onnx import read
from snn_deploy.passes import normal_form
from tests.frontend.oracle import build, node, numbers


def model(channels: int) -> bytes:
    nodes = [node("Conv", "x w", "c"), node("Relu", "c", "r"), node("Conv", "r v")]
    weights = {"w": numbers(channels, 1, 1, 1), "v": numbers(1, channels, 1, 1)}
    return bytes(build(17, nodes, weights, (1, 1, 4, 4)).SerializeToString())


def test_more_memory_than_allowed_is_refused_before_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Histograms of 101 channels and twice those of the widest layer; maps of two images, the largest in 64 bits, too."""
    graph = normal_form(read(model(100)).graph)
    image = np.ones((2, 1, 4, 4), np.float32)
    needed = 8 * 8192 * (101 + 2 * 100) + 2 * (4 * 16 * 101 + 24 * 16 * 100)
    monkeypatch.setattr(calibration, "MAX_CALIBRATION_BYTES", needed)
    assert set(calibrate(graph, group_layers(graph), [image])) == {"x", "r"}
    monkeypatch.setattr(calibration, "MAX_CALIBRATION_BYTES", needed - 1)
    with pytest.raises(
        ConversionError, match=r"^calibration needs 0.0 GiB for histograms of 101 channels .* narrower model$"
    ):
        calibrate(graph, group_layers(graph), [image])


def test_progress_is_told_of_every_image_and_layer() -> None:
    told: list[tuple[int, int]] = []
    images = [np.full((1, 1, 4, 4), value, np.float32) for value in (0.5, 1)]
    converted = convert(model(3), images, progress=lambda done, total: told.append((done, total)))
    assert told == [(done, 6) for done in range(1, 7)]
    again: list[int] = []
    statistics = converted.conversion.statistics
    convert(model(3), images, statistics=statistics, progress=lambda done, total: again.append(total - done))
    assert again == [1, 0], "what was measured before is not measured again"
