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

KERNELS = ("direct_conv", "pixel_shuffle", "sparse_conv", "threshold", "upsampled_conv")


def test_compiled_functions_take_no_named_tuples() -> None:
    types = pytest.importorskip("numba.core.types")
    from numba.core.dispatcher import Dispatcher

    conv = Convolution.of(ConvKernel(np.ones((8, 4, 3, 3), np.int8), pads=(1, 1, 1, 1)))
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
    named, functions = [], 0
    for module in KERNELS:
        for name, function in vars(import_module(f"snn_deploy_cpu.kernels.{module}")).items():
            if not isinstance(function, Dispatcher):
                continue
            # what other compiled functions call is loaded with them, and then stands in the index on disk only
            signatures = {*function.signatures, *(key[0] for key in index(function))}
            functions += bool(signatures)
            named += [(name, kind) for kinds in signatures for kind in kinds if isinstance(kind, types.BaseNamedTuple)]
    assert functions > 5
    assert not named


def index(function: Any) -> Iterable[Any]:
    """Keys of the overloads of ``function`` that numba has on disk, the arguments first."""
    file = getattr(function._cache, "_cache_file", None)
    return () if file is None else file._load_index()
