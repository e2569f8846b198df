"""Limits and densities of payloads, with and without masks, against every payload looked at."""

import numpy as np
import pytest

from snn_deploy_cpu.conv.payload_stats import ALL_BITS, SAMPLE, PayloadStats, density_under, mask_like


@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "i8"])
def test_limits_of_channels(dtype: str) -> None:
    x = np.array([[[[1, 0, 9], [4, 0, 2]]], [[[0, 0, 7], [3, 0, 0]]]], dtype)
    stats = PayloadStats.of(x)
    assert (stats.channel_max.tolist(), stats.minimum, stats.nonzero, stats.size) == ([4, 0, 9], 0, 6, 12)
    assert stats.channel_max.dtype == np.int64
    assert stats.density == 0.5
    if dtype != "u1":
        stats = PayloadStats.of(-x)
        assert (stats.channel_max.tolist(), stats.minimum, stats.nonzero) == ([0, 0, 0], -9, 6)


def test_merged_limits_are_those_of_all_parts() -> None:
    parts = [PayloadStats(np.array([3, 8]), -1, 5, 10), PayloadStats(np.array([4, 2]), 0, 1, 40)]
    merged = PayloadStats.merged(parts)
    assert (merged.channel_max.tolist(), merged.minimum, merged.nonzero, merged.size) == ([4, 8], -1, 6, 50)
    assert merged.density == 6 / 50


@pytest.mark.parametrize(
    ("smallest", "largest", "bits", "signed", "limit"),
    [
        # without negative payloads a mask only takes away
        (0, 9, ALL_BITS, False, 9),
        (0, 9, 7, False, 7),
        (0, 5, 7, False, 5),
        (0, 9, -8, False, 9),
        # the low bits of a negative payload may be any
        (-1, 5, 7, False, 7),
        (-300, 2, 255, False, 255),
        # its high bits round down to a multiple of the lowest: -9 & -8 is -16, and so is -16
        (-9, 11, -8, True, 16),
        (-15, 3, -8, True, 16),
        (-16, 3, -8, True, 32),
        (-3, 3, -8, True, 8),
        (-1, 1, -128, True, 128),
        (-128, 127, -128, True, 256),
        (-1, 0, ALL_BITS, True, 2),
        (-7, 4, ALL_BITS, True, 8),
        (-4, 7, ALL_BITS, True, 8),
        (-4, 8, ALL_BITS, True, 16),
    ],
)
def test_limits_under_masks(smallest: int, largest: int, bits: int, signed: bool, limit: int) -> None:
    x = np.arange(smallest, largest + 1, dtype=np.int16).reshape(1, 1, -1, 1)
    stats = PayloadStats.of(x)
    found_signed, channel_max = stats.limits_under(bits)
    assert (found_signed, channel_max.tolist()) == (signed, [limit])
    masked = x & bits
    assert signed or masked.min() >= 0
    assert np.abs(masked).max() <= limit


@pytest.mark.parametrize("bits", [1, 3, 7, 127, 255, -1, -2, -4, -8, -128, -256])
def test_no_masked_payload_exceeds_its_limit(bits: int) -> None:
    for smallest in (-300, -257, -256, -129, -128, -17, -16, -9, -8, -2, -1, 0):
        for largest in (0, 1, 7, 8, 127, 128, 255, 256, 300):
            x = np.arange(smallest, largest + 1, dtype=np.int16).reshape(1, 1, -1, 1)
            signed, channel_max = PayloadStats.of(x).limits_under(bits)
            assert np.abs(x & bits).max() <= channel_max[0]
            assert signed or (x & bits).min() >= 0


@pytest.mark.parametrize(("bits", "density"), [(ALL_BITS, 0.75), (1, 0.5), (2, 0.5), (-4, 0.0), (-2, 0.5)])
def test_density_under_masks(bits: int, density: float) -> None:
    x = (np.arange(64) % 4).astype(np.uint8).reshape(1, 8, 8, 1)
    assert density_under(x, bits) == density


@pytest.mark.parametrize("channels", [2, 4, 16])
def test_a_sample_sees_every_channel(channels: int) -> None:
    """One of an even number of channels is active: an even step through the payloads would see all of it, or nothing."""
    x = np.zeros((1, 64, 16 * SAMPLE // 1024, channels), np.uint8)
    x = np.broadcast_to(x, (16, *x.shape[1:])).copy()
    x[..., 0] = 1
    assert density_under(x, ALL_BITS) == pytest.approx(1 / channels, rel=0.01)
    assert PayloadStats.of(x).density == density_under(x, ALL_BITS)


@pytest.mark.parametrize(
    ("dtype", "bits", "mask"), [("u1", -1, 255), ("u1", -8, 248), ("u1", 7, 7), ("i2", -1, -1), ("i4", -256, -256)]
)
def test_masks_have_the_format_of_payloads(dtype: str, bits: int, mask: int) -> None:
    found = mask_like(np.zeros(1, dtype), bits)
    assert found == mask
    assert found.dtype == dtype
