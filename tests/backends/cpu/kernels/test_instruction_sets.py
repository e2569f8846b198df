"""Bit equality where the processor has fewer instructions: 8-bit products saturate there, and the backend must see it.

oneDNN reads ``ONEDNN_MAX_CPU_ISA``, and numba the processor it compiles for, once for each process, so every case runs in
a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

PROGRAM = """
import warnings
from snn_deploy_cpu import CpuBackend
from snn_deploy_cpu.conv import providers
from snn_deploy.testing import check_backend, conformance_cases, special_cases
few = *conformance_cases(), *special_cases()
int8 = providers.select_int8()
if int8 is not None:
    check_backend(CpuBackend("int8"), drawn=0, cases=few)
    check_backend(CpuBackend("int8", sparse_below=0, direct=False), drawn=40, cases=())
check_backend(CpuBackend(sparse_below=0, direct=False), drawn=0, cases=few)  # what numba compiles reads other variables
print("bits", int8 and int8.payload_bits)
"""


EVENTS = """
import numpy as np
from snn_deploy.network.dynamics import apply
from snn_deploy.network.kernels import ConvKernel
from snn_deploy_cpu.conv.autotune import Autotuner
from snn_deploy_cpu.conv.compiled import ConvTask
from snn_deploy_cpu.conv.geometry import Convolution
from snn_deploy_cpu.conv.payload_stats import PayloadStats
from snn_deploy_cpu.kernels import simd
assert not simd.has_avx2()
rng = np.random.default_rng(0)
kernel = ConvKernel(rng.integers(-128, 128, (21, 7, 3, 3)), pads=(1, 1, 1, 1))
for low in (0, -900):
    maps = rng.integers(low, 901, (2, 9, 8, 7)) * rng.integers(0, 2, (2, 9, 8, 7))
    expected = np.moveaxis(apply(kernel, np.moveaxis(maps, -1, 1)), 1, -1)
    narrow, task = maps.astype(np.int16), ConvTask("source", Convolution.of(kernel), np.float32(1), (9, 8))
    (conv,) = Autotuner(task).candidates(narrow, PayloadStats.of(narrow))
    np.testing.assert_array_equal(conv.accumulate(None, narrow, 0, 9), expected)
"""


@pytest.mark.skipif(find_spec("torch") is None, reason="instruction sets are oneDNN's; PyTorch is missing")
@pytest.mark.parametrize(
    "instructions",
    [
        "AVX2",
        pytest.param("SSE41", marks=pytest.mark.slow),
        pytest.param("AVX2_VNNI", marks=pytest.mark.slow),
        pytest.param("AVX512_CORE", marks=pytest.mark.slow),
        pytest.param("AVX512_CORE_VNNI", marks=pytest.mark.slow),
    ],
)
def test_equality_with_instructions_capped(instructions: str) -> None:
    out = run(PROGRAM, ONEDNN_MAX_CPU_ISA=instructions)
    if instructions in ("AVX2", "SSE41"):
        assert out.split() in (["bits", "7"], ["bits", "None"])


@pytest.mark.skipif(find_spec("numba") is None, reason="events are summed by numba, which is missing")
def test_events_where_no_instruction_adds_pairs_of_products() -> None:
    run(EVENTS, NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES="")


def run(program: str, **variables: str) -> str:
    """What ``program`` prints in a process with these environment variables."""
    environment = os.environ | variables | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
