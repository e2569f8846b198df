"""Which libraries are installed and exact: each is tried once on worst-case operands before it is used.

What no proof about number formats can see is caught here: Winograd transforms, reduced precision switched on for the whole
process, an operator that a new release changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import numpy as np

from snn_deploy.network.kernels import ConvKernel
from snn_deploy_cpu.conv.float_conv import NumpyConvolution, OnnxRuntimeConvolution, Primitive
from snn_deploy_cpu.conv.geometry import Convolution, Maps


@cache
def select_float32() -> Callable[[Convolution], Primitive]:
    """The fastest float32 convolution that is installed and exact; NumPy's always is."""
    if _float_agrees(OnnxRuntimeConvolution):
        return OnnxRuntimeConvolution
    return lambda conv: NumpyConvolution(conv, np.float32)


def select_float64() -> Callable[[Convolution], Primitive]:
    """The float64 convolution."""
    return lambda conv: NumpyConvolution(conv, np.float64)


def _probes() -> Iterator[Convolution]:
    """Small convolutions that reach the different kernels of a library, two channels of extreme weights in each."""
    rng = np.random.default_rng(0)
    for inputs, outputs, size, groups in (
        (1, 8, 3, 1),
        (3, 16, 3, 1),
        (16, 16, 3, 1),
        (64, 32, 3, 1),
        (32, 64, 1, 1),
        (8, 8, 3, 2),
    ):
        weight = rng.integers(-128, 128, (outputs, inputs // groups, size, size)).astype(np.int8)
        # the largest sums of either sign, which saturating instructions would cut
        weight[0], weight[1] = 127, -128
        yield Convolution.of(ConvKernel(weight, pads=(size // 2,) * 4, groups=groups))


def _float_agrees(candidate: Callable[[Convolution], Primitive]) -> bool:
    try:
        for conv in _probes():
            worst = int(np.abs(conv.weight.astype(np.int64)).sum((1, 2, 3)).max())
            # just below what float32 holds: any rounding inside shows
            largest = (2**24 - 1) // worst
            exact, tried = NumpyConvolution(conv, np.float64), candidate(conv)
            for x in _operands(conv, -largest, largest):
                if not np.array_equal(tried(x, conv.pads), exact(x, conv.pads)):
                    return False
    except (ImportError, AttributeError, RuntimeError, TypeError):
        return False
    return True


def _operands(conv: Convolution, smallest: int, largest: int) -> Iterator[Maps]:
    """Maps of the largest payload, of the smallest, and of random ones; batches of 1 and of 20 take different paths."""
    rng = np.random.default_rng(1)
    channels = conv.weight.shape[1] * conv.groups
    for count in (1, 20):
        shape = (count, 6, 6, channels)
        yield np.full(shape, largest, np.int64)
        yield rng.integers(smallest, largest + 1, shape)
    yield np.full((1, 6, 6, channels), smallest, np.int64)
