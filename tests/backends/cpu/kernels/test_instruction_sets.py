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
check_backend(CpuBackend(), drawn=0, cases=few)
print("bits", int8 and int8.payload_bits)
"""


EVENTS = """
from snn_deploy.backend import Record
from snn_deploy.testing import random_stimulus, random_unet
from snn_deploy.verification import Level, compare
from snn_deploy_cpu import CpuBackend
from snn_deploy_cpu.kernels import simd
from snn_deploy_reference import ReferenceBackend
assert not simd.has_avx2()
network = random_unet("rate")
backends = ReferenceBackend(), CpuBackend(sparse_below=1.0, direct=True)
runs = [backend.run(network, random_stimulus(network), Record.STATES) for backend in backends]
assert any("sparse" in engine for engine in runs[1].engines.values()), runs[1].engines
verdict = compare(network, runs, Level.STATE)
assert verdict.exit_code == 0, verdict.line
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
