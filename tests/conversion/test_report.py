"""The report of a conversion against the raw values."""

from __future__ import annotations

import numpy as np
import pytest

from snn_deploy.conversion.calibrate import ActivationProbe
from snn_deploy.conversion.lower import lower
from snn_deploy.conversion.options import preset
from snn_deploy.conversion.report import report_connections
from snn_deploy.data.images import Images

from .conftest import UNet


@pytest.mark.parametrize("normalization", ["connection-wise", "channel-wise"])
@pytest.mark.parametrize("mode", ["exact", "rate"])
def test_clipped_shares_and_dead_channels(
    small_unet: UNet, small_images: Images, normalization: str, mode: str
) -> None:
    graph = small_unet(dead=2)
    options = preset(
        "exact" if mode == "exact" else "multi-threshold",
        normalization=normalization,
        scale="percentile",
        percentile=90.0,
    )
    conversion = lower(graph, graph, small_images, options)
    reports = {report.name: report for report in report_connections(conversion)}
    assert set(reports) == {connection.name for connection in conversion.network.connections}
    report = next(report for report in reports.values() if report.source == "a.relu")
    probe = ActivationProbe(graph, ["a.relu"])
    values = np.concatenate([probe(image)["a.relu"] for image in small_images])
    unit = conversion.scales.unit["a.relu"]
    top = options.levels if mode == "exact" else options.payload_max
    expected = float((values > (top + 0.5) * unit[:, None, None]).mean())
    assert report.clipped == pytest.approx(expected, abs=0.003)
    assert expected > 0.02
    assert report.dead == 2
    assert report.unit == (unit.min(), unit.max())


def test_weight_errors_fall_with_bits(small_unet: UNet, small_images: Images) -> None:
    graph = small_unet()
    errors = []
    for bits in (8, 4):
        reports = report_connections(lower(graph, graph, small_images, preset("exact", weight_bits=bits)))
        errors.append({report.name: report.weight_error for report in reports})
    for name, error in errors[0].items():
        assert error < 0.03, name
        if "pool" not in name:
            assert errors[1][name] > error or error < 1e-9, name
    pooled = [error for name, error in errors[0].items() if name.startswith("pool<-")]
    assert pooled == [0.0]
