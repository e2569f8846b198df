"""AVX-VNNI, on processors without it: the same source, its 256-bit dot products as AVX-512 encodes them."""

from __future__ import annotations

import runpy
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from snn_deploy.network.kernels import ConvKernel
from snn_deploy.testing import check_backend, check_streams, conformance_cases, special_cases
from snn_deploy_cpu import CpuBackend
from snn_deploy_cpu.conv.compiled import ConvTask
from snn_deploy_cpu.conv.direct import DirectConv
from snn_deploy_cpu.conv.geometry import Convolution
from snn_deploy_cpu.kernels import library
from snn_deploy_cpu.kernels.library import Kernels, load_kernels, select_kernels
from snn_deploy_cpu.kernels.sources import digest_sources

pytestmark = pytest.mark.extended  # the library is compiled first

BUILD = Path(__file__).resolve().parents[4] / "backends/hatch_build.py"
FEW = (*conformance_cases(), *special_cases())


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Kernels:
    """Kernels of 256 bits with VNNI, whose instructions AVX-512 has, too."""
    if load_kernels("avx512vnni") is None:
        pytest.skip("needs a processor with AVX-512 VNNI")
    build = runpy.run_path(str(BUILD))
    compiler = build["find_compiler"]()
    if compiler is None:
        pytest.skip("needs a C compiler")
    folder, built = library.library_path("baseline").parent, tmp_path_factory.mktemp("half") / "kernels_avxvnni.so"
    flags = (*build["FLAGS"], *build["X86_FLAGS"]["avx512vnni"], "-DHALF_OF_AVX512")
    digest = f"-DSOURCE_DIGEST={digest_sources(folder)}"
    sources = sorted(map(str, folder.glob("*.c")))
    subprocess.run([*compiler, *flags, digest, *sources, "-o", str(built)], check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "library_path", lambda _: built)
        patch.setattr(library, "digest_sources", lambda _: None)
        return Kernels("avxvnni")


@pytest.fixture
def selected(half: Kernels, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The backend uses them."""
    monkeypatch.setattr(library, "load_kernels", lambda _: half)
    select_kernels.cache_clear()
    assert select_kernels() is half
    yield
    select_kernels.cache_clear()


def test_they_are_what_they_should_be(half: Kernels) -> None:
    assert (half.lanes, half.sums_32_bits) == (8, True)


def test_conformance(selected: None) -> None:
    found = check_backend(CpuBackend(), drawn=10, cases=FEW)
    assert (len(found.equal), found.refused) == (len(FEW) + 10, {})


def test_streams(selected: None) -> None:
    found = check_streams(CpuBackend(), drawn=6)
    assert (len(found.equal), found.refused) == (6, {})


@pytest.mark.parametrize("outputs", [1, 8, 9, 16, 33])
@pytest.mark.parametrize(("least", "most"), [(0, 255), (-127, 127), (-32767, 32767)])
def test_extremes(outputs: int, least: int, most: int, half: Kernels) -> None:
    """Every payload and weight at an end: no sum of two products may saturate."""
    weight = np.where(np.arange(outputs * 5 * 9) % 3, 127, -128).reshape(outputs, 5, 3, 3).astype(np.int8)
    task = ConvTask("x", Convolution.of(ConvKernel(weight, pads=(1,) * 4)), np.float32(1), (7, 13))
    x = (
        np.where(np.arange(7 * 13 * 5) % 4, most, least)
        .reshape(1, 7, 13, 5)
        .astype(np.uint8 if least == 0 else np.int16)
    )
    conv = DirectConv.within(half, task, least < 0, np.full(5, most))
    assert conv is not None
    padded = np.pad(x.astype(np.int64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    taps = [
        padded[:, h : h + 7, w : w + 13] @ weight[:, :, h, w].T.astype(np.int64) for h in range(3) for w in range(3)
    ]
    expected = np.add.reduce(taps)
    np.testing.assert_array_equal(conv.accumulate(None, x, 0, 7), expected.astype(np.float32))
