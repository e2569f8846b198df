"""The same spikes with the kernels of every instruction set, and without any; and which of them is selected."""

from __future__ import annotations

import platform
import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from snn_deploy.arrays import Int64
from snn_deploy.backend.protocol import Record, Run
from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.stream import open_stream
from snn_deploy.errors import BackendUnavailableError
from snn_deploy.network.network import Network
from snn_deploy.network.streaming import prepare_stream
from snn_deploy.testing import (
    check_backend,
    check_streams,
    conformance_cases,
    random_stimulus,
    random_unet,
    special_cases,
)
from snn_deploy_cpu import CpuBackend
from snn_deploy_cpu.kernels import library
from snn_deploy_cpu.kernels.arguments import PayloadMaps, address_of
from snn_deploy_cpu.kernels.library import INSTRUCTION_SETS, VARIABLE, load_kernels, select_kernels

FEW = (*conformance_cases(), *special_cases())


WAYS = pytest.mark.parametrize(
    "options",
    [
        {},
        pytest.param({"sparse_below": 1.1, "direct": False}, marks=pytest.mark.extended),
        pytest.param({"sparse_below": 0.0, "direct": True}, marks=pytest.mark.extended),
    ],
)


@WAYS
def test_conformance(instruction_set: str, options: dict[str, object]) -> None:
    found = check_backend(CpuBackend(**options), drawn=20, cases=FEW)  # type: ignore[arg-type]
    assert (len(found.equal), found.refused) == (len(FEW) + 20, {})


@WAYS
def test_streams(instruction_set: str, options: dict[str, object]) -> None:
    found = check_streams(CpuBackend(**options), drawn=8)  # type: ignore[arg-type]
    assert (len(found.equal), found.refused) == (8, {})


@cache
def large_stream() -> tuple[Network, tuple[Int64, ...], tuple[Run, ...]]:
    """Maps of many vectors and tiles of channels, of which frames change a corner, a line, nothing and all; and the reference."""
    network = prepare_stream(random_unet("exact", 5, size=32, width=20))
    first, other = random_stimulus(network, 1, 1), random_stimulus(network, 2, 1)
    corner, line = first.copy(), first.copy()
    corner[..., 20:23, 24:27], line[..., 7, :] = other[..., 20:23, 24:27], other[..., 7, :]
    frames = (first, corner, line, line, other)
    stream = open_stream(load_backend("reference"), network)
    return network, frames, tuple(stream.push(frame, Record.STATES) for frame in frames)


@pytest.mark.parametrize("options", [{}, {"sparse_below": 1.1, "direct": False}, {"sparse_below": 0.0, "direct": True}])
@pytest.mark.parametrize("threads", [1, 3])
def test_large_streams(instruction_set: str, options: dict[str, object], threads: int) -> None:
    network, frames, expected = large_stream()
    stream = open_stream(CpuBackend(threads=threads, **options), network)  # type: ignore[arg-type]
    for frame, run in zip(frames, expected, strict=True):
        found = stream.push(frame, Record.STATES if threads == 1 else Record.COUNTS)
        for name, counts in run.counts.items():
            assert np.array_equal(found.counts[name], counts), name
            assert np.array_equal(found.events[name], run.events[name]), name
        for name, states in (found.states or {}).items():
            assert np.array_equal(states, (run.states or {})[name]), name


def test_the_package_has_kernels_here() -> None:
    assert load_kernels(INSTRUCTION_SETS[0]) is not None, "the kernels were not built; `make setup` does it"


def test_the_best_that_the_processor_has_is_selected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    select_kernels.cache_clear()
    least, best = load_kernels(INSTRUCTION_SETS[0]), select_kernels()
    if least is None or best is None:
        pytest.fail("no kernels")
    assert best.instruction_set == max(least.supported, key=INSTRUCTION_SETS.index)
    assert INSTRUCTION_SETS[0] in least.supported


def test_the_processor_is_what_the_system_says_it_is() -> None:
    """A library that runs nowhere else would be worth nothing: what is found must be all that there is."""
    least, system = load_kernels(INSTRUCTION_SETS[0]), Path("/proc/cpuinfo")
    if least is None or platform.machine() != "x86_64" or not system.exists():
        pytest.skip("needs Linux on x86-64")
    line = next(line for line in system.read_text().splitlines() if line.startswith("flags"))
    flags = set(line.split(":")[1].split())
    needed = {
        "avx2": {"avx2", "fma", "bmi1", "bmi2"},
        "avxvnni": {"avx2", "fma", "bmi1", "bmi2", "avx_vnni"},
        "avx512vnni": {"avx2", "fma", "avx512f", "avx512dq", "avx512cd", "avx512bw", "avx512vl", "avx512_vnni"},
    }
    assert least.supported == {"baseline", *(name for name, those in needed.items() if those <= flags)}


def test_a_variable_selects_less(instruction_set: str) -> None:
    found = select_kernels()
    assert (found.instruction_set if found else "numpy") == instruction_set


def test_an_unknown_instruction_set_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "mmx")
    select_kernels.cache_clear()
    with pytest.raises(
        BackendUnavailableError, match=r"^SNN_DEPLOY_INSTRUCTION_SET=mmx: .*; choose baseline, .* or numpy$"
    ):
        select_kernels()
    select_kernels.cache_clear()


def test_a_package_without_kernels_goes_on_without(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(library, "library_path", lambda name: tmp_path / name)
    for path in (tmp_path / name for name in INSTRUCTION_SETS):
        assert load_kernels.__wrapped__(path.name) is None
        path.write_bytes(b"not a library")  # or one for another system
    assert load_kernels.__wrapped__(INSTRUCTION_SETS[0]) is None


def test_a_library_of_other_sources_is_not_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As in a checkout that was updated and not built again: what its functions are given may have changed."""
    folder, name = Path(library.__file__).parent, INSTRUCTION_SETS[0]
    for path in (*folder.glob("*.[ch]"), library.library_path(name)):
        shutil.copy(path, tmp_path)
    built = library.library_path(name).name
    monkeypatch.setattr(library, "library_path", lambda name: tmp_path / built)
    assert load_kernels.__wrapped__(name) is not None
    header = tmp_path / "kernels.h"
    original = header.read_bytes()
    header.write_bytes(original + b"\n")
    with pytest.raises(BackendUnavailableError, match=f"{built}: compiled from other sources than those beside it; "):
        load_kernels.__wrapped__(name)
    header.rename(tmp_path / "another.h").write_bytes(original)
    with pytest.raises(BackendUnavailableError, match="hatch_build"):
        load_kernels.__wrapped__(name)
    for path in tmp_path.glob("*.[ch]"):  # as in a wheel
        path.unlink()
    assert load_kernels.__wrapped__(name) is not None


def test_what_kernels_do_not_read_is_an_error() -> None:
    x = np.zeros((1, 4, 4, 2), np.int16)
    with pytest.raises(ValueError, match="is not contiguous$"):
        address_of(x[:, ::2])
    with pytest.raises(ValueError, match="^payloads of int64; "):
        PayloadMaps.of(x.astype(np.int64))
