"""The runtime's arithmetic against :mod:`snn_deploy.network.dynamics`; Lava is not needed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snn_deploy.arrays import Array
from snn_deploy.network import dynamics
from snn_deploy.network.kernels import ConvKernel, SpatialKernel, TransposedKernel
from snn_deploy_lava.runtime import axes
from snn_deploy_lava.runtime.arithmetic import Correlation, PixelSum, Transposition, encode_weights, fire, fire_ladder
from snn_deploy_lava.runtime.schedule import Clock

pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
pads = st.tuples(*[st.integers(-1, 2)] * 4)


def apply(kernel: ConvKernel | TransposedKernel, maps: Array, exponent: int) -> Array:
    process = Correlation if isinstance(kernel, ConvKernel) else Transposition
    run = process(
        axes.kernel_to_lava(kernel.weight),
        axes.pair_to_lava(kernel.strides),
        axes.pads_to_lava(kernel.pads),
        axes.pair_to_lava(kernel.dilations),
        kernel.groups,
        exponent,
    )
    return axes.maps_from_lava(run(axes.maps_to_lava(maps)))


@pytest.mark.parametrize("kind", [ConvKernel, TransposedKernel])
@settings(deadline=None, max_examples=80)
@given(
    size=st.tuples(st.integers(9, 11), st.integers(9, 11)),
    window=pair,
    strides=pair,
    pads=pads,
    gaps=pair,
    groups=st.sampled_from([1, 2, 4]),
    exponent=st.integers(0, 5),
    seed=st.integers(0, 2**16),
)
def test_convolutions_equal_the_specification(
    kind: type,
    size: tuple[int, int],
    window: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    gaps: tuple[int, int],
    groups: int,
    exponent: int,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    first, second = (8, 4 // groups) if kind is ConvKernel else (4, 8 // groups)
    kernel = kind(rng.integers(-128, 128, (first, second, *window)), strides, pads, gaps, groups)
    maps = rng.integers(-255, 256, (4, *size))
    expected = dynamics.apply(kernel, maps[None])[0] << exponent
    assert np.array_equal(apply(kernel, maps, exponent), expected)


def test_wide_maps_are_done_in_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snn_deploy_lava.runtime.arithmetic._BAND", 300)
    rng = np.random.default_rng(0)
    kernel = ConvKernel(rng.integers(-128, 128, (6, 2, 3, 3)).astype(np.int8), pads=(1, 1, 1, 1), groups=2)
    maps = rng.integers(-255, 256, (4, 13, 11))
    assert np.array_equal(apply(kernel, maps, 0), dynamics.apply(kernel, maps[None])[0])


def test_pixel_maps_equal_the_specification() -> None:
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 4, 7 * 5)
    indptr = np.concatenate([[0], np.cumsum(counts)])
    total = int(indptr[-1])
    kernel = SpatialKernel(
        (4, 6), (7, 5), indptr, rng.integers(0, 24, total), rng.integers(-128, 128, total).astype(np.int8)
    )
    maps = rng.integers(-255, 256, (3, 4, 6))
    run = PixelSum(
        axes.pixels_to_lava(kernel.rows, kernel.output_size),
        axes.pixels_to_lava(kernel.indices, kernel.input_size),
        kernel.data,
        axes.pair_to_lava(kernel.output_size),
        3,
    )
    got = axes.maps_from_lava(run(axes.maps_to_lava(maps)))
    assert np.array_equal(got, dynamics.apply(kernel, maps[None])[0] << 3)


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 15), (-63, 63), (-7, 30), (0, 255)])
def test_ladder_closed_form_and_specification_agree_for_every_membrane(low: int, high: int, strict: bool) -> None:
    theta = np.array([1, 3, 64], np.int64)
    v = np.arange(-3 * high * 4, 3 * high * 4, dtype=np.int64)[:, None]
    expected = dynamics.fire(v, theta, low, high, strict=strict)
    assert np.array_equal(fire(v, theta, low, high, strict=strict), expected)
    assert np.array_equal(fire_ladder(v, theta, low, high, strict=strict), expected)


def test_a_clock_counts_steps_of_an_image_from_its_onset() -> None:
    clock = Clock(onset=3, interval=4, images=2)
    assert [clock.image_step(step) for step in range(12)] == [0, 1, 2, 3, 4, 5, 6, 3, 4, 5, 6, 3]
    assert [clock.image(step) for step in range(12)] == [-1, -1, -1, 0, 0, 0, 0, 1, 1, 1, 1, 2]
    assert [clock.is_over(step) for step in (2, 3, 10, 11)] == [False, False, False, True]


def test_weights_are_doubled_where_signs_are_mixed_alone() -> None:
    mixed, positive, none = np.array([-128, 0, 127]), np.array([0, 127]), np.zeros(0, np.int64)
    assert [encode_weights(weights, 3)[1] for weights in (mixed, positive, -positive, none)] == [2, 3, 3, 3]
    assert np.array_equal(encode_weights(mixed, 3)[0], 2 * mixed)
    assert encode_weights(none, 3)[0].size == 0
