"""What numba caches on disk must stay readable after a class of ours is renamed: no signature names one."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from snn_deploy.network.kernels import ConvKernel
from snn_deploy_cpu.conv.autotune import Autotuner
from snn_deploy_cpu.conv.compiled import ConvTask
from snn_deploy_cpu.conv.geometry import Convolution
from snn_deploy_cpu.conv.payload_stats import PayloadStats

types = pytest.importorskip("numba.core.types")
Dispatcher = pytest.importorskip("numba.core.dispatcher").Dispatcher

KERNELS = ("direct_conv", "pixel_shuffle", "sparse_conv", "threshold", "upsampled_conv")


CONVOLUTIONS = {"convolve", "convolve_events", "convolve_words"}


def test_compiled_functions_take_no_named_tuples() -> None:
    if not {name for name, _ in signatures_of_kernels()} >= CONVOLUTIONS:
        compile_convolutions()
    signatures = signatures_of_kernels()
    assert {name for name, _ in signatures} >= CONVOLUTIONS
    assert [
        (name, kinds) for name, kinds in signatures if any(isinstance(kind, types.BaseNamedTuple) for kind in kinds)
    ] == []


def compile_convolutions() -> None:
    """A convolution and one fused with the upsampling before it, each by every kernel, as wide as in most other tests."""
    conv = Convolution.of(ConvKernel(np.ones((1, 4, 3, 3), np.int8), pads=(1, 1, 1, 1)))
    fused = conv.upsampled(2)
    assert fused is not None
    x = np.ones((1, 6, 6, 4), np.uint8)
    tasks = (
        ConvTask("source", conv, np.float32(1), (6, 6)),
        ConvTask("source", fused[0], np.float32(1), (12, 12), fused[1]),
    )
    for task in tasks:
        for candidate in Autotuner(task).candidates(x, PayloadStats.of(x)):
            candidate.accumulate(None, x, 0, 6)


def signatures_of_kernels() -> list[tuple[str, Any]]:
    """Every signature that was compiled here, or that numba has on disk, with the name of its function."""
    found = []
    for module in KERNELS:
        for name, function in vars(import_module(f"snn_deploy_cpu.kernels.{module}")).items():
            if isinstance(function, Dispatcher):
                # what other compiled functions call is loaded with them, and then stands in the index on disk only
                found += [(name, kinds) for kinds in {*function.signatures, *(key[0] for key in index(function))}]
    return found


def index(function: Any) -> Iterable[Any]:
    """Keys of the overloads of ``function`` that numba has on disk, the arguments first."""
    file = getattr(function._cache, "_cache_file", None)
    return () if file is None else file._load_index()
