"""Lava's own neurons by hand: thresholds, biases and limits for every kind of layer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from snn_deploy.conversion.layers import Kind, Layer, LayerInput
from snn_deploy.conversion.options import Options, preset
from snn_deploy.conversion.stock import (
    BIAS_EXPONENT_MAX,
    HEADROOM,
    LIF_BIAS_MAX,
    LIF_THETA_MAX,
    MANTISSA_MAX,
    NETX_SUM_MAX,
    make_stock_neuron,
    round_to_mantissas,
)
from snn_deploy.errors import ConversionError, UnitError
from snn_deploy.graph.ops import Conv
from snn_deploy.network.cuba_lif import CubaLif
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.neuron import StockNeuron
from snn_deploy.network.sigma_delta import SigmaDelta

LIF, SIGMA_DELTA = preset("lif", steps=10), preset("sigma-delta", levels=100)


def layer(kind: Kind, weight: float = 0.25) -> Layer:
    """Two channels that read one operator; weights of 1/4 are those of an average pool."""
    op = Conv(np.full((2, 1, 2, 2), weight), np.zeros(2), (2, 2), groups=2)
    return Layer("here", kind, (2, 3, 3), (LayerInput("in", "source", op, ()),), np.zeros((2, 1, 1)), ())


def neuron(kind: Kind, options: Options, *, theta: list[float], bias: list[float], weight: float = 0.25) -> StockNeuron:
    return make_stock_neuron(
        layer(kind, weight), np.array(theta), np.array(bias)[:, None, None], (-30, 20), (-70, 50), options
    )


@pytest.mark.parametrize(
    ("kind", "theta", "bias", "half", "offset", "shift", "counts"),
    [
        ("relu", [8.0, 8.0], [1.5, -2.0], True, [12 + 4, -16 + 4], 3, (0, 400)),
        ("relu", [8.0, 8.0], [1.5, -2.0], False, [12, -16], 3, (0, 400)),
        ("relu", [1.0, 1.0], [1.4, -2.0], True, [1, -2], 0, (0, 400)),
        ("linear", [2.0, 2.0], [0.0, 3.0], True, [1, 7], 1, (-400, 400)),
    ],
)
def test_sigma_delta_neurons_round_to_the_nearest_count(
    kind: Kind,
    theta: list[float],
    bias: list[float],
    half: bool,
    offset: list[int],
    shift: int,
    counts: tuple[int, int],
) -> None:
    expected = SigmaDelta.of(
        np.array(offset), shift=shift, payloads=(-400, 400), counts=counts, rectify=kind != "linear"
    )
    found = neuron(kind, replace(SIGMA_DELTA, half_start=half), theta=theta, bias=bias)
    assert same(found, expected)


def same(found: object, expected: object) -> bool:
    assert type(found) is type(expected)
    pairs = [(getattr(found, name), getattr(expected, name)) for name in vars(expected)]
    return all(np.array_equal(left, right) if isinstance(left, np.ndarray) else left == right for left, right in pairs)


@pytest.mark.parametrize(
    ("kind", "options", "bias", "offset", "payload", "counts"),
    [
        ("output", SIGMA_DELTA, [2.0, -3.0], [2, -3], 33, (-73, 53)),
        ("relay", SIGMA_DELTA, [0.0, 0.0], [0, 0], 30, (-70, 50)),
        ("rectified relay", SIGMA_DELTA, [0.0, 0.0], [0, 0], 30, (0, 50)),
        ("output", LIF, [2.0, -3.0], [20, -30], 60, None),
    ],
)
def test_relays_and_read_outs_forward_whole_sums(
    kind: Kind, options: Options, bias: list[float], offset: list[int], payload: int, counts: tuple[int, int] | None
) -> None:
    expected = SigmaDelta.of(
        np.array(offset), shift=0, payloads=(-payload, payload), counts=counts, rectify=kind == "rectified relay"
    )
    assert same(neuron(kind, options, theta=[1.0, 1.0], bias=bias, weight=1.0), expected)


@pytest.mark.parametrize(("step", "payload"), [((-30, 20), 31), ((-20, 30), 31), ((0, 0), 1)])
def test_payloads_of_sums_hold_the_larger_end(step: tuple[int, int], payload: int) -> None:
    found = make_stock_neuron(layer("output"), np.ones(2), np.ones((2, 1, 1)), step, (-70, 50), SIGMA_DELTA)
    assert (found.payload_min, found.payload_max) == (-payload, payload)


def test_a_layer_may_have_one_channel() -> None:
    one = Layer("here", "relu", (1, 3, 3), (), np.zeros((1, 1, 1)), ())
    found = make_stock_neuron(one, np.array([8.0]), np.ones((1, 1, 1)), (0, 1), (0, 1), SIGMA_DELTA)
    assert same(found, SigmaDelta.of(np.array([12]), shift=3, payloads=(-400, 400), counts=(0, 400)))


def test_limits_of_sums_stay_in_24_bits() -> None:
    wide = make_stock_neuron(
        layer("output"), np.ones(2), np.full((2, 1, 1), 9.0), (-5, STATE_MAX), (-STATE_MAX, STATE_MAX - 3), SIGMA_DELTA
    )
    assert (wide.payload_min, wide.payload_max) == (-STATE_MAX, STATE_MAX)
    assert (wide.count_min, wide.count_max) == (-STATE_MAX, STATE_MAX)


@pytest.mark.parametrize(("kind", "weight"), [("relu", 1.0), ("relay", 0.25)])
def test_lif_neurons_have_64_times_the_threshold_and_bias(kind: Kind, weight: float) -> None:
    expected = CubaLif.of(np.array([640, 128]), np.array([960, -64]), current_decay=4096, voltage_decay=0)
    assert same(neuron(kind, LIF, theta=[10.0, 2.0], bias=[1.5, -0.5], weight=weight), expected)


@pytest.mark.parametrize(
    ("kind", "weight", "reason"),
    [
        ("rectified relay", 1.0, "the maximum of a pool"),
        ("linear", 1.0, "a sum that may be negative or above one spike"),
        ("relay", 1.0, "a sum that may be negative or above one spike"),
    ],
)
def test_what_single_spikes_cannot_say_is_refused(kind: Kind, weight: float, reason: str) -> None:
    message = f"^here: {reason} cannot be sent in single spikes of Lava's LIF; use the neuron .*, or average pooling$"
    with pytest.raises(ConversionError, match=message):
        neuron(kind, LIF, theta=[1.0, 1.0], bias=[0.0, 0.0], weight=weight)


@pytest.mark.parametrize(("bias", "fits"), [(8190.0, True), (8190.5, False), (-9000.0, True)])
def test_biases_that_lif_cannot_hold_are_refused(bias: float, fits: bool) -> None:
    """4095 * 2**7 / 64 = 8190; a silent channel's bias is clipped there."""
    if fits:
        found = neuron("relu", LIF, theta=[1.0, 1.0], bias=[bias, 0.0])
        assert found.offset.tolist() == [max(bias, -8190) * 64, 0]
        return
    with pytest.raises(
        UnitError, match=r"^here: a bias of .* units of the current; Lava's LIF holds 8190, use .*$"
    ) as caught:
        neuron("relu", LIF, theta=[1.0, 1.0], bias=[bias, 0.0])
    assert (caught.value.layer, caught.value.excess) == ("here", bias / 8190)


def test_biases_of_lava_dl_are_whole_mantissas() -> None:
    """At most 4095 units of the current; a more negative one is clipped."""
    netx = preset("netx", steps=10)
    found = neuron("relu", netx, theta=[1.0, 1.0], bias=[4095.0, -9000.0])
    assert found.offset.tolist() == [4095 * 64, -4095 * 64]
    with pytest.raises(UnitError, match=r"Lava's LIF holds 4095, use") as caught:
        neuron("relu", netx, theta=[1.0, 1.0], bias=[8190.0, 0.0])
    assert caught.value.excess == 2.0
    assert (LIF_BIAS_MAX, LIF_THETA_MAX, NETX_SUM_MAX) == (8190, 65_536, 131_071)
    assert (MANTISSA_MAX, BIAS_EXPONENT_MAX, HEADROOM) == (4095, 7, 4)


def test_a_bias_for_each_pixel_is_refused() -> None:
    for shape in ((2, 3, 3), (2, 1, 3)):
        with pytest.raises(ConversionError, match=r"^here: a bias for each pixel; .*; use the preset exact$"):
            make_stock_neuron(layer("relu"), np.ones(2), np.zeros(shape), (0, 1), (0, 1), SIGMA_DELTA)


def test_biases_beyond_64_bits_are_refused() -> None:
    with pytest.raises(ConversionError, match=r"^here: biases in units of the state: "):
        neuron("relu", SIGMA_DELTA, theta=[1.0, 1.0], bias=[1e30, 0.0])


@pytest.mark.parametrize(
    ("values", "rounded"),
    [
        ([0.0, 0.0], [0, 0]),
        ([0.0, 0.4], [0, 0]),
        ([4095.0, 1.6], [4095, 2]),
        ([4096.0, 1.6], [4096, 2]),
        ([4097.0, 3.0], [4096, 4]),  # ties to even, in steps of 2
        ([-8190.0, 1.1], [-8190, 2]),
        ([8191.0, 1.1], [8192, 0]),
        ([4095.0 * 128, 64.0], [4095 * 128, 0]),
        ([-1e9, 65.0], [-4095 * 128, 128]),
    ],
)
def test_mantissas_have_13_bits_and_one_exponent(values: list[float], rounded: list[int]) -> None:
    assert round_to_mantissas(np.array(values)).tolist() == rounded
