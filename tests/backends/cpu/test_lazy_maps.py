"""Recorded maps are widened and transposed when they are read."""

import numpy as np
import pytest

from snn_deploy.arrays import Array
from snn_deploy_cpu.lazy_maps import LazyMaps


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
@pytest.mark.parametrize("leading", [(2,), (2, 5)])
def test_maps_are_read_channels_first(dtype: type, leading: tuple[int, ...]) -> None:
    stored: Array = np.arange(np.prod(leading) * 24).reshape(*leading, 2, 3, 4).astype(dtype)
    maps = LazyMaps({"a": stored, "b": stored[..., :1]}, np.int64)
    assert (list(maps), len(maps), maps["b"].shape) == (["a", "b"], 2, (*leading, 1, 2, 3))
    read = maps["a"]
    assert (read.dtype, read.shape, read.flags.c_contiguous) == (np.dtype(np.int64), (*leading, 4, 2, 3), True)
    for channel in range(4):
        np.testing.assert_array_equal(read[..., channel, :, :], stored[..., channel])


def test_events_of_a_single_step_are_the_counts_that_are_not_0() -> None:
    maps = LazyMaps({"a": np.array([[[-3, 0, 7]]], np.int16)}, np.int64, nonzero=True)
    np.testing.assert_array_equal(maps["a"], np.array([1, 0, 1]).reshape(3, 1, 1))


def test_what_is_read_can_be_changed_without_changing_the_run() -> None:
    stored = np.zeros((1, 2, 2, 1), np.int64)
    maps = LazyMaps({"a": stored}, np.int64)
    assert np.shares_memory(maps["a"], stored) or maps["a"] is not maps["a"]
    with pytest.raises(KeyError, match=r"^'b'$"):
        maps["b"]
