"""Threads of the kernels share out rows: the same integers, whoever computes them, in children and beside other callers."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from snn_deploy.arrays import Array
from snn_deploy.network.kernels import ConvKernel
from snn_deploy_cpu.conv.compiled import ConvTask
from snn_deploy_cpu.conv.direct import DirectConv
from snn_deploy_cpu.conv.geometry import Convolution
from snn_deploy_cpu.kernels.library import Kernels, select_kernels


def convolution(kernels: Kernels, rows: int) -> DirectConv:
    weight = np.random.default_rng(0).integers(-9, 9, (5, 3, 3, 3)).astype(np.int8)
    task = ConvTask("x", Convolution.of(ConvKernel(weight, pads=(1,) * 4)), np.float32(1), (rows, 7))
    found = DirectConv.within(kernels, task, False, np.full(3, 9))
    assert found is not None
    return found


def payloads(rows: int, maps: int = 2) -> Array:
    return np.random.default_rng(1).integers(0, 9, (maps, rows, 7, 3)).astype(np.uint8)


@pytest.mark.parametrize("threads", [2, 3, 64, 200])
@pytest.mark.parametrize("rows", [1, 2, 3, 50])
def test_any_number_of_threads(threads: int, rows: int, kernels: Kernels) -> None:
    conv, x = convolution(kernels, rows), payloads(rows)
    expected = conv.accumulate(None, x, 0, rows)
    for _ in range(20):
        np.testing.assert_array_equal(conv.accumulate(None, x, 0, rows, threads), expected)
    total = expected.copy()
    np.testing.assert_array_equal(conv.accumulate(total, x, 0, rows, threads), 2 * expected)


def test_callers_at_the_same_time(kernels: Kernels) -> None:
    """Only one of them has the threads."""
    conv, x = convolution(kernels, 50), payloads(50)
    expected = conv.accumulate(None, x, 0, 50)
    with ThreadPoolExecutor(4) as callers:
        for found in callers.map(lambda _: conv.accumulate(None, x, 0, 50, 2), range(200)):
            np.testing.assert_array_equal(found, expected)


def _sum_in_a_child() -> int:
    kernels = select_kernels()
    assert kernels is not None
    return int(convolution(kernels, 50).accumulate(None, payloads(50), 0, 50, 3).sum())


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_process_starts_threads_of_its_own() -> None:
    expected = _sum_in_a_child()
    with multiprocessing.get_context("fork").Pool(2) as children:
        assert [children.apply_async(_sum_in_a_child).get(60) for _ in range(4)] == [expected] * 4
