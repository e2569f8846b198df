"""A network as the chip runs it: weights without exponents, no delays, and every number within 24 bits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from snn_deploy.arrays import Int64
from snn_deploy.backend.protocol import Record
from snn_deploy.backend.registry import load_backend
from snn_deploy.errors import BackendUnavailableError, NetworkError
from snn_deploy.network.bounds import bound_population
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.schedule import shuffle, undelay
from snn_deploy.testing import random_stimulus, random_unet
from snn_deploy_lava.chip_layout import PARTS_MAX, lay_out
from snn_deploy_lava.chip_processes import describe_layout, list_processes
from snn_deploy_lava.runtime.chip_weights import split_offset, split_weights
from tests.backends.lava.test_stock import leaky, stock_unet


def assert_held(part: Int64) -> None:
    """As lava's ``weightutils`` stores weights of 8 bits."""
    mixed = part.min() < 0 < part.max()
    assert np.abs(part).max() <= (254 if mixed else 255)
    assert not (mixed and np.any(part % 2))


@pytest.mark.parametrize("exponent", range(9))
@pytest.mark.parametrize("limits", [(-128, 128), (0, 128), (-128, 1), (0, 1)])
def test_parts_of_a_kernel(limits: tuple[int, int], exponent: int) -> None:
    weight = np.random.default_rng(exponent).integers(*limits, (4, 3, 3, 2)).astype(np.int8)
    parts = split_weights(weight, exponent)
    assert np.array_equal(sum(parts), weight.astype(np.int64) << exponent)
    for part in parts:
        assert_held(part)
    most = int(np.abs(weight.astype(int)).max()) << exponent
    assert len(parts) <= -(-max(most, 1) // 254) + 1


def test_odd_weights_of_mixed_sign_are_one_of_each_and_share_no_place() -> None:
    parts = split_weights(np.array([[[[3, -5, 0, 8]]]]), 0)
    assert [part.ravel().tolist() for part in parts] == [[3, 0, 0, 8], [0, -5, 0, 0]]
    assert len(split_weights(np.array([[[[3, -5, 0, 8]]]]), 1)) == 1


@pytest.mark.parametrize("seed", range(3))
def test_digits_of_a_bias(seed: int) -> None:
    offset = np.random.default_rng(seed).integers(-(2**24), 2**24, 20)
    digits = split_offset(offset)
    assert np.array_equal(sum(payload * weights for payload, weights in digits), offset)
    assert all(np.abs(weights).max() < 128 for _, weights in digits)
    assert split_offset(np.zeros(3, np.int64)) == ()


def test_without_delays_every_event_is_the_same_where_neurons_send_at_once() -> None:
    network = random_unet("exact", 0, size=8)
    assert network.one_shot
    early, stimulus = undelay(network), random_stimulus(network, 0)
    assert {connection.delay for connection in early.connections} == {1}
    expected, found = (load_backend("reference").run(each, stimulus, Record.TRAINS) for each in (network, early))
    for name, trains in (expected.trains or {}).items():
        assert np.array_equal((found.trains or {})[name], trains), name


@pytest.mark.parametrize("payload", [1, 2])
def test_without_delays_counts_are_the_same(payload: int) -> None:
    network = random_unet("exact", 2, size=8, levels=3, payload=payload)
    assert network.steps > 1
    stimulus = random_stimulus(network, 0)
    expected, found = (load_backend("reference").run(each, stimulus).counts for each in (network, undelay(network)))
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


def test_what_depends_on_delays_keeps_them() -> None:
    for network in (random_unet("rate", 0, size=8), stock_unet("sigma-delta", 0)):
        assert lay_out(network).network == network
    with pytest.raises(NetworkError, match=r"only exact-mode counts are independent of the schedule; "):
        undelay(random_unet("rate", 0, size=8))
    with pytest.raises(NetworkError, match=r"only an aligned network can lose its delays; align it first$"):
        undelay(shuffle(random_unet("exact", 0, size=8), seed=0))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("mode", ["exact", "rate"])
def test_doubled_numbers_stay_within_24_bits(mode: str, seed: int) -> None:
    network = random_unet(mode, seed, size=8, steps=6)  # type: ignore[arg-type]  # a mode
    layout = lay_out(network)
    for population in network.populations[1:]:
        bound = bound_population(network, population)
        assert layout.plan.scales[population.name] in (0, 1)
        if layout.plan.scales[population.name]:
            assert 2 * max(bound.current, bound.membrane or 0) <= STATE_MAX
    assert all(count <= PARTS_MAX for count in layout.split.values())
    assert list_processes(layout).count("MultiThreshold") == 1
    own = {"RingBuffer", "Recorder", "MultiThreshold"}
    assert (
        not {name for name in list_processes(layout) if name in ("Correlate", "Transpose", "SumPixels", "Delay", *own)}
        - own
    )


def test_what_a_readme_says_of_stock_networks() -> None:
    layout = lay_out(stock_unet("sigma-delta", 0))
    assert "MultiThreshold" not in list_processes(layout)
    text = describe_layout(layout)
    assert "a team brings no model" in text
    assert "Each image is a program of its own" in text


def test_inputs_wider_than_the_adapter_are_refused() -> None:
    network = random_unet("exact", 0, size=8)
    wide = replace(network, populations=(replace(network.input, input_max=2**15), *network.populations[1:]))
    with pytest.raises(
        BackendUnavailableError, match=r"^input: payloads .*; the adapter before Conv carries 16 bits: convert"
    ):
        lay_out(wide)


def test_sigma_delta_neurons_behind_leaky_ones_are_refused() -> None:
    network = stock_unet("sigma-delta", 0)
    rng = np.random.default_rng(0)
    mixed = replace(
        network,
        populations=tuple(
            replace(each, neuron=leaky(rng, each.shape[0], 100)) if each.name == "enc1/a" else each
            for each in network.populations
        ),
    )
    with pytest.raises(
        BackendUnavailableError, match=r"adds up what enc1/a fires before its image, .* one kind of neuron$"
    ):
        lay_out(mixed)
