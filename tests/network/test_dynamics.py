"""The integer equations, one by one: saturation, the threshold ladder and its closed form, one step, the bias gate."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snn_deploy.arrays import Int64
from snn_deploy.errors import NetworkError
from snn_deploy.network import dynamics
from snn_deploy.network.cuba_lif import CubaLif
from snn_deploy.network.dynamics import advance, fire, fire_ladder, initialize_membrane, saturate, select_bias, transmit
from snn_deploy.network.kernels import ConvKernel, TransposedKernel, identity
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Connection
from snn_deploy.testing import random_unet


def test_saturation_is_symmetric_at_24_bits() -> None:
    assert STATE_MAX == 8_388_607
    values = np.array([-(2**40), -STATE_MAX - 1, -STATE_MAX, 0, STATE_MAX, STATE_MAX + 1, 2**40], np.int64)
    assert saturate(values).tolist() == [-STATE_MAX, -STATE_MAX, -STATE_MAX, 0, STATE_MAX, STATE_MAX, STATE_MAX]


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("levels", [1, 2, 4, 8])
@pytest.mark.parametrize("theta", [1, 2, 3, 7, 64, 100, 1023])
def test_the_ladder_of_thresholds_is_floor_division_for_every_membrane(theta: int, levels: int, strict: bool) -> None:
    """Every v from far below zero to far above the highest sum of thresholds, one by one."""
    v = np.arange(-3 * theta - 5, (2**levels + 3) * theta + 5, dtype=np.int64)
    closed = fire(v, np.array(theta), 0, 2**levels - 1, strict=strict)
    ladder = fire_ladder(v, np.array(theta), levels, strict=strict)
    assert np.array_equal(closed, ladder)
    assert closed.min() == 0
    assert closed.max() == 2**levels - 1


@pytest.mark.parametrize("strict", [False, True])
def test_the_ladder_equals_the_closed_form_over_the_whole_register(strict: bool) -> None:
    """All 2**24 - 1 membranes for the published four thresholds, theta = 64: 131 thousand thresholds wide."""
    for start in range(-STATE_MAX, STATE_MAX + 1, 2**20):
        v = np.arange(start, min(start + 2**20, STATE_MAX + 1), dtype=np.int64)
        assert np.array_equal(
            fire(v, np.array(64), 0, 15, strict=strict), fire_ladder(v, np.array(64), 4, strict=strict)
        )


@given(
    st.integers(-STATE_MAX, STATE_MAX),
    st.integers(1, STATE_MAX),
    st.integers(-300, 0),
    st.integers(1, 300),
    st.booleans(),
)
def test_the_payload_is_the_largest_multiple_of_theta_that_fits(
    v: int, theta: int, low: int, high: int, strict: bool
) -> None:
    k = int(fire(np.array([v]), np.array([theta]), low, high, strict=strict)[0])
    assert low <= k <= high
    rest = v - k * theta
    if low < k < high:
        assert (0 < rest <= theta) if strict else (0 <= rest < theta)
    elif k == high:
        assert rest > 0 if strict else rest >= 0 or k == low
    else:
        assert rest <= theta if strict else rest < theta


def test_strict_and_not_differ_exactly_at_multiples() -> None:
    v = np.arange(-50, 200, dtype=np.int64)
    loose, strict = (fire(v, np.array(10), -9, 15, strict=flag) for flag in (False, True))
    inside = (v % 10 == 0) & (v > -90) & (v <= 150)
    assert np.array_equal(loose - strict, inside.astype(np.int64))


def test_one_step_worked_by_hand() -> None:
    """theta 10, v 3, input 31: 34 // 10 = 3 spikes, 4 left; the count limit 5 leaves room for 2, so 14 stay."""
    neuron = MultiThreshold(np.array([10]), np.array([0]), -7, 7, 0, 5)
    v, count, payload = advance(neuron, _cell(3), _cell(0), _cell(31))
    assert (v.item(), count.item(), payload.item()) == (4, 3, 3)
    v, count, payload = advance(neuron, _cell(3), _cell(3), _cell(31))
    assert (v.item(), count.item(), payload.item()) == (14, 5, 2)


def test_a_reset_to_zero_leaves_nothing_and_only_where_something_was_sent() -> None:
    neuron = MultiThreshold(np.array([10]), np.array([0]), -7, 7, reset="zero")
    v = np.array([-31, -9, 0, 9, 34], np.int64).reshape(1, 1, 1, 5)
    v, _, payload = advance(neuron, v, np.zeros_like(v), np.zeros_like(v))
    assert payload.ravel().tolist() == [-4, -1, 0, 0, 3]
    assert v.ravel().tolist() == [0, 0, 0, 9, 0]


def test_a_signed_neuron_takes_spikes_back_but_never_more_than_it_sent() -> None:
    neuron = MultiThreshold(np.array([10]), np.array([0]), -7, 7, 0, 5)
    v, count, payload = advance(neuron, _cell(4), _cell(3), _cell(-27))
    assert (v.item(), count.item(), payload.item()) == (7, 0, -3)
    v, count, payload = advance(neuron, _cell(4), _cell(2), _cell(-60))
    assert (v.item(), count.item(), payload.item()) == (-36, 0, -2)


def test_the_state_saturates_before_the_neuron_fires() -> None:
    neuron = MultiThreshold(np.array([2**20]), np.array([0]), 0, 15)
    v, _, payload = advance(neuron, _cell(STATE_MAX), _cell(0), _cell(STATE_MAX))
    assert payload.item() == 7
    assert v.item() == STATE_MAX - 7 * 2**20


def test_thresholds_belong_to_channels() -> None:
    neuron = MultiThreshold(np.array([1, 10, 100]), np.zeros(3, np.int64), 0, 255)
    zeros = np.zeros((1, 3, 2, 2), np.int64)
    _, _, payload = advance(neuron, zeros, zeros, zeros + 200)
    assert payload[0, :, 1, 1].tolist() == [200, 20, 2]


def test_the_exponent_is_a_left_shift_of_either_sign() -> None:
    connection = Connection("c", "a", "b", identity(1, -3), exponent=4)
    assert transmit(connection, _cell(5)).item() == -240
    assert transmit(connection, _cell(-5)).item() == 240


def test_the_bias_enters_once_in_exact_mode_and_every_step_in_rate_mode() -> None:
    for mode, expected in (("exact", [False, False, True, False]), ("rate", [False, False, True, True])):
        network = random_unet(mode, size=8, width=2)  # type: ignore[arg-type]
        population = next(population for population in network.populations if population.start == 2)
        got = [select_bias(network, population, step) is not None for step in range(4)]
        assert got == expected
        assert select_bias(network, population, 2) is population.bias


def test_initial_membranes_are_v0_of_each_channel_and_writable() -> None:
    network = random_unet(size=8, width=2)
    population = network.population("enc2")
    v = initialize_membrane(population, 3)
    assert v.shape == (3, *population.shape)
    assert population.neuron is not None
    assert np.array_equal(v[2, :, 3, 0], population.neuron.v0)
    v += 1
    with pytest.raises(NetworkError, match=r"^input: the input has no membrane$"):
        initialize_membrane(network.input, 1)


def test_fit_pads_and_cuts() -> None:
    maps = np.arange(1, 10).reshape(1, 1, 3, 3)
    assert dynamics.pad(maps, (0, 1, -1, -2))[0, 0].tolist() == [[0, 1], [0, 4]]
    assert dynamics.pad(maps, (-1, 0, 1, 0))[0, 0].tolist() == [[4, 5, 6], [7, 8, 9], [0, 0, 0]]


def _cell(value: int) -> Int64:
    return np.full((1, 1, 1, 1), value, np.int64)


def test_membranes_are_read_and_left_as_they_were() -> None:
    v = np.array([7, 40, -3], np.int64)
    assert fire_ladder(v, np.array([2, 3, 4]), 3, strict=False).tolist() == [3, 7, 0]
    assert v.tolist() == [7, 40, -3]


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(
    ("beyond", "number"), [(-(2**30), np.float64), (0, np.float64), (1, np.int64), (2**51, np.int64)]
)
def test_sums_are_exact_in_either_number(beyond: int, number: type[np.generic], transposed: bool) -> None:
    """Odd payloads around the largest that float64 can sum: one bit lost anywhere shows."""
    rng = np.random.default_rng(beyond % 97)
    weight = rng.integers(-8, 9, (2, 3, 3, 2)).astype(np.int8)
    largest = 2**53 // int(np.abs(weight.astype(np.int64)).sum()) + beyond
    payload = rng.integers(-largest + 1, largest, (2, 2 if transposed else 3, 4, 5)) | 1
    payload[0, 0, 0, 0] = largest
    assert dynamics._choose_number(weight, payload) == number
    assert dynamics._choose_number(weight, -payload) == number
    kernel = TransposedKernel(weight) if transposed else ConvKernel(weight)
    _, channels, height, width = payload.shape
    expected = np.full((2, *kernel.output_shape((channels, height, width))), 0, dtype="object")  # Python's integers
    for o, i, h, w in np.ndindex(*weight.shape):
        tap = int(weight[o, i, h, w])
        for b, y, x in np.ndindex(2, *(payload if transposed else expected).shape[2:]):
            if transposed:
                expected[b, i, y + h, x + w] += tap * int(payload[b, o, y, x])
            else:
                expected[b, o, y, x] += tap * int(payload[b, i, y + h, x + w])
    assert dynamics.apply(kernel, payload).tolist() == expected.tolist()


@given(
    st.integers(-STATE_MAX, STATE_MAX),
    st.integers(1, STATE_MAX),
    st.integers(0, 300),
    st.booleans(),
    st.sampled_from(["subtract", "zero"]),
    st.sampled_from([(None, None), (0, 5), (-3, 4)]),
)
def test_a_neuron_that_settles_stays_as_it_is(
    v: int, theta: int, count: int, strict: bool, reset: str, limits: tuple[int | None, int | None]
) -> None:
    """What the reference backend relies on when it leaves out steps without input."""
    low, high = limits
    second = np.full((1, 1, 1, 1), count if low is None or high is None else max(low, min(high, count)))
    neuron = MultiThreshold(
        np.array([theta]),
        np.array([0]),
        -9,
        9,
        low,
        high,
        strict=strict,
        reset=reset,  # type: ignore[arg-type]
    )
    assert neuron.settles
    state, second, payload = advance(neuron, np.full((1, 1, 1, 1), v), second, np.zeros((1, 1, 1, 1), np.int64))
    if not payload.any():
        again, counted, sent = advance(neuron, state, second, np.zeros_like(state))
        assert (again.item(), counted.item(), sent.item()) == (state.item(), second.item(), 0)


def test_a_neuron_that_leaks_does_not_settle() -> None:
    leaky = CubaLif.of(np.array([64 * 20]), np.array([0]), current_decay=2000, voltage_decay=100)
    assert not leaky.settles
