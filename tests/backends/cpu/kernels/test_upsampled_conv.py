"""Convolutions of maps that repeat pixels, from single pixels, against the specification on the repeated map, with ``==``."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from snn_deploy.network.dynamics import apply
from snn_deploy.network.kernels import ConvKernel
from snn_deploy_cpu.conv.compiled import CompiledConv, ConvTask
from snn_deploy_cpu.conv.direct import DirectConv
from snn_deploy_cpu.conv.geometry import Convolution
from snn_deploy_cpu.conv.payload_stats import PayloadStats
from snn_deploy_cpu.conv.sparse import SparseConv
from snn_deploy_cpu.kernels.library import Kernels

SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    factor=st.integers(1, 3),
    size=SIZES,
    side=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    pads=st.tuples(*4 * [st.integers(-3, 4)]),
    channels=st.sampled_from([(1, 1), (12, 8), (40, 9), (150, 12)]),
    payload=st.sampled_from([1, 3, 100, 900]),
    signed=st.booleans(),
    lines=st.tuples(st.integers(0, 30), st.integers(1, 30)),
    seed=st.integers(0, 2**32 - 1),
)
def test_fused_upsampling(
    factor: int,
    size: tuple[int, int],
    side: tuple[int, int],
    pads: tuple[int, int, int, int],
    channels: tuple[int, int],
    payload: int,
    signed: bool,
    lines: tuple[int, int],
    seed: int,
    kernels: Kernels,
) -> None:
    rng, (outputs, inputs) = np.random.default_rng(seed), channels
    large = (factor * size[0], factor * size[1])
    pads = tuple(min(pad, length - 1) for pad, length in zip(pads, 2 * side, strict=True))  # type: ignore[assignment]
    for axis, length in enumerate(large):
        cut, added = min(pads[axis], 0) + min(pads[axis + 2], 0), pads[axis] + pads[axis + 2]
        if length + cut < 1 or length + added < side[axis]:
            reject()
    kernel = ConvKernel(rng.integers(-127, 128, (outputs, inputs, *side)).astype(np.int8), pads=pads)
    _, height, width = kernel.output_shape((inputs, *large))
    active = rng.random((3, *size, inputs)) < 0.4
    maps = rng.integers(-payload if signed else 0, payload + 1, active.shape) * active
    repeated = np.moveaxis(maps.repeat(factor, 1).repeat(factor, 2), -1, 1)
    expected = np.moveaxis(apply(kernel, repeated), 1, -1)

    found = Convolution.of(kernel).upsampled(factor)
    if found is None:
        pytest.fail("not fused")
    pointwise, upsampled = found
    task = ConvTask("source", pointwise, np.float32(0.5), (height, width), upsampled)
    narrow = maps.astype(np.int16 if payload > 255 or signed else np.uint8)
    first, last = lines[0] % height, min(height, lines[0] % height + lines[1])
    stats, kinds = PayloadStats.of(narrow), (DirectConv, SparseConv)
    paths: list[CompiledConv | None] = [kind.within(kernels, task, stats.signed, stats.magnitudes) for kind in kinds]
    for conv in paths:
        assert conv is not None
        sums = conv.accumulate(None, narrow, first, last)
        np.testing.assert_array_equal(2 * sums, expected[:, first:last])
        np.testing.assert_array_equal(conv.accumulate(sums, narrow, first, last), expected[:, first:last])
