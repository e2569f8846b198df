"""Limits and densities of payloads against every payload looked at."""

import numpy as np
import pytest

from snn_deploy_cpu.conv.payload_stats import SAMPLE, PayloadStats


@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "i8"])
def test_limits_of_channels(dtype: str) -> None:
    x = np.array([[[[1, 0, 9], [4, 0, 2]]], [[[0, 0, 7], [3, 0, 0]]]], dtype)
    stats = PayloadStats.of(x)
    assert (stats.magnitudes.tolist(), stats.minimum, stats.nonzero, stats.size) == ([4, 0, 9], 0, 6, 12)
    assert stats.magnitudes.dtype == np.int64
    assert stats.density == 0.5
    if dtype != "u1":
        stats = PayloadStats.of(-x)
        assert (stats.magnitudes.tolist(), stats.minimum, stats.nonzero) == ([9, 9, 9], -9, 6)


def test_merged_limits_are_those_of_all_parts() -> None:
    parts = [PayloadStats(np.array([3, 8]), -1, 5, 10), PayloadStats(np.array([4, 2]), 0, 1, 40)]
    merged = PayloadStats.merged(parts)
    assert (merged.magnitudes.tolist(), merged.minimum, merged.nonzero, merged.size) == ([4, 8], -1, 6, 50)
    assert merged.density == 6 / 50


@pytest.mark.parametrize(
    ("smallest", "largest", "signed", "limit"), [(0, 9, False, 9), (-1, 0, True, 1), (-7, 4, True, 7), (-4, 8, True, 8)]
)
def test_magnitudes(smallest: int, largest: int, signed: bool, limit: int) -> None:
    stats = PayloadStats.of(np.array([smallest, 0, largest, 0], np.int16).reshape(1, 1, 2, 2))
    assert stats.signed == signed
    # how far below 0 a channel goes is known of all together
    assert stats.magnitudes.tolist() == [limit, -smallest if signed else 0]


@pytest.mark.parametrize("channels", [2, 4, 16])
def test_a_sample_sees_every_channel(channels: int) -> None:
    """One of an even number of channels is active: an even step through the payloads would see all of it, or nothing."""
    x = np.zeros((1, 64, 16 * SAMPLE // 1024, channels), np.uint8)
    x = np.broadcast_to(x, (16, *x.shape[1:])).copy()
    x[..., 0] = 1
    assert PayloadStats.of(x).density == pytest.approx(1 / channels, rel=0.01)
