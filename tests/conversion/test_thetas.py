"""Which threshold is chosen, by hand: candidates, caps, ties, and the exponents that they leave."""

from __future__ import annotations

import numpy as np
import pytest

from snn_deploy.arrays import Array
from snn_deploy.conversion.quantize import (
    FILL,
    FINE,
    OCTAVE,
    NormalizedInput,
    Quantized,
    _block,
    greatest_sum,
    quantize,
    quantize_output,
    quantize_relay,
)
from snn_deploy.errors import ConversionError, UnitError
from snn_deploy.graph.ops import Conv, ConvTranspose, Resample
from snn_deploy.network.kernels import SpatialKernel


def single(*weights: float) -> NormalizedInput:
    """One weight for each channel of the target, all from one source that sends noise of variance 1."""
    return mixing(np.array(weights).reshape(-1, 1))


def mixing(weight: Array) -> NormalizedInput:
    """A pointwise convolution, ``weight`` (outputs, inputs)."""
    outputs, inputs = weight.shape
    op = Conv(weight.reshape(outputs, inputs, 1, 1), np.zeros(outputs))
    return NormalizedInput("w", op, np.zeros(inputs), np.ones(inputs))


def weights(quantized: Quantized, place: int = 0) -> list[int]:
    kernel = quantized.kernels[place]
    assert not isinstance(kernel, SpatialKernel)
    return kernel.weight.ravel().tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize(("size", "exponent", "weight"), [(127.4, 0, 127), (127.6, 1, 64), (254.9, 1, 127)])
def test_the_largest_weight_may_be_rounded_down_into_the_limit(size: float, exponent: int, weight: int) -> None:
    quantized = quantize("layer", [single(size)], 1, 8)
    assert (quantized.theta.tolist(), quantized.exponents, weights(quantized)) == ([1.0], (exponent,), [weight])


SIXTEENTHS = single(127 / 16, 127 / 512)
COPIES = NormalizedInput("up", Resample(np.eye(4), np.eye(4)), np.zeros(2), np.ones(2))


def test_channels_share_a_threshold_where_they_must() -> None:
    """A resampling has one set of weights for all channels; else it must be asked for."""
    assert quantize("layer", [SIXTEENTHS], 2, 8).theta.tolist() == [16.0, 512.0]
    assert quantize("layer", [SIXTEENTHS], 2, 8, uniform=True).theta.tolist() == [16.0, 16.0]
    assert quantize("layer", [SIXTEENTHS, COPIES], 2, 8).theta.tolist() == [16.0, 16.0]
    assert quantize("layer", [COPIES], 2, 8).theta.tolist() == [64.0, 64.0]


@pytest.mark.parametrize(
    ("sizes", "theta", "exponents"),
    [
        # the first fills its 8 bits at 2**10, where the second would need an exponent of 16; one bit less is better than none
        ((127 * 2.0**-10, 127 * 2.0**6), 512.0, (0, 15)),
        # a threshold of 2 would serve the second, but none below 2**8 fills its bits, and there the first would need 17
        ((127 * 2.0**9, 127 * 2.0**-8), 1.0, (9, 0)),
        ((127 * 2.0**15,), 1.0, (15,)),
    ],
)
def test_thresholds_of_unequal_connections(sizes: tuple[float, ...], theta: float, exponents: tuple[int, ...]) -> None:
    quantized = quantize("layer", [single(size) for size in sizes], 1, 8)
    assert (quantized.theta.tolist(), quantized.exponents) == ([theta], exponents)


def test_weights_that_no_exponent_holds_ask_for_a_larger_unit() -> None:
    with pytest.raises(
        UnitError, match=r"^layer: weights of 8\.32e\+06 in counts, more than 127 \* 2\*\*15; use fewer"
    ) as caught:
        quantize("layer", [single(127 * 2.0**16)], 1, 8)
    assert (caught.value.layer, caught.value.excess) == ("layer", 2.0)


def test_integer_thresholds_are_those_of_least_noise_in_each_channel() -> None:
    """No power of two: weights of 1/3 and 1/5 in counts are exact at multiples of 3 and of 5."""
    quantized = quantize("layer", [single(1 / 3, 1 / 5)], 2, 5, integer=True)
    assert [theta % fraction for theta, fraction in zip(quantized.theta, (3, 5), strict=True)] == [0, 0]


def test_a_cap_is_not_exceeded() -> None:
    assert quantize("layer", [single(127 / 16)], 1, 8, 4.0).theta.tolist() == [4.0]
    assert quantize("layer", [SIXTEENTHS], 2, 8, np.array([4.0, 1024.0])).theta.tolist() == [4.0, 512.0]


def test_an_octave_is_divided_into_24() -> None:
    np.testing.assert_allclose(OCTAVE, [2.0 ** (step / 24) for step in range(24)], rtol=1e-15)


@pytest.mark.parametrize(
    ("sources", "cap", "theta"),
    [
        # all weights are rounded without error at 127, and at every power of two; the first of these below the cap is taken
        ([single(1.0)], np.inf, [127.0]),
        ([single(1.0)], 100.0, [1.0]),
        # above every cap: each channel has its own, at which the second is rounded without error
        ([single(1.0, 0.3)], np.array([0.5, 50.0]), [0.5, 50.0]),
        # nothing to scale: the bias alone decides, where there is one
        ([single(0.0, 0.0)], np.inf, [1.0, 1.0]),
        ([single(0.0, 0.0)], np.array([5.0, np.inf]), [5.0, 1.0]),
        ([single(1.0, 0.0)], np.array([100.0, 9.0]), [1.0, 9.0]),
        ([single(1.0, 0.0)], np.inf, [127.0, 127.0]),
    ],
)
def test_read_outs_take_the_first_scale_of_least_error(
    sources: list[NormalizedInput], cap: float | Array, theta: list[float]
) -> None:
    assert quantize_output("out", sources, len(theta), 8, cap).theta.tolist() == theta


def test_an_identity_has_zeros_beside_its_ones() -> None:
    head = mixing(np.random.default_rng(0).normal(0, 1e-4, (2, 6)))
    quantized = quantize_output("out", [mixing(0.3 * np.eye(2)), head], 2, 8)
    found = np.array(weights(quantized)) * 2.0 ** quantized.exponents[0] / quantized.theta.repeat(2)
    np.testing.assert_allclose(found, [0.3, 0.0, 0.0, 0.3], rtol=1e-12)


def test_an_identity_may_take_the_largest_exponent() -> None:
    """101 / 2**21 is odd there, so both are exact at 2**21 only: 64 << 15, and 101."""
    quantized = quantize_output("out", [single(1.0), single(101 * 2.0**-21)], 1, 8)
    assert (quantized.theta.tolist(), quantized.exponents, quantized.noise) == ([2.0**21], (15, 0), 0.0)
    assert (weights(quantized), weights(quantized, 1)) == ([64], [101])


def brute_force(weight: Array, cap: float, bits: int) -> Array:
    """The integer threshold of least error in each channel of one connection, of all candidates, by trying them one by one."""
    limit = 2 ** (bits - 1) - 1
    largest = np.abs(weight).max(1)
    candidates: list[tuple[float, Array, int]] = []

    def add(theta: Array, exponent: int) -> Array:
        rounded = np.clip(np.rint(weight * theta[:, None] / 2.0**exponent), -limit, limit)
        errors = np.square(rounded * 2.0**exponent / theta[:, None] - weight).sum(1)
        candidates.append((float(errors.sum()), theta, exponent))
        return errors  # type: ignore[no-any-return]

    def exponent_for(theta: Array) -> int:
        exponent = 0
        while float((largest * theta).max()) > (limit + 0.499) * 2**exponent:
            exponent += 1
        return exponent

    power = np.minimum(2.0 ** np.clip(np.floor(np.log2(limit / largest)), 0, 22), np.floor(cap))
    add(power, exponent_for(power))
    half = np.maximum(power / 2, 1.0)
    add(half, exponent_for(half))
    most = min(np.floor(cap), 2.0**22)
    for fine in (0, 2, 4):
        ideal = limit * 2.0**fine / largest
        best = np.clip(np.floor(ideal), 1, most)
        exponent = exponent_for(best)
        least = add(best, exponent)
        candidates.pop()
        for step in range(19):
            fill = 0.8 * 2.5 ** (step / 18)
            theta = np.clip(np.rint(ideal * fill), 1, most)
            errors = add(theta, exponent)
            candidates.pop()
            best, least = np.where(errors < least, theta, best), np.minimum(errors, least)
        add(best, exponent)
    return min(candidates, key=lambda each: each[0])[1]


@pytest.mark.parametrize("bits", [3, 4, 6])
@pytest.mark.parametrize("cap", [np.inf, 40.5])
@pytest.mark.parametrize("seed", range(4))
def test_integer_thresholds_against_all_candidates(seed: int, cap: float, bits: int) -> None:
    weight = np.random.default_rng(seed).normal(0, 0.3, (3, 5))
    found = quantize("layer", [mixing(weight)], 3, bits, cap, integer=True)
    assert found.theta.tolist() == brute_force(weight, cap, bits).tolist()


def test_thresholds_have_at_most_22_bits() -> None:
    assert quantize("layer", [single(2.0**-40)], 1, 8).theta.tolist() == [2.0**22]
    assert quantize("layer", [single(127 * 2.0**-22)], 1, 8).theta.tolist() == [2.0**22]
    assert quantize("layer", [single(127 * 2.0**-21)], 1, 8).theta.tolist() == [2.0**21]
    assert (FINE, FILL.size, FILL[0], FILL[-1]) == ((0, 2, 4), 19, 0.8, 2.0)


@pytest.mark.parametrize(
    ("weight", "fits"),
    [(127.0, True), (128.0, False), (1 + 9e-10, True), (1 + 2e-9, False), (-127.0, True), (0.5, False)],
)
def test_relays_have_integers_of_8_bits(weight: float, fits: bool) -> None:
    if fits:
        relay = quantize_relay("relay", [single(weight)], 1)
        assert (relay.theta.tolist(), relay.exponents, weights(relay)) == ([1.0], (0,), [round(weight)])
        return
    with pytest.raises(
        ConversionError, match=r"^relay: a relay's weights must be integers of at most 127; w has others$"
    ):
        quantize_relay("relay", [single(weight)], 1)


def test_the_greatest_sum_takes_the_better_end() -> None:
    """Weights 2 and -3 of payloads -5 to 7, and 4 of 0 to 1: 14 + 15 + 4."""
    sources = [mixing(np.array([[2.0, -3.0]])), mixing(np.array([[4.0]]))]
    assert greatest_sum(sources, 1, [(-5, 7), (0, 1)]).tolist() == [33.0]


def test_blocks_have_the_statistics_of_their_groups() -> None:
    """Two groups of two inputs and two outputs each; a transposed convolution spreads an input over four pixels."""
    mean, power = np.array([1.0, 2.0, 3.0, 4.0]), np.array([10.0, 20.0, 30.0, 40.0])
    conv = NormalizedInput("c", Conv(np.ones((4, 2, 1, 1)), np.zeros(4), groups=2), mean, power)
    block = _block(conv, 4)
    assert (block.mean.tolist(), block.power.tolist()) == (
        [[1, 2], [1, 2], [3, 4], [3, 4]],
        [[10, 20]] * 2 + [[30, 40]] * 2,
    )
    assert block.places == 1
    weight = np.arange(8.0).reshape(4, 2, 1, 1)
    up = _block(NormalizedInput("u", ConvTranspose(weight, np.zeros(4), (2, 3), groups=2), mean, power), 4)
    assert up.weight[:, :, 0].tolist() == [[0, 2], [1, 3], [4, 6], [5, 7]]
    assert (up.places, up.mean.tolist()) == (6, block.mean.tolist())
