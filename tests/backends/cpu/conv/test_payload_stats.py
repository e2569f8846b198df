"""What is counted is measured on the way: the same as looking at every payload."""

import numpy as np
import pytest

from snn_deploy_cpu.conv.payload_stats import ALL, Extent, active_bits
from snn_deploy_cpu.neurons import multi_threshold as firing


@pytest.mark.parametrize("without_numba", [False, True])
@pytest.mark.parametrize(
    ("number", "least", "most"), [("u1", 0, 15), ("u1", 0, 255), ("i2", -7, 900), ("i4", -70000, 3)]
)
@pytest.mark.parametrize(("images", "channels"), [(1, 3), (1, 5000), (2, 32)])
def test_tally(
    number: str, least: int, most: int, images: int, channels: int, without_numba: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if without_numba:
        monkeypatch.setattr(firing, "compiled_kernels", lambda: None)
    shape, rng = (images, 6, 5, channels), np.random.default_rng(0)
    payloads = (rng.integers(least, most + 1, (5, *shape)) * (rng.random((5, *shape)) < 0.2)).astype(number)
    counts, events = np.ones(shape, np.int64), np.zeros(shape, np.uint16)
    rows = [(0, 2), (2, 6)] if images == 1 else [(0, 6)]
    parts = [firing.tally(payloads.reshape(5, -1), most, counts, events, *part) for part in rows]
    np.testing.assert_array_equal(counts, 1 + payloads.sum(0, dtype=np.int64))
    np.testing.assert_array_equal(events, np.count_nonzero(payloads, axis=0))

    found = Extent.joined(parts)
    np.testing.assert_array_equal(found.largest, np.maximum(payloads.max((0, 1, 2, 3)), 0))
    assert found.smallest == min(payloads.min(), 0)
    share = np.count_nonzero(payloads) / payloads.size
    assert found.active == pytest.approx(share, rel=0.1 if without_numba else 1e-12)
    sampled = Extent.of(payloads.reshape(-1, *shape[1:]))
    np.testing.assert_array_equal(sampled.largest, payloads.max((0, 1, 2, 3)))
    assert sampled.smallest == min(payloads.min(), 0)
    assert sampled.active == active_bits(payloads, ALL) == pytest.approx(share, rel=0.1)
