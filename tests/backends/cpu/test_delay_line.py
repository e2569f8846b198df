"""Delay lines: what was sent arrives so many steps later, from chunk to chunk."""

import numpy as np
import pytest

from snn_deploy_cpu.delay_line import DelayLine


@pytest.mark.parametrize("lag", [1, 2, 3, 7])
@pytest.mark.parametrize("chunks", [[4, 4], [1, 1, 1, 5], [8]])
def test_payloads_arrive_after_the_lag(lag: int, chunks: list[int]) -> None:
    images = 2
    sent = np.arange(1, 1 + 8 * images * 6, dtype=np.int16).reshape(8 * images, 1, 2, 3)
    line, ends = DelayLine(lag, images), np.cumsum([0, *chunks]) * images
    arrived = np.concatenate([line.shift(sent[begin:end]) for begin, end in zip(ends[:-1], ends[1:], strict=True)])
    assert arrived.dtype == np.int16
    assert not np.any(arrived[: lag * images])
    assert np.array_equal(arrived[lag * images :], sent[: max(8 - lag, 0) * images])
    assert not line.is_empty


def test_a_line_is_empty_until_something_is_sent() -> None:
    line = DelayLine(2, 1)
    assert line.is_empty
    line.shift(np.zeros((3, 1, 1, 1), np.uint8))
    assert line.is_empty
    line.shift(np.ones((1, 1, 1, 1), np.uint8))
    assert not line.is_empty
    line.shift(np.zeros((2, 1, 1, 1), np.uint8))
    assert line.is_empty
