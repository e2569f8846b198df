"""Direct convolutions of several sources at once against the sum of each by itself."""

from __future__ import annotations

import numpy as np
import pytest

from snn_deploy.network.kernels import ConvKernel
from snn_deploy_cpu.conv.compiled import ConvTask, PayloadType
from snn_deploy_cpu.conv.direct import DirectConv, JoinedConv
from snn_deploy_cpu.conv.geometry import Convolution, Maps
from snn_deploy_cpu.conv.sparse import SparseConv
from snn_deploy_cpu.executor import Addend
from snn_deploy_cpu.kernels.arguments import Currents
from snn_deploy_cpu.kernels.library import Kernels

FORMATS: tuple[PayloadType, ...] = (np.uint8, np.int8, np.int16)
LIMITS: dict[PayloadType, tuple[int, int]] = {np.uint8: (0, 9), np.int8: (-9, 9), np.int16: (-300, 300)}


def part(
    rng: np.random.Generator,
    kernels: Kernels,
    channels: int,
    outputs: int,
    kind: PayloadType,
    *,
    scale: float = 0.5,
    pad: int = 2,
) -> tuple[DirectConv, Maps]:
    """A convolution of a map of 9x11 and ``channels``, and payloads in the range of ``kind``, some rows of them 0."""
    weight = rng.integers(-127, 128, (outputs, channels, 3, 3)).astype(np.int8)
    conv = Convolution.of(ConvKernel(weight, (2, 1), (pad,) * 4, (1, 2)))
    limits = LIMITS[kind]
    x = rng.integers(*limits, (2, 9, 11, channels), endpoint=True).astype(np.uint8 if kind is np.uint8 else np.int16)
    x[:, 3:5] = 0
    size = ((9 + 2 * pad - 3) // 2 + 1, 11 + 2 * pad - 4)
    found = DirectConv.within(
        kernels, ConvTask("source", conv, np.float32(scale), size), kind is not np.uint8, np.full(channels, limits[1])
    )
    assert found is not None
    return found, x


@pytest.mark.parametrize("seed", range(12))
def test_sums_are_those_of_each_source(seed: int, kernels: Kernels) -> None:
    rng = np.random.default_rng(seed)
    outputs = int(rng.integers(1, 70))
    kinds = [FORMATS[place] for place in rng.integers(0, 3, int(rng.integers(2, 5)))]
    parts = [part(rng, kernels, int(rng.integers(1, 20)), outputs, kind) for kind in kinds]
    joined = JoinedConv.of(tuple(conv for conv, _ in parts))
    assert joined is not None
    rows = joined.task.size[0]
    expected = np.add.reduce([conv.accumulate(None, x, 0, rows) for conv, x in parts])
    payloads = tuple(x for _, x in parts)
    np.testing.assert_array_equal(joined.accumulate(None, payloads, 0, rows), expected)
    np.testing.assert_array_equal(joined.accumulate(None, payloads, 1, rows, threads=3), expected[:, 1:])
    np.testing.assert_array_equal(joined.accumulate(expected.copy(), payloads, 0, rows), 2 * expected)


def test_what_differs_in_more_than_its_source_is_not_joined(kernels: Kernels) -> None:
    rng = np.random.default_rng(0)
    one, x = part(rng, kernels, 3, 4, np.uint8)
    same, scaled, padded = (part(rng, kernels, 3, 4, np.uint8, **each)[0] for each in ({}, {"scale": 1.0}, {"pad": 3}))
    operator = None
    assert JoinedConv.of((one, same)) is not None
    for other in (scaled, padded):
        assert JoinedConv.of((one, other)) is None
        addends = [Addend((x,), operator, conv) for conv in (one, other)]  # type: ignore[arg-type]
        assert Addend.joined(addends) is addends
    alone = [Addend((x,), operator, one)]  # type: ignore[arg-type]
    assert Addend.joined(alone) is alone
    library = [Addend((x,), operator, conv) for conv in (one, None)]  # type: ignore[arg-type]
    assert Addend.joined(library) is library


def test_other_kernels_have_one_source(kernels: Kernels) -> None:
    rng = np.random.default_rng(0)
    conv, x = part(rng, kernels, 3, 4, np.uint8)
    sparse = SparseConv.within(kernels, conv.task, False, np.full(3, 9))
    assert sparse is not None
    currents = Currents.of(np.empty((2, *conv.task.size, 4), np.float32), 0, 1.0, overwrite=True)
    with pytest.raises(ValueError, match="2 sources; it computes one"):
        kernels.convolve((x, x), (sparse.weights, sparse.weights), conv.task.conv.geometry, currents, None)
