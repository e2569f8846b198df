"""Arrays enter frozen values unchanged or not at all."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snn_deploy.arrays import freeze


def test_the_copy_is_read_only_contiguous_and_independent() -> None:
    given_array = np.arange(6, dtype=np.int64).reshape(2, 3).T
    array = freeze(given_array, np.int64)
    given_array[0, 0] = 99
    assert array.flags.c_contiguous
    assert array[0, 0] == 0
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0] = 1


@given(st.lists(st.integers(-(2**63), 2**64 - 1), min_size=1, max_size=5))
def test_integers_never_wrap(values: list[int]) -> None:
    fits = all(-128 <= value <= 127 for value in values)
    try:
        array = freeze(values, np.int8)
    except (ValueError, OverflowError):
        assert not fits
    else:
        assert fits
        assert array.tolist() == values


@pytest.mark.parametrize("value", [0.5, -1.25, float("nan"), float("inf"), 2.0**63, 2**63, "1"])
def test_what_is_no_integer_is_refused(value: object) -> None:
    with pytest.raises((ValueError, OverflowError, TypeError)):
        freeze(np.array([value]), np.int64)


def test_whole_floats_and_empty_arrays_pass() -> None:
    assert freeze([3.0, -4.0], np.int64).tolist() == [3, -4]
    assert freeze(np.zeros((0, 2)), np.int8).shape == (0, 2)
    assert freeze([0.1], np.float64).tolist() == [0.1]


def test_the_message_names_the_range_and_both_types() -> None:
    with pytest.raises(ValueError, match=r"values from -3 to 300 \(int64\) do not fit int8$"):
        freeze(np.array([-3, 300], np.int64), np.int8)
